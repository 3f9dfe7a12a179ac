#include "base/buffer.h"
#include "formats/spm_merges.h"
#include "test.h"
#include <string.h>

/* {token: id} and the merges of tokens with scores. */
static json_t *merges_of(const char *const *tokens, const double *scores, size_t count) {
    SpmPiece piece[16];
    Error error = {0};
    json_t *vocab = json_object(), *merges = json_array();
    for (size_t i = 0; i < count; i++) {
        piece[i] = (SpmPiece){tokens[i], strlen(tokens[i]), scores[i]};
        json_object_set_new(vocab, tokens[i], json_integer((json_int_t)i));
    }
    if (spm_merges(piece, count, vocab, merges, "m", &error) != 0) fail_msg("%s", error.message);
    json_decref(vocab);
    return merges;
}

/* "left right, left right, ..." */
static void expect_order(json_t *merges, const char *want) {
    Buffer found = {0};
    for (size_t i = 0; i < json_array_size(merges); i++)
        buffer_format(&found, "%s%s %s", i > 0 ? ", " : "",
                      json_string_value(json_array_get(json_array_get(merges, i), 0)),
                      json_string_value(json_array_get(json_array_get(merges, i), 1)));
    assert_string_equal(found.data, want);
    buffer_free(&found);
    json_decref(merges);
}

/* Python: sorted by (score, len(left), len(right)), reverse, stable over the order of tokens. */
static void ranks_as_the_extractor_does(void **state) {
    (void)state;
    const char *const tokens[] = {"a",       "b",  "c", "abc", "ab", "bc", "\u00e9", "a\u00e9", "\u00e9\u00e9c",
                                  "\u00e9c", "ca", "cb"};
    const double scores[] = {0, 0, 0, -1, -5, -5, 0, -5, -1, -2, -7, -7};
    expect_order(merges_of(tokens, scores, 12), "ab c, a bc, \u00e9 \u00e9c, \u00e9 c, a b, b c, a \u00e9, c a, c b");
    const double other[] = {0, 0, 0, -1, -5, -4, 0, -5, -1, -2, -7, -7}; // another score, another order
    expect_order(merges_of(tokens, other, 12), "ab c, a bc, \u00e9 \u00e9c, \u00e9 c, b c, a b, a \u00e9, c a, c b");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranks_as_the_extractor_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
