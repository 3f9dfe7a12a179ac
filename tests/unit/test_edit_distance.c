#include "base/edit_distance.h"
#include "test.h"

#include <stdint.h>
#include <string.h>

static void counts_edits(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {{"", "", 0},         {"", "abc", 3},       {"kitten", "sitting", 3}, {"flaw", "lawn", 2},
                 {"ab", "ba", 2},     {"seed", "seeds", 1}, {"loss", "loss", 0},      {"temprature", "temperature", 1},
                 {"abcdef", "xyz", 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(edit_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(edit_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void what_is_too_long_is_far(void **state) {
    (void)state;
    char text[66];
    memset(text, 'a', sizeof text);
    text[64] = 0;
    assert_int_equal(edit_distance(text, ""), 64);
    text[64] = 'a', text[65] = 0;
    assert_true(edit_distance(text, text) == SIZE_MAX && edit_distance("", text) == SIZE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_edits), cmocka_unit_test(what_is_too_long_is_far)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
