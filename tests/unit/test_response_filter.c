#include "align/response_filter.h"
#include "base/json.h"
#include "test.h"

#include <string.h>

static void keeps_what_the_scripts_keep(void **state) {
    (void)state;
    Error error = {0};
    const ResponseFilter filter = {.above_chars = 3, .below_chars = 6700, .min_responses = 8};
    json_t *json = json_parse_file("tests/data/dice.json", &error), *row;
    if (json == NULL) fail_msg("%s", error.message);
    size_t i;
    json_array_foreach(json_object_get(json, "filters"), i, row) {
        FinishReason finish =
            strcmp(json_string_value(json_object_get(row, "stop")), "stop") == 0 ? FINISH_STOP : FINISH_LENGTH;
        size_t chars = (size_t)json_integer_value(json_object_get(row, "chars"));
        assert_int_equal(response_filter_keeps(&filter, finish, chars), json_is_true(json_object_get(row, "kept")));
    }
    assert_int_equal(i, 18);
    json_decref(json);
}

/* Expected values: len(text.strip()) of Python 3.11. */
static void counts_stripped_code_points(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {{"", 0},
                 {"   ", 0},
                 {"a", 1},
                 {" a b\n", 3},
                 {"\xc3\xa9t\xc3\xa9 ", 3},
                 {"\xf0\x9f\x98\x80", 1},
                 {"\xe3\x80\x80x", 1},
                 {"x\xc2\x85", 1},
                 {"\x1cx\x1f", 1},
                 {"\xe2\x80\x8bx", 2},
                 {"x\xc2\xa0y\xc2\xa0", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = response_filter_length(cases[i].text, strlen(cases[i].text));
        if (n != cases[i].length) fail_msg("case %zu: %zu", i, n);
    }
    assert_int_equal(response_filter_length("a\0b", 3), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_what_the_scripts_keep),
                                       cmocka_unit_test(counts_stripped_code_points)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
