#include "kernels/gemm_weight.h"
#include "base/size.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(size_t out, size_t in, Error *error) {
    return error_set(error, ERROR_MEMORY, "no memory for a weight of %zu x %zu", out, in);
}

/* The sides of a weight in one block, which the system hands out zeroed (the gaps of blocked layouts are read) and in
 * large pages. */
static int create_sides(GemmContext *context, GemmWeight *weight, unsigned uses, Error *error) {
    const size_t out = weight->out, in = weight->in;
    const DType type = gemm_side_input(context, weight->compute);
    GemmSide *forward = &weight->forward, *data_gradient = &weight->data_gradient;
    if (uses & GEMM_FORWARD && gemm_side_init(context, forward, in, out, type, error) != 0) return -1;
    if (uses & GEMM_DATA_GRADIENT && gemm_side_init(context, data_gradient, out, in, type, error) != 0) return -1;
    if (arena_create(&weight->block, forward->bytes + data_gradient->bytes, error) != 0) return -1;
    forward->b = arena_take(&weight->block, forward->bytes, 1);
    data_gradient->b = arena_take(&weight->block, data_gradient->bytes, 1);
    return 0;
}

int gemm_weight_create(GemmContext *context, size_t out, size_t in, DType compute, unsigned uses, GemmWeight **result,
                       Error *error) {
    size_t elements, bytes;
    *result = NULL;
    if (out == 0 || in == 0 || !size_multiply(out, in, &elements) || !size_multiply(elements, 4, &bytes))
        return error_set(error, ERROR_INTERNAL, "a weight of %zu x %zu cannot be multiplied", out, in);
    GemmWeight *weight = calloc(1, sizeof *weight);
    if (weight == NULL) return no_memory(out, in, error);
    *weight = (GemmWeight){.out = out, .in = in, .compute = compute};
    int status = 0;
    if (context->library == NULL) {
        weight->plain = calloc(elements, dtype_bytes(compute));
        if (weight->plain == NULL) status = no_memory(out, in, error);
    } else {
        status = create_sides(context, weight, uses, error);
    }
    if (status == 0)
        *result = weight;
    else
        gemm_weight_destroy(weight);
    return status;
}

void gemm_weight_destroy(GemmWeight *weight) {
    if (weight == NULL) return;
    arena_destroy(&weight->block);
    free(weight->plain);
    free(weight);
}

size_t gemm_weight_piece(const GemmWeight *weight) { return weight->plain != NULL ? 1 : weight->forward.width; }

/* The widest layout that oneDNN chooses: columns in groups of 64, depth in lines of 64 bytes. */
static size_t side_bytes(size_t depth, size_t columns, DType type) {
    size_t width = gemm_plan_width(depth, columns, type), tail = (columns - 1) % width + 1, element = dtype_bytes(type);
    size_t padded = (columns - tail) / width * size_round_up(width, 64) + size_round_up(tail, 64);
    return size_round_up(depth, 64 / element) * padded * element;
}

size_t gemm_weight_bytes(Isa isa, size_t out, size_t in, DType compute, unsigned uses) {
    DType type = isa_has_bf16(isa) ? compute : DTYPE_F32;
    size_t bytes = sizeof(GemmWeight);
    if (uses & GEMM_FORWARD) bytes += side_bytes(in, out, type);
    if (uses & GEMM_DATA_GRADIENT) bytes += side_bytes(out, in, type);
    return bytes;
}

/* --- packing --- */

typedef struct {
    GemmContext *context;
    const GemmWeight *weight;
    const char *source; // (out, in)
    DType source_type;
    bool direct; // the source needs no conversion
    const GemmPrimitive *forward, *forward_last, *gradient, *gradient_last;
} Packing;

/* Any type to the packed type, rounded to the compute type: to bfloat16 even where that is stored wide. */
static void convert_values(const Packing *p, size_t n, const char *src, char *dst, DType dst_type) {
    enum { BLOCK = 512 };
    float wide[BLOCK];
    bf16 narrow[BLOCK];
    const KernelTable *kernels = p->context->kernels;
    DType compute = p->weight->compute;
    for (size_t first = 0, count; first < n; first += count) {
        count = n - first < BLOCK ? n - first : BLOCK;
        const void *from = src + first * dtype_bytes(p->source_type);
        DType type = p->source_type;
        if (type == DTYPE_F16) {
            for (size_t i = 0; i < count; i++) wide[i] = dtype_f16_to_float(((const uint16_t *)from)[i]);
            from = wide, type = DTYPE_F32;
        }
        if (type == DTYPE_F32 && compute == DTYPE_BF16 && dst_type == DTYPE_F32) {
            kernels->to_bf16(count, from, narrow);
            from = narrow, type = DTYPE_BF16;
        }
        gemm_side_copy(kernels, 1, 1, count, from, 0, type, dst + first * dtype_bytes(dst_type), 0, dst_type);
    }
}

/* The packer of a side's pieces, and that of its last. Forward pieces are rows of W; those of the data gradient are
 * columns, as they lie in the source or copied together. */
static int find_packers(const Packing *p, const GemmSide *side, bool forward, const GemmPrimitive **packer,
                        const GemmPrimitive **last, Error *error) {
    for (int i = 0; i < 2 && side->pieces > 0; i++) {
        size_t width = i == 0 ? side->width : gemm_side_width(side, side->pieces - 1);
        const GemmPacking packing = {.depth = side->depth,
                                     .columns = width,
                                     .type = side->type,
                                     .depth_stride = forward     ? 1
                                                     : p->direct ? p->weight->in
                                                                 : width,
                                     .column_stride = forward ? side->depth : 1};
        if (gemm_plan_packer(p->context->plans, &packing, i == 0 ? packer : last, error) != 0) return -1;
    }
    return 0;
}

