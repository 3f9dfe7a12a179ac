#include "text/jinja_operator.h"
#include "base/size.h"
#include "text/jinja_builder.h"
#include "text/jinja_format.h"
#include "text/jinja_print.h"
#include "text/jinja_utf8.h"

#include <math.h>
#include <string.h>

static const char *sign_text(JinjaSign sign) {
    static const char *const texts[] = {"==",     "!=", "<", "<=", ">",  ">=", "in",
                                        "not in", "-",  "*", "/",  "//", "%",  "**"};
    return texts[sign];
}

static int fail_types(JinjaRun *run, const char *sign, const JinjaValue *a, const JinjaValue *b) {
    if (a->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, a);
    if (b->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, b);
    return jinja_fail(run, "'%s' does not work with a value of type %s and one of type %s", sign, jinja_type_name(a),
                      jinja_type_name(b));
}

static int fail_overflow(JinjaRun *run) {
    return jinja_fail_code(run, ERROR_UNSUPPORTED, "a whole number does not fit into 64 bits");
}

int jinja_join(JinjaRun *run, const JinjaValue *text, size_t count, JinjaValue *out) {
    size_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        if (!size_add(total, text[i].text.size, &total)) total = SIZE_MAX;
    char *bytes = jinja_take_bytes(run, total);
    if (bytes == NULL || jinja_charge_text(run, total) != 0) return -1;
    for (size_t i = 0; i < count; i++) {
        if (text[i].text.size > 0) memcpy(bytes + at, text[i].text.bytes, text[i].text.size);
        at += text[i].text.size;
    }
    *out = jinja_string(bytes, total);
    return 0;
}

/* A list or tuple that repeats the items of `parts` lists one after the other. */
static int join_lists(JinjaRun *run, const JinjaValue *list, size_t parts, JinjaValue *out) {
    size_t total = 0, at = 0;
    for (size_t i = 0; i < parts; i++)
        if (!size_add(total, list[i].list.count, &total)) total = SIZE_MAX;
    JinjaValue *item = jinja_take(run, total, sizeof *item);
    if (item == NULL || jinja_charge(run, total) != 0) return -1;
    for (size_t i = 0; i < parts; i++) {
        if (list[i].list.count > 0) memcpy(item + at, list[i].list.item, list[i].list.count * sizeof *item);
        at += list[i].list.count;
    }
    *out = jinja_list(list[0].type, item, total);
    return 0;
}

int jinja_add(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, JinjaValue *out) {
    JinjaValue both[2] = {*a, *b};
    if (a->type == JINJA_STRING && b->type == JINJA_STRING) return jinja_join(run, both, 2, out);
    if ((a->type == JINJA_LIST || a->type == JINJA_TUPLE) && a->type == b->type) return join_lists(run, both, 2, out);
    if (!jinja_is_number(a) || !jinja_is_number(b)) return fail_types(run, "+", a, b);
    if (a->type == JINJA_FLOAT || b->type == JINJA_FLOAT) {
        *out = jinja_float(jinja_real(a) + jinja_real(b));
        return 0;
    }
    int64_t sum;
    if (__builtin_add_overflow(jinja_whole(a), jinja_whole(b), &sum)) return fail_overflow(run);
    *out = jinja_int(sum);
    return 0;
}

/* Text or list `times` times. */
static int repeat(JinjaRun *run, const JinjaValue *a, int64_t times, JinjaValue *out) {
    size_t n = times < 0 ? 0 : (size_t)times, total;
    if (a->type == JINJA_STRING) {
        JinjaBuilder b = jinja_builder(run);
        jinja_build_fill(&b, a->text.bytes, a->text.size, a->text.size == 0 ? 0 : n);
        return jinja_built(&b, out);
    }
    if (!size_multiply(a->list.count, n, &total)) total = SIZE_MAX;
    JinjaValue *item = jinja_take(run, total, sizeof *item);
    if (item == NULL || jinja_charge(run, total) != 0) return -1;
    for (size_t i = 0; i < total; i++) item[i] = a->list.item[i % a->list.count];
    *out = jinja_list(a->type, item, total);
    return 0;
}

