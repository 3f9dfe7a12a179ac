#include "text/jinja_format.h"
#include "text/jinja_operator.h"
#include "text/jinja_print.h"
#include "text/jinja_string.h"
#include "text/jinja_utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define WIDTH_MAX 100000

/* How one value is to look; both ways of writing it end here. */
typedef struct {
    JinjaValue fill;
    char align; // '<' '>' '^' '=' or 0: by type
    char sign;  // '+', ' ' or '-'
    bool alternate, grouped;
    int64_t width, precision; // precision -1: none
    char type;                // 0: by value
} Style;

static bool is_one_of(char c, const char *set) { return c != 0 && strchr(set, c) != NULL; }

static int fail_style(JinjaRun *run, const JinjaValue *value, char type) {
    return jinja_fail(run, "a value of type %s cannot be formatted as '%c'", jinja_type_name(value), type);
}

/* The digits of |whole| in the base of `type`, with the prefix of the alternate form. */
static size_t whole_digits(int64_t whole, const Style *style, char *digits, size_t capacity) {
    uint64_t n = whole < 0 ? 0 - (uint64_t)whole : (uint64_t)whole;
    if (style->type == 'x') return (size_t)snprintf(digits, capacity, style->alternate ? "0x%" PRIx64 : "%" PRIx64, n);
    if (style->type == 'X') return (size_t)snprintf(digits, capacity, style->alternate ? "0X%" PRIX64 : "%" PRIX64, n);
    if (style->type == 'o') return (size_t)snprintf(digits, capacity, style->alternate ? "0o%" PRIo64 : "%" PRIo64, n);
    if (style->type != 'b') return (size_t)snprintf(digits, capacity, "%" PRIu64, n);
    size_t size = style->alternate ? (size_t)snprintf(digits, capacity, "0b") : 0;
    int bit = 63;
    while (bit > 0 && (n >> bit & 1) == 0) bit--;
    for (; bit >= 0; bit--) digits[size++] = (char)('0' + (n >> bit & 1));
    return size;
}

/* A comma between every three digits in front of the point. */
static void group(JinjaBuilder *b, const char *digits, size_t size) {
    size_t whole = 0;
    while (whole < size && digits[whole] >= '0' && digits[whole] <= '9') whole++;
    for (size_t i = 0; i < whole; i++) {
        if (i > 0 && (whole - i) % 3 == 0) jinja_build_text(b, ",");
        jinja_build(b, digits + i, 1);
    }
    jinja_build(b, digits + whole, size - whole);
}

static int real_digits(JinjaRun *run, const JinjaValue *value, const Style *style, JinjaBuilder *b) {
    char digits[512];
    double real = fabs(jinja_real(value));
    int size, precision = style->precision < 0 ? 6 : (int)style->precision;
    bool percent = style->type == '%';
    if (precision > 100) return jinja_fail(run, "a number can be formatted with at most 100 digits behind the point");
    if (style->type == 0 && style->precision < 0)
        size = (int)jinja_print_float(real, digits);
    else {
        char form[] = {'%', '.', '*', percent ? 'f' : style->type == 0 ? 'g' : style->type, 0};
        size = snprintf(digits, sizeof digits, form, precision, percent ? real * 100 : real);
    }
    if (style->grouped)
        group(b, digits, (size_t)size);
    else
        jinja_build(b, digits, (size_t)size);
    if (percent) jinja_build_text(b, "%");
    return 0;
}

/* The digits of a number without sign. */
static int number_digits(JinjaRun *run, const JinjaValue *value, const Style *style, JinjaValue *out) {
    JinjaBuilder b = jinja_builder(run);
    char digits[80];
    if (!jinja_is_number(value)) return fail_style(run, value, style->type);
    bool whole =
        style->type == 'd' || style->type == 'x' || style->type == 'X' || style->type == 'o' || style->type == 'b';
    if (whole && value->type == JINJA_FLOAT) return fail_style(run, value, style->type);
    if (whole || (style->type == 0 && value->type != JINJA_FLOAT)) {
        size_t size = whole_digits(jinja_whole(value), style, digits, sizeof digits);
        if (style->grouped)
            group(&b, digits, size);
        else
            jinja_build(&b, digits, size);
    } else if (real_digits(run, value, style, &b) != 0)
        return -1;
    return jinja_built(&b, out);
}

