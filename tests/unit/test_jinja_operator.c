#include "test.h"
#include "text/jinja_operator.h"
#include <string.h>

/* Python's definition of s[start:stop:step], item by item: which indices it takes. NONE stands for a missing part. */
#define NONE 99
static size_t model(int start, int stop, int step, int count, int index[16]) {
    size_t n = 0;
    if (step == NONE) step = 1;
    int low = step > 0 ? 0 : -1, high = step > 0 ? count : count - 1;
    if (start == NONE)
        start = step > 0 ? low : high;
    else if (start < 0)
        start += count;
    if (stop == NONE)
        stop = step > 0 ? high : low;
    else if (stop < 0) {
        stop += count;
        if (stop < 0) stop = low;
    }
    start = start < low ? low : start > high ? high : start;
    for (int i = start; step > 0 ? i < stop && i < count : i > stop && i >= 0; i += step) index[n++] = i;
    return n;
}

static JinjaValue part(int value) { return value == NONE ? jinja_none() : jinja_int(value); }

static bool slices_agree(JinjaRun *run, int start, int stop, int step, int count) {
    static const char *const letters[] = {"a", "é", "世", "😀", "b"};
    JinjaValue items[5], parts[3] = {part(start), part(stop), part(step)}, text, list, range;
    char bytes[32] = "", expected[64] = "";
    for (int i = 0; i < count; i++) {
        items[i] = jinja_int(i);
        strncat(bytes, letters[i], sizeof bytes - strlen(bytes) - 1);
    }
    int index[16];
    size_t n = model(start, stop, step, count, index);
    for (size_t i = 0; i < n; i++) strncat(expected, letters[index[i]], sizeof expected - strlen(expected) - 1);
    JinjaValue whole = jinja_string(bytes, strlen(bytes)), all = jinja_list(JINJA_LIST, items, (size_t)count);
    JinjaRange numbers = {.start = 0, .stop = count, .step = 1, .count = (size_t)count};
    JinjaValue counted = {.type = JINJA_RANGE, .range = &numbers};
    assert_int_equal(jinja_slice(run, &whole, parts, &text), 0);
    assert_int_equal(jinja_slice(run, &all, parts, &list), 0);
    assert_int_equal(jinja_slice(run, &counted, parts, &range), 0);
    bool agree = jinja_text_is(&text, expected) && list.list.count == n && range.range->count == n;
    for (size_t i = 0; agree && i < n; i++)
        agree = list.list.item[i].integer == index[i] && jinja_range_item(range.range, i).integer == index[i];
    return agree;
}

static void slices_are_pythons(void **state) {
    (void)state;
    Error error = {0};
    JinjaRun run = jinja_run("t", 1 << 26, 1 << 26, &error);
    for (int count = 0; count <= 5; count++)
        for (int start = -7; start <= 8; start++)
            for (int stop = -7; stop <= 8; stop++)
                for (int step = -3; step <= 4; step++) {
                    int a = start == 8 ? NONE : start, b = stop == 8 ? NONE : stop, c = step == 4 ? NONE : step;
                    if (step != 0 && !slices_agree(&run, a, b, c, count))
                        fail_msg("[%d:%d:%d] of %d items", a, b, c, count);
                }
    JinjaValue parts[3] = {jinja_int(INT64_MIN), jinja_int(INT64_MAX), jinja_int(INT64_MIN)},
               text = jinja_literal("abc"), out;
    assert_int_equal(jinja_slice(&run, &text, parts, &out), 0);
    assert_int_equal(out.text.size, 0);
    parts[2] = jinja_int(0);
    assert_int_equal(jinja_slice(&run, &text, parts, &out), -1);
    assert_non_null(strstr(error.message, "step of a slice is 0"));
    jinja_run_free(&run);
}