static bool is_repeatable(const JinjaValue *v) {
    return v->type == JINJA_STRING || v->type == JINJA_LIST || v->type == JINJA_TUPLE;
}

static int power_whole(JinjaRun *run, int64_t base, int64_t exponent, JinjaValue *out) {
    int64_t result = 1;
    if (exponent < 0) {
        if (base == 0) return jinja_fail(run, "division by zero");
        *out = jinja_float(pow((double)base, (double)exponent));
        return 0;
    }
    if (base == 1 || base == -1 || base == 0) { // the only ones that may have any exponent
        *out = jinja_int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base);
        return 0;
    }
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(result, base, &result)) return fail_overflow(run);
    *out = jinja_int(result);
    return 0;
}

static int arithmetic_whole(JinjaRun *run, JinjaSign sign, int64_t a, int64_t b, JinjaValue *out) {
    int64_t result = 0;
    bool overflow = false;
    if (sign == JINJA_SIGN_POWER) return power_whole(run, a, b, out);
    if (sign == JINJA_SIGN_SUBTRACT)
        overflow = __builtin_sub_overflow(a, b, &result);
    else if (sign == JINJA_SIGN_MULTIPLY)
        overflow = __builtin_mul_overflow(a, b, &result);
    else if (b == 0)
        return jinja_fail(run, "division by zero");
    else if (sign == JINJA_SIGN_DIVIDE) {
        *out = jinja_float((double)a / (double)b);
        return 0;
    } else if (b == -1) { // INT64_MIN / -1 traps
        if (sign == JINJA_SIGN_FLOOR_DIVIDE) overflow = __builtin_sub_overflow(0, a, &result);
    } else { // towards minus infinity, the remainder with the sign of b
        int64_t quotient = a / b, rest = a % b;
        bool down = rest != 0 && (rest < 0) != (b < 0);
        result = sign == JINJA_SIGN_FLOOR_DIVIDE ? quotient - down : down ? rest + b : rest;
    }
    if (overflow) return fail_overflow(run);
    *out = jinja_int(result);
    return 0;
}

static double modulo(double a, double b) {
    double rest = fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) return rest + b;
    return rest == 0 ? copysign(0, b) : rest;
}

static int arithmetic_real(JinjaRun *run, JinjaSign sign, double a, double b, JinjaValue *out) {
    double result;
    if (b == 0 && sign >= JINJA_SIGN_DIVIDE && sign <= JINJA_SIGN_MODULO) return jinja_fail(run, "division by zero");
    switch (sign) {
    case JINJA_SIGN_SUBTRACT:
        result = a - b;
        break;
    case JINJA_SIGN_MULTIPLY:
        result = a * b;
        break;
    case JINJA_SIGN_DIVIDE:
        result = a / b;
        break;
    case JINJA_SIGN_FLOOR_DIVIDE: {
        double quotient = (a - modulo(a, b)) / b;
        result = quotient == 0 ? copysign(0, a / b) : floor(quotient + 0.5); // exact but for rounding: nearest whole
        break;
    }
    case JINJA_SIGN_MODULO:
        result = modulo(a, b);
        break;
    default:
        if (a == 0 && b < 0) return jinja_fail(run, "division by zero");
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
            return jinja_fail(run, "the power of a negative number is not real");
        result = pow(a, b);
        if (isinf(result) && isfinite(a) && isfinite(b)) return jinja_fail(run, "the power of a number is too large");
    }
    *out = jinja_float(result);
    return 0;
}

int jinja_arithmetic(JinjaRun *run, JinjaSign sign, const JinjaValue *a, const JinjaValue *b, JinjaValue *out) {
    if (sign == JINJA_SIGN_MODULO && a->type == JINJA_STRING) return jinja_format_percent(run, a, b, out);
    if (sign == JINJA_SIGN_MULTIPLY && is_repeatable(a) && jinja_is_whole(b))
        return repeat(run, a, jinja_whole(b), out);
    if (sign == JINJA_SIGN_MULTIPLY && is_repeatable(b) && jinja_is_whole(a))
        return repeat(run, b, jinja_whole(a), out);
    if (!jinja_is_number(a) || !jinja_is_number(b)) return fail_types(run, sign_text(sign), a, b);
    if (a->type == JINJA_FLOAT || b->type == JINJA_FLOAT)
        return arithmetic_real(run, sign, jinja_real(a), jinja_real(b), out);
    return arithmetic_whole(run, sign, jinja_whole(a), jinja_whole(b), out);
}

