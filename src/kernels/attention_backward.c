/* The backward pass: dV = P^T dO, dP = dO V^T, dS = P (dP - delta), dQ = scale dS K, dK = scale dS^T Q, with P computed
 * again from lse and delta = rowsum(dO O).
 *
 * A piece of work is all queries of one segment for one key/value head. It owns its dQ, and gives what it adds to the
 * keys of its chain to a partial sum of its own; afterwards every segment adds up its own part and those of its
 * descendants, in the order of the segments. So no sum depends on the threads, and a pair of responses is six pieces a
 * head, not one. */
#include "kernels/attention.h"

#include "kernels/attention_plan.h"

#include <omp.h>
#include <string.h>

typedef struct {
    const void *q, *k, *v, *o, *dout;
    const float *lse;
    void *dq, *dk, *dv;
} Arrays;

/* Q, dO, lse and delta of a piece's rows, as rows and as columns. */
static void load_rows(const AttentionPlan *p, AttentionWork *w, size_t rows, size_t width, size_t kv_head,
                      const Arrays *a) {
    const AttentionShape *shape = p->shape;
    size_t D = shape->head_dim, padding = (width - rows) * p->depth * sizeof *w->q_row;
    for (size_t r = 0; r < rows; r++) {
        float *q = w->q_row + r * p->depth, *dout = w->dout_row + r * p->depth;
        size_t head = kv_head * p->group + w->member[r], at = w->query[r] * shape->o_stride + head * D;
        attention_plan_load(p, 1, a->o, at, 0, q); // only until delta is known
        attention_plan_load(p, 1, a->dout, at, 0, dout);
        w->delta[r] = p->kernels->dot(D, q, dout);
        w->lse[r] = a->lse[w->query[r] * shape->heads + head];
        attention_plan_load(p, 1, a->q, w->query[r] * shape->q_stride + head * D, 0, q);
        p->kernels->scale(D, shape->scale, q);
    }
    for (size_t r = rows; r < width; r++) w->delta[r] = w->lse[r] = 0;
    memset(w->q_row + rows * p->depth, 0, padding), memset(w->dout_row + rows * p->depth, 0, padding);
    p->kernels->tile_transpose(width, p->depth, DTYPE_F32, w->q_row, p->depth, w->q_column, p->columns);
    p->kernels->tile_transpose(width, p->depth, DTYPE_F32, w->dout_row, p->depth, w->dout_column, p->columns);
}

/* P and dS of one block of `keys` keys for all columns, and dQ += K^T dS. */
static void block_slopes(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t begin, size_t keys,
                         size_t width) {
    const KernelTable *kernels = p->kernels;
    size_t D = p->shape->head_dim, d = p->depth;
    for (size_t at = 0; at < width; at += STRIP) {
        size_t columns = width - at < STRIP ? width - at : STRIP;
        float *score = w->score + at, *dscore = w->dscore + at;
        int masked;
        size_t seen = attention_plan_sees(p, w, segment, begin, keys, at, columns, &masked);
        for (size_t k = seen; k < keys; k++) {
            memset(score + k * p->columns, 0, columns * sizeof *score);
            memset(dscore + k * p->columns, 0, columns * sizeof *dscore);
        }
        if (seen == 0) continue;
        kernels->tile_product(seen, columns, D, w->key, d, 1, w->q_column + at, p->columns, NULL, score, p->columns);
        kernels->tile_product(seen, columns, D, w->value, d, 1, w->dout_column + at, p->columns, NULL, dscore,
                              p->columns);
        kernels->softmax_columns_backward(seen, columns, score, dscore, p->columns, masked ? w->first : NULL,
                                          masked ? w->end : NULL, w->lse + at, w->delta + at);
        kernels->tile_product(D, columns, seen, w->key, 1, d, dscore, p->columns, p->ones, w->sum_column + at,
                              p->columns);
    }
}

