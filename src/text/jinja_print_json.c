#include "text/jinja_print.h"
#include "text/jinja_utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void escape_unit(JinjaBuilder *b, uint32_t unit) {
    char escape[8];
    snprintf(escape, sizeof escape, "\\u%04" PRIx32, unit & 0xffff);
    jinja_build(b, escape, 6);
}

static void print_text(JinjaBuilder *b, const JinjaValue *text, bool ascii) {
    static const char named[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    jinja_build_room(b, text->text.size + 2);
    jinja_build(b, "\"", 1);
    size_t plain = 0; // start of the stretch that needs no escape
    for (size_t at = 0, taken; at < text->text.size; at += taken) {
        uint32_t c = jinja_utf8_decode(text->text.bytes + at, text->text.size - at, &taken);
        if (c >= 0x20 && c != '"' && c != '\\' && (!ascii || c < 0x7f)) continue;
        jinja_build(b, text->text.bytes + plain, at - plain);
        plain = at + taken;
        size_t k = 0;
        while (named[k] != 0 && (uint32_t)named[k] != c) k += 2;
        if (named[k] != 0) {
            char escape[2] = {'\\', named[k + 1]};
            jinja_build(b, escape, 2);
        } else if (c > 0xffff) {
            escape_unit(b, 0xd7c0 + (c >> 10));
            escape_unit(b, 0xdc00 + (c & 0x3ff));
        } else
            escape_unit(b, c);
    }
    jinja_build(b, text->text.bytes + plain, text->text.size - plain);
    jinja_build(b, "\"", 1);
}

/* A scalar as JSON; false for other values. */
static bool print_scalar(JinjaBuilder *b, const JinjaValue *value) {
    char number[32];
    switch ((JinjaType)value->type) {
    case JINJA_NONE:
        jinja_build_text(b, "null");
        return true;
    case JINJA_BOOL:
        jinja_build_text(b, value->truth ? "true" : "false");
        return true;
    case JINJA_INT:
        jinja_build(b, number, (size_t)snprintf(number, sizeof number, "%" PRId64, value->integer));
        return true;
    case JINJA_FLOAT:
        if (isnan(value->real))
            jinja_build_text(b, "NaN");
        else if (isinf(value->real))
            jinja_build_text(b, value->real < 0 ? "-Infinity" : "Infinity");
        else
            jinja_build(b, number, jinja_print_float(value->real, number));
        return true;
    default:
        return false;
    }
}

static int print_key(JinjaBuilder *b, const JinjaValue *key, bool ascii) {
    if (key->type == JINJA_STRING) {
        print_text(b, key, ascii);
        return 0;
    }
    jinja_build(b, "\"", 1);
    if (!print_scalar(b, key))
        return jinja_fail(b->run, "tojson: a dict has a key of type %s, which JSON cannot hold", jinja_type_name(key));
    jinja_build(b, "\"", 1);
    return 0;
}

static int print_value(JinjaBuilder *b, const JinjaValue *value, const JinjaJsonStyle *style, size_t level);

static void new_line(JinjaBuilder *b, const JinjaJsonStyle *style, size_t level) {
    if (!style->indented) return;
    jinja_build(b, "\n", 1);
    jinja_build_fill(b, style->indent.text.bytes, style->indent.text.size, level);
}

static int print_list(JinjaBuilder *b, const JinjaValue *list, const JinjaJsonStyle *style, size_t level) {
    jinja_build(b, "[", 1);
    for (size_t i = 0; i < list->list.count; i++) {
        if (i > 0) jinja_build(b, style->item_separator.text.bytes, style->item_separator.text.size);
        new_line(b, style, level + 1);
        if (print_value(b, &list->list.item[i], style, level + 1) != 0) return -1;
    }
    if (list->list.count > 0) new_line(b, style, level);
    jinja_build(b, "]", 1);
    return 0;
}

static int print_dict(JinjaBuilder *b, const JinjaEntry *entry, size_t count, const JinjaJsonStyle *style,
                      size_t level) {
    jinja_build(b, "{", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) jinja_build(b, style->item_separator.text.bytes, style->item_separator.text.size);
        new_line(b, style, level + 1);
        if (print_key(b, &entry[i].key, style->ascii) != 0) return -1;
        jinja_build(b, style->key_separator.text.bytes, style->key_separator.text.size);
        if (print_value(b, &entry[i].value, style, level + 1) != 0) return -1;
    }
    if (count > 0) new_line(b, style, level);
    jinja_build(b, "}", 1);
    return 0;
}

/* Insertion keeps equal work bounded: charged n^2 / 4 steps at most. */
static int print_sorted(JinjaBuilder *b, const JinjaValue *dict, const JinjaJsonStyle *style, size_t level) {
    JinjaEntry *sorted = jinja_take(b->run, dict->dict.count, sizeof *sorted);
    if (sorted == NULL) return -1;
    for (size_t i = 0; i < dict->dict.count; i++) {
        size_t at = i;
        for (int order; at > 0; at--) {
            if (jinja_order(b->run, &sorted[at - 1].key, &dict->dict.entry[i].key, "<", &order) != 0) return -1;
            if (order <= 0) break;
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = dict->dict.entry[i];
    }
    return print_dict(b, sorted, dict->dict.count, style, level);
}

static int print_nested(JinjaBuilder *b, const JinjaValue *value, const JinjaJsonStyle *style, size_t level) {
    if (value->type != JINJA_DICT) return print_list(b, value, style, level);
    if (style->sorted) return print_sorted(b, value, style, level);
    return print_dict(b, value->dict.entry, value->dict.count, style, level);
}

static int print_value(JinjaBuilder *b, const JinjaValue *value, const JinjaJsonStyle *style, size_t level) {
    if (jinja_charge(b->run, 1) != 0) return -1;
    if (value->type == JINJA_STRING)
        print_text(b, value, style->ascii);
    else if (value->type == JINJA_LIST || value->type == JINJA_TUPLE || value->type == JINJA_DICT) {
        if (jinja_enter(b->run) != 0) return -1;
        int status = print_nested(b, value, style, level);
        jinja_leave(b->run);
        if (status != 0) return -1;
    } else if (!print_scalar(b, value))
        return jinja_fail(b->run, "tojson: a value of type %s cannot be written as JSON", jinja_type_name(value));
    return b->failed ? -1 : 0;
}

int jinja_print_json(JinjaBuilder *b, const JinjaValue *value, const JinjaJsonStyle *style) {
    return print_value(b, value, style, 0);
}
