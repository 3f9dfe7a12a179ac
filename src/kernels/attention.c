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

/* The first row or column of the piece's head `kv` (from 0) is kv * width. */
static void load_queries(const AttentionPlan *p, AttentionWork *w, const AttentionPiece *piece, size_t width,
                         const void *q) {
    const AttentionShape *shape = p->shape;
    for (size_t kv = 0; kv < piece->kv_heads; kv++)
        for (size_t r = 0; r < piece->rows; r++) {
            size_t head = (piece->kv_head + kv) * p->group + w->member[r], to = kv * width + r;
            attention_plan_load(p, 1, q, w->query[r] * shape->q_stride + head * shape->head_dim, 0,
                                w->q_row + to * p->depth);
            p->kernels->scale(shape->head_dim, shape->scale, w->q_row + to * p->depth);
        }
    for (size_t r = 0; r < width * piece->kv_heads; r++) w->maximum[r] = -INFINITY, w->sum[r] = 0;
}

/* Keys and values of one block and head; the keys as columns where `across`. */
static void load_keys(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t begin, size_t count,
                      size_t kv_head, int across, const Arrays *a) {
    const AttentionShape *shape = p->shape;
    size_t row = p->segment[segment].key_row + begin, from = kv_head * shape->head_dim;
    size_t key = row * shape->k_stride + from, value = row * shape->v_stride + from;
    if (across)
        p->kernels->tile_transpose(count, shape->head_dim, shape->type, attention_plan_at(p, a->k, key),
                                   shape->k_stride, w->key_column, KEY_BLOCK);
    else
        attention_plan_load(p, count, a->k, key, shape->k_stride, w->key);
    attention_plan_load(p, count, a->v, value, shape->v_stride, w->value);
}

/* One block of keys for the columns of one head: O = O keep + V^T P with P = exp(K Q^T - maximum), all transposed. */
static void block_columns(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t begin, size_t count,
                          size_t base, size_t width) {
    const KernelTable *kernels = p->kernels;
    size_t D = p->shape->head_dim;
    for (size_t at = 0; at < width; at += STRIP) {
        size_t columns = width - at < STRIP ? width - at : STRIP, to = base + at;
        int masked;
        size_t keys = attention_plan_sees(p, w, segment, begin, count, at, columns, &masked);
        if (keys == 0) continue;
        kernels->tile_product(keys, columns, D, w->key, p->depth, 1, w->q_column + to, p->columns, NULL, w->score,
                              STRIP);
        kernels->softmax_columns(keys, columns, w->score, STRIP, masked ? w->first : NULL, masked ? w->end : NULL,
                                 w->maximum + to, w->sum + to, w->keep);
        kernels->tile_product(D, columns, keys, w->value, 1, p->depth, w->score, STRIP, w->keep, w->sum_column + to,
                              p->columns);
    }
}

/* All rows of a piece against the segments of a chain, as columns; leaves O as rows. */
static void chain_columns(const AttentionPlan *p, AttentionWork *w, const AttentionPiece *piece, size_t length,
                          size_t width, const Arrays *a) {
    size_t all = width * piece->kv_heads, padding = (width - piece->rows) * p->depth * sizeof *w->q_row;
    for (size_t kv = 0; kv < piece->kv_heads; kv++)
        memset(w->q_row + (kv * width + piece->rows) * p->depth, 0, padding);
    p->kernels->tile_transpose(all, p->depth, DTYPE_F32, w->q_row, p->depth, w->q_column, p->columns);
    memset(w->sum_column, 0, p->depth * p->columns * sizeof *w->sum_column);
    for (size_t c = 0; c < length; c++) {
        size_t keys = p->segment[w->chain[c]].key_length;
        for (size_t begin = 0; begin < keys; begin += KEY_BLOCK) {
            size_t count = keys - begin < KEY_BLOCK ? keys - begin : KEY_BLOCK;
            count = attention_plan_reach(p, w, w->chain[c], begin, count, 0, width);
            if (count == 0) continue;
            for (size_t kv = 0; kv < piece->kv_heads; kv++) {
                load_keys(p, w, w->chain[c], begin, count, piece->kv_head + kv, 0, a);
                block_columns(p, w, w->chain[c], begin, count, kv * width, width);
            }
        }
    }
    p->kernels->tile_transpose(p->depth, all, DTYPE_F32, w->sum_column, p->columns, w->sum_row, p->depth);
}

