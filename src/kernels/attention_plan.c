#include "kernels/attention_plan.h"

#include "base/arena.h"
#include "base/size.h"

#include <string.h>

static size_t pieces_of(const AttentionPlan *p, size_t s) {
    return (p->segment[s].query_length * p->group + PIECE_ROWS - 1) / PIECE_ROWS;
}

static void take_work(const AttentionPlan *p, Arena *arena, int backward, AttentionWork *w) {
    const size_t rows = (size_t)PIECE_ROWS * p->depth, keys = (size_t)KEY_BLOCK * p->depth,
                 scores = (size_t)KEY_BLOCK * PIECE_ROWS;
    w->chain = arena_take(arena, p->n, sizeof *w->chain);
    w->q_row = arena_take(arena, rows, sizeof *w->q_row);
    w->q_column = arena_take(arena, rows, sizeof *w->q_column);
    w->sum_column = arena_take(arena, rows, sizeof *w->sum_column);
    w->key = arena_take(arena, keys, sizeof *w->key);
    w->value = arena_take(arena, keys, sizeof *w->value);
    w->score = arena_take(arena, scores, sizeof *w->score);
    if (!backward) return;
    w->dscore = arena_take(arena, scores, sizeof *w->dscore);
    w->dout_row = arena_take(arena, rows, sizeof *w->dout_row);
    w->dout_column = arena_take(arena, rows, sizeof *w->dout_column);
}

static void fill(AttentionPlan *p, int backward) {
    size_t at = 0;
    for (size_t s = 0; s < p->n; s++) {
        const AttentionSegment *segment = &p->segment[s];
        p->position[s] =
            segment->parent < 0 ? 0 : p->position[segment->parent] + p->segment[segment->parent].key_length;
        size_t rows = segment->query_length * p->group;
        for (size_t first = 0; first < rows; first += PIECE_ROWS)
            p->piece[at++] = (AttentionPiece){s, first, rows - first < PIECE_ROWS ? rows - first : PIECE_ROWS};
        if (backward) p->partial[s + 1] = p->partial[s] + p->position[s] + segment->key_length;
    }
}

size_t attention_plan_create(AttentionPlan *p, const KernelTable *kernels, const AttentionShape *shape,
                             const AttentionSegment *segment, size_t n, int backward, void *scratch) {
    Arena arena = arena_counting();
    if (scratch != NULL) arena.block = scratch;
    *p = (AttentionPlan){.kernels = kernels, .shape = shape, .segment = segment, .n = n};
    p->group = shape->heads / shape->kv_heads, p->depth = size_round_up(shape->head_dim, 16);
    size_t partial_rows = 0;
    p->position = arena_take(&arena, n, sizeof *p->position);
    for (size_t s = 0; s < n; s++) p->pieces += pieces_of(p, s);
    p->piece = arena_take(&arena, p->pieces, sizeof *p->piece);
    if (backward) {
        for (size_t s = 0; s < n; s++)
            for (int32_t a = (int32_t)s; a >= 0; a = segment[a].parent) partial_rows += segment[a].key_length;
        p->partial = arena_take(&arena, n + 1, sizeof *p->partial);
        p->dk = arena_take(&arena, shape->kv_heads * partial_rows * p->depth, sizeof *p->dk);
        p->dv = arena_take(&arena, shape->kv_heads * partial_rows * p->depth, sizeof *p->dv);
    }
    size_t most = p->depth > PIECE_ROWS ? p->depth : PIECE_ROWS;
    p->ones = arena_take(&arena, most, sizeof *p->ones);
    p->work = arena_take(&arena, (size_t)kernels->threads, sizeof *p->work);
    AttentionWork unused = {0};
    for (int t = 0; t < kernels->threads; t++) take_work(p, &arena, backward, scratch == NULL ? &unused : &p->work[t]);
    if (scratch == NULL) return arena.used;
    for (size_t i = 0; i < most; i++) p->ones[i] = 1;
    if (backward) p->partial[0] = 0;
    fill(p, backward);
    return arena.used;
}

size_t attention_plan_chain(const AttentionPlan *p, size_t segment, size_t *chain) {
    size_t depth = 0;
    for (int32_t s = (int32_t)segment; s >= 0; s = p->segment[s].parent) depth++;
    size_t at = depth;
    for (int32_t s = (int32_t)segment; s >= 0; s = p->segment[s].parent) chain[--at] = (size_t)s;
    return depth;
}

size_t attention_plan_rows(const AttentionPlan *p, const AttentionPiece *piece, size_t kv_head, AttentionWork *w) {
    const AttentionSegment *s = &p->segment[piece->segment];
    size_t width = size_round_up(piece->rows, 16);
    for (size_t r = 0; r < width; r++) {
        size_t row = piece->first + (r < piece->rows ? r : piece->rows - 1), query = row / p->group;
        w->query[r] = s->query_row + query;
        w->head[r] = kv_head * p->group + row % p->group;
        w->position[r] = p->position[piece->segment] + s->key_length - s->query_length + query;
    }
    return width;
}

static size_t clip(size_t x, size_t begin, size_t count) {
    return x < begin ? 0 : x - begin < count ? x - begin : count;
}

size_t attention_plan_sees(const AttentionPlan *p, const AttentionWork *w, size_t segment, size_t begin, size_t count,
                           size_t at, size_t width, int32_t *first, int32_t *end, int *masked) {
    size_t start = p->position[segment] + begin, window = p->shape->window, needed = 0;
    size_t latest_first = 0, earliest_end = count;
    for (size_t r = 0; r < width; r++) {
        size_t position = w->position[at + r], oldest = window != 0 && position >= window ? position - window + 1 : 0;
        size_t f = clip(oldest, start, count), e = clip(position + 1, start, count);
        first[r] = (int32_t)f, end[r] = (int32_t)e;
        if (f < e && e > needed) needed = e;
        if (f > latest_first) latest_first = f;
        if (e < earliest_end) earliest_end = e;
    }
    *masked = latest_first > 0 || earliest_end < needed;
    return needed;
}

void attention_plan_load(const AttentionPlan *p, size_t rows, const void *x, size_t at, size_t stride, float *dst) {
    size_t D = p->shape->head_dim;
    for (size_t r = 0; r < rows; r++, at += stride, dst += p->depth) {
        if (p->shape->type == DTYPE_F32)
            memcpy(dst, (const float *)x + at, D * sizeof *dst);
        else
            p->kernels->to_f32(D, (const bf16 *)x + at, dst);
        memset(dst + D, 0, (p->depth - D) * sizeof *dst);
    }
}

void attention_plan_store(const AttentionPlan *p, const float *row, void *x, size_t at) {
    size_t D = p->shape->head_dim;
    if (p->shape->type == DTYPE_F32)
        memcpy((float *)x + at, row, D * sizeof *row);
    else
        p->kernels->to_bf16(D, row, (bf16 *)x + at);
}
