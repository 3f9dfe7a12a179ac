#include "test.h"
#include "text/jinja_run.h"
#include <string.h>

static void memory_is_zeroed_aligned_and_bounded(void **state) {
    (void)state;
    Error error = {0};
    JinjaRun run = jinja_run("t", 100000, 100, &error);
    for (size_t i = 0, step = 1; i < 60; i++, step = step * 7 % 601) {
        unsigned char *piece = jinja_take(&run, step, 1);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % 16, 0);
        for (size_t k = 0; k < step; k++) assert_int_equal(piece[k], 0);
        memset(piece, 0xab, step);
    }
    assert_non_null(jinja_take(&run, 20000, 1)); // larger than a chunk's share: a piece of its own
    assert_string_equal(jinja_copy(&run, "abc", 2), "ab");
    run.line = 12;
    assert_null(jinja_take(&run, 100000, 1));
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "t:12: "));
    assert_null(jinja_take(&run, SIZE_MAX / 2, 4)); // the product overflows
    jinja_run_free(&run);
}

static void steps_and_depth_end(void **state) {
    (void)state;
    Error error = {0};
    JinjaRun run = jinja_run("t", 1000, 100, &error);
    assert_int_equal(jinja_charge(&run, 90), 0);
    assert_int_equal(jinja_charge_text(&run, 32 * 20), -1);
    assert_int_equal(jinja_charge(&run, 1), -1);
    assert_non_null(strstr(error.message, "more than 100 steps"));
    size_t levels = 0;
    while (jinja_enter(&run) == 0) levels++;
    assert_int_equal(levels, JINJA_DEPTH_MAX);
    assert_non_null(strstr(error.message, "nested deeper"));
    jinja_leave(&run);
    assert_int_equal(jinja_enter(&run), 0);
    jinja_run_free(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_bounded),
        cmocka_unit_test(steps_and_depth_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
