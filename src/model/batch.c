#include "model/batch.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void batch_free(Batch *batch) {
    free(batch->token);
    free(batch->position);
    free(batch->segment);
    free(batch->branch);
    free(batch->head_row);
    free(batch->sorted);
    free(batch->order);
    *batch = (Batch){0};
}

void batch_clear(Batch *batch) {
    batch->rows = batch->segments = batch->branches = batch->targets = batch->head_rows = 0;
}

static int no_memory(size_t count, Error *error) {
    return error_set(error, ERROR_MEMORY, "no memory for a batch of %zu tokens; use smaller batches", count);
}

/* *array gets room for `count` elements; the old content stays. */
static bool grow(void **array, size_t count, size_t element) {
    size_t bytes;
    void *grown = size_multiply(count, element, &bytes) ? realloc(*array, bytes) : NULL;
    if (grown != NULL) *array = grown;
    return grown != NULL;
}

/* Room for `more` rows and one segment. Rows are numbered by int32_t. */
static int reserve(Batch *batch, size_t more, Error *error) {
    size_t rows = SIZE_MAX;
    if (!size_add(batch->rows, more, &rows) || rows > INT32_MAX / 2) return no_memory(rows, error);
    if (rows > batch->rows_capacity) {
        size_t capacity = rows + rows / 2;
        if (!grow((void **)&batch->token, capacity, sizeof *batch->token) ||
            !grow((void **)&batch->position, capacity, sizeof *batch->position))
            return no_memory(rows, error);
        batch->rows_capacity = capacity;
    }
    if (batch->segments == batch->segments_capacity) {
        size_t capacity = 2 * batch->segments + 16;
        if (!grow((void **)&batch->segment, capacity, sizeof *batch->segment)) return no_memory(rows, error);
        batch->segments_capacity = capacity;
    }
    return 0;
}

/* Room for one branch of `length` targets. */
static int reserve_branch(Batch *batch, size_t length, Error *error) {
    size_t targets = batch->targets + length; // <= rows, which reserve has bounded
    if (targets > batch->targets_capacity) {
        size_t capacity = targets + targets / 2;
        if (!grow((void **)&batch->head_row, capacity, sizeof *batch->head_row) ||
            !grow((void **)&batch->sorted, capacity, sizeof *batch->sorted) ||
            !grow((void **)&batch->order, capacity, sizeof *batch->order))
            return no_memory(targets, error);
        batch->targets_capacity = capacity;
    }
    if (batch->branches == batch->branches_capacity) {
        size_t capacity = 2 * batch->branches + 16;
        if (!grow((void **)&batch->branch, capacity, sizeof *batch->branch)) return no_memory(targets, error);
        batch->branches_capacity = capacity;
    }
    return 0;
}

/* A segment of query rows that are key rows too; its positions go on from `before`. */
static void append(Batch *batch, const int32_t *ids, size_t length, int32_t parent, size_t before) {
    size_t first = batch->rows;
    memcpy(batch->token + first, ids, length * sizeof *ids);
    for (size_t i = 0; i < length; i++) batch->position[first + i] = (int32_t)(before + i);
    batch->segment[batch->segments++] = (AttentionSegment){
        .query_row = first, .query_length = length, .key_row = first, .key_length = length, .parent = parent};
    batch->rows += length;
}

int batch_add_trunk(Batch *batch, const int32_t *ids, size_t length, size_t *trunk, Error *error) {
    if (length == 0)
        return error_set(error, ERROR_INPUT,
                         "a prompt has no tokens, but the first token of a response needs one before it");
    if (reserve(batch, length, error) != 0) return -1;
    *trunk = batch->segments;
    append(batch, ids, length, -1, 0);
    return 0;
}

int batch_add_branch(Batch *batch, size_t trunk, const int32_t *ids, size_t length, Error *error) {
    assert(trunk < batch->segments && batch->segment[trunk].parent == -1);
    if (length == 0) return error_set(error, ERROR_INPUT, "a response has no tokens; drop it before it is scored");
    if (reserve(batch, length, error) != 0 || reserve_branch(batch, length, error) != 0) return -1;
    batch->branch[batch->branches++] =
        (BatchBranch){.segment = batch->segments, .first_target = batch->targets, .length = length};
    append(batch, ids, length, (int32_t)trunk, batch->segment[trunk].key_length);
    batch->targets += length;
    return 0;
}

/* The row that predicts token i of a branch: the one before it, which for i = 0 is the trunk's last. */
static size_t predicting_row(const Batch *batch, const BatchBranch *branch, size_t i) {
    const AttentionSegment *own = &batch->segment[branch->segment], *trunk = &batch->segment[own->parent];
    return i > 0 ? own->query_row + i - 1 : trunk->query_row + trunk->query_length - 1;
}

int batch_finish(Batch *batch, Error *error) {
    size_t rows = batch->rows;
    size_t *first = calloc(rows + 1, sizeof *first); // counting sort: stable, so equal rows keep the target order
    if (first == NULL) return no_memory(rows, error);
    for (size_t b = 0; b < batch->branches; b++)
        for (size_t i = 0; i < batch->branch[b].length; i++) first[predicting_row(batch, &batch->branch[b], i) + 1]++;
    batch->head_rows = 0;
    for (size_t r = 0; r < rows; r++) {
        if (first[r + 1] > 0) batch->head_row[batch->head_rows++] = (int32_t)r;
        first[r + 1] += first[r];
    }
    for (size_t b = 0; b < batch->branches; b++) {
        const BatchBranch *branch = &batch->branch[b];
        for (size_t i = 0; i < branch->length; i++) {
            size_t row = predicting_row(batch, branch, i), at = first[row]++;
            int32_t token = batch->token[batch->segment[branch->segment].query_row + i];
            batch->sorted[at] = (TokenTarget){.row = (int32_t)row, .token = token};
            batch->order[at] = (int32_t)(branch->first_target + i);
        }
    }
    free(first);
    for (size_t i = 0, head = 0; i < batch->targets; i++) { // from rows of the batch to indices into head_row
        while (batch->head_row[head] != batch->sorted[i].row) head++;
        batch->sorted[i].row = (int32_t)head;
    }
    return 0;
}
