#include "base/rng.h"
#include "test.h"
#include "text/vocabulary.h"

#include <string.h>

/* Strings of every length, also ones that differ only behind their eighth byte or in zeros at their end. */
static void finds_what_was_added(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    uint64_t seed = test_seed();
    static char text[COUNT][24];
    static size_t bytes[COUNT];
    size_t all = 0;
    Vocabulary v;
    for (uint32_t i = 0; i < COUNT; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        bytes[i] = rng_below(&a, 0, sizeof text[0]);
        for (uint32_t k = 0; k < bytes[i]; k++) text[i][k] = (char)("\0ab"[rng_below(&a, k + 1, 3)]);
        all += bytes[i];
    }
    assert_true(vocabulary_create(&v, 2 * COUNT, COUNT, all));
    for (int32_t i = 0; i < COUNT; i++) vocabulary_add(&v, 2 * i, text[i], bytes[i]);
    assert_int_equal(v.strings, COUNT);
    size_t twice = 0, absent = 0;
    for (int32_t i = 0; i < COUNT; i++) {
        int32_t id = vocabulary_find(&v, text[i], bytes[i]), first = 0;
        while (bytes[first] != bytes[i] || memcmp(text[first], text[i], bytes[i]) != 0) first++;
        assert_int_equal(id, 2 * first);
        twice += first != i;
        assert_int_equal(v.entry[2 * i].bytes, bytes[i]);
        assert_memory_equal(v.entry[2 * i].text, text[i], bytes[i]);
        assert_null(v.entry[2 * i + 1].text);
        char other[25];
        memcpy(other, text[i], bytes[i]);
        other[bytes[i]] = 'c'; // a byte that no string has: never found
        absent += vocabulary_find(&v, other, bytes[i] + 1) == -1;
    }
    assert_true(twice > 0 && twice < COUNT);
    assert_int_equal(absent, COUNT);
    vocabulary_free(&v);
}

static void refuses_sizes_that_wrap(void **state) {
    (void)state;
    Vocabulary v;
    assert_false(vocabulary_create(&v, 1, SIZE_MAX / 8, 1));
    assert_false(vocabulary_create(&v, 1, 2, SIZE_MAX - 1));
    assert_true(vocabulary_create(&v, 0, 0, 0));
    assert_int_equal(vocabulary_find(&v, "", 0), -1);
    vocabulary_free(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_what_was_added),
                                       cmocka_unit_test(refuses_sizes_that_wrap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
