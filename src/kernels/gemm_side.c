#include "kernels/gemm_side.h"
#include "base/size.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

int gemm_side_grow(GemmBuffer *buffer, size_t bytes, Error *error) {
    if (bytes <= buffer->size) return 0;
    free(buffer->bytes);
    buffer->bytes = aligned_alloc(64, size_round_up(bytes, 64));
    buffer->size = buffer->bytes == NULL ? 0 : bytes;
    return buffer->bytes != NULL ? 0 : error_set(error, ERROR_MEMORY, "no memory for %zu bytes of matrix rows", bytes);
}

int gemm_side_stage(GemmContext *context, size_t bytes, Error *error) {
    for (int i = 0; i < context->threads; i++)
        if (gemm_side_grow(&context->staging[i], bytes, error) != 0) return -1;
    return 0;
}

DType gemm_side_input(const GemmContext *context, DType compute) {
    return gemm_onednn_has_bf16(context->library) ? compute : DTYPE_F32;
}

static void convert(const KernelTable *kernels, size_t n, const void *src, DType src_type, void *dst, DType dst_type) {
    if (src_type == dst_type)
        memcpy(dst, src, n * dtype_bytes(src_type));
    else if (dst_type == DTYPE_BF16)
        kernels->to_bf16(n, src, dst);
    else
        kernels->to_f32(n, src, dst);
}

void gemm_side_copy(const KernelTable *kernels, size_t rows, size_t padded, size_t width, const void *src,
                    size_t src_stride, DType src_type, void *dst, size_t dst_stride, DType dst_type) {
    const char *from = src;
    char *to = dst;
    size_t from_bytes = src_stride * dtype_bytes(src_type), to_bytes = dst_stride * dtype_bytes(dst_type);
    for (size_t r = 0; r < rows; r++)
        convert(kernels, width, from + r * from_bytes, src_type, to + r * to_bytes, dst_type);
    for (size_t r = rows; r < padded; r++) memset(to + r * to_bytes, 0, width * dtype_bytes(dst_type));
}

size_t gemm_side_width(const GemmSide *side, size_t piece) {
    size_t first = piece * side->width;
    return side->columns - first < side->width ? side->columns - first : side->width;
}

int gemm_side_init(GemmContext *context, GemmSide *side, size_t depth, size_t columns, DType type, Error *error) {
    size_t width = gemm_plan_width(depth, columns, type);
    *side = (GemmSide){
        .depth = depth, .columns = columns, .width = width, .pieces = (columns + width - 1) / width, .type = type};
    GemmPacking packing = {.depth = depth, .columns = width, .type = type, .depth_stride = width, .column_stride = 1};
    const GemmPrimitive *packer;
    if (gemm_plan_packer(context->plans, &packing, &packer, error) != 0) return -1;
    side->piece_bytes = gemm_onednn_packed_bytes(packer);
    packing.columns = packing.depth_stride = gemm_side_width(side, side->pieces - 1);
    if (gemm_plan_packer(context->plans, &packing, &packer, error) != 0) return -1;
    side->bytes = (side->pieces - 1) * side->piece_bytes + gemm_onednn_packed_bytes(packer);
    return 0;
}

/* Blocks of equal height, one behind the other: times all of B, or times each piece. */
typedef struct {
    const GemmPrimitive *product, *last;
    bool whole;
    size_t rows, first, blocks, units;
} Span;

enum { SPANS = 4 };

typedef struct {
    GemmContext *context;
    const GemmSide *side;
    const GemmRows *rows;
    size_t first_piece, pieces;
    DType input, output;   // of the products
    bool stage_a, stage_c; // always; otherwise only where rows are fewer than the product's
    bool dense;            // products of pieces write rows without gaps
    size_t c_row;
    Span span[SPANS];
    size_t units;
} Call;

static void add_span(Call *call, const GemmPlan *plan, GemmHeight height, bool whole, size_t blocks, size_t *at) {
    if (blocks == 0) return;
    Span *s = call->span;
    while (s->blocks != 0) s++;
    *s = (Span){.product = whole ? plan->whole[height] : plan->piece[height],
                .last = plan->last[height],
                .whole = whole,
                .rows = gemm_height_rows[height],
                .first = *at,
                .blocks = blocks,
                .units = whole ? blocks : blocks * call->pieces};
    *at += blocks * s->rows;
    call->units += s->units;
}

/* Cuts the rows. All ways to cut give the same bits, so this may look at the threads: blocks times all of B as long as
 * each thread gets equally many, then pieces. The last block may reach beyond T. */
static void cut(Call *call, const GemmPlan *plan, bool whole) {
    size_t T = call->rows->T, threads = (size_t)call->context->threads, at = 0;
    for (int h = GEMM_HUGE; h >= GEMM_TALL && whole; h--)
        if (plan->whole[h] != NULL)
            add_span(call, plan, (GemmHeight)h, true, (T - at) / gemm_height_rows[h] / threads * threads, &at);
    add_span(call, plan, GEMM_TALL, false, (T - at) / gemm_height_rows[GEMM_TALL], &at);
    GemmHeight rest = plan->piece[GEMM_LOW] != NULL ? GEMM_LOW : GEMM_TALL;
    size_t height = gemm_height_rows[rest];
    if (at < T) add_span(call, plan, rest, false, (T - at + height - 1) / height, &at);
}