int jinja_negate(JinjaRun *run, const JinjaValue *a, JinjaValue *out) {
    JinjaValue zero = jinja_int(0);
    if (!jinja_is_number(a)) return fail_types(run, "-", a, a);
    if (a->type != JINJA_FLOAT) return jinja_arithmetic(run, JINJA_SIGN_SUBTRACT, &zero, a, out);
    *out = jinja_float(-a->real);
    return 0;
}

static int contains_text(JinjaRun *run, const JinjaValue *part, const JinjaValue *whole, bool *found) {
    if (part->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, part);
    if (part->type != JINJA_STRING)
        return jinja_fail(run, "'in' needs a text to look for in a text, but got a value of type %s",
                          jinja_type_name(part));
    *found = part->text.size == 0 || (whole->text.size > 0 && memmem(whole->text.bytes, whole->text.size,
                                                                     part->text.bytes, part->text.size) != NULL);
    return jinja_charge_text(run, whole->text.size);
}

static int contains(JinjaRun *run, const JinjaValue *part, const JinjaValue *whole, bool *found) {
    if (whole->type == JINJA_STRING) return contains_text(run, part, whole, found);
    if (whole->type == JINJA_DICT) {
        const JinjaValue *value = NULL;
        if (!jinja_hashable(part))
            return jinja_fail(run, "a value of type %s cannot be the key of a dict", jinja_type_name(part));
        int status = jinja_dict_get(run, whole, part, &value);
        *found = value != NULL;
        return status;
    }
    const JinjaValue *item;
    size_t count;
    if (jinja_items(run, whole, &item, &count) != 0) return -1;
    *found = false;
    for (size_t i = 0; !*found && i < count; i++)
        if (jinja_equal(run, &item[i], part, found) != 0) return -1;
    return 0;
}

int jinja_compare(JinjaRun *run, JinjaSign sign, const JinjaValue *a, const JinjaValue *b, bool *out) {
    int order = 0, status;
    switch (sign) {
    case JINJA_SIGN_EQUAL:
        return jinja_equal(run, a, b, out);
    case JINJA_SIGN_UNEQUAL:
        status = jinja_equal(run, a, b, out);
        *out = !*out;
        return status;
    case JINJA_SIGN_IN:
        return contains(run, a, b, out);
    case JINJA_SIGN_NOT_IN:
        status = contains(run, a, b, out);
        *out = !*out;
        return status;
    default:
        status = jinja_order(run, a, b, sign_text(sign), &order);
    }
    *out = order != 2 && (sign == JINJA_SIGN_LESS      ? order < 0
                          : sign == JINJA_SIGN_GREATER ? order > 0
                                                       : order == 0 || (order < 0) == (sign == JINJA_SIGN_LESS_EQUAL));
    return status;
}

static int bound_method(JinjaRun *run, const JinjaBuiltin *method, const JinjaValue *self, JinjaValue *out) {
    if (method->function == NULL) {
        *out = jinja_undefined((JinjaType)self->type, method->name, strlen(method->name));
        out->forbidden = true;
        return 0;
    }
    JinjaCallable *callable = jinja_take(run, 1, sizeof *callable);
    if (callable == NULL) return -1;
    *callable = (JinjaCallable){.builtin = method, .self = *self};
    *out = (JinjaValue){.type = JINJA_FUNCTION, .callable = callable};
    return 0;
}

/* The method of that name, or what a missing attribute gives. */
static int method_or_nothing(JinjaRun *run, const JinjaValue *object, const JinjaValue *name, JinjaValue *out) {
    int type = jinja_method_type(object);
    const JinjaBuiltin *method = type < 0 ? NULL : jinja_method_find(type, name);
    if (method != NULL) return bound_method(run, method, object, out);
    *out = jinja_undefined((JinjaType)object->type, name->text.bytes, name->text.size);
    return 0;
}

