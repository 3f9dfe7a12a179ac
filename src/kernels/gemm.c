#include "kernels/gemm.h"
#include "base/size.h"
#include "kernels/gemm_transpose.h"
#include "kernels/gemm_weight.h"
#include "kernels/ref/ref_gemm.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

int gemm_create(GemmContext **out, const KernelTable *kernels, Error *error) {
    GemmContext *context = *out = calloc(1, sizeof *context);
    if (context == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    context->kernels = kernels, context->threads = kernels->threads;
    if (kernels->isa <= ISA_REFERENCE) return 0;
    context->staging = calloc((size_t)kernels->threads, sizeof *context->staging);
    if (context->staging == NULL)
        error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    else if (gemm_onednn_open(&context->library, kernels, 1, error) == 0 &&
             gemm_plan_open(context->library, false, &context->plans, error) == 0)
        return 0;
    gemm_destroy(context);
    *out = NULL;
    return -1;
}

void gemm_destroy(GemmContext *context) {
    if (context == NULL) return;
    gemm_plan_close(context->plans);
    gemm_onednn_close(context->library);
    for (int i = 0; context->staging != NULL && i < context->threads; i++) free(context->staging[i].bytes);
    free(context->staging);
    free(context->gradient_a.bytes);
    free(context->gradient_b.bytes);
    free(context->plain.bytes);
    free(context);
}

/* --- forward and data gradient --- */

static int run_plain(const GemmContext *context, const RefGemm *plain, const GemmRows *rows, const void *b) {
    size_t a_bytes = rows->a_stride * dtype_bytes(rows->compute), c_bytes = rows->c_stride * dtype_bytes(rows->c_type);
#pragma omp parallel for num_threads(context->threads) schedule(static)
    for (size_t t = 0; t < rows->T; t++)
        ref_gemm_row(plain, (const char *)rows->a + t * a_bytes, b, (char *)rows->c + t * c_bytes);
    return 0;
}

int gemm_forward_columns(GemmContext *context, const GemmWeight *weight, size_t first, size_t count, size_t T,
                         const void *x, size_t x_stride, void *y, size_t y_stride, DType y_type, bool accumulate,
                         Error *error) {
    const GemmRows rows = {.T = T,
                           .a = x,
                           .a_stride = x_stride,
                           .c = y,
                           .c_stride = y_stride,
                           .compute = weight->compute,
                           .c_type = y_type,
                           .accumulate = accumulate};
    size_t piece = gemm_weight_piece(weight), in = weight->in;
    assert(count > 0 && first % piece == 0 && (count % piece == 0 || first + count == weight->out));
    if (weight->plain == NULL)
        return gemm_side_run(context, &weight->forward, first / piece, (count + piece - 1) / piece, &rows, error);
    const RefGemm plain = {.columns = count,
                           .depth = in,
                           .a_depth = 1,
                           .b_depth = 1,
                           .b_column = in,
                           .input = weight->compute,
                           .output = y_type,
                           .accumulate = accumulate};
    return run_plain(context, &plain, &rows, (char *)weight->plain + first * in * dtype_bytes(weight->compute));
}

int gemm_forward(GemmContext *context, const GemmWeight *weight, size_t T, const void *x, size_t x_stride, void *y,
                 size_t y_stride, DType y_type, bool accumulate, Error *error) {
    return gemm_forward_columns(context, weight, 0, weight->out, T, x, x_stride, y, y_stride, y_type, accumulate,
                                error);
}

int gemm_data_gradient(GemmContext *context, const GemmWeight *weight, size_t T, const void *dy, size_t dy_stride,
                       void *dx, size_t dx_stride, DType dx_type, bool accumulate, Error *error) {
    const GemmRows rows = {.T = T,
                           .a = dy,
                           .a_stride = dy_stride,
                           .c = dx,
                           .c_stride = dx_stride,
                           .compute = weight->compute,
                           .c_type = dx_type,
                           .accumulate = accumulate};
    if (weight->plain == NULL)
        return gemm_side_run(context, &weight->data_gradient, 0, weight->data_gradient.pieces, &rows, error);
    const RefGemm plain = {.columns = weight->in,
                           .depth = weight->out,
                           .a_depth = 1,
                           .b_depth = weight->in,
                           .b_column = 1,
                           .input = weight->compute,
                           .output = dx_type,
                           .accumulate = accumulate};
    return run_plain(context, &plain, &rows, weight->plain);
}

/* --- weight gradient --- */

/* T is summed in steps of at most GEMM_GRADIENT_ROWS rows, so that dY^T and X of a step stay in the cache; not a power
 * of two, whose lines would fall on each other there. A short step is padded with zeros, so that few shapes of products
 * are needed.
 */
enum { STEP = GEMM_GRADIENT_ROWS, STRIP = 64 };

static size_t padded_rows(size_t rows) {
    size_t padded = rows <= 64 ? size_round_up(rows, 32) : size_round_up(rows, 128);
    return padded < STEP ? padded : STEP;
}

/* One step: dW += (dY^T) X with dY^T (out, depth) as A and X (depth, in) as B. */
typedef struct {
    GemmContext *context;
    size_t rows, out; // rows <= depth
    DType compute;
    const char *dy, *x; // of this step
    size_t dy_stride, x_stride;
    GemmSide side;
    const GemmPrimitive *packer, *last_packer;
    bool stage_x;
} Step;

/* Columns [first, first + width) of dY become rows of dY^T. */
static void transpose_strip(const Step *s, size_t first, size_t width) {
    size_t depth = s->side.depth, element = dtype_bytes(s->side.type);
    char *to = (char *)s->context->gradient_a.bytes + first * depth * element;
    const void *from = s->dy + first * dtype_bytes(s->compute);
    if (s->side.type == DTYPE_BF16)
        gemm_transpose_bf16(s->rows, width, from, s->dy_stride, (bf16 *)(void *)to, depth);
    else
        s->context->kernels->tile_transpose(s->rows, width, s->compute, from, s->dy_stride, (float *)(void *)to, depth);
    for (size_t r = 0; r < width && s->rows < depth; r++)
        memset(to + (r * depth + s->rows) * element, 0, (depth - s->rows) * element);
}

static int pack_x(const Step *s, size_t piece, int thread) {
    const GemmSide *side = &s->side;
    const GemmPrimitive *packer = piece + 1 == side->pieces ? s->last_packer : s->packer;
    const void *from = s->x + piece * side->width * dtype_bytes(s->compute);
    size_t width = gemm_side_width(side, piece);
    void *staged = s->context->staging[thread].bytes;
    if (s->stage_x)
        gemm_side_copy(s->context->kernels, s->rows, side->depth, width, from, s->x_stride, s->compute, staged, width,
                       side->type);
    return gemm_onednn_pack(packer, thread, s->stage_x ? staged : from, side->b + piece * side->piece_bytes);
}

static int prepare_step(Step *s, size_t in, Error *error) {
    GemmContext *context = s->context;
    GemmSide *side = &s->side;
    size_t depth = padded_rows(s->rows), element = dtype_bytes(gemm_side_input(context, s->compute));
    if (gemm_side_init(context, side, depth, in, gemm_side_input(context, s->compute), error) != 0) return -1;
    s->stage_x = s->rows < depth || s->compute != side->type;
    for (int i = 0; i < 2; i++) {
        size_t width = i == 0 ? side->width : gemm_side_width(side, side->pieces - 1);
        const GemmPacking packing = {.depth = depth,
                                     .columns = width,
                                     .type = side->type,
                                     .depth_stride = s->stage_x ? width : s->x_stride,
                                     .column_stride = 1};
        if (gemm_plan_packer(context->plans, &packing, i == 0 ? &s->packer : &s->last_packer, error) != 0) return -1;
    }
    if (gemm_side_grow(&context->gradient_a, s->out * depth * element, error) != 0 ||
        gemm_side_grow(&context->gradient_b, side->bytes, error) != 0 ||
        gemm_side_stage(context, depth * side->width * element, error) != 0)
        return -1;
    side->b = context->gradient_b.bytes;
    return 0;
}

static int run_step(Step *s, size_t in, float *dw, Error *error) {
    if (prepare_step(s, in, error) != 0) return -1;
    size_t strips = (s->out + STRIP - 1) / STRIP;
    int failed = 0;
#pragma omp parallel for num_threads(s->context->threads) schedule(dynamic) reduction(| : failed)
    for (size_t i = 0; i < s->side.pieces + strips; i++) {
        int thread = omp_get_thread_num();
        size_t first = (i - s->side.pieces) * STRIP;
        if (i < s->side.pieces)
            failed |= pack_x(s, i, thread);
        else
            transpose_strip(s, first, s->out - first < STRIP ? s->out - first : STRIP);
    }
    const GemmShape shape = {.rows = s->out, .columns = in, .depth = s->rows, .input = s->compute};
    if (failed != 0) return gemm_onednn_failed(&shape, failed, error);
    const GemmRows rows = {.T = s->out,
                           .a = s->context->gradient_a.bytes,
                           .a_stride = s->side.depth,
                           .c = dw,
                           .c_stride = in,
                           .compute = s->side.type,
                           .c_type = DTYPE_F32,
                           .accumulate = true};
    return gemm_side_run(s->context, &s->side, 0, s->side.pieces, &rows, error);
}

static void gradient_plain(const GemmContext *context, const RefGemm *plain, size_t out, const char *dy, const void *x,
                           float *dw) {
#pragma omp parallel for num_threads(context->threads) schedule(static)
    for (size_t o = 0; o < out; o++)
        ref_gemm_row(plain, dy + o * dtype_bytes(plain->input), x, dw + o * plain->columns);
}

int gemm_weight_gradient(GemmContext *context, size_t T, size_t out, size_t in, DType compute, const void *dy,
                         size_t dy_stride, const void *x, size_t x_stride, float *dw, Error *error) {
    if (context->library == NULL) {
        const RefGemm plain = {.columns = in,
                               .depth = T,
                               .a_depth = dy_stride,
                               .b_depth = x_stride,
                               .b_column = 1,
                               .input = compute,
                               .output = DTYPE_F32,
                               .accumulate = true};
        gradient_plain(context, &plain, out, dy, x, dw);
        return 0;
    }
    for (size_t t = 0; t < T; t += STEP) {
        size_t bytes = dtype_bytes(compute);
        Step step = {.context = context,
                     .rows = T - t < STEP ? T - t : STEP,
                     .out = out,
                     .compute = compute,
                     .dy = (const char *)dy + t * dy_stride * bytes,
                     .x = (const char *)x + t * x_stride * bytes,
                     .dy_stride = dy_stride,
                     .x_stride = x_stride};
        if (run_step(&step, in, dw, error) != 0) return -1;
    }
    return 0;
}
