#include "kernels/attention.h"

#include "kernels/attention_plan.h"

#include <math.h>
#include <omp.h>
#include <string.h>

size_t attention_scratch_bytes(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                               size_t n, int backward) {
    AttentionPlan plan;
    return attention_plan_create(&plan, kernels, shape, segment, n, backward, NULL);
}

/* One block of keys for all columns of a piece: O = O keep + V^T P with P = exp(K Q^T - maximum), all transposed. */
static void block_forward(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t begin, size_t count,
                          size_t width) {
    const KernelTable *kernels = p->kernels;
    for (size_t at = 0; at < width; at += STRIP) {
        size_t columns = width - at < STRIP ? width - at : STRIP;
        int masked;
        size_t keys = attention_plan_sees(p, w, segment, begin, count, at, columns, w->first, w->end, &masked);
        if (keys == 0) continue;
        kernels->tile_product(keys, columns, p->shape->head_dim, w->key, p->depth, 1, w->q_column + at, PIECE_ROWS,
                              NULL, w->score, STRIP);
        kernels->softmax_columns(keys, columns, w->score, STRIP, masked ? w->first : NULL, masked ? w->end : NULL,
                                 w->maximum + at, w->sum + at, w->keep);
        kernels->tile_product(p->shape->head_dim, columns, keys, w->value, 1, p->depth, w->score, STRIP, w->keep,
                              w->sum_column + at, PIECE_ROWS);
    }
}

static void load_queries(const AttentionPlan *p, AttentionWork *w, size_t rows, size_t width, const void *q) {
    for (size_t r = 0; r < rows; r++) {
        float *row = w->q_row + r * p->depth;
        attention_plan_load(p, 1, q, w->query[r] * p->shape->q_stride + w->head[r] * p->shape->head_dim, 0, row);
        p->kernels->scale(p->shape->head_dim, p->shape->scale, row);
    }
    memset(w->q_row + rows * p->depth, 0, (width - rows) * p->depth * sizeof *w->q_row);
    p->kernels->tile_transpose(width, p->depth, w->q_row, p->depth, w->q_column, PIECE_ROWS);
}

static void store_results(const AttentionPlan *p, AttentionWork *w, size_t rows, void *o, float *lse) {
    const AttentionShape *shape = p->shape;
    p->kernels->tile_transpose(p->depth, rows, w->sum_column, PIECE_ROWS, w->q_row, p->depth);
    for (size_t r = 0; r < rows; r++) {
        float *row = w->q_row + r * p->depth;
        p->kernels->scale(shape->head_dim, 1 / w->sum[r], row);
        attention_plan_store(p, row, o, w->query[r] * shape->o_stride + w->head[r] * shape->head_dim);
        if (lse != NULL) lse[w->query[r] * shape->heads + w->head[r]] = w->maximum[r] + logf(w->sum[r]);
    }
}

static void piece_forward(const AttentionPlan *p, const AttentionPiece *piece, size_t kv_head, AttentionWork *w,
                          const void *q, const void *k, const void *v, void *o, float *lse) {
    const AttentionShape *shape = p->shape;
    size_t width = attention_plan_rows(p, piece, kv_head, w), depth = attention_plan_chain(p, piece->segment, w->chain);
    load_queries(p, w, piece->rows, width, q);
    memset(w->sum_column, 0, p->depth * PIECE_ROWS * sizeof *w->sum_column);
    for (size_t r = 0; r < width; r++) w->maximum[r] = -INFINITY, w->sum[r] = 0;
    for (size_t c = 0; c < depth; c++) {
        const AttentionSegment *s = &p->segment[w->chain[c]];
        for (size_t begin = 0; begin < s->key_length; begin += KEY_BLOCK) {
            size_t count = s->key_length - begin < KEY_BLOCK ? s->key_length - begin : KEY_BLOCK;
            int masked;
            count = attention_plan_sees(p, w, w->chain[c], begin, count, 0, width, w->first, w->end, &masked);
            if (count == 0) continue;
            size_t row = s->key_row + begin, at = kv_head * shape->head_dim;
            attention_plan_load(p, count, k, row * shape->k_stride + at, shape->k_stride, w->key);
            attention_plan_load(p, count, v, row * shape->v_stride + at, shape->v_stride, w->value);
            block_forward(p, w, w->chain[c], begin, count, width);
        }
    }
    store_results(p, w, piece->rows, o, lse);
}

void attention_forward(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                       size_t n, const void *q, const void *k, const void *v, void *o, float *lse, void *scratch) {
    AttentionPlan plan;
    attention_plan_create(&plan, kernels, shape, segment, n, 0, scratch);
#pragma omp parallel for num_threads(kernels->threads) schedule(dynamic, 1)
    for (size_t item = 0; item < plan.pieces * shape->kv_heads; item++)
        piece_forward(&plan, &plan.piece[item / shape->kv_heads], item % shape->kv_heads,
                      &plan.work[omp_get_thread_num()], q, k, v, o, lse);
}
