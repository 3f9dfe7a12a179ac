#include "sample/kv_cache.h"
#include "base/size.h"

#include <assert.h>

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Slabs for so many branches. False where the budget does not hold them, or 32 bits, as in DecodeInput, do not count
 * their rows. *bytes: what they take, SIZE_MAX where that cannot be told. */
static bool fits(KvCacheShape *s, size_t branches, const HfConfig *config, const ModelOptions *options,
                 const KvCacheNeed *need, size_t *bytes) {
    size_t full = branches / need->responses + (branches % need->responses != 0), trunk_rows, branch_rows, rows;
    *s = (KvCacheShape){.trunk_rows = need->longest, .branches = branches, .branch_rows = need->max_new_tokens - 1};
    s->trunks = smaller(branches, full > SIZE_MAX / 4 ? SIZE_MAX : 4 * full) + 1;
    *bytes = SIZE_MAX;
    if (!size_multiply(s->trunks, s->trunk_rows, &trunk_rows) ||
        !size_multiply(s->branches, s->branch_rows, &branch_rows) || !size_add(trunk_rows, branch_rows, &rows) ||
        rows > INT32_MAX)
        return false;
    *bytes = model_kv_bytes(config, options, rows);
    return need->budget_bytes == 0 || *bytes <= need->budget_bytes;
}

int kv_cache_plan(KvCacheShape *shape, const HfConfig *config, const ModelOptions *options, const KvCacheNeed *need,
                  Error *error) {
    size_t low = 0, high = smaller(need->branches, INT32_MAX), bytes; // low fits, what is above high does not
    while (low < high) {
        size_t middle = high - (high - low) / 2;
        if (fits(shape, middle, config, options, need, &bytes))
            low = middle;
        else
            high = middle - 1;
    }
    if (fits(shape, low > 0 ? low : 1, config, options, need, &bytes)) return 0;
    return error_set(error, ERROR_MEMORY,
                     "one response of up to %zu tokens to a prompt of up to %zu takes %.1f MiB of key-value cache, but "
                     "only %.1f MiB are allowed; allow more, lower max_new_tokens or drop the longest prompts",
                     need->max_new_tokens, need->longest, (double)bytes / 1048576.0,
                     (double)need->budget_bytes / 1048576.0);
}

static KvSlabs carve_slabs(Arena *arena, size_t first_row, size_t rows, size_t count) {
    KvSlabs s = {.first_row = first_row, .rows = rows, .count = count, .spares = count};
    s.spare = arena_take(arena, count, sizeof *s.spare);
    for (size_t i = 0; s.spare != NULL && i < count; i++) s.spare[i] = (uint32_t)(count - 1 - i);
    return s;
}

void kv_cache_carve(KvCache *cache, Arena *arena, const HfConfig *config, const ModelOptions *options,
                    const KvCacheShape *shape) {
    size_t row_bytes = config->kv_heads * config->head_dim * dtype_bytes(options->compute), L = config->layers;
    cache->trunk = carve_slabs(arena, 0, shape->trunk_rows, shape->trunks);
    cache->branch = carve_slabs(arena, shape->trunks * shape->trunk_rows, shape->branch_rows, shape->branches);
    KvArrays *a = &cache->arrays;
    a->rows = cache->branch.first_row + shape->branches * shape->branch_rows;
    a->key = arena_take(arena, L, sizeof *a->key);
    a->value = arena_take(arena, L, sizeof *a->value);
    for (size_t l = 0; l < L; l++) {
        void *key = arena_take(arena, a->rows, row_bytes), *value = arena_take(arena, a->rows, row_bytes);
        if (a->key != NULL && a->value != NULL) a->key[l] = key, a->value[l] = value;
    }
}

uint32_t kv_cache_take(KvSlabs *slabs) {
    assert(slabs->spares > 0);
    return slabs->spare[--slabs->spares];
}

void kv_cache_give_back(KvSlabs *slabs, uint32_t slab) {
    assert(slabs->spares < slabs->count && slab < slabs->count);
    slabs->spare[slabs->spares++] = slab;
}
