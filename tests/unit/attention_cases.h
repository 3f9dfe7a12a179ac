/* attention_cases.h - random trees of segments, and attention over them by the formula in double: for every query the
 * explicit list of the keys it sees, softmax over the whole list, gradients by the chain rule. */
#pragma once
#include "base/rng.h"
#include "kernels/attention.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { CASE_SEGMENTS = 8 };

typedef struct {
    AttentionShape shape;
    AttentionSegment segment[CASE_SEGMENTS];
    size_t n, query_rows, key_rows;
    double *q, *k, *v, *dout, *o, *lse, *dq, *dk, *dv; // (rows, heads or kv_heads, head_dim), no gaps
} AttentionCase;

typedef struct {
    RngAddress address;
    uint32_t at;
} CaseRandom;

static inline size_t case_below(CaseRandom *r, size_t n) { return (size_t)rng_below(&r->address, r->at++, n); }

static inline double *case_array(size_t n) {
    double *x = calloc(n + 1, sizeof *x);
    assert_non_null(x);
    return x;
}

/* Values are exact in bfloat16, so that one case serves both types. */
static inline double *case_normal(CaseRandom *r, size_t n) {
    double *x = case_array(n);
    for (size_t i = 0; i < n; i++)
        x[i] = dtype_bf16_to_float(dtype_bf16_from_float((float)rng_normal(&r->address, r->at++)));
    return x;
}

static inline void case_fill(AttentionCase *c, CaseRandom *r) {
    size_t q = c->query_rows * c->shape.heads * c->shape.head_dim,
           k = c->key_rows * c->shape.kv_heads * c->shape.head_dim;
    c->q = case_normal(r, q), c->k = case_normal(r, k), c->v = case_normal(r, k), c->dout = case_normal(r, q);
    c->o = case_array(q), c->dq = case_array(q), c->dk = case_array(k), c->dv = case_array(k);
    c->lse = case_array(c->query_rows * c->shape.heads);
}

static inline void case_free(AttentionCase *c) {
    double *all[] = {c->q, c->k, c->v, c->dout, c->o, c->lse, c->dq, c->dk, c->dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* A forest of up to CASE_SEGMENTS segments. training: queries and keys are the same rows; otherwise the last few keys
 * of a segment are queries, and key rows lie elsewhere, with gaps, in reverse order. longest: keys of a segment. */
static inline AttentionCase case_random(CaseRandom *r, size_t head_dim, int training, size_t longest) {
    static const size_t groups[] = {1, 2, 3, 4, 7};
    AttentionCase c = {0};
    size_t kv_heads = 1 + case_below(r, 3), group = groups[case_below(r, 5)];
    c.shape = (AttentionShape){.heads = kv_heads * group, .kv_heads = kv_heads, .head_dim = head_dim};
    c.shape.scale = (float)(1 / sqrt((double)head_dim));
    if (case_below(r, 3) == 0) c.shape.window = 1 + case_below(r, longest + longest / 2);
    c.n = 1 + case_below(r, CASE_SEGMENTS);
    for (size_t s = 0; s < c.n; s++) {
        AttentionSegment *segment = &c.segment[s];
        segment->parent = (int32_t)case_below(r, s + 1) - (case_below(r, 4) == 0); // -1: a new tree
        segment->parent = s == 0 || segment->parent < 0 ? -1 : segment->parent % (int32_t)s;
        segment->key_length = 1 + case_below(r, longest);
        segment->query_length = training ? segment->key_length : 1 + case_below(r, 3) % segment->key_length;
        segment->query_row = c.query_rows, c.query_rows += segment->query_length;
        segment->key_row = c.key_rows, c.key_rows += segment->key_length + (training ? 0 : 2);
    }
    if (!training)
        for (size_t s = 0; s < c.n; s++)
            c.segment[s].key_row = c.key_rows - c.segment[s].key_row - c.segment[s].key_length;
    case_fill(&c, r);
    return c;
}

/* The rows of the keys that query `query` of segment s sees, from the first on. Returns how many. */
static inline size_t case_visible(const AttentionCase *c, size_t s, size_t query, size_t *row) {
    size_t count = 0, chain[CASE_SEGMENTS], depth = 0;
    for (int32_t a = (int32_t)s; a >= 0; a = c->segment[a].parent) chain[depth++] = (size_t)a;
    while (depth-- > 0) {
        const AttentionSegment *segment = &c->segment[chain[depth]];
        size_t keys = depth == 0 ? segment->key_length - segment->query_length + query + 1 : segment->key_length;
        for (size_t i = 0; i < keys; i++) row[count++] = segment->key_row + i;
    }
    size_t window = c->shape.window;
    if (window == 0 || count <= window) return count;
    memmove(row, row + count - window, window * sizeof *row);
    return window;
}

/* One query of one head: o, lse, and what it adds to the gradients. */
static inline void case_row(const AttentionCase *c, size_t query_row, size_t head, const size_t *key, size_t keys) {
    size_t D = c->shape.head_dim, at = (query_row * c->shape.heads + head) * D;
    size_t kv = head / (c->shape.heads / c->shape.kv_heads);
    double *p = case_array(keys), maximum = -INFINITY, sum = 0, delta = 0;
    for (size_t j = 0; j < keys; j++) {
        size_t from = (key[j] * c->shape.kv_heads + kv) * D;
        for (size_t d = 0; d < D; d++) p[j] += c->shape.scale * c->q[at + d] * c->k[from + d];
        maximum = fmax(maximum, p[j]);
    }
    for (size_t j = 0; j < keys; j++) p[j] = exp(p[j] - maximum), sum += p[j];
    c->lse[query_row * c->shape.heads + head] = maximum + log(sum);
    memset(c->o + at, 0, D * sizeof *c->o);
    for (size_t j = 0; j < keys; j++) {
        size_t from = (key[j] * c->shape.kv_heads + kv) * D;
        p[j] /= sum;
        for (size_t d = 0; d < D; d++) c->o[at + d] += p[j] * c->v[from + d];
    }
    for (size_t d = 0; d < D; d++) delta += c->o[at + d] * c->dout[at + d];
    for (size_t j = 0; j < keys; j++) {
        size_t from = (key[j] * c->shape.kv_heads + kv) * D;
        double slope = -delta;
        for (size_t d = 0; d < D; d++) slope += c->dout[at + d] * c->v[from + d];
        slope *= p[j] * c->shape.scale;
        for (size_t d = 0; d < D; d++) {
            c->dv[from + d] += p[j] * c->dout[at + d];
            c->dk[from + d] += slope * c->q[at + d];
            c->dq[at + d] += slope * c->k[from + d];
        }
    }
    free(p);
}

/* Fills o, lse, dq, dk, dv. */
static inline void case_solve(const AttentionCase *c) {
    size_t *key = malloc((c->key_rows + 1) * sizeof *key);
    assert_non_null(key);
    memset(c->dq, 0, c->query_rows * c->shape.heads * c->shape.head_dim * sizeof *c->dq);
    memset(c->dk, 0, c->key_rows * c->shape.kv_heads * c->shape.head_dim * sizeof *c->dk);
    memset(c->dv, 0, c->key_rows * c->shape.kv_heads * c->shape.head_dim * sizeof *c->dv);
    for (size_t s = 0; s < c->n; s++)
        for (size_t query = 0; query < c->segment[s].query_length; query++) {
            size_t keys = case_visible(c, s, query, key);
            for (size_t h = 0; h < c->shape.heads; h++) case_row(c, c->segment[s].query_row + query, h, key, keys);
        }
    free(key);
}