static int prepare(Call *call, Error *error) {
    const GemmSide *side = call->side;
    const GemmRows *rows = call->rows;
    size_t last = call->first_piece + call->pieces - 1,
           columns = (call->pieces - 1) * side->width + gemm_side_width(side, last);
    call->input = gemm_side_input(call->context, rows->compute);
    call->output = call->input == rows->compute ? rows->c_type : DTYPE_F32;
    call->stage_a = call->input != rows->compute || rows->a_stride != side->depth;
    bool converts = call->output != rows->c_type;
    size_t width = side->width < columns ? side->width : columns;
    const GemmPlanKey key = {.depth = side->depth,
                             .columns = columns,
                             .width = width,
                             .c_row = converts ? columns : rows->c_stride,
                             .input = call->input,
                             .output = call->output,
                             .accumulate = rows->accumulate};
    bool whole = rows->c_stride == columns && !converts &&
                 rows->T >= gemm_height_rows[GEMM_TALL] * (size_t)call->context->threads;
    const GemmPlan *plan;
    if (gemm_plan_find(call->context->plans, &key, whole, &plan, error) != 0) return -1;
    cut(call, plan, whole);
    call->dense = plan->dense, call->c_row = key.c_row;
    call->stage_c = converts || (plan->dense && (call->pieces > 1 || rows->c_stride != columns));
    size_t highest = 0;
    for (const Span *s = call->span; s < call->span + SPANS; s++) highest = s->rows > highest ? s->rows : highest;
    size_t a_bytes = size_round_up(highest * side->depth * dtype_bytes(call->input), 64);
    size_t c_bytes = gemm_height_rows[GEMM_TALL] * (plan->dense ? width : call->c_row) * dtype_bytes(call->output);
    return gemm_side_stage(call->context, a_bytes + c_bytes, error);
}

static int run_unit(const Call *call, const Span *span, size_t unit, int thread) {
    const GemmRows *rows = call->rows;
    const KernelTable *kernels = call->context->kernels;
    size_t piece = span->whole ? 0 : unit / span->blocks, first = span->first + unit % span->blocks * span->rows;
    size_t count = rows->T - first < span->rows ? rows->T - first : span->rows, depth = call->side->depth;
    bool last = piece + 1 == call->pieces, stage_a = call->stage_a || count < span->rows;
    bool stage_c = !span->whole && (call->stage_c || count < span->rows);
    size_t width = gemm_side_width(call->side, call->first_piece + piece),
           staged_row = call->dense ? width : call->c_row;
    const void *a = (const char *)rows->a + first * rows->a_stride * dtype_bytes(rows->compute);
    void *c = (char *)rows->c + (first * rows->c_stride + piece * call->side->width) * dtype_bytes(rows->c_type);
    char *staged_a = call->context->staging[thread].bytes;
    char *staged_c = staged_a + size_round_up(span->rows * depth * dtype_bytes(call->input), 64);
    if (stage_a)
        gemm_side_copy(kernels, count, span->rows, depth, a, rows->a_stride, rows->compute, staged_a, depth,
                       call->input);
    if (stage_c && rows->accumulate)
        gemm_side_copy(kernels, count, span->rows, width, c, rows->c_stride, rows->c_type, staged_c, staged_row,
                       call->output);
    int status = gemm_onednn_multiply(last && !span->whole ? span->last : span->product, thread, stage_a ? staged_a : a,
                                      call->side->b + (call->first_piece + piece) * call->side->piece_bytes,
                                      stage_c ? staged_c : c);
    if (stage_c)
        gemm_side_copy(kernels, count, count, width, staged_c, staged_row, call->output, c, rows->c_stride,
                       rows->c_type);
    return status;
}

int gemm_side_run(GemmContext *context, const GemmSide *side, size_t first, size_t pieces, const GemmRows *rows,
                  Error *error) {
    Call call = {.context = context, .side = side, .rows = rows, .first_piece = first, .pieces = pieces};
    if (rows->T == 0) return 0;
    if (prepare(&call, error) != 0) return -1;
    int failed = 0;
#pragma omp parallel for num_threads(context->threads) schedule(dynamic) reduction(| : failed)
    for (size_t i = 0; i < call.units; i++) {
        const Span *span = call.span;
        size_t unit = i;
        while (unit >= span->units) unit -= span->units, span++;
        failed |= run_unit(&call, span, unit, omp_get_thread_num());
    }
    if (failed == 0) return 0;
    const GemmShape shape = {.rows = rows->T, .columns = side->columns, .depth = side->depth, .input = rows->compute};
    return gemm_onednn_failed(&shape, failed, error);
}
