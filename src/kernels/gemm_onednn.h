/* gemm_onednn.h - what gemm.c needs of oneDNN, and the differences between its versions 2 and 3.
 *
 * With inner_threads 1 everything runs on the thread that calls it: oneDNN starts no threads of its own.
 * A product may run on many threads at once, each with its own number. Creating is for one thread at a time. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include "kernels/kernel_table.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct GemmOnednn GemmOnednn;   // engine, and one stream and scratch a thread
typedef struct GemmProduct GemmProduct; // a product of one shape, ready to run
typedef struct GemmPacked GemmPacked;   // a matrix B in the layout that products with it like best

/* C (rows, columns) = A (rows, depth) B (depth, columns) [+ C]; strides in elements. */
typedef struct {
    size_t rows, columns, depth;
    size_t a_row, a_depth;    // one of the two is 1
    size_t b_depth, b_column; // the same; both 0: B is packed
    size_t c_row;
    DType input, output;
    bool accumulate;
} GemmShape;

/* inner_threads: how many OpenMP threads one product may use. 1, but for benches that measure oneDNN by itself. */
int gemm_onednn_open(GemmOnednn **library, const KernelTable *kernels, int inner_threads, Error *error);
void gemm_onednn_close(GemmOnednn *library);
/* Whether bfloat16 inputs are multiplied as such. Otherwise only float32 may be asked for. */
bool gemm_onednn_has_bf16(const GemmOnednn *library);

int gemm_onednn_product_create(GemmOnednn *library, const GemmShape *shape, GemmProduct **product, Error *error);
void gemm_onednn_product_destroy(GemmProduct *product);
/* b is a row-major B, or NULL and `packed` is it. Returns oneDNN's status; 0 is success. */
int gemm_onednn_product_run(const GemmProduct *product, int thread, const void *a, const void *b,
                            const GemmPacked *packed, void *c);
int gemm_onednn_failed(const GemmShape *shape, int status, Error *error); // ERROR_INTERNAL with the shape

/* An empty (depth, columns) matrix that owns its memory, and the strides that its sources will have. */
int gemm_onednn_packed_create(GemmOnednn *library, size_t depth, size_t columns, DType type, size_t b_depth,
                              size_t b_column, GemmPacked **packed, Error *error);
void gemm_onednn_packed_destroy(GemmPacked *packed);
/* Runs on one thread; different matrices may be filled at once. Returns oneDNN's status. */
int gemm_onednn_packed_fill(GemmPacked *packed, int thread, const void *source);