/* One piece of queries against its whole chain; dk and dv: (chain's keys, depth), added to. */
static void piece_backward(const AttentionPlan *p, const AttentionPiece *piece, AttentionWork *w, const Arrays *a,
                           float *dk, float *dv) {
    const AttentionShape *shape = p->shape;
    size_t d = p->depth, width = attention_plan_rows(p, piece, w), at = piece->kv_head * shape->head_dim;
    size_t depth = attention_plan_chain(p, (int32_t)*piece->segment, w->chain);
    load_rows(p, w, piece->rows, width, piece->kv_head, a);
    memset(w->sum_column, 0, d * p->columns * sizeof *w->sum_column);
    for (size_t c = 0; c < depth; c++) {
        const AttentionSegment *s = &p->segment[w->chain[c]];
        for (size_t begin = 0; begin < s->key_length; begin += KEY_BLOCK) {
            size_t count = s->key_length - begin < KEY_BLOCK ? s->key_length - begin : KEY_BLOCK;
            count = attention_plan_reach(p, w, w->chain[c], begin, count, 0, width);
            if (count == 0) continue;
            size_t row = s->key_row + begin, to = (p->position[w->chain[c]] + begin) * d;
            attention_plan_load(p, count, a->k, row * shape->k_stride + at, shape->k_stride, w->key);
            attention_plan_load(p, count, a->v, row * shape->v_stride + at, shape->v_stride, w->value);
            block_slopes(p, w, w->chain[c], begin, count, width);
            p->kernels->tile_product(count, d, piece->rows, w->score, p->columns, 1, w->dout_row, d, p->ones, dv + to,
                                     d);
            p->kernels->tile_product(count, d, piece->rows, w->dscore, p->columns, 1, w->q_row, d, p->ones, dk + to, d);
        }
    }
    p->kernels->tile_transpose(d, piece->rows, DTYPE_F32, w->sum_column, p->columns, w->q_row, d);
    for (size_t r = 0; r < piece->rows; r++) {
        float *row = w->q_row + r * d;
        size_t head = piece->kv_head * p->group + w->member[r];
        p->kernels->scale(shape->head_dim, shape->scale, row);
        attention_plan_store(p, row, a->dq, w->query[r] * shape->q_stride + head * shape->head_dim);
    }
}

static float *partial_of(const AttentionPlan *p, float *gradient, size_t segment, size_t kv_head) {
    return gradient + (kv_head * p->partial[p->n] + p->partial[segment]) * p->depth;
}

/* All queries of one segment, in order. */
static void segment_backward(const AttentionPlan *p, size_t segment, size_t kv_head, AttentionWork *w,
                             const Arrays *a) {
    float *dk = partial_of(p, p->dk, segment, kv_head), *dv = partial_of(p, p->dv, segment, kv_head);
    size_t bytes = (p->partial[segment + 1] - p->partial[segment]) * p->depth * sizeof *dk;
    memset(dk, 0, bytes), memset(dv, 0, bytes);
    size_t rows = p->segment[segment].query_length * p->group;
    for (size_t first = 0; first < rows; first += p->columns) {
        const AttentionPiece piece = {&segment, 1, first, rows - first < p->columns ? rows - first : p->columns,
                                      kv_head,  1};
        piece_backward(p, &piece, w, a, dk, dv);
    }
}

static int descends(const AttentionPlan *p, size_t segment, size_t ancestor) {
    int32_t s = p->segment[segment].parent;
    while (s > (int32_t)ancestor) s = p->segment[s].parent;
    return s == (int32_t)ancestor;
}

/* The gradient of one segment's keys (or values): its own part, then its descendants' in order; written to x. */
static void gather(const AttentionPlan *p, size_t segment, size_t kv_head, float *gradient, void *x, size_t stride) {
    const AttentionSegment *s = &p->segment[segment];
    size_t offset = p->position[segment] * p->depth, count = s->key_length * p->depth;
    float *sum = partial_of(p, gradient, segment, kv_head) + offset;
    for (size_t other = segment + 1; other < p->n; other++)
        if (descends(p, other, segment)) p->kernels->add(count, partial_of(p, gradient, other, kv_head) + offset, sum);
    for (size_t i = 0; i < s->key_length; i++)
        attention_plan_store(p, sum + i * p->depth, x, (s->key_row + i) * stride + kv_head * p->shape->head_dim);
}

void attention_backward(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                        size_t n, const void *q, const void *k, const void *v, const void *o, const float *lse,
                        const void *dout, void *dq, void *dk, void *dv, void *scratch) {
    AttentionPlan plan;
    attention_plan_create(&plan, kernels, shape, segment, n, 1, scratch);
    const Arrays arrays = {q, k, v, o, dout, lse, dq, dk, dv};
#pragma omp parallel num_threads(kernels->threads)
    {
        AttentionWork *work = &plan.work[omp_get_thread_num()];
#pragma omp for schedule(dynamic, 1)
        for (size_t item = 0; item < n * shape->kv_heads; item++)
            segment_backward(&plan, item / shape->kv_heads, item % shape->kv_heads, work, &arrays);
#pragma omp for schedule(dynamic, 1)
        for (size_t item = 0; item < n * shape->kv_heads; item++) {
            gather(&plan, item / shape->kv_heads, item % shape->kv_heads, plan.dk, dk, shape->k_stride);
            gather(&plan, item / shape->kv_heads, item % shape->kv_heads, plan.dv, dv, shape->v_stride);
        }
    }
}