int jinja_attribute(JinjaRun *run, const JinjaValue *object, const JinjaValue *name, const JinjaBuiltin *const *method,
                    JinjaValue *out) {
    if (object->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, object);
    const JinjaValue *found = NULL;
    int type = jinja_method_type(object);
    if (type >= 0 && method != NULL && method[type] != NULL) return bound_method(run, method[type], object, out);
    if (object->type == JINJA_DICT && jinja_dict_get(run, object, name, &found) != 0) return -1;
    if (object->type == JINJA_NAMESPACE) found = jinja_namespace_get(object->space, name->text.bytes, name->text.size);
    if (object->type == JINJA_TUPLE && object->forbidden) // a group of groupby
        found = jinja_text_is(name, "grouper") ? &object->list.item[0]
                : jinja_text_is(name, "list")  ? &object->list.item[1]
                                               : NULL;
    if (found != NULL)
        *out = *found;
    else if (object->type == JINJA_FUNCTION && jinja_text_is(name, "name") && object->callable->macro != NULL)
        *out = object->callable->macro->value;
    else
        *out = jinja_undefined((JinjaType)object->type, name->text.bytes, name->text.size);
    return 0;
}

static bool resolve_index(int64_t index, size_t count, size_t *at) {
    if (index < 0 && __builtin_add_overflow(index, (int64_t)count, &index)) return false;
    *at = (size_t)index;
    return index >= 0 && *at < count;
}

/* object[whole number]; false where there is no such item. */
static bool item_at(const JinjaValue *object, int64_t index, JinjaValue *out) {
    size_t at, count;
    if (object->type == JINJA_DICT || object->type == JINJA_VIEW || !jinja_length(object, &count) ||
        !resolve_index(index, count, &at))
        return false;
    if (object->type == JINJA_RANGE)
        *out = jinja_range_item(object->range, at);
    else if (object->type == JINJA_STRING) {
        size_t begin = jinja_utf8_offset(object->text.bytes, object->text.size, at);
        *out = jinja_string(object->text.bytes + begin,
                            jinja_utf8_size(object->text.bytes + begin, object->text.size - begin));
    } else
        *out = object->list.item[at];
    return true;
}

int jinja_item(JinjaRun *run, const JinjaValue *object, const JinjaValue *key, JinjaValue *out) {
    if (object->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, object);
    const JinjaValue *found = NULL;
    if (object->type == JINJA_DICT && jinja_hashable(key)) {
        if (jinja_dict_get(run, object, key, &found) != 0) return -1;
    } else if (jinja_is_whole(key) && object->type != JINJA_DICT) {
        if (object->type == JINJA_STRING && jinja_charge_text(run, 2 * object->text.size) != 0) return -1;
        if (item_at(object, jinja_whole(key), out)) return 0;
    }
    if (found != NULL) {
        *out = *found;
        return 0;
    }
    if (key->type == JINJA_STRING) {
        if (object->type == JINJA_NAMESPACE || object->type == JINJA_TUPLE)
            return jinja_attribute(run, object, key, NULL, out);
        return method_or_nothing(run, object, key, out);
    }
    JinjaValue name;
    if (jinja_to_text(run, key, &name) != 0) return -1;
    *out = jinja_undefined((JinjaType)object->type, name.text.bytes, name.text.size);
    return 0;
}

