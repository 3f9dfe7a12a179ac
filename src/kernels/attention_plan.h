/* attention_plan.h - what the forward and the backward pass of attention share: how the work is cut, and loading.
 *
 * A row is one query of one head; the rows of a segment that read the same key/value head are numbered
 * query * group + head in group. A piece is a run of rows of one segment for one key/value head, or all rows of several
 * short segments with the same parent for all heads: branches that decode side by side read their trunk once, and the
 * cache front to back. Inside a piece the tiles are
 *   columns: a row is a column of (depth, rows) tiles, STRIP at a time, keys are broadcast; nothing is summed across
 * lanes rows: for a few rows against keys of their own, a key is a lane Both do the same arithmetic in the same order:
 * the keys of every segment on the way from the root are taken KEY_BLOCK at a time, counted from the segment's first
 * key. So the bits of a row depend on its own chain alone [ATT-1], and not on whether its segment came at once or token
 * by token [ATT-2]. */
#pragma once
#include "kernels/attention.h"

enum { PIECE_ROWS = 192, BACKWARD_ROWS = 96, KEY_BLOCK = 64, STRIP = 32, STRIPS = PIECE_ROWS / STRIP, SHORT_ROWS = 8 };

typedef struct {
    const size_t *segment;        // that the rows are of
    size_t segments, first, rows; // rows first .. first + rows - 1 of one segment, or all of each of several
    size_t kv_head, kv_heads;     // of each of these heads
} AttentionPiece;

/* The tiles of one thread. Row lengths: `depth` (_row, key, value), `columns` (_column) or KEY_BLOCK. */
typedef struct {
    size_t *chain;                                                      // segments from the root to the one at work
    size_t query[PIECE_ROWS], member[PIECE_ROWS], position[PIECE_ROWS]; // of every row of a head; member of its group
    size_t earliest[STRIPS], latest[STRIPS];                            // positions in a strip
    int32_t first[PIECE_ROWS], end[PIECE_ROWS];                         // keys of a block that a row sees
    float maximum[PIECE_ROWS], sum[PIECE_ROWS], keep[PIECE_ROWS];       // of the online softmax
    float lse[PIECE_ROWS], delta[PIECE_ROWS];                           // backward
    float *q_row, *q_column;                                            // scaled
    float *sum_row, *sum_column;                                        // O, or dQ
    float *key, *value, *key_column;                                    // (KEY_BLOCK, depth), (depth, KEY_BLOCK)
    float *score, *dscore;         // (KEY_BLOCK, columns or STRIP), (SHORT_ROWS, KEY_BLOCK)
    float *dout_row, *dout_column; // backward
} AttentionWork;

typedef struct {
    const KernelTable *kernels;
    const AttentionShape *shape;
    const AttentionSegment *segment;
    size_t n, group, depth, columns; // heads per key/value head; head_dim rounded up to 16; most rows of a piece
    size_t *position;                // (n) of the first key of a segment
    size_t *order;                   // (n) segments by parent
    AttentionPiece *piece;           // forward
    size_t pieces;
    size_t *partial;     // (n + 1) backward: rows of the partial gradients before each segment's
    float *dk, *dv;      // (kv_heads, partial[n], depth) backward: what a segment's queries give to their chains
    float *ones;         // a `keep` that keeps everything
    AttentionWork *work; // (threads)
} AttentionPlan;

/* Lays the plan out in scratch, or returns only the bytes where scratch is NULL. */
size_t attention_plan_create(AttentionPlan *plan, const KernelTable *kernels, const AttentionShape *shape,
                             const AttentionSegment *segment, size_t n, int backward, void *scratch);

/* Whether the rows of a segment are few enough to be bundled and to meet their own keys as rows. */
int attention_plan_short(const AttentionPlan *plan, size_t segment);
/* Segments from the root to `segment` (none for -1); returns how many. */
size_t attention_plan_chain(const AttentionPlan *plan, int32_t segment, size_t *chain);
/* Fills query, member, position, earliest and latest for the rows of one of the piece's heads; columns beyond repeat
 * the last row. Returns the rows rounded up to 16: the tiles of the next head begin so many rows or columns further on.
 */
size_t attention_plan_rows(const AttentionPlan *plan, const AttentionPiece *piece, AttentionWork *work);
/* Of the keys [begin, begin + count) of a chain's segment: how many, from `begin` on, some of `rows` rows sees. */
size_t attention_plan_reach(const AttentionPlan *plan, const AttentionWork *work, size_t segment, size_t begin,
                            size_t count, size_t at, size_t rows);
/* The same for rows at .. at + rows - 1, and which keys each sees, in work's first and end. *masked: whether one of
 * them does not see all of the returned keys; where it is 0, first and end are not filled. */
size_t attention_plan_sees(const AttentionPlan *plan, AttentionWork *work, size_t segment, size_t begin, size_t count,
                           size_t at, size_t rows, int *masked);
/* Where element `at` of an array of the shape's type is. */
static inline const void *attention_plan_at(const AttentionPlan *plan, const void *x, size_t at) {
    return (const char *)x + at * dtype_bytes(plan->shape->type);
}
/* dst (rows, depth) float32 = rows of x, `stride` apart, starting at element `at`; padding is 0. */
void attention_plan_load(const AttentionPlan *plan, size_t rows, const void *x, size_t at, size_t stride, float *dst);
/* One row back to x at element `at`. */
void attention_plan_store(const AttentionPlan *plan, const float *row, void *x, size_t at);
