#include "text/merge_table.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool merge_table_create(MergeTable *t, size_t merges) {
    unsigned log2 = 6;
    *t = (MergeTable){.ranks = merges};
    if (merges >= MERGE_NONE) return false;
    while ((size_t)1 << log2 < 2 * merges) log2++;
    size_t slots = (size_t)1 << log2;
    t->shift = 64 - log2;
    t->slot = malloc(slots * sizeof *t->slot);
    t->merged = calloc(merges + 1, sizeof *t->merged);
    if (t->slot == NULL || t->merged == NULL) {
        merge_table_free(t);
        return false;
    }
    for (size_t i = 0; i < slots; i++) t->slot[i].rank = MERGE_NONE;
    return true;
}

void merge_table_free(MergeTable *t) {
    free(t->slot);
    free(t->merged);
    *t = (MergeTable){0};
}

/* The slot of the pair, or the free one where it would be. */
static struct MergeSlot *slot_of(const MergeTable *t, int32_t left, int32_t right) {
    size_t mask = (SIZE_MAX >> t->shift),
           slot = (size_t)((((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u) >> t->shift);
    while (t->slot[slot].rank != MERGE_NONE && (t->slot[slot].left != left || t->slot[slot].right != right))
        slot = (slot + 1) & mask;
    return &t->slot[slot];
}

void merge_table_add(MergeTable *t, uint32_t rank, int32_t left, int32_t right, int32_t merged) {
    assert(rank < t->ranks);
    *slot_of(t, left, right) = (struct MergeSlot){left, right, rank};
    t->merged[rank] = merged;
}

uint32_t merge_table_rank(const MergeTable *t, int32_t left, int32_t right) { return slot_of(t, left, right)->rank; }

static size_t merge_by_scan(const MergeTable *t, MergeScratch *s, int32_t *id, size_t n) {
    uint32_t rank[MERGE_SHORT]; // of (id[i], id[i + 1])
    for (size_t i = 0; i + 1 < n; i++) rank[i] = merge_table_rank(t, id[i], id[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        s->steps += n;
        if (rank[best] == MERGE_NONE) break;
        id[best] = t->merged[rank[best]];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            id[i] = id[i + 1];
            rank[i - 1] = rank[i];
        }
        if (best > 0) rank[best - 1] = merge_table_rank(t, id[best - 1], id[best]);
        if (best + 1 < n) rank[best] = merge_table_rank(t, id[best], id[best + 1]);
    }
    return n;
}

static void sift_down(MergeScratch *s, size_t at) {
    uint64_t key = s->heap[at];
    for (size_t child; (child = 2 * at + 1) < s->heaped; at = child) {
        if (child + 1 < s->heaped && s->heap[child + 1] < s->heap[child]) child++;
        if (s->heap[child] >= key) break;
        s->heap[at] = s->heap[child];
        s->steps++;
    }
    s->heap[at] = key;
}

static void push(MergeScratch *s, uint32_t rank, uint32_t place) {
    uint64_t key = (uint64_t)rank << 32 | place;
    size_t at = s->heaped++;
    for (; at > 0 && s->heap[(at - 1) / 2] > key; at = (at - 1) / 2) {
        s->heap[at] = s->heap[(at - 1) / 2];
        s->steps++;
    }
    s->heap[at] = key;
}

static uint64_t pop(MergeScratch *s) {
    uint64_t key = s->heap[0];
    s->heap[0] = s->heap[--s->heaped];
    if (s->heaped > 0) sift_down(s, 0);
    s->steps++;
    return key;
}

static bool reserve(MergeScratch *s, size_t n) {
    size_t bytes;
    if (n <= s->capacity) return true;
    if (n >= MERGE_NONE || !size_multiply(n, 3 * sizeof *s->heap, &bytes)) return false;
    uint64_t steps = s->steps;
    merge_scratch_free(s);
    *s = (MergeScratch){malloc(n * sizeof *s->next),
                        malloc(n * sizeof *s->previous),
                        malloc(n * sizeof *s->rank),
                        malloc(bytes),
                        n,
                        0,
                        steps};
    if (s->next != NULL && s->previous != NULL && s->rank != NULL && s->heap != NULL) return true;
    merge_scratch_free(s);
    return false;
}

/* The rank of the pair at `place`, which changed, into `rank` and the heap. */
static void rate(const MergeTable *t, MergeScratch *s, const int32_t *id, uint32_t place, size_t n) {
    uint32_t right = s->next[place];
    s->rank[place] = right < n ? merge_table_rank(t, id[place], id[right]) : MERGE_NONE;
    if (s->rank[place] != MERGE_NONE) push(s, s->rank[place], place);
}

static size_t merge_by_heap(const MergeTable *t, MergeScratch *s, int32_t *id, size_t n) {
    s->heaped = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->next[i] = i + 1;
        s->previous[i] = i - 1; // of the first: MERGE_NONE
        s->rank[i] = i + 1 < n ? merge_table_rank(t, id[i], id[i + 1]) : MERGE_NONE;
        if (s->rank[i] != MERGE_NONE) s->heap[s->heaped++] = (uint64_t)s->rank[i] << 32 | i;
    }
    for (size_t i = s->heaped / 2; i-- > 0;) sift_down(s, i);
    while (s->heaped > 0) {
        uint64_t key = pop(s);
        uint32_t place = (uint32_t)key, rank = (uint32_t)(key >> 32);
        if (s->rank[place] != rank) continue; // one of the two is another symbol by now
        uint32_t right = s->next[place];
        id[place] = t->merged[rank];
        s->rank[right] = MERGE_NONE;
        s->next[place] = s->next[right];
        if (s->next[place] < n) s->previous[s->next[place]] = place;
        rate(t, s, id, place, n);
        if (s->previous[place] != MERGE_NONE) rate(t, s, id, s->previous[place], n);
    }
    size_t count = 0;
    for (uint32_t i = 0; i < n; i = s->next[i]) id[count++] = id[i];
    return count;
}

bool merge_symbols(const MergeTable *t, MergeScratch *scratch, int32_t *id, size_t n, size_t longest_scan,
                   size_t *count) {
    assert(longest_scan <= MERGE_SHORT);
    if (n <= longest_scan) {
        *count = merge_by_scan(t, scratch, id, n);
        return true;
    }
    if (!reserve(scratch, n)) return false;
    *count = merge_by_heap(t, scratch, id, n);
    return true;
}

void merge_scratch_free(MergeScratch *scratch) {
    free(scratch->next);
    free(scratch->previous);
    free(scratch->rank);
    free(scratch->heap);
    *scratch = (MergeScratch){.steps = scratch->steps};
}
