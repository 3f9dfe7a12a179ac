/* kv_cache.h - keys and values of all prompts and responses in flight, in slabs that never move.
 *
 * One pair of (rows, Hkv D) arrays a layer. Their rows are cut into trunk slabs, each as long as the longest prompt,
 * and branch slabs, each as long as the longest response. All slabs of a kind are alike, so that taking and giving back
 * is push and pop of a number, any free slab is the right one, and nothing fragments. Pages of a slab cost physical
 * memory only once they have been written; the slab given back last is taken first, so that short work touches little.
 *
 * A response never reads the keys of its last token, so a branch slab has max_new_tokens - 1 rows.
 * Memory: everything is carved from an arena that outlives the cache.
 * Claims: [KV-n] are checked by tests/unit/test_kv_cache.c. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "model/model.h"
#include <stddef.h>
#include <stdint.h>

/* What is to be held. */
typedef struct {
    size_t responses;      // K of each prompt
    size_t branches;       // responses in flight, wished for; >= 1
    size_t longest;        // tokens of the longest prompt; >= 1
    size_t max_new_tokens; // of a response; >= 1
    size_t budget_bytes;   // of the whole cache; 0: no limit
} KvCacheNeed;

typedef struct {
    size_t trunks, trunk_rows;
    size_t branches, branch_rows;
} KvCacheShape;

/* Slab i covers cache rows [first_row + i * rows, first_row + (i + 1) * rows). */
typedef struct {
    size_t first_row, rows, count;
    uint32_t *spare; // (count) numbers of the slabs that are not in use, the first `spares` of them
    size_t spares;
} KvSlabs;

typedef struct {
    KvArrays arrays;
    KvSlabs trunk, branch;
} KvCache;

/* Slabs for the need. Stragglers keep a prompt's trunk long after most of its responses have left, so there are four
 * times as many trunks as full prompts in flight would take, and one that is filled ahead. (Simulated with exponential
 * lengths of mean 400 up to 2048, K = 16, 64 in flight: places taken 68 % with twice as many trunks, 99.9 % with four
 * times; 88 % where a prompt must find K free places to start.) With a budget, `branches` is lowered until the cache
 * fits [KV-1]; ERROR_MEMORY where a single response does not. */
int kv_cache_plan(KvCacheShape *shape, const HfConfig *config, const ModelOptions *options, const KvCacheNeed *need,
                  Error *error);
/* Takes the arrays from the arena (or counts them) with every slab free. */
void kv_cache_carve(KvCache *cache, Arena *arena, const HfConfig *config, const ModelOptions *options,
                    const KvCacheShape *shape);

/* *slab = a free slab, until it is given back [KV-2]. Only where slabs->spares > 0. */
uint32_t kv_cache_take(KvSlabs *slabs);
void kv_cache_give_back(KvSlabs *slabs, uint32_t slab);
static inline size_t kv_cache_row(const KvSlabs *slabs, uint32_t slab) { return slabs->first_row + slab * slabs->rows; }