/* One block of keys for `rows` rows: O = O keep + P V. sum and the online softmax begin at row `to`. */
static void block_rows(const AttentionPlan *p, AttentionWork *w, size_t count, size_t to, size_t rows, int masked) {
    const KernelTable *kernels = p->kernels;
    size_t d = p->depth;
    float *sum = w->sum_row + to * d;
    kernels->tile_product(rows, size_round_up(count, 16), p->shape->head_dim, w->q_row + to * d, d, 1, w->key_column,
                          KEY_BLOCK, NULL, w->score, KEY_BLOCK);
    kernels->softmax_rows(rows, count, w->score, KEY_BLOCK, masked ? w->first : NULL, masked ? w->end : NULL,
                          w->maximum + to, w->sum + to, w->keep);
    for (size_t r = 0; r < rows; r++) kernels->scale(d, w->keep[r], sum + r * d);
    kernels->tile_product(rows, d, count, w->score, KEY_BLOCK, 1, w->value, d, p->ones, sum, d);
}

/* Rows at .. at + rows - 1 of every head of a piece against one segment, as rows. */
static void segment_rows(const AttentionPlan *p, AttentionWork *w, const AttentionPiece *piece, size_t segment,
                         size_t at, size_t rows, size_t width, const Arrays *a) {
    size_t keys = p->segment[segment].key_length;
    for (size_t begin = 0; begin < keys; begin += KEY_BLOCK) {
        size_t count = keys - begin < KEY_BLOCK ? keys - begin : KEY_BLOCK;
        int masked;
        count = attention_plan_sees(p, w, segment, begin, count, at, rows, &masked);
        if (count == 0) continue;
        for (size_t kv = 0; kv < piece->kv_heads; kv++) {
            load_keys(p, w, segment, begin, count, piece->kv_head + kv, 1, a);
            block_rows(p, w, count, kv * width + at, rows, masked);
        }
    }
}

static void store_results(const AttentionPlan *p, AttentionWork *w, const AttentionPiece *piece, size_t width,
                          const Arrays *a) {
    const AttentionShape *shape = p->shape;
    for (size_t kv = 0; kv < piece->kv_heads; kv++)
        for (size_t r = 0; r < piece->rows; r++) {
            size_t head = (piece->kv_head + kv) * p->group + w->member[r], from = kv * width + r;
            float *row = w->sum_row + from * p->depth;
            p->kernels->scale(shape->head_dim, 1 / w->sum[from], row);
            attention_plan_store(p, row, a->o, w->query[r] * shape->o_stride + head * shape->head_dim);
            if (a->lse != NULL) a->lse[w->query[r] * shape->heads + head] = w->maximum[from] + logf(w->sum[from]);
        }
}

/* Short segments: the chain of their parent together, then every one's own keys; others: the whole chain. */
static void piece_forward(const AttentionPlan *p, const AttentionPiece *piece, AttentionWork *w, const Arrays *a) {
    size_t width = attention_plan_rows(p, piece, w), segment = *piece->segment;
    int together = attention_plan_short(p, segment);
    load_queries(p, w, piece, width, a->q);
    size_t length = attention_plan_chain(p, together ? p->segment[segment].parent : (int32_t)segment, w->chain);
    if (!together || piece->rows > SHORT_ROWS)
        chain_columns(p, w, piece, length, width, a);
    else {
        memset(w->sum_row, 0, piece->kv_heads * width * p->depth * sizeof *w->sum_row);
        for (size_t c = 0; c < length; c++) segment_rows(p, w, piece, w->chain[c], 0, piece->rows, width, a);
    }
    for (size_t i = 0, at = 0; together && i < piece->segments; i++) {
        size_t rows = p->segment[piece->segment[i]].query_length * p->group;
        segment_rows(p, w, piece, piece->segment[i], at, rows, width, a);
        at += rows;
    }
    store_results(p, w, piece, width, a);
}

void attention_forward(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                       size_t n, const void *q, const void *k, const void *v, void *o, float *lse, void *scratch) {
    AttentionPlan plan;
    const Arrays arrays = {q, k, v, o, lse};
    attention_plan_create(&plan, kernels, shape, segment, n, 0, scratch);
#pragma omp parallel for num_threads(kernels->threads) schedule(dynamic, 1)
    for (size_t i = 0; i < plan.pieces; i++)
        piece_forward(&plan, &plan.piece[i], &plan.work[omp_get_thread_num()], &arrays);
}
