/* The tests that stand behind "is", and those that select and reject name. */
#include "text/jinja_builtin.h"
#include "text/jinja_operator.h"
#include "text/jinja_print.h"

#define TEST(name)                                                                                                     \
    static int name(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, const JinjaArguments *all,      \
                    JinjaValue *out)
#define SIMPLE(name, condition)                                                                                        \
    TEST(name) {                                                                                                       \
        (void)run, (void)self, (void)argument, (void)all;                                                              \
        *out = jinja_bool(condition);                                                                                  \
        return 0;                                                                                                      \
    }

static bool is_sequence(const JinjaValue *v) {
    return v->type == JINJA_STRING || v->type == JINJA_LIST || v->type == JINJA_TUPLE || v->type == JINJA_DICT ||
           v->type == JINJA_RANGE || v->type == JINJA_UNDEFINED;
}

SIMPLE(is_defined, self->type != JINJA_UNDEFINED)
SIMPLE(is_undefined, self->type == JINJA_UNDEFINED)
SIMPLE(is_none, self->type == JINJA_NONE)
SIMPLE(is_boolean, self->type == JINJA_BOOL)
SIMPLE(is_true, self->type == JINJA_BOOL && self->truth)
SIMPLE(is_false, self->type == JINJA_BOOL && !self->truth)
SIMPLE(is_integer, self->type == JINJA_INT)
SIMPLE(is_float, self->type == JINJA_FLOAT)
SIMPLE(is_number, jinja_is_number(self))
SIMPLE(is_string, self->type == JINJA_STRING)
SIMPLE(is_mapping, self->type == JINJA_DICT)
SIMPLE(is_iterable, jinja_iterable(self))
SIMPLE(is_a_sequence, is_sequence(self))
SIMPLE(is_callable, self->type == JINJA_UNDEFINED || self->type == JINJA_FUNCTION || self->type == JINJA_LOOP)
SIMPLE(is_escaped, false)
SIMPLE(is_filter, self->type == JINJA_STRING && jinja_builtin_find(&jinja_filters, self) != NULL)
SIMPLE(is_test, self->type == JINJA_STRING && jinja_builtin_find(&jinja_tests, self) != NULL)

static int compare(JinjaRun *run, JinjaSign sign, const JinjaValue *a, const JinjaValue *b, JinjaValue *out) {
    bool holds = false;
    int status = jinja_compare(run, sign, a, b, &holds);
    *out = jinja_bool(holds);
    return status;
}

TEST(is_equal) { return (void)all, compare(run, JINJA_SIGN_EQUAL, self, argument, out); }
TEST(is_unequal) { return (void)all, compare(run, JINJA_SIGN_UNEQUAL, self, argument, out); }
TEST(is_less) { return (void)all, compare(run, JINJA_SIGN_LESS, self, argument, out); }
TEST(is_less_equal) { return (void)all, compare(run, JINJA_SIGN_LESS_EQUAL, self, argument, out); }
TEST(is_greater) { return (void)all, compare(run, JINJA_SIGN_GREATER, self, argument, out); }
TEST(is_greater_equal) { return (void)all, compare(run, JINJA_SIGN_GREATER_EQUAL, self, argument, out); }
TEST(is_in) { return (void)all, compare(run, JINJA_SIGN_IN, self, argument, out); }

static int divides(JinjaRun *run, const JinjaValue *value, int64_t by, int64_t rest, JinjaValue *out) {
    JinjaValue divisor = jinja_int(by), remainder, wanted = jinja_int(rest);
    if (jinja_arithmetic(run, JINJA_SIGN_MODULO, value, &divisor, &remainder) != 0) return -1;
    return compare(run, JINJA_SIGN_EQUAL, &remainder, &wanted, out);
}

TEST(is_even) { return (void)all, (void)argument, divides(run, self, 2, 0, out); }
TEST(is_odd) { return (void)all, (void)argument, divides(run, self, 2, 1, out); }

TEST(is_divisible) {
    (void)all;
    int64_t by;
    return jinja_argument_int(run, &argument[0], "num", 0, &by) != 0 ? -1 : divides(run, self, by, 0, out);
}

/* Python's "is": the same object. Small values are one object each; lists and dicts by their place. */
TEST(is_same) {
    (void)all;
    bool same = self->type == argument->type;
    if (same && (self->type == JINJA_LIST || self->type == JINJA_TUPLE || self->type == JINJA_DICT))
        same = self->list.item == argument->list.item && self->list.count == argument->list.count;
    else if (same && jinja_equal(run, self, argument, &same) != 0)
        return -1;
    *out = jinja_bool(same);
    return 0;
}

static int cased(JinjaRun *run, const JinjaValue *self, const char *method, JinjaValue *out) {
    JinjaValue text, name = jinja_literal(method);
    JinjaArguments none = {0};
    if (jinja_to_text(run, self, &text) != 0) return -1;
    return jinja_builtin_call(run, jinja_method_find(JINJA_METHODS_STRING, &name), &text, &none, out);
}

TEST(is_lower) { return (void)all, (void)argument, cased(run, self, "islower", out); }
TEST(is_upper) { return (void)all, (void)argument, cased(run, self, "isupper", out); }

static const JinjaBuiltin tests[] = {
    {"defined", is_defined, ""},
    {"undefined", is_undefined, ""},
    {"none", is_none, ""},
    {"boolean", is_boolean, ""},
    {"true", is_true, ""},
    {"false", is_false, ""},
    {"integer", is_integer, ""},
    {"float", is_float, ""},
    {"number", is_number, ""},
    {"string", is_string, ""},
    {"mapping", is_mapping, ""},
    {"iterable", is_iterable, ""},
    {"sequence", is_a_sequence, ""},
    {"callable", is_callable, ""},
    {"escaped", is_escaped, ""},
    {"filter", is_filter, ""},
    {"test", is_test, ""},
    {"even", is_even, ""},
    {"odd", is_odd, ""},
    {"divisibleby", is_divisible, "num"},
    {"sameas", is_same, "other"},
    {"lower", is_lower, ""},
    {"upper", is_upper, ""},
    {"in", is_in, "seq"},
    {"eq", is_equal, "other"},
    {"equalto", is_equal, "other"},
    {"==", is_equal, "other"},
    {"ne", is_unequal, "other"},
    {"!=", is_unequal, "other"},
    {"lt", is_less, "other"},
    {"lessthan", is_less, "other"},
    {"<", is_less, "other"},
    {"le", is_less_equal, "other"},
    {"<=", is_less_equal, "other"},
    {"gt", is_greater, "other"},
    {"greaterthan", is_greater, "other"},
    {">", is_greater, "other"},
    {"ge", is_greater_equal, "other"},
    {">=", is_greater_equal, "other"},
};

const JinjaBuiltins jinja_tests = {tests, sizeof tests / sizeof tests[0]};