/* value in its style, filled up to its width. */
static int build_styled(JinjaBuilder *b, const JinjaValue *value, const Style *style) {
    JinjaValue text, sign = jinja_string("", 0);
    bool number = style->type != 's' && style->type != 'c' && jinja_is_number(value) &&
                  !(style->type == 0 && value->type == JINJA_BOOL);
    if (number || (style->type != 's' && style->type != 0 && style->type != 'c')) {
        if (number_digits(b->run, value, style, &text) != 0) return -1;
        bool negative =
            value->type == JINJA_FLOAT ? signbit(value->real) && !isnan(value->real) : jinja_whole(value) < 0;
        sign = negative             ? jinja_literal("-")
               : style->sign == '+' ? jinja_literal("+")
               : style->sign == ' ' ? jinja_literal(" ")
                                    : sign;
    } else {
        if (jinja_to_text(b->run, value, &text) != 0) return -1;
        size_t offset;
        if (style->precision >= 0) jinja_string_window(&text, 0, style->precision, &text, &offset);
    }
    JinjaValue zero = jinja_literal("0"), fill = style->fill.type == JINJA_STRING ? style->fill
                                                 : style->align == '='            ? zero
                                                                                  : jinja_literal(" ");
    if (style->align == '=') { // between sign and digits
        if (jinja_string_pad(b->run, &text, style->width - (int64_t)sign.text.size, &fill, JINJA_ALIGN_RIGHT, &text) !=
            0)
            return -1;
    }
    JinjaValue both[2] = {sign, text};
    if (sign.text.size > 0 && jinja_join(b->run, both, 2, &text) != 0) return -1;
    JinjaAlign align = style->align == '^'                                    ? JINJA_ALIGN_CENTER
                       : style->align == '>' || (style->align == 0 && number) ? JINJA_ALIGN_RIGHT
                                                                              : JINJA_ALIGN_LEFT;
    if (style->width > 0 && style->align != '=') {
        if (align == JINJA_ALIGN_CENTER) { // here the odd one goes to the right
            size_t count = jinja_utf8_count(text.text.bytes, text.text.size);
            int64_t left = style->width > (int64_t)count ? (style->width - (int64_t)count) / 2 : 0;
            if (jinja_string_pad(b->run, &text, (int64_t)count + left, &fill, JINJA_ALIGN_RIGHT, &text) != 0) return -1;
            align = JINJA_ALIGN_LEFT;
        }
        if (jinja_string_pad(b->run, &text, style->width, &fill, align, &text) != 0) return -1;
    }
    jinja_build(b, text.text.bytes, text.text.size);
    return b->failed ? -1 : 0;
}

/* A number in a style; *at moves behind it. -1 where there is none. */
static int64_t read_width(const char *bytes, size_t size, size_t *at) {
    int64_t n = -1;
    for (; *at < size && bytes[*at] >= '0' && bytes[*at] <= '9'; ++*at)
        n = (n < 0 ? 0 : n > WIDTH_MAX ? n : n * 10) + (bytes[*at] - '0');
    return n;
}

static int check_width(JinjaRun *run, const Style *style) {
    if (style->width <= WIDTH_MAX && style->precision <= WIDTH_MAX) return 0;
    return jinja_fail(run, "a format asks for more than %d characters", WIDTH_MAX);
}

/* The values of a % format: a tuple's items one by one, a dict's by name, or the one value. */
typedef struct {
    const JinjaValue *all;
    size_t next, count;
} Given;

static int next_given(JinjaRun *run, Given *given, const char *name, size_t size, JinjaValue *out) {
    if (name != NULL) {
        if (given->all->type != JINJA_DICT) return jinja_fail(run, "%%(name) needs a dict to take values from");
        const JinjaValue *found = jinja_dict_text(given->all, name, size);
        if (found == NULL)
            return jinja_fail(run, "the dict of a format has no key '%.*s'", (int)(size < 100 ? size : 100), name);
        *out = *found;
        given->next = given->count;
        return 0;
    }
    if (given->next == given->count) return jinja_fail(run, "a format asks for more values than it got");
    *out = given->all->type == JINJA_TUPLE ? given->all->list.item[given->next] : *given->all;
    given->next++;
    return 0;
}

