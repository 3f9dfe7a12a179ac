#include "text/jinja_print.h"
#include "text/jinja_utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t jinja_print_float(double real, char out[32]) {
    if (isnan(real)) return (size_t)snprintf(out, 32, "nan");
    if (isinf(real)) return (size_t)snprintf(out, 32, "%sinf", real < 0 ? "-" : "");
    char digits[32];
    int precision = 0;
    do snprintf(digits, sizeof digits, "%.*e", precision++, real);
    while (precision < 17 && strtod(digits, NULL) != real);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) { // as it is: C and Python both write at least two digits of exponent
        return (size_t)snprintf(out, 32, "%s", digits);
    }
    int decimals = precision - 1 - exponent;
    return (size_t)snprintf(out, 32, "%.*f", decimals < 1 ? 1 : decimals, real);
}

static void print_quoted(JinjaBuilder *b, const char *bytes, size_t size) {
    bool single = size > 0 && memchr(bytes, '\'', size) != NULL, both = single && memchr(bytes, '"', size) != NULL;
    char quote = single && !both ? '"' : '\'', escape[16];
    jinja_build(b, &quote, 1);
    for (size_t at = 0, taken; at < size; at += taken) {
        uint32_t c = jinja_utf8_decode(bytes + at, size - at, &taken);
        if (c == (unsigned char)quote || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (jinja_char_is(c, JINJA_CHAR_PRINTABLE)) {
            jinja_build(b, bytes + at, taken);
            continue;
        } else
            snprintf(escape, sizeof escape,
                     c < 0x100     ? "\\x%02" PRIx32
                     : c < 0x10000 ? "\\u%04" PRIx32
                                   : "\\U%08" PRIx32,
                     c);
        jinja_build_text(b, escape);
    }
    jinja_build(b, &quote, 1);
}

static void print_number(JinjaBuilder *b, const JinjaValue *value) {
    char text[32];
    size_t size = value->type == JINJA_FLOAT ? jinja_print_float(value->real, text)
                                             : (size_t)snprintf(text, sizeof text, "%" PRId64, value->integer);
    jinja_build(b, text, size);
}

static int print_items(JinjaBuilder *b, const JinjaValue *list) {
    const char *brackets = list->type == JINJA_LIST ? "[]" : "()";
    jinja_build(b, brackets, 1);
    for (size_t i = 0; i < list->list.count; i++) {
        if (i > 0) jinja_build_text(b, ", ");
        if (jinja_print_repr(b, &list->list.item[i]) != 0) return -1;
    }
    if (list->type == JINJA_TUPLE && list->list.count == 1) jinja_build_text(b, ",");
    jinja_build(b, brackets + 1, 1);
    return 0;
}

static int print_entries(JinjaBuilder *b, const JinjaEntry *entry, size_t count) {
    jinja_build_text(b, "{");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) jinja_build_text(b, ", ");
        if (jinja_print_repr(b, &entry[i].key) != 0) return -1;
        jinja_build_text(b, ": ");
        if (jinja_print_repr(b, &entry[i].value) != 0) return -1;
    }
    jinja_build_text(b, "}");
    return 0;
}

static int print_view(JinjaBuilder *b, const JinjaValue *view) {
    JinjaValue list = {.type = JINJA_LIST};
    if (jinja_items(b->run, view, &list.list.item, &list.list.count) != 0) return -1;
    jinja_build_text(b, jinja_type_name(view));
    jinja_build_text(b, "(");
    if (print_items(b, &list) != 0) return -1;
    jinja_build_text(b, ")");
    return 0;
}

static void print_range(JinjaBuilder *b, const JinjaRange *range) {
    char text[96];
    int size = snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64, range->start, range->stop);
    if (range->step != 1) size += snprintf(text + size, sizeof text - (size_t)size, ", %" PRId64, range->step);
    jinja_build(b, text, (size_t)size);
    jinja_build_text(b, ")");
}

static int print_namespace(JinjaBuilder *b, const JinjaNamespace *space) {
    jinja_build_text(b, "<Namespace ");
    if (print_entries(b, space->entry, space->count) != 0) return -1;
    jinja_build_text(b, ">");
    return 0;
}

/* Everything but text and undefined, where str() and repr() agree. */
static int print_plain(JinjaBuilder *b, const JinjaValue *value) {
    switch ((JinjaType)value->type) {
    case JINJA_NONE:
        jinja_build_text(b, "None");
        return 0;
    case JINJA_BOOL:
        jinja_build_text(b, value->truth ? "True" : "False");
        return 0;
    case JINJA_INT:
    case JINJA_FLOAT:
        print_number(b, value);
        return 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return print_items(b, value);
    case JINJA_DICT:
        return print_entries(b, value->dict.entry, value->dict.count);
    case JINJA_VIEW:
        return print_view(b, value);
    case JINJA_RANGE:
        print_range(b, value->range);
        return 0;
    case JINJA_NAMESPACE:
        return print_namespace(b, value->space);
    default: // Python shows an address here, which no model was trained on
        jinja_build_text(b, "<");
        jinja_build_text(b, jinja_type_name(value));
        jinja_build_text(b, ">");
        return 0;
    }
}

static int print(JinjaBuilder *b, const JinjaValue *value) {
    if (jinja_charge(b->run, 1) != 0 || jinja_enter(b->run) != 0) return -1;
    int status = print_plain(b, value);
    jinja_leave(b->run);
    return status != 0 || b->failed ? -1 : 0;
}

int jinja_print(JinjaBuilder *b, const JinjaValue *value) {
    if (value->type == JINJA_UNDEFINED) return 0;
    if (value->type != JINJA_STRING) return print(b, value);
    jinja_build(b, value->text.bytes, value->text.size);
    return b->failed ? -1 : 0;
}

int jinja_print_repr(JinjaBuilder *b, const JinjaValue *value) {
    if (value->type == JINJA_UNDEFINED)
        jinja_build_text(b, "Undefined");
    else if (value->type == JINJA_STRING)
        print_quoted(b, value->text.bytes, value->text.size);
    else
        return print(b, value);
    return b->failed ? -1 : 0;
}

int jinja_to_text(JinjaRun *run, const JinjaValue *value, JinjaValue *out) {
    if (value->type == JINJA_STRING) {
        *out = *value;
        return 0;
    }
    JinjaBuilder b = jinja_builder(run);
    return jinja_print(&b, value) != 0 ? -1 : jinja_built(&b, out);
}