/* The start, step and number of items of a slice of `count` items, as Python's slice.indices. */
static int slice_range(JinjaRun *run, const JinjaValue part[3], size_t count, JinjaRange *range) {
    int64_t n = (int64_t)count, bound[3];
    for (int i = 0; i < 3; i++) {
        if (part[i].type == JINJA_UNDEFINED) return jinja_fail_undefined(run, &part[i]);
        if (part[i].type != JINJA_NONE && !jinja_is_whole(&part[i]))
            return jinja_fail(run, "a slice needs whole numbers, but got a value of type %s",
                              jinja_type_name(&part[i]));
        bound[i] = part[i].type == JINJA_NONE ? 0 : jinja_whole(&part[i]);
    }
    int64_t step = part[2].type == JINJA_NONE ? 1 : bound[2];
    if (step == 0) return jinja_fail(run, "the step of a slice is 0");
    if (step < -INT64_MAX) step = -INT64_MAX;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    for (int i = 0; i < 2; i++) {
        if (part[i].type == JINJA_NONE)
            bound[i] = (i == 0) == (step < 0) ? high : low;
        else if (bound[i] < 0)
            bound[i] = bound[i] < low - n ? low : bound[i] + n < low ? low : bound[i] + n;
        else if (bound[i] > high)
            bound[i] = high;
    }
    int64_t length = step < 0 ? bound[0] - bound[1] : bound[1] - bound[0], stride = step < 0 ? -step : step;
    *range = (JinjaRange){.start = bound[0],
                          .stop = bound[1],
                          .step = step,
                          .count = length <= 0 ? 0 : (size_t)((length - 1) / stride) + 1};
    return 0;
}

static int slice_text(JinjaRun *run, const JinjaValue *text, const JinjaRange *range, JinjaValue *out) {
    const char *bytes = text->text.bytes;
    size_t size = text->text.size;
    if (range->count == 0) {
        *out = jinja_string("", 0);
        return 0;
    }
    if (range->step == 1) {
        size_t begin = jinja_utf8_offset(bytes, size, (size_t)range->start);
        *out = jinja_string(bytes + begin, jinja_utf8_offset(bytes + begin, size - begin, range->count));
        return jinja_charge_text(run, 2 * size);
    }
    const JinjaValue *item;
    size_t count;
    if (jinja_items(run, text, &item, &count) != 0) return -1;
    JinjaBuilder b = jinja_builder(run);
    for (size_t i = 0; i < range->count; i++) {
        const JinjaValue *c = &item[range->start + range->step * (int64_t)i];
        jinja_build(&b, c->text.bytes, c->text.size);
    }
    return jinja_charge(run, range->count) != 0 ? -1 : jinja_built(&b, out);
}

static int slice_of_range(JinjaRun *run, const JinjaRange *object, const JinjaRange *range, JinjaValue *out) {
    JinjaRange *part = jinja_take(run, 1, sizeof *part);
    if (part == NULL) return -1;
    int64_t start, stop;
    if (__builtin_mul_overflow(object->step, range->step, &part->step) ||
        __builtin_mul_overflow(object->step, range->start, &start) ||
        __builtin_mul_overflow(object->step, range->stop, &stop) ||
        __builtin_add_overflow(object->start, start, &part->start) ||
        __builtin_add_overflow(object->start, stop, &part->stop))
        return fail_overflow(run);
    part->count = range->count;
    *out = (JinjaValue){.type = JINJA_RANGE, .range = part};
    return 0;
}

int jinja_slice(JinjaRun *run, const JinjaValue *object, const JinjaValue part[3], JinjaValue *out) {
    size_t count;
    JinjaRange range = {0};
    if (object->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, object);
    if (object->type == JINJA_DICT || object->type == JINJA_VIEW || !jinja_length(object, &count))
        return jinja_fail(run, "a value of type %s cannot be sliced", jinja_type_name(object));
    if (slice_range(run, part, count, &range) != 0) return -1;
    if (object->type == JINJA_STRING) return slice_text(run, object, &range, out);
    if (object->type == JINJA_RANGE) return slice_of_range(run, object->range, &range, out);
    if (range.step == 1) {
        *out =
            jinja_list((JinjaType)object->type, range.count == 0 ? NULL : object->list.item + range.start, range.count);
        return 0;
    }
    JinjaValue *item = jinja_take(run, range.count, sizeof *item);
    if (item == NULL || jinja_charge(run, range.count) != 0) return -1;
    for (size_t i = 0; i < range.count; i++) item[i] = object->list.item[range.start + range.step * (int64_t)i];
    *out = jinja_list((JinjaType)object->type, item, range.count);
    return 0;
}
