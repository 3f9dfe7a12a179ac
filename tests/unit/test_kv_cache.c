#include "base/rng.h"
#include "sample/kv_cache.h"
#include "test.h"

#include <string.h>

static const HfConfig config = {.layers = 3, .kv_heads = 2, .head_dim = 24, .max_positions = 512};
static const ModelOptions options = {.compute = DTYPE_BF16};

/* [KV-1] with less and less room, the most branches that fit; the sum is what the arrays take. */
static void fits_a_budget(void **state) {
    (void)state;
    KvCacheNeed need = {.responses = 4, .branches = 64, .longest = 37, .max_new_tokens = 50};
    KvCacheShape all, s, more;
    assert_int_equal(kv_cache_plan(&all, &config, &options, &need, NULL), 0);
    assert_int_equal(all.branches, 64);
    assert_int_equal(all.trunks, 4 * 64 / 4 + 1);
    assert_int_equal(all.trunk_rows, 37);
    assert_int_equal(all.branch_rows, 49);
    size_t row_bytes = 2 * 3 * 2 * 24 * 2, last = 64;
    for (size_t rows = 37 * 65 + 49 * 64; rows >= 2 * 37 + 49; rows -= 29) {
        need.budget_bytes = model_kv_bytes(&config, &options, rows);
        assert_true(need.budget_bytes >= rows * row_bytes);
        assert_int_equal(kv_cache_plan(&s, &config, &options, &need, NULL), 0);
        assert_true(s.trunks * s.trunk_rows + s.branches * s.branch_rows <= rows);
        assert_true(s.branches <= last && s.trunks > 1);
        last = s.branches;
        KvCacheNeed one_more = {.responses = 4, .branches = s.branches + 1, .longest = 37, .max_new_tokens = 50};
        assert_int_equal(kv_cache_plan(&more, &config, &options, &one_more, NULL), 0);
        assert_true(s.branches == 64 || more.trunks * more.trunk_rows + more.branches * more.branch_rows > rows);
    }
    assert_int_equal(last, 1);
}

static void refuses_what_does_not_fit(void **state) {
    (void)state;
    KvCacheNeed need = {
        .responses = 16, .branches = SIZE_MAX, .longest = 300, .max_new_tokens = 200, .budget_bytes = 1000};
    KvCacheShape s;
    Error error = {0};
    assert_int_equal(kv_cache_plan(&s, &config, &options, &need, &error), -1);
    assert_int_equal(error.code, ERROR_MEMORY);
    assert_non_null(strstr(error.message, "up to 200 tokens to a prompt of up to 300"));
    need.budget_bytes = 0;
    assert_int_equal(kv_cache_plan(&s, &config, &options, &need, &error), 0); // as many as 32 bits can count
    assert_true(s.trunks * 300 + s.branches * 199 <= INT32_MAX && s.branches > 1000000);
    need.longest = SIZE_MAX / 2;
    assert_int_equal(kv_cache_plan(&s, &config, &options, &need, &error), -1);
}

/* [KV-2] however slabs are taken and given back, no two in use share a row, and all rows are used in the end. The
 * planted fault: a slab given back that is still in use. */
static size_t shared_rows(uint64_t seed, bool fault) {
    KvCacheShape shape = {.trunks = 5, .trunk_rows = 7, .branches = 9, .branch_rows = 4};
    Arena arena = arena_counting();
    KvCache cache;
    kv_cache_carve(&cache, &arena, &config, &options, &shape);
    size_t counted = arena.used;
    assert_int_equal(arena_create(&arena, counted, NULL), 0);
    kv_cache_carve(&cache, &arena, &config, &options, &shape);
    assert_int_equal(arena.used, counted);
    assert_int_equal(cache.arrays.rows, 5 * 7 + 9 * 4);
    for (size_t l = 0; l < config.layers; l++) { // all of it may be written
        memset(cache.arrays.key[l], 1, cache.arrays.rows * 2 * 24 * 2);
        memset(cache.arrays.value[l], 1, cache.arrays.rows * 2 * 24 * 2);
    }
    unsigned char used[5 * 7 + 9 * 4] = {0};
    uint32_t held[2][9];
    size_t holds[2] = {0, 0}, shared = 0;
    RngAddress a = {.seed = seed, .stream = RNG_TEST};
    for (uint32_t i = 0; i < 3000; i++) {
        size_t kind = rng_below(&a, 3 * i, 2);
        KvSlabs *slabs = kind == 0 ? &cache.trunk : &cache.branch;
        bool take = holds[kind] == 0 || (slabs->spares > 0 && rng_below(&a, 3 * i + 1, 2) == 0);
        size_t which = take ? holds[kind]++ : rng_below(&a, 3 * i + 2, holds[kind]);
        if (take) held[kind][which] = kv_cache_take(slabs);
        size_t row = kv_cache_row(slabs, held[kind][which]);
        for (size_t r = row; r < row + slabs->rows; r++) {
            shared += take && used[r];
            used[r] = take;
        }
        if (take) continue;
        kv_cache_give_back(slabs, held[kind][which]);
        held[kind][which] = held[kind][--holds[kind]];
        if (fault && i == 1000 && slabs->spares > 1) slabs->spare[0] = slabs->spare[1];
    }
    while (cache.trunk.spares > 0) memset(used + kv_cache_row(&cache.trunk, kv_cache_take(&cache.trunk)), 1, 7);
    while (cache.branch.spares > 0) memset(used + kv_cache_row(&cache.branch, kv_cache_take(&cache.branch)), 1, 4);
    for (size_t r = 0; r < sizeof used; r++) shared += used[r] == 0;
    arena_destroy(&arena);
    return shared;
}

static void slabs_do_not_overlap(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    size_t caught = 0;
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(shared_rows(seed + i, false), 0);
        caught += shared_rows(seed + i, true) > 0;
    }
    assert_true(caught > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fits_a_budget), cmocka_unit_test(refuses_what_does_not_fit),
                                       cmocka_unit_test(slabs_do_not_overlap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
