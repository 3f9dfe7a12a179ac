#include "kernels/attention_plan.h"

#include "base/arena.h"
#include "base/size.h"

#include <string.h>

static size_t rows_of(const AttentionPlan *p, size_t s) { return p->segment[s].query_length * p->group; }

int attention_plan_short(const AttentionPlan *p, size_t segment) {
    return rows_of(p, segment) <= SHORT_ROWS && 16 * p->shape->kv_heads <= PIECE_ROWS;
}

static void take_work(const AttentionPlan *p, Arena *arena, int backward, AttentionWork *w) {
    const size_t rows = p->columns * p->depth, keys = KEY_BLOCK * p->depth,
                 scores = KEY_BLOCK * (p->columns > STRIP ? p->columns : STRIP);
    w->chain = arena_take(arena, p->n, sizeof *w->chain);
    w->q_row = arena_take(arena, rows, sizeof *w->q_row);
    w->q_column = arena_take(arena, rows, sizeof *w->q_column);
    w->sum_row = arena_take(arena, rows, sizeof *w->sum_row);
    w->sum_column = arena_take(arena, rows, sizeof *w->sum_column);
    w->key = arena_take(arena, keys, sizeof *w->key);
    w->value = arena_take(arena, keys, sizeof *w->value);
    w->key_column = arena_take(arena, keys, sizeof *w->key_column);
    w->score = arena_take(arena, scores, sizeof *w->score);
    if (!backward) return;
    w->dscore = arena_take(arena, scores, sizeof *w->dscore);
    w->dout_row = arena_take(arena, rows, sizeof *w->dout_row);
    w->dout_column = arena_take(arena, rows, sizeof *w->dout_column);
}

/* Few enough columns for every thread to find two pieces or more, in bounds. Bits do not depend on the cut. */
static size_t columns_of(const AttentionPlan *p, int backward) {
    if (backward) return BACKWARD_ROWS;
    size_t rows = 0, least = 16 * p->shape->kv_heads < PIECE_ROWS ? 16 * p->shape->kv_heads : 16;
    for (size_t s = 0; s < p->n; s++) rows += rows_of(p, s);
    size_t share = size_round_up(rows * p->shape->kv_heads / (2 * (size_t)p->kernels->threads) + 1, least);
    return share < PIECE_ROWS ? share : PIECE_ROWS / least * least;
}

/* Segments by parent; `last` (n + 1) and `next` (n) are lists of siblings, for the time of this call. */
static void sort_by_parent(AttentionPlan *p, size_t *last, size_t *next) {
    size_t none = p->n, at = 0;
    for (size_t parent = 0; parent <= p->n; parent++) last[parent] = none;
    for (size_t s = p->n; s-- > 0;) {
        size_t parent = (size_t)(p->segment[s].parent + 1);
        next[s] = last[parent], last[parent] = s;
    }
    for (size_t parent = 0; parent <= p->n; parent++)
        for (size_t s = last[parent]; s != none; s = next[s]) p->order[at++] = s;
}

static void cut(AttentionPlan *p) {
    size_t at = 0, heads = p->shape->kv_heads;
    AttentionPiece *open = NULL; // a bundle that takes further short segments
    for (size_t i = 0; i < p->n; i++) {
        const size_t *s = &p->order[i];
        size_t rows = rows_of(p, *s);
        if (rows == 0) continue;
        if (!attention_plan_short(p, *s)) {
            for (size_t head = 0; head < heads; head++)
                for (size_t first = 0; first < rows; first += p->columns)
                    p->piece[at++] =
                        (AttentionPiece){s, 1, first, rows - first < p->columns ? rows - first : p->columns, head, 1};
            continue;
        }
        if (open != NULL && heads * size_round_up(open->rows + rows, 16) <= p->columns &&
            p->segment[*s].parent == p->segment[*open->segment].parent && open->segment + open->segments == s) {
            open->segments++, open->rows += rows;
            continue;
        }
        open = &p->piece[at++];
        *open = (AttentionPiece){s, 1, 0, rows, 0, heads};
    }
    p->pieces = at;
}

static void fill(AttentionPlan *p, int backward, size_t *last, size_t *next) {
    for (size_t i = 0; i < (p->depth > p->columns ? p->depth : p->columns); i++) p->ones[i] = 1;
    if (backward) p->partial[0] = 0;
    for (size_t s = 0; s < p->n; s++) {
        int32_t parent = p->segment[s].parent;
        p->position[s] = parent < 0 ? 0 : p->position[parent] + p->segment[parent].key_length;
        if (backward) p->partial[s + 1] = p->partial[s] + p->position[s] + p->segment[s].key_length;
    }
    if (backward) return;
    sort_by_parent(p, last, next);
    cut(p);
}