/* a == (a // b) * b + a % b, and the remainder has the sign of b. */
static void division_goes_down(void **state) {
    (void)state;
    Error error = {0};
    JinjaRun run = jinja_run("t", 1 << 20, 1 << 20, &error);
    for (int a = -20; a <= 20; a++)
        for (int b = -7; b <= 7; b++) {
            JinjaValue x = jinja_int(a), y = jinja_int(b), quotient, rest;
            int status = jinja_arithmetic(&run, JINJA_SIGN_FLOOR_DIVIDE, &x, &y, &quotient);
            assert_int_equal(status, b == 0 ? -1 : 0);
            if (b == 0) continue;
            assert_int_equal(jinja_arithmetic(&run, JINJA_SIGN_MODULO, &x, &y, &rest), 0);
            assert_int_equal(quotient.integer * b + rest.integer, a);
            assert_true(rest.integer == 0 || (rest.integer < 0) == (b < 0));
            assert_true(llabs(rest.integer) < abs(b));
            JinjaValue u = jinja_float(a), v;
            assert_int_equal(jinja_arithmetic(&run, JINJA_SIGN_MODULO, &u, &y, &v), 0);
            assert_true(v.real == (double)rest.integer);
        }
    jinja_run_free(&run);
}

static void whole_numbers_do_not_wrap(void **state) {
    (void)state;
    Error error = {0};
    JinjaRun run = jinja_run("t", 1 << 20, 1 << 20, &error);
    JinjaValue least = jinja_int(INT64_MIN), most = jinja_int(INT64_MAX), one = jinja_int(1), minus = jinja_int(-1),
               ten = jinja_int(10), out;
    const struct {
        JinjaSign sign;
        const JinjaValue *a, *b;
    } cases[] = {
        {JINJA_SIGN_SUBTRACT, &least, &one},   {JINJA_SIGN_MULTIPLY, &most, &ten},
        {JINJA_SIGN_MULTIPLY, &least, &minus}, {JINJA_SIGN_FLOOR_DIVIDE, &least, &minus},
        {JINJA_SIGN_POWER, &ten, &ten},
    };
    for (size_t i = 0; i < 5; i++) {
        JinjaValue b = i == 4 ? jinja_int(19) : *cases[i].b;
        error = (Error){0};
        assert_int_equal(jinja_arithmetic(&run, cases[i].sign, cases[i].a, &b, &out), -1);
        assert_int_equal(error.code, ERROR_UNSUPPORTED);
    }
    assert_int_equal(jinja_add(&run, &most, &one, &out), -1);
    assert_int_equal(jinja_negate(&run, &least, &out), -1);
    assert_int_equal(jinja_arithmetic(&run, JINJA_SIGN_MODULO, &least, &minus, &out), 0);
    assert_int_equal(out.integer, 0);
    JinjaValue eighteen = jinja_int(18);
    assert_int_equal(jinja_arithmetic(&run, JINJA_SIGN_POWER, &ten, &eighteen, &out), 0);
    assert_true(out.integer == 1000000000000000000);
    jinja_run_free(&run);
}

/* An integer beyond 2^53 and the double next to it are not equal. */
static void mixed_comparison_is_exact(void **state) {
    (void)state;
    Error error = {0};
    JinjaRun run = jinja_run("t", 1 << 20, 1 << 20, &error);
    JinjaValue whole = jinja_int((INT64_C(1) << 53) + 1), real = jinja_float(0x1p53),
               nan = jinja_float(strtod("nan", NULL));
    bool holds;
    assert_int_equal(jinja_compare(&run, JINJA_SIGN_EQUAL, &whole, &real, &holds), 0);
    assert_false(holds);
    assert_int_equal(jinja_compare(&run, JINJA_SIGN_GREATER, &whole, &real, &holds), 0);
    assert_true(holds);
    for (JinjaSign sign = JINJA_SIGN_EQUAL; sign <= JINJA_SIGN_GREATER_EQUAL; sign++) {
        assert_int_equal(jinja_compare(&run, sign, &nan, &real, &holds), 0);
        assert_int_equal(holds, sign == JINJA_SIGN_UNEQUAL);
    }
    jinja_run_free(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_pythons),
        cmocka_unit_test(division_goes_down),
        cmocka_unit_test(whole_numbers_do_not_wrap),
        cmocka_unit_test(mixed_comparison_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
