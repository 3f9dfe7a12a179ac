/* batch.h - trunks and branches packed without padding: the one shape of everything a model computes on.
 *
 * A trunk is a prompt; branches are its responses. The prompt is there once, whatever the number of responses. Row r of
 * the batch is one token; its position is the length of its ancestors plus its offset. Every token of a branch is a
 * target: its log-prob is predicted by the row before it (for the first token: the last row of the trunk).
 *
 * Log-probs are in target order everywhere: branch by branch as added, token by token [BA-1]. The head sees only the
 * rows that predict something, and wants its targets sorted by them [BA-2]; `head_row`, `sorted` and `order` hold that
 * view and only model/ looks at it. Memory: the batch owns its arrays and grows; batch_clear keeps them for the next
 * use. Claims: [BA-n] are checked by tests/unit/test_batch.c. */
#pragma once
#include "base/error.h"
#include "kernels/attention.h"
#include "kernels/token_logprob.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t segment;      // index of its segment
    size_t first_target; // its log-probs are [first_target, first_target + length)
    size_t length;       // tokens
} BatchBranch;

typedef struct {
    int32_t *token, *position; // (T)
    size_t rows, rows_capacity;
    AttentionSegment *segment; // query rows == key rows
    size_t segments, segments_capacity;
    BatchBranch *branch;
    size_t branches, branches_capacity;
    size_t targets, targets_capacity;
    int32_t *head_row; // (head_rows) rows that predict a target, ascending
    size_t head_rows;
    TokenTarget *sorted; // (targets) by row; .row is an index into head_row
    int32_t *order;      // (targets) sorted[i] is target order[i]
} Batch;

void batch_free(Batch *batch);
void batch_clear(Batch *batch);
/* A prompt of length >= 1; *trunk names it for batch_add_branch. Ids are checked against the vocabulary by the model.
 * A failed call leaves the batch as it was. */
int batch_add_trunk(Batch *batch, const int32_t *ids, size_t length, size_t *trunk, Error *error);
/* A response of length >= 1 to a trunk. */
int batch_add_branch(Batch *batch, size_t trunk, const int32_t *ids, size_t length, Error *error);
/* Prepares the head's view; call once after the last branch, before the batch goes to a model. */
int batch_finish(Batch *batch, Error *error);