/* Behind a %: reads the style and, from `given`, the value. */
static int percent_field(JinjaBuilder *b, const char *bytes, size_t size, size_t *at, Given *given) {
    Style style = {.precision = -1};
    JinjaValue value;
    const char *name = NULL;
    size_t name_size = 0;
    if (*at < size && bytes[*at] == '(') {
        const char *close = memchr(bytes + *at, ')', size - *at);
        if (close == NULL) return jinja_fail(b->run, "a format's %%( does not end");
        name = bytes + ++*at;
        name_size = (size_t)(close - name);
        *at += name_size + 1;
    }
    for (bool left = false; *at < size && is_one_of(bytes[*at], "+- 0#"); ++*at) {
        char flag = bytes[*at];
        left = left || flag == '-';
        if (flag == '+' || (flag == ' ' && style.sign == 0))
            style.sign = flag;
        else if (flag == '#')
            style.alternate = true;
        else if (flag == '-' || flag == '0')
            style.align = left ? '<' : '=';
    }
    style.width = read_width(bytes, size, at);
    if (*at < size && bytes[*at] == '.') {
        ++*at;
        style.precision = read_width(bytes, size, at);
        if (style.precision < 0) style.precision = 0;
    }
    char type = *at < size ? bytes[(*at)++] : 0;
    if (type == '%') {
        jinja_build_text(b, "%");
        return 0;
    }
    if (!is_one_of(type, "sradiuxXofFeEgGc")) return jinja_fail(b->run, "a format has an unknown conversion behind %%");
    if (check_width(b->run, &style) != 0 || next_given(b->run, given, name, name_size, &value) != 0) return -1;
    style.type = (char)(type == 'i' || type == 'u' ? 'd' : type == 'a' ? 'r' : type);
    if (style.type == 'd' && value.type == JINJA_FLOAT) {
        if (!(fabs(value.real) < 9e18)) return fail_style(b->run, &value, 'd');
        value = jinja_int((int64_t)value.real);
    }
    if (style.type == 'r') {
        JinjaBuilder repr = jinja_builder(b->run);
        if (jinja_print_repr(&repr, &value) != 0 || jinja_built(&repr, &value) != 0) return -1;
    }
    if (style.type == 'c' && value.type != JINJA_STRING) return fail_style(b->run, &value, 'c');
    if (style.type == 'r' || style.type == 'c') style.type = 's';
    if (style.align == 0 || (style.type == 's' && style.align != '<')) style.align = '>';
    return build_styled(b, &value, &style);
}

int jinja_format_percent(JinjaRun *run, const JinjaValue *text, const JinjaValue *values, JinjaValue *out) {
    JinjaBuilder b = jinja_builder(run);
    Given given = {.all = values, .count = values->type == JINJA_TUPLE ? values->list.count : 1};
    const char *bytes = text->text.bytes;
    for (size_t at = 0; at < text->text.size;) {
        const char *percent = memchr(bytes + at, '%', text->text.size - at);
        size_t plain = percent == NULL ? text->text.size - at : (size_t)(percent - bytes) - at;
        jinja_build(&b, bytes + at, plain);
        at += plain;
        if (percent == NULL) break;
        at++;
        if (percent_field(&b, bytes, text->text.size, &at, &given) != 0) return -1;
    }
    bool open =
        values->type == JINJA_DICT || values->type == JINJA_LIST || values->type == JINJA_RANGE ||
        values->type == JINJA_UNDEFINED; // Python takes what has items for a dict, whose values need not all be used
    if (given.next < given.count && !open) return jinja_fail(run, "a format does not use all of its values");
    return jinja_built(&b, out);
}

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static int read_style(JinjaRun *run, const char *bytes, size_t size, Style *style) {
    size_t at = 0, first = size > 0 ? jinja_utf8_size(bytes, size) : 0;
    *style = (Style){.precision = -1};
    if (first < size && is_one_of(bytes[first], "<>^=")) {
        style->fill = jinja_string(bytes, first);
        style->align = bytes[first];
        at = first + 1;
    } else if (size > 0 && is_one_of(bytes[0], "<>^="))
        style->align = bytes[at++];
    if (at < size && is_one_of(bytes[at], "+- ")) style->sign = bytes[at++];
    if (at < size && bytes[at] == '#') style->alternate = bytes[at++] == '#';
    if (at < size && bytes[at] == '0') {
        if (style->align == 0) style->align = '=';
        if (style->fill.type != JINJA_STRING) style->fill = jinja_literal("0");
        at++;
    }
    style->width = read_width(bytes, size, &at);
    if (at < size && bytes[at] == ',') style->grouped = bytes[at++] == ',';
    if (at < size && bytes[at] == '.') {
        at++;
        if ((style->precision = read_width(bytes, size, &at)) < 0)
            return jinja_fail(run, "a format lacks its precision");
    }
    if (at < size) style->type = bytes[at++];
    if (at < size || (style->type != 0 && !is_one_of(style->type, "sdxXobeEfFgG%")))
        return jinja_fail(run, "a format has an unknown style");
    return check_width(run, style);
}

