#include "base/json.h"
#include "test.h"

#include <string.h>

static json_t *parse(const char *text, Error *error) { return json_parse(text, strlen(text), "config.json", 1, error); }

static void numbers_beyond_64_bits_are_reals(void **state) {
    (void)state;
    Error error = {0};
    int64_t n = 0;
    json_t *j = parse("{\"n\": 7, \"model_max_length\": 1000000000000000019884624838656}", &error);
    assert_non_null(j);
    assert_true(json_real_value(json_object_get(j, "model_max_length")) == 1e30);
    assert_int_equal(json_get_integer(j, "n", 0, 10, &n, "config.json", &error), 0);
    assert_int_equal(n, 7);
    assert_int_equal(json_get_integer(j, "model_max_length", 0, INT64_MAX, &n, "config.json", &error), -1);
    json_decref(j);
}

static void names_the_place_of_an_error(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"{\"a\": 1,\n \"a\": 2}", "config.json:2:"},
                                           {"{\"a\": 1e999}", "config.json:1:"},
                                           {"{\"a\": 99999999999999999999,\n\n x}", "config.json:3:"},
                                           {"[1] 2", "config.json:1:"},
                                           {"", "config.json:1:"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        assert_null(parse(cases[i][0], &error));
        assert_int_equal(error.code, ERROR_INPUT);
        if (strstr(error.message, cases[i][1]) != error.message) fail_msg("case %zu: %s", i, error.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_beyond_64_bits_are_reals),
                                       cmocka_unit_test(names_the_place_of_an_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
