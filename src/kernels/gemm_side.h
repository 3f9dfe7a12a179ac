/* gemm_side.h - C (T, columns) = A (T, depth) B (depth, columns) for any number of rows, on all threads. What forward,
 * data gradient and weight gradient come down to; B is one side of a weight, packed in pieces of columns. */
#pragma once
#include "kernels/gemm.h"
#include "kernels/gemm_plan.h"

typedef struct {
    void *bytes;
    size_t size;
} GemmBuffer;

struct GemmContext {
    const KernelTable *kernels;
    int threads;
    GemmOnednn *library; // NULL: the plain product of kernels/ref
    GemmPlans *plans;
    GemmBuffer *staging;               // (threads) rows that a product cannot read or write where they are
    GemmBuffer gradient_a, gradient_b; // dY^T, and X packed, of one step of a weight gradient
    GemmBuffer plain;                  // a weight between two layouts
};

/* At least `bytes`, 64-byte aligned; the content is lost when it grows. */
int gemm_side_grow(GemmBuffer *buffer, size_t bytes, Error *error);
int gemm_side_stage(GemmContext *context, size_t bytes, Error *error); // for each thread
/* The type that products see: without bfloat16 units, bfloat16 values are multiplied as float32, which is exact. */
DType gemm_side_input(const GemmContext *context, DType compute);
/* `rows` rows of `width` elements, float32 or bfloat16, and zeros up to `padded` rows. */
void gemm_side_copy(const KernelTable *kernels, size_t rows, size_t padded, size_t width, const void *src,
                    size_t src_stride, DType src_type, void *dst, size_t dst_stride, DType dst_type);

typedef struct {
    size_t depth, columns, width, pieces; // all pieces but the last have `width` columns
    size_t piece_bytes, bytes;
    DType type;
    unsigned char *b; // (bytes)
} GemmSide;

/* Everything but the memory of b. */
int gemm_side_init(GemmContext *context, GemmSide *side, size_t depth, size_t columns, DType type, Error *error);
size_t gemm_side_width(const GemmSide *side, size_t piece);

typedef struct {
    size_t T;
    const void *a; // (T, depth) of type compute
    size_t a_stride;
    void *c; // (T, columns of the pieces asked for)
    size_t c_stride;
    DType compute, c_type;
    bool accumulate;
} GemmRows;

/* The columns of pieces [first, first + pieces). */
int gemm_side_run(GemmContext *context, const GemmSide *side, size_t first, size_t pieces, const GemmRows *rows,
                  Error *error);
