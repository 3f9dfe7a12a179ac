#include "base/rng.h"
#include "test.h"
#include "text/jinja_print.h"
#include <math.h>
#include <string.h>

/* The shortest digits that read back as the same number, in the notation of Python. */
static void check_float(double x) {
    char text[32], other[64];
    size_t size = jinja_print_float(x, text);
    assert_int_equal(size, strlen(text));
    assert_true(strtod(text, NULL) == x && signbit(strtod(text, NULL)) == signbit(x));
    size_t digits = 0;
    bool leading = true;
    for (const char *c = text; *c != 0 && *c != 'e'; c++) {
        leading = leading && (*c == '0' || *c == '.' || *c == '-');
        digits += *c >= '0' && *c <= '9' && !leading;
    }
    if (strchr(text, 'e') == NULL) assert_non_null(strchr(text, '.'));
    bool large = fabs(x) >= 1e16 || (x != 0 && fabs(x) < 1e-4);
    assert_int_equal(strchr(text, 'e') != NULL, large);
    for (const char *c = text + size - 1; strchr(text, 'e') == NULL && *c == '0'; c--) digits -= digits > 0; // 100.0
    if (digits < 2 || digits > 17) return;
    snprintf(other, sizeof other, "%.*e", (int)digits - 2, x); // one digit less is another number
    if (strchr(text, 'e') != NULL) assert_true(strtod(other, NULL) != x);
}

static void floats_are_shortest(void **state) {
    (void)state;
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    static const double special[] = {
        0.0, -0.0, 1, 0.1, 0.3, 1e15, 1e16, 1e22, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308, 123456789.125};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) check_float(special[i]);
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t bits = rng_u64(&address, i);
        double x;
        memcpy(&x, &bits, 8);
        if (isfinite(x)) check_float(x);
        check_float((double)(int64_t)(bits % 2000001) / 1000);
    }
}

static void check(const JinjaValue *value, const char *shown, const char *repr, const char *json) {
    Error error = {0};
    JinjaRun run = jinja_run("t", 1 << 20, 1 << 20, &error);
    JinjaValue text;
    JinjaBuilder b = jinja_builder(&run);
    assert_int_equal(jinja_print(&b, value) != 0 || jinja_built(&b, &text) != 0, 0);
    if (!jinja_text_is(&text, shown)) fail_msg("%.*s is not %s", (int)text.text.size, text.text.bytes, shown);
    b = jinja_builder(&run);
    assert_int_equal(jinja_print_repr(&b, value) != 0 || jinja_built(&b, &text) != 0, 0);
    if (!jinja_text_is(&text, repr)) fail_msg("%.*s is not %s", (int)text.text.size, text.text.bytes, repr);
    b = jinja_builder(&run);
    const JinjaJsonStyle style = {.item_separator = jinja_literal(", "), .key_separator = jinja_literal(": ")};
    assert_int_equal(jinja_print_json(&b, value, &style), json == NULL ? -1 : 0);
    if (json != NULL) {
        assert_int_equal(jinja_built(&b, &text), 0);
        if (!jinja_text_is(&text, json)) fail_msg("%.*s is not %s", (int)text.text.size, text.text.bytes, json);
    } else
        assert_non_null(strstr(error.message, "as JSON"));
    jinja_run_free(&run);
}

static void values_look_as_in_python(void **state) {
    (void)state;
    JinjaValue none = jinja_none(), yes = jinja_bool(true), three = jinja_int(-3), half = jinja_float(0.5),
               missing = jinja_undefined(JINJA_ABSENT, "x", 1);
    JinjaValue text = jinja_string("it's\n\0é", 8), items[] = {yes, text}, list = jinja_list(JINJA_LIST, items, 2),
               one = jinja_list(JINJA_TUPLE, items, 1);
    JinjaEntry entry[] = {{text, none}, {three, half}};
    JinjaValue dict = jinja_dict(entry, 2);
    check(&none, "None", "None", "null");
    check(&yes, "True", "True", "true");
    check(&three, "-3", "-3", "-3");
    check(&half, "0.5", "0.5", "0.5");
    check(&missing, "", "Undefined", NULL);
    check(&list, "[True, \"it's\\n\\x00é\"]", "[True, \"it's\\n\\x00é\"]", "[true, \"it's\\n\\u0000é\"]");
    check(&one, "(True,)", "(True,)", "[true]");
    check(&dict, "{\"it's\\n\\x00é\": None, -3: 0.5}", "{\"it's\\n\\x00é\": None, -3: 0.5}",
          "{\"it's\\n\\u0000é\": null, \"-3\": 0.5}");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(floats_are_shortest),
                                       cmocka_unit_test(values_look_as_in_python)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
