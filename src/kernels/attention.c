#include "kernels/attention.h"

#include "base/size.h"
#include "kernels/attention_plan.h"

#include <math.h>
#include <omp.h>
#include <string.h>

size_t attention_scratch_bytes(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                               size_t n, int backward) {
    AttentionPlan plan;
    size_t forward_bytes = attention_plan_create(&plan, kernels, shape, segment, n, 0, NULL);
    size_t backward_bytes = backward ? attention_plan_create(&plan, kernels, shape, segment, n, 1, NULL) : 0;
    return forward_bytes > backward_bytes ? forward_bytes : backward_bytes;
}

typedef struct {
    const void *q, *k, *v;
    void *o;
    float *lse;
} Arrays;

static void load_queries(const AttentionPlan *p, AttentionWork *w, size_t rows, const void *q) {
    const AttentionShape *shape = p->shape;
    for (size_t r = 0; r < rows; r++) {
        float *row = w->q_row + r * p->depth;
        attention_plan_load(p, 1, q, w->query[r] * shape->q_stride + w->head[r] * shape->head_dim, 0, row);
        p->kernels->scale(shape->head_dim, shape->scale, row);
        w->maximum[r] = -INFINITY, w->sum[r] = 0;
    }
}

static void load_keys(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t begin, size_t count,
                      size_t kv_head, const Arrays *a) {
    const AttentionShape *shape = p->shape;
    size_t row = p->segment[segment].key_row + begin, at = kv_head * shape->head_dim;
    attention_plan_load(p, count, a->k, row * shape->k_stride + at, shape->k_stride, w->key);
    attention_plan_load(p, count, a->v, row * shape->v_stride + at, shape->v_stride, w->value);
}

/* One block of keys for all columns of a piece: O = O keep + V^T P with P = exp(K Q^T - maximum), all transposed. */
static void block_columns(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t begin, size_t count,
                          size_t width) {
    const KernelTable *kernels = p->kernels;
    size_t D = p->shape->head_dim;
    for (size_t at = 0; at < width; at += STRIP) {
        size_t columns = width - at < STRIP ? width - at : STRIP;
        int masked;
        size_t keys = attention_plan_sees(p, w, segment, begin, count, at, columns, &masked);
        if (keys == 0) continue;
        kernels->tile_product(keys, columns, D, w->key, p->depth, 1, w->q_column + at, p->columns, NULL, w->score,
                              STRIP);
        kernels->softmax_columns(keys, columns, w->score, STRIP, masked ? w->first : NULL, masked ? w->end : NULL,
                                 w->maximum + at, w->sum + at, w->keep);
        kernels->tile_product(D, columns, keys, w->value, 1, p->depth, w->score, STRIP, w->keep, w->sum_column + at,
                              p->columns);
    }
}

/* All rows of a piece against the segments of a chain, as columns; leaves O as rows. */
static void chain_columns(const AttentionPlan *p, AttentionWork *w, size_t length, size_t rows, size_t width,
                          size_t kv_head, const Arrays *a) {
    memset(w->q_row + rows * p->depth, 0, (width - rows) * p->depth * sizeof *w->q_row);
    p->kernels->tile_transpose(width, p->depth, w->q_row, p->depth, w->q_column, p->columns);
    memset(w->sum_column, 0, p->depth * p->columns * sizeof *w->sum_column);
    for (size_t r = rows; r < width; r++) w->maximum[r] = -INFINITY, w->sum[r] = 0;
    for (size_t c = 0; c < length; c++) {
        size_t keys = p->segment[w->chain[c]].key_length;
        for (size_t begin = 0; begin < keys; begin += KEY_BLOCK) {
            size_t count = keys - begin < KEY_BLOCK ? keys - begin : KEY_BLOCK;
            count = attention_plan_reach(p, w, w->chain[c], begin, count, 0, width);
            if (count == 0) continue;
            load_keys(p, w, w->chain[c], begin, count, kv_head, a);
            block_columns(p, w, w->chain[c], begin, count, width);
        }
    }
    p->kernels->tile_transpose(p->depth, width, w->sum_column, p->columns, w->sum_row, p->depth);
}

