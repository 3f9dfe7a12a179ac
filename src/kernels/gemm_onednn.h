/* gemm_onednn.h - what gemm.c needs of oneDNN, and the differences between its versions 2 and 3.
 *
 * Rows of A follow each other without gaps, and so should those of C: where they do not, oneDNN 2.6 may fall back to
 * plain loops that are a thousand times slower. gemm_onednn_is_slow tells.
 * With inner_threads 1 everything runs on the thread that calls it: oneDNN starts no threads of its own. A primitive
 * may run on many threads at once, each under its own number; creating one is for a single thread. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include "kernels/kernel_table.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct GemmOnednn GemmOnednn;       // engine, and a stream and scratch for each thread
typedef struct GemmPrimitive GemmPrimitive; // a product or a packing of one shape, ready to run

/* C (rows, columns) = A (rows, depth) B (depth, columns) [+ C]; B is packed. */
typedef struct {
    size_t rows, columns, depth;
    size_t c_row; // elements from one row of C to the next, at least `columns`
    DType input, output;
    bool accumulate;
} GemmShape;

/* B (depth, columns) from an array with these strides (elements), one of which is 1. */
typedef struct {
    size_t depth, columns;
    DType type;
    size_t depth_stride, column_stride;
    bool unpack; // the other way round: from packed to such an array
} GemmPacking;

/* inner_threads: how many OpenMP threads one product may use. 1, but for benches that measure oneDNN by itself. */
int gemm_onednn_open(GemmOnednn **library, const KernelTable *kernels, int inner_threads, Error *error);
void gemm_onednn_close(GemmOnednn *library);
/* Whether bfloat16 inputs are multiplied as such. Otherwise only float32 may be asked for. */
bool gemm_onednn_has_bf16(const GemmOnednn *library);

int gemm_onednn_product(GemmOnednn *library, const GemmShape *shape, GemmPrimitive **product, Error *error);
int gemm_onednn_packing(GemmOnednn *library, const GemmPacking *packing, GemmPrimitive **packer, Error *error);
void gemm_onednn_destroy(GemmPrimitive *primitive);
bool gemm_onednn_is_slow(const GemmPrimitive *product);
size_t gemm_onednn_packed_bytes(const GemmPrimitive *primitive); // of B, a multiple of 64

/* Both return oneDNN's status, 0 for success. */
int gemm_onednn_multiply(const GemmPrimitive *product, int thread, const void *a, const void *b, void *c);
int gemm_onednn_pack(const GemmPrimitive *packer, int thread, const void *source, void *b);
/* ERROR_INTERNAL (or ERROR_MEMORY) that tells the shape. */
int gemm_onednn_failed(const GemmShape *shape, int status, Error *error);