static int pack_piece(const Packing *p, size_t piece, int thread) {
    const GemmWeight *weight = p->weight;
    bool forward = piece < weight->forward.pieces;
    const GemmSide *side = forward ? &weight->forward : &weight->data_gradient;
    if (!forward) piece -= weight->forward.pieces;
    const GemmPrimitive *packer = piece + 1 == side->pieces ? (forward ? p->forward_last : p->gradient_last)
                                                            : (forward ? p->forward : p->gradient);
    size_t in = weight->in, first = piece * side->width, width = gemm_side_width(side, piece),
           bytes = dtype_bytes(p->source_type);
    const char *from = p->source + (forward ? first * in : first) * bytes;
    char *staged = p->context->staging[thread].bytes;
    void *b = side->b + piece * side->piece_bytes;
    if (p->direct) return gemm_onednn_pack(packer, thread, from, b);
    if (forward)
        convert_values(p, width * in, from, staged, side->type);
    else
        for (size_t r = 0; r < side->depth; r++)
            convert_values(p, width, from + r * in * bytes, staged + r * width * dtype_bytes(side->type), side->type);
    return gemm_onednn_pack(packer, thread, staged, b);
}

int gemm_weight_pack(GemmContext *context, GemmWeight *weight, const void *source, DType source_type, Error *error) {
    const GemmSide *f = &weight->forward, *d = &weight->data_gradient;
    DType type = f->pieces > 0 ? f->type : d->type;
    Packing p = {.context = context,
                 .weight = weight,
                 .source = source,
                 .source_type = source_type,
                 .direct = source_type == weight->compute && source_type == type};
    if (weight->plain != NULL) {
        size_t in = weight->in, row = in * dtype_bytes(weight->compute), source_row = in * dtype_bytes(source_type);
#pragma omp parallel for num_threads(context->threads) schedule(static)
        for (size_t r = 0; r < weight->out; r++)
            convert_values(&p, in, p.source + r * source_row, (char *)weight->plain + r * row, weight->compute);
        return 0;
    }
    size_t most = f->width * f->depth > d->width * d->depth ? f->width * f->depth : d->width * d->depth;
    if (find_packers(&p, f, true, &p.forward, &p.forward_last, error) != 0 ||
        find_packers(&p, d, false, &p.gradient, &p.gradient_last, error) != 0 ||
        (!p.direct && gemm_side_stage(context, most * dtype_bytes(type), error) != 0))
        return -1;
    int failed = 0;
#pragma omp parallel for num_threads(context->threads) schedule(dynamic) reduction(| : failed)
    for (size_t piece = 0; piece < f->pieces + d->pieces; piece++)
        failed |= pack_piece(&p, piece, omp_get_thread_num());
    if (failed == 0) return 0;
    return error_set(error, ERROR_INTERNAL, "oneDNN gave status %d when a weight of %zu x %zu was packed", failed,
                     weight->out, weight->in);
}

/* Rows of W, from a piece of the forward side to `plain`. */
static int find_unpackers(GemmContext *context, const GemmSide *side, const GemmPrimitive **unpacker,
                          const GemmPrimitive **last, Error *error) {
    for (int i = 0; i < 2; i++) {
        const GemmPacking packing = {.depth = side->depth,
                                     .columns = i == 0 ? side->width : gemm_side_width(side, side->pieces - 1),
                                     .type = side->type,
                                     .depth_stride = 1,
                                     .column_stride = side->depth,
                                     .unpack = true};
        if (gemm_plan_packer(context->plans, &packing, i == 0 ? unpacker : last, error) != 0) return -1;
    }
    return 0;
}

int gemm_weight_turn(GemmContext *context, const GemmWeight *from, size_t first, GemmWeight *to, Error *error) {
    const GemmSide *side = &from->forward;
    const GemmPrimitive *unpacker, *last;
    assert(first + to->out <= from->out && from->in == to->in && from->compute == to->compute);
    if (from->plain != NULL) {
        size_t row = from->in * dtype_bytes(from->compute);
        memcpy(to->plain, (const char *)from->plain + first * row, to->out * row);
        return 0;
    }
    const size_t element = dtype_bytes(side->type), begin = first / side->width,
                 end = (first + to->out + side->width - 1) / side->width;
    assert(first % side->width == 0 && (to->out % side->width == 0 || first + to->out == from->out));
    if (gemm_side_grow(&context->plain, to->out * from->in * element, error) != 0 ||
        find_unpackers(context, side, &unpacker, &last, error) != 0)
        return -1;
    unsigned char *plain = context->plain.bytes;
    int failed = 0;
#pragma omp parallel for num_threads(context->threads) schedule(dynamic) reduction(| : failed)
    for (size_t p = begin; p < end; p++)
        failed |=
            gemm_onednn_pack(p + 1 == side->pieces ? last : unpacker, omp_get_thread_num(),
                             side->b + p * side->piece_bytes, plain + (p - begin) * side->width * from->in * element);
    if (failed == 0) return gemm_weight_pack(context, to, plain, side->type, error);
    return error_set(error, ERROR_INTERNAL, "oneDNN gave status %d when a weight of %zu x %zu was unpacked", failed,
                     to->out, from->in);
}