/* Rows at .. at + rows - 1 against one segment, as rows: O = O keep + P V. */
static void segment_rows(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t at, size_t rows,
                         size_t kv_head, const Arrays *a) {
    const KernelTable *kernels = p->kernels;
    size_t keys = p->segment[segment].key_length, d = p->depth;
    float *sum = w->sum_row + at * d;
    for (size_t begin = 0; begin < keys; begin += KEY_BLOCK) {
        size_t count = keys - begin < KEY_BLOCK ? keys - begin : KEY_BLOCK;
        int masked;
        count = attention_plan_sees(p, w, segment, begin, count, at, rows, &masked);
        if (count == 0) continue;
        load_keys(p, w, segment, begin, count, kv_head, a);
        kernels->tile_transpose(count, d, w->key, d, w->key_column, KEY_BLOCK);
        kernels->tile_product(rows, size_round_up(count, 16), p->shape->head_dim, w->q_row + at * d, d, 1,
                              w->key_column, KEY_BLOCK, NULL, w->score, KEY_BLOCK);
        kernels->softmax_rows(rows, count, w->score, KEY_BLOCK, masked ? w->first : NULL, masked ? w->end : NULL,
                              w->maximum + at, w->sum + at, w->keep);
        for (size_t r = 0; r < rows; r++) kernels->scale(d, w->keep[r], sum + r * d);
        kernels->tile_product(rows, d, count, w->score, KEY_BLOCK, 1, w->value, d, p->ones, sum, d);
    }
}

static void store_results(const AttentionPlan *p, AttentionWork *w, size_t rows, const Arrays *a) {
    const AttentionShape *shape = p->shape;
    for (size_t r = 0; r < rows; r++) {
        float *row = w->sum_row + r * p->depth;
        p->kernels->scale(shape->head_dim, 1 / w->sum[r], row);
        attention_plan_store(p, row, a->o, w->query[r] * shape->o_stride + w->head[r] * shape->head_dim);
        if (a->lse != NULL) a->lse[w->query[r] * shape->heads + w->head[r]] = w->maximum[r] + logf(w->sum[r]);
    }
}

/* Short segments: the chain of their parent together, then every one's own keys; others: the whole chain. */
static void piece_forward(const AttentionPlan *p, const AttentionPiece *piece, size_t kv_head, AttentionWork *w,
                          const Arrays *a) {
    size_t width = attention_plan_rows(p, piece, kv_head, w), segment = *piece->segment;
    load_queries(p, w, piece->rows, a->q);
    if (!attention_plan_short(p, segment)) {
        size_t length = attention_plan_chain(p, (int32_t)segment, w->chain);
        chain_columns(p, w, length, piece->rows, width, kv_head, a);
    } else {
        size_t length = attention_plan_chain(p, p->segment[segment].parent, w->chain);
        if (piece->rows > SHORT_ROWS)
            chain_columns(p, w, length, piece->rows, width, kv_head, a);
        else {
            memset(w->sum_row, 0, piece->rows * p->depth * sizeof *w->sum_row);
            for (size_t c = 0; c < length; c++) segment_rows(p, w, w->chain[c], 0, piece->rows, kv_head, a);
        }
        for (size_t i = 0, at = 0; i < piece->segments; i++) {
            size_t rows = p->segment[piece->segment[i]].query_length * p->group;
            segment_rows(p, w, piece->segment[i], at, rows, kv_head, a);
            at += rows;
        }
    }
    store_results(p, w, piece->rows, a);
}

void attention_forward(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                       size_t n, const void *q, const void *k, const void *v, void *o, float *lse, void *scratch) {
    AttentionPlan plan;
    const Arrays arrays = {q, k, v, o, lse};
    attention_plan_create(&plan, kernels, shape, segment, n, 0, scratch);
#pragma omp parallel for num_threads(kernels->threads) schedule(dynamic, 1)
    for (size_t item = 0; item < plan.pieces * shape->kv_heads; item++)
        piece_forward(&plan, &plan.piece[item / shape->kv_heads], item % shape->kv_heads,
                      &plan.work[omp_get_thread_num()], &arrays);
}
