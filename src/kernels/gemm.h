/* gemm.h - the matrix products of a transformer. The only place that names oneDNN.
 *
 * Matrices are row-major. A weight W is (out, in), as in Hugging Face checkpoints.
 *   forward          Y (T, out) = X (T, in) W^T      [+ Y when accumulating]
 *   data gradient    dX (T, in) = dY (T, out) W      [+ dX when accumulating]
 *   weight gradient  dW (out, in) += dY^T X          always float32, always accumulating
 * Inputs have the compute type (float32 or bfloat16); products are accumulated in float32; results are float32 or the
 * compute type, as asked. Accumulating needs a float32 result.
 *
 * Determinism: work is cut into blocks that single threads compute, of a few shapes that were seen to give a row the
 * same bits (kernels/gemm_plan.h). So a row of a result has the same bits whatever the thread count, and for one weight
 * whatever other rows are in the call; a weight gradient, whatever the thread count [GEMM-1].
 * One GemmContext serves one caller at a time; its caches (oneDNN primitives by shape, scratch) belong to it. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include "kernels/kernel_table.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct GemmContext GemmContext;
typedef struct GemmWeight GemmWeight; // one (out, in) matrix in the layouts that its uses need

typedef enum { GEMM_FORWARD = 1, GEMM_DATA_GRADIENT = 2 } GemmUse; // bits

/* kernels: outlives the context; isa <= ISA_REFERENCE selects the plain C product of kernels/ref. */
int gemm_create(GemmContext **context, const KernelTable *kernels, Error *error);
void gemm_destroy(GemmContext *context);

/* Allocates the packed layouts; nothing is packed yet. */
int gemm_weight_create(GemmContext *context, size_t out, size_t in, DType compute, unsigned uses, GemmWeight **weight,
                       Error *error);
void gemm_weight_destroy(GemmWeight *weight);
/* Memory of one such weight where the products run on `isa`, for plans. */
size_t gemm_weight_bytes(Isa isa, size_t out, size_t in, DType compute, unsigned uses);
/* (Re)packs the whole matrix from row-major (out, in) source; call again whenever the values change. */
int gemm_weight_pack(GemmContext *context, GemmWeight *weight, const void *source, DType source_type, Error *error);

/* Packs `to`, which is for data gradients alone, from the rows [first, first + out of `to`) of `from`, which is for
 * forward alone: so weights that do not change need only one copy each, and one more for whichever is in use. first is
 * a multiple of gemm_weight_piece, and so is the number of rows unless they are the last. */
int gemm_weight_turn(GemmContext *context, const GemmWeight *from, size_t first, GemmWeight *to, Error *error);

/* y_type: DTYPE_F32 or the compute type. accumulate needs DTYPE_F32. x: (T, in) rows x_stride apart (elements). */
int gemm_forward(GemmContext *context, const GemmWeight *weight, size_t T, const void *x, size_t x_stride, void *y,
                 size_t y_stride, DType y_type, bool accumulate, Error *error);
/* The columns [first, first + count) of Y alone, y pointing at the first. Both are multiples of gemm_weight_piece, but
 * first + count may be `out`. */
int gemm_forward_columns(GemmContext *context, const GemmWeight *weight, size_t first, size_t count, size_t T,
                         const void *x, size_t x_stride, void *y, size_t y_stride, DType y_type, bool accumulate,
                         Error *error);
size_t gemm_weight_piece(const GemmWeight *weight); // 1 .. 1024
int gemm_data_gradient(GemmContext *context, const GemmWeight *weight, size_t T, const void *dy, size_t dy_stride,
                       void *dx, size_t dx_stride, DType dx_type, bool accumulate, Error *error);
/* T is summed in steps of at most so many rows: a caller that cuts T at multiples of it pays nothing for that. */
enum { GEMM_GRADIENT_ROWS = 448 };
/* dw: (out, in) float32, contiguous. dy: (T, out), x: (T, in), both of type compute. */
int gemm_weight_gradient(GemmContext *context, size_t T, size_t out, size_t in, DType compute, const void *dy,
                         size_t dy_stride, const void *x, size_t x_stride, float *dw, Error *error);

/* "2.6.3": the oneDNN that runs. */
void gemm_library_version(char *out, size_t capacity);
