/* attention_plan.h - what the forward and the backward pass of attention share: how the work is cut, and loading.
 *
 * A row is one query of one head. The rows of a segment that read the same key/value head are numbered
 * query * group + head in group, and cut into pieces of at most PIECE_ROWS. Inside a piece, a row is a column of the
 * tiles, STRIP columns at a time; the keys of every segment on the row's way from the root are taken KEY_BLOCK at a
 * time, counted from the segment's first key. So the arithmetic of a row is fixed by its own chain [ATT-1]. */
#pragma once
#include "kernels/attention.h"

enum { PIECE_ROWS = 96, KEY_BLOCK = 64, STRIP = 32 };

typedef struct {
    size_t segment, first, rows; // rows first .. first + rows - 1 of one key/value head of the segment
} AttentionPiece;

/* The tiles of one thread; rows of a tile of columns are PIECE_ROWS apart, of a tile of vectors `depth` apart. */
typedef struct {
    size_t *chain;                                                    // segments from the root to the one at work
    size_t query[PIECE_ROWS], head[PIECE_ROWS], position[PIECE_ROWS]; // of every row
    int32_t first[PIECE_ROWS], end[PIECE_ROWS];                       // keys of the block that a column sees
    float maximum[PIECE_ROWS], sum[PIECE_ROWS], keep[PIECE_ROWS];
    float lse[PIECE_ROWS], delta[PIECE_ROWS];
    float *q_row, *q_column;       // (PIECE_ROWS, depth) and (depth, PIECE_ROWS), scaled
    float *dout_row, *dout_column; // backward only
    float *key, *value;            // (KEY_BLOCK, depth)
    float *score, *dscore;         // (KEY_BLOCK, PIECE_ROWS)
    float *sum_column;             // (depth, PIECE_ROWS): O, or dQ
} AttentionWork;

typedef struct {
    const KernelTable *kernels;
    const AttentionShape *shape;
    const AttentionSegment *segment;
    size_t n, group, depth; // heads per key/value head; head_dim rounded up to 16
    size_t *position;       // (n) of the first key of a segment
    AttentionPiece *piece;
    size_t pieces;
    size_t *partial;     // (n + 1) backward: rows of the partial gradients before each segment's
    float *dk, *dv;      // (kv_heads, partial[n], depth) backward: what a segment's queries give to their chains
    float *ones;         // backward: a `keep` that keeps everything
    AttentionWork *work; // (threads)
} AttentionPlan;

/* Lays the plan out in scratch, or returns only the bytes where scratch is NULL. */
size_t attention_plan_create(AttentionPlan *plan, const KernelTable *kernels, const AttentionShape *shape,
                             const AttentionSegment *segment, size_t n, int backward, void *scratch);

/* Segments from the root to `segment`; returns how many. */
size_t attention_plan_chain(const AttentionPlan *plan, size_t segment, size_t *chain);
/* Fills query, head and position of a piece's rows; columns beyond repeat the last row. Returns the rows rounded up
 * to 16. */
size_t attention_plan_rows(const AttentionPlan *plan, const AttentionPiece *piece, size_t kv_head, AttentionWork *work);
/* Which of the keys [begin, begin + count) of a chain's segment the columns [at, at + width) see, into first and end.
 * Returns how many keys, from `begin` on, must be computed; *masked: whether some column does not see all of these. */
size_t attention_plan_sees(const AttentionPlan *plan, const AttentionWork *work, size_t segment, size_t begin,
                           size_t count, size_t at, size_t width, int32_t *first, int32_t *end, int *masked);
/* dst (rows, depth) float32 = rows of x, `stride` apart, starting at element `at`; padding is 0. */
void attention_plan_load(const AttentionPlan *plan, size_t rows, const void *x, size_t at, size_t stride, float *dst);
/* One row back to x at element `at`. */
void attention_plan_store(const AttentionPlan *plan, const float *row, void *x, size_t at);
