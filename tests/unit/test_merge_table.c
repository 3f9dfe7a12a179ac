#include "base/rng.h"
#include "test.h"
#include "text/merge_table.h"

#include <string.h>

enum { SYMBOLS = 4, IDS = 40 };

/* A random table: ids below SYMBOLS are letters, the others are merges of two lower ids, in rank order. */
static void random_table(MergeTable *t, const RngAddress *a) {
    assert_true(merge_table_create(t, IDS - SYMBOLS));
    for (uint32_t rank = 0; rank < IDS - SYMBOLS; rank++) {
        int32_t id = (int32_t)rank + SYMBOLS, left = (int32_t)rng_below(a, 2 * rank, (uint64_t)id),
                right = (int32_t)rng_below(a, 2 * rank + 1, (uint64_t)id);
        merge_table_add(t, rank, left, right, id);
    }
}

/* The definition: join the pair of lowest rank, the leftmost of equal ones, one after the other. */
static size_t merge_by_definition(const MergeTable *t, int32_t *id, size_t n) {
    for (;;) {
        uint32_t best = MERGE_NONE;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            if (merge_table_rank(t, id[i], id[i + 1]) < best) {
                best = merge_table_rank(t, id[i], id[i + 1]);
                at = i;
            }
        if (best == MERGE_NONE) return n;
        id[at] = t->merged[best];
        memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
        n--;
    }
}

/* [MT-2] Scan, heap and definition give the same. */
static void scan_and_heap_are_the_definition(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    MergeScratch scratch = {0};
    size_t joined = 0, order_matters = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i, .k = 1},
                   b = {.seed = seed, .stream = RNG_TEST, .item = i / 50};
        MergeTable t;
        random_table(&t, &b);
        int32_t want[MERGE_SHORT], scan[MERGE_SHORT], heap[MERGE_SHORT];
        size_t n = rng_below(&a, 0, MERGE_SHORT + 1), scanned, heaped;
        for (uint32_t k = 0; k < n; k++) want[k] = scan[k] = heap[k] = (int32_t)rng_below(&a, k + 1, SYMBOLS);
        size_t count = merge_by_definition(&t, want, n);
        assert_true(merge_symbols(&t, &scratch, scan, n, MERGE_SHORT, &scanned));
        assert_true(merge_symbols(&t, &scratch, heap, n, 0, &heaped));
        assert_int_equal(scanned, count);
        assert_int_equal(heaped, count);
        if (count > 0) {
            assert_memory_equal(scan, want, count * sizeof *want);
            assert_memory_equal(heap, want, count * sizeof *want);
        }
        joined += n - count;
        for (size_t k = 0; k < n; k++)
            scan[k] = (int32_t)rng_below(&a, (uint32_t)(n - k), SYMBOLS); // the planted fault: from right to left
        size_t reversed = merge_by_definition(&t, scan, n);
        order_matters += reversed != count || memcmp(scan, want, count * sizeof *want) != 0;
        merge_table_free(&t);
    }
    assert_true(joined > 20000 && order_matters > 1000);
    merge_scratch_free(&scratch);
}

/* [MT-1] Twice the symbols cost little more than twice the steps, also where one letter is repeated. */
static void long_words_take_linear_steps(void **state) {
    (void)state;
    MergeTable t;
    assert_true(merge_table_create(&t, 8));
    for (uint32_t rank = 0; rank < 8; rank++)
        merge_table_add(&t, rank, (int32_t)rank, (int32_t)rank, (int32_t)rank + 1);
    uint64_t steps[2];
    for (size_t k = 0; k < 2; k++) {
        size_t n = (size_t)100000 << k, count;
        MergeScratch scratch = {0};
        int32_t *id = calloc(n, sizeof *id);
        assert_non_null(id);
        assert_true(merge_symbols(&t, &scratch, id, n, MERGE_SHORT, &count));
        assert_int_equal(count, n / 256 + (n % 256 / 128 + n % 128 / 64 + n % 64 / 32));
        steps[k] = scratch.steps;
        free(id);
        merge_scratch_free(&scratch);
    }
    assert_true(steps[0] > 100000 && steps[0] < 100000 * 40 && steps[1] < steps[0] * 5 / 2);
    merge_table_free(&t);
}

static void a_pair_given_twice_has_the_later_rank(void **state) {
    (void)state;
    MergeTable t;
    MergeScratch scratch = {0};
    assert_true(merge_table_create(&t, 3));
    merge_table_add(&t, 0, 1, 2, 3);
    merge_table_add(&t, 1, 2, 2, 4);
    assert_int_equal(merge_table_rank(&t, 1, 2), 0);
    merge_table_add(&t, 2, 1, 2, 3);
    assert_int_equal(merge_table_rank(&t, 1, 2), 2);
    assert_int_equal(merge_table_rank(&t, 2, 1), MERGE_NONE);
    int32_t id[] = {1, 2, 2};
    size_t count;
    assert_true(merge_symbols(&t, &scratch, id, 3, MERGE_SHORT, &count));
    assert_true(count == 2 && id[0] == 1 && id[1] == 4);
    assert_true(merge_symbols(&t, &scratch, id, 0, MERGE_SHORT, &count));
    assert_int_equal(count, 0);
    merge_table_free(&t);
    merge_scratch_free(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(scan_and_heap_are_the_definition),
                                       cmocka_unit_test(long_words_take_linear_steps),
                                       cmocka_unit_test(a_pair_given_twice_has_the_later_rank)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