/* "name", "0", "name.attribute", "0[key]" or "": the value it stands for. *automatic counts the fields without a
 * number. */
static int find_field(JinjaRun *run, const char *bytes, size_t size, const JinjaArguments *arguments, size_t *automatic,
                      JinjaValue *out) {
    size_t at = 0, index = 0;
    while (at < size && bytes[at] != '.' && bytes[at] != '[') at++;
    JinjaValue name = jinja_string(bytes, at);
    bool number = at == 0 || (bytes[0] >= '0' && bytes[0] <= '9');
    if (number) {
        size_t digits = 0;
        int64_t n = at == 0 ? (int64_t)(*automatic)++ : read_width(bytes, at, &digits);
        if (digits != at || n < 0 || (size_t)n >= arguments->count)
            return jinja_fail(run, "a format asks for a value that it did not get");
        index = (size_t)n;
        *out = arguments->value[index];
    } else {
        JinjaValue keywords = jinja_dict(arguments->keyword, arguments->keywords);
        const JinjaValue *found = jinja_dict_text(&keywords, name.text.bytes, name.text.size);
        if (found == NULL)
            return jinja_fail(run, "a format asks for the value '%.*s', which it did not get",
                              (int)(at < 100 ? at : 100), bytes);
        *out = *found;
    }
    while (at < size) {
        bool bracket = bytes[at++] == '[';
        size_t begin = at, digits = 0;
        while (at < size && (bracket ? bytes[at] != ']' : bytes[at] != '.' && bytes[at] != '[')) at++;
        JinjaValue key = jinja_string(bytes + begin, at - begin);
        int64_t n = bracket ? read_width(bytes + begin, at - begin, &digits) : -1;
        if (n >= 0 && digits == at - begin) key = jinja_int(n);
        if ((bracket && at++ >= size) || jinja_item(run, out, &key, out) != 0)
            return jinja_fail(run, "a format has a field that does not end");
    }
    return 0;
}

/* "{field!r:style}" without its braces. */
static int brace_field(JinjaBuilder *b, const char *bytes, size_t size, const JinjaArguments *arguments,
                       size_t *automatic) {
    Style style;
    JinjaValue value;
    const char *colon = memchr(bytes, ':', size);
    size_t field = colon == NULL ? size : (size_t)(colon - bytes);
    size_t begin = colon == NULL ? size : field + 1;
    char conversion = field >= 2 && bytes[field - 2] == '!' ? bytes[field - 1] : 0;
    if (conversion != 0) field -= 2;
    if (find_field(b->run, bytes, field, arguments, automatic, &value) != 0) return -1;
    if (read_style(b->run, bytes + begin, size - begin, &style) != 0) return -1;
    if (value.type == JINJA_UNDEFINED && conversion == 0) value = jinja_string("", 0);
    if (conversion == 'r') {
        JinjaBuilder repr = jinja_builder(b->run);
        if (jinja_print_repr(&repr, &value) != 0 || jinja_built(&repr, &value) != 0) return -1;
    } else if (conversion == 's') {
        if (jinja_to_text(b->run, &value, &value) != 0) return -1;
    } else if (conversion != 0)
        return jinja_fail(b->run, "a format has an unknown conversion behind !");
    return build_styled(b, &value, &style);
}

int jinja_format_braces(JinjaRun *run, const JinjaValue *text, const JinjaArguments *arguments, JinjaValue *out) {
    JinjaBuilder b = jinja_builder(run);
    const char *bytes = text->text.bytes;
    size_t size = text->text.size, automatic = 0;
    for (size_t at = 0; at < size; at++) {
        char c = bytes[at];
        if (c != '{' && c != '}') {
            jinja_build(&b, &c, 1);
            continue;
        }
        if (at + 1 < size && bytes[at + 1] == c) {
            jinja_build(&b, &c, 1);
            at++;
            continue;
        }
        const char *close = c == '}' ? NULL : memchr(bytes + at, '}', size - at);
        if (close == NULL) return jinja_fail(run, "a format has a single '%c'", c);
        size_t end = (size_t)(close - bytes);
        if (brace_field(&b, bytes + at + 1, end - at - 1, arguments, &automatic) != 0) return -1;
        at = end;
    }
    return jinja_charge_text(run, size) != 0 ? -1 : jinja_built(&b, out);
}
