/* merge_table.h - which pairs of ids are joined to what, in which order, and the joining itself.
 *
 * merge_symbols repeats: of all neighbouring pairs that the table holds, join the one with the lowest rank, the
 * leftmost of equal ones. Up to MERGE_SHORT symbols by scanning the ranks; more by a heap of (rank, place), where an
 * entry whose pair has changed since is passed over: O(n log n) [MT-1]; both give the same [MT-2]. Claims: [MT-n] are
 * checked by tests/unit/test_merge_table.c. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERGE_NONE 0xffffffffu

typedef struct {
    struct MergeSlot {
        int32_t left, right;
        uint32_t rank; // MERGE_NONE: free
    } * slot;
    unsigned shift;  // 64 - log2 of the number of slots
    int32_t *merged; // (ranks) the id that the merge of that rank gives
    size_t ranks;
} MergeTable;

/* Memory of one thread; zero-initialised is empty. */
typedef struct {
    uint32_t *next, *previous, *rank; // (capacity)
    uint64_t *heap;                   // (3 * capacity) rank << 32 | place
    size_t capacity, heaped;
    uint64_t steps; // heap moves and ranks scanned so far
} MergeScratch;

bool merge_table_create(MergeTable *t, size_t merges); // false when memory is exhausted
void merge_table_free(MergeTable *t);
/* Ranks count up from 0, below the number that was asked for. A pair that is there already gets the new rank. */
void merge_table_add(MergeTable *t, uint32_t rank, int32_t left, int32_t right, int32_t merged);
uint32_t merge_table_rank(const MergeTable *t, int32_t left, int32_t right); // MERGE_NONE where there is none

/* Joins id[0..n) in place; *count becomes the new n. False when memory is exhausted or n >= 2^32 - 1. `longest_scan` is
 * MERGE_SHORT but in tests. */
enum { MERGE_SHORT = 32 };
bool merge_symbols(const MergeTable *t, MergeScratch *scratch, int32_t *id, size_t n, size_t longest_scan,
                   size_t *count);
void merge_scratch_free(MergeScratch *scratch);