size_t attention_plan_create(AttentionPlan *p, const KernelTable *kernels, const AttentionShape *shape,
                             const AttentionSegment *segment, size_t n, int backward, void *scratch) {
    Arena arena = arena_counting();
    if (scratch != NULL) arena.block = scratch;
    *p = (AttentionPlan){.kernels = kernels, .shape = shape, .segment = segment, .n = n};
    p->group = shape->heads / shape->kv_heads, p->depth = size_round_up(shape->head_dim, 16);
    p->columns = columns_of(p, backward);
    size_t *last = NULL, *next = NULL;
    p->position = arena_take(&arena, n, sizeof *p->position);
    if (backward) {
        size_t rows = 0;
        for (size_t s = 0; s < n; s++)
            for (int32_t a = (int32_t)s; a >= 0; a = segment[a].parent) rows += segment[a].key_length;
        p->partial = arena_take(&arena, n + 1, sizeof *p->partial);
        p->dk = arena_take(&arena, shape->kv_heads * rows * p->depth, sizeof *p->dk);
        p->dv = arena_take(&arena, shape->kv_heads * rows * p->depth, sizeof *p->dv);
    } else {
        for (size_t s = 0; s < n; s++) p->pieces += (rows_of(p, s) + p->columns - 1) / p->columns * shape->kv_heads;
        p->piece = arena_take(&arena, p->pieces, sizeof *p->piece);
        p->order = arena_take(&arena, n, sizeof *p->order);
        last = arena_take(&arena, n + 1, sizeof *last), next = arena_take(&arena, n, sizeof *next);
    }
    p->ones = arena_take(&arena, p->depth > p->columns ? p->depth : p->columns, sizeof *p->ones);
    p->work = arena_take(&arena, (size_t)kernels->threads, sizeof *p->work);
    AttentionWork unused;
    for (int t = 0; t < kernels->threads; t++) take_work(p, &arena, backward, scratch == NULL ? &unused : &p->work[t]);
    if (scratch != NULL) fill(p, backward, last, next);
    return arena.used;
}

size_t attention_plan_chain(const AttentionPlan *p, int32_t segment, size_t *chain) {
    size_t length = 0;
    for (int32_t s = segment; s >= 0; s = p->segment[s].parent) length++;
    size_t at = length;
    for (int32_t s = segment; s >= 0; s = p->segment[s].parent) chain[--at] = (size_t)s;
    return length;
}

size_t attention_plan_rows(const AttentionPlan *p, const AttentionPiece *piece, AttentionWork *w) {
    size_t width = size_round_up(piece->rows, 16), r = 0;
    for (size_t i = 0; i < piece->segments; i++) {
        const AttentionSegment *s = &p->segment[piece->segment[i]];
        size_t end = piece->segments == 1 ? piece->first + piece->rows : rows_of(p, piece->segment[i]);
        for (size_t row = piece->first; row < end; row++, r++) {
            size_t query = row / p->group;
            w->query[r] = s->query_row + query;
            w->member[r] = row % p->group;
            w->position[r] = p->position[piece->segment[i]] + s->key_length - s->query_length + query;
        }
    }
    for (; r < width; r++)
        w->query[r] = w->query[r - 1], w->member[r] = w->member[r - 1], w->position[r] = w->position[r - 1];
    for (r = 0; r < width; r++) {
        size_t *earliest = &w->earliest[r / STRIP], *latest = &w->latest[r / STRIP], position = w->position[r];
        if (r % STRIP == 0) *earliest = *latest = position;
        if (position < *earliest) *earliest = position;
        if (position > *latest) *latest = position;
    }
    return width;
}

size_t attention_plan_reach(const AttentionPlan *p, const AttentionWork *w, size_t segment, size_t begin, size_t count,
                            size_t at, size_t rows) {
    size_t start = p->position[segment] + begin, window = p->shape->window;
    size_t earliest = w->earliest[at / STRIP], latest = w->latest[at / STRIP];
    for (size_t strip = at / STRIP + 1; strip * STRIP < at + rows; strip++) {
        if (w->earliest[strip] < earliest) earliest = w->earliest[strip];
        if (w->latest[strip] > latest) latest = w->latest[strip];
    }
    if (latest < start || (window != 0 && earliest >= start + count - 1 + window)) return 0;
    return latest + 1 - start < count ? latest + 1 - start : count;
}

static size_t clip(size_t x, size_t begin, size_t count) {
    return x < begin ? 0 : x - begin < count ? x - begin : count;
}

size_t attention_plan_sees(const AttentionPlan *p, AttentionWork *w, size_t segment, size_t begin, size_t count,
                           size_t at, size_t rows, int *masked) {
    size_t start = p->position[segment] + begin, window = p->shape->window, strip = at / STRIP;
    *masked = 0;
    if (w->earliest[strip] + 1 >= start + count && (window == 0 || w->latest[strip] < start + window)) return count;
    size_t reach = attention_plan_reach(p, w, segment, begin, count, at, rows);
    *masked = 1;
    for (size_t r = 0; r < rows; r++) {
        size_t position = w->position[at + r], oldest = window != 0 && position >= window ? position - window + 1 : 0;
        w->first[r] = (int32_t)clip(oldest, start, reach), w->end[r] = (int32_t)clip(position + 1, start, reach);
    }
    return reach;
}

void attention_plan_load(const AttentionPlan *p, size_t rows, const void *x, size_t at, size_t stride, float *dst) {
    p->kernels->tile_load(rows, p->shape->head_dim, p->shape->type, attention_plan_at(p, x, at), stride, dst, p->depth);
}

void attention_plan_store(const AttentionPlan *p, const float *row, void *x, size_t at) {
    size_t D = p->shape->head_dim;
    if (p->shape->type == DTYPE_F32)
        memcpy((float *)x + at, row, D * sizeof *row);
    else
        p->kernels->to_bf16(D, row, (bf16 *)x + at);
}
