#include "base/rng.h"
#include "test.h"
#include "text/token_trie.h"

#include <string.h>

/* Against the definition: the first place where some string stands, and the longest there. */
static void finds_the_first_place_and_the_longest(void **state) {
    (void)state;
    enum { STRINGS = 8 };
    uint64_t seed = test_seed();
    size_t found = 0, shadowed = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        char string[STRINGS][6], text[30];
        size_t bytes[STRINGS], n = rng_below(&a, 900, sizeof text);
        TokenTrie trie;
        assert_true(token_trie_create(&trie, sizeof string));
        for (uint32_t s = 0; s < STRINGS; s++) {
            bytes[s] = rng_below(&a, 100 * s, i % 2 ? 7 : 3);
            for (uint32_t k = 0; k < bytes[s]; k++)
                string[s][k] = k == 0 && i % 3 == 0 ? '<' : (char)('a' + rng_below(&a, 100 * s + k + 1, 2));
            token_trie_add(&trie, string[s], bytes[s], s);
        }
        for (uint32_t k = 0; k < n; k++) text[k] = "ab<"[rng_below(&a, 1000 + k, 3)];
        for (size_t from = 0; from <= n;) {
            size_t begin = n, longest = 0, b, e;
            uint32_t want = STRINGS, value, others = 0;
            for (size_t at = from; at < n && longest == 0; at++)
                for (uint32_t s = 0; s < STRINGS; s++)
                    if (bytes[s] > 0 && at + bytes[s] <= n && memcmp(text + at, string[s], bytes[s]) == 0) {
                        others++;
                        if (bytes[s] <= longest) continue;
                        begin = at;
                        longest = bytes[s];
                        want = s;
                    }
            assert_int_equal(token_trie_find(&trie, text, n, from, &b, &e, &value), longest > 0);
            if (longest == 0) break;
            assert_int_equal(b, begin);
            assert_int_equal(e, begin + longest);
            assert_int_equal(value, want);
            found++;
            shadowed += others > 1;
            from = e;
        }
        token_trie_free(&trie);
    }
    assert_true(found > 20000 && shadowed > 5000);
}

static void refuses_what_it_cannot_count(void **state) {
    (void)state;
    TokenTrie trie;
    assert_false(token_trie_create(&trie, (size_t)TOKEN_TRIE_BYTES_MAX + 1));
    assert_true(token_trie_create(&trie, 0));
    size_t begin, end;
    uint32_t value;
    token_trie_add(&trie, "", 0, 1);
    assert_false(token_trie_find(&trie, "abc", 3, 0, &begin, &end, &value));
    token_trie_free(&trie);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_the_first_place_and_the_longest),
                                       cmocka_unit_test(refuses_what_it_cannot_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
