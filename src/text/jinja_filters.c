/* The filters of texts and numbers, and the table of all. */
#include "text/jinja_filters.h"
#include "text/jinja_format.h"
#include "text/jinja_literal.h"
#include "text/jinja_operator.h"
#include "text/jinja_print.h"
#include "text/jinja_string.h"
#include "text/jinja_utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name) static JINJA_FILTER(name)

/* self as text (what every filter of texts begins with) in its case. */
static int in_case(JinjaRun *run, const JinjaValue *self, JinjaCaseStyle style, JinjaValue *out) {
    JinjaValue text;
    return jinja_to_text(run, self, &text) != 0 ? -1 : jinja_string_case(run, &text, style, out);
}

FILTER(upper) { return (void)all, (void)argument, in_case(run, self, JINJA_UPPER, out); }
FILTER(lower) { return (void)all, (void)argument, in_case(run, self, JINJA_LOWER, out); }
FILTER(title) { return (void)all, (void)argument, in_case(run, self, JINJA_TITLE_WORDS, out); }
FILTER(capitalize) { return (void)all, (void)argument, in_case(run, self, JINJA_CAPITALIZE, out); }
FILTER(string) { return (void)all, (void)argument, jinja_to_text(run, self, out); }

FILTER(trim) {
    (void)all;
    JinjaValue text, chars;
    bool given = jinja_given(&argument[0]);
    if (jinja_to_text(run, self, &text) != 0 || (given && jinja_argument_text(run, &argument[0], "chars", &chars) != 0))
        return -1;
    return jinja_string_strip(run, &text, given ? &chars : NULL, true, true, out);
}

FILTER(replace) {
    (void)all;
    JinjaValue text, old, with;
    int64_t count = -1;
    if (jinja_to_text(run, self, &text) != 0 || jinja_to_text(run, &argument[0], &old) != 0 ||
        jinja_to_text(run, &argument[1], &with) != 0)
        return -1;
    if (argument[2].type != JINJA_NONE && jinja_argument_int(run, &argument[2], "count", -1, &count) != 0) return -1;
    return jinja_string_replace(run, &text, &old, &with, count, out);
}

FILTER(center) {
    (void)all;
    JinjaValue text, blank = jinja_literal(" ");
    int64_t width;
    if (jinja_to_text(run, self, &text) != 0 || jinja_argument_int(run, &argument[0], "width", 80, &width) != 0)
        return -1;
    return jinja_string_pad(run, &text, width, &blank, JINJA_ALIGN_CENTER, out);
}

FILTER(escape) {
    (void)all, (void)argument;
    JinjaValue text;
    if (jinja_to_text(run, self, &text) != 0) return -1;
    JinjaBuilder b = jinja_builder(run);
    for (size_t i = 0; i < text.text.size; i++) {
        const char *c = text.text.bytes + i;
        const char *name = *c == '&'    ? "&amp;"
                           : *c == '<'  ? "&lt;"
                           : *c == '>'  ? "&gt;"
                           : *c == '"'  ? "&#34;"
                           : *c == '\'' ? "&#39;"
                                        : NULL;
        if (name != NULL)
            jinja_build_text(&b, name);
        else
            jinja_build(&b, c, 1);
    }
    return jinja_built(&b, out);
}

FILTER(format) {
    (void)argument;
    JinjaValue text, values = all->keywords > 0 ? jinja_dict(all->keyword, all->keywords)
                                                : jinja_list(JINJA_TUPLE, all->value, all->count);
    if (all->keywords > 0 && all->count > 0)
        return jinja_fail(run, "format takes values by place or by name, not both");
    return jinja_to_text(run, self, &text) != 0 ? -1 : jinja_format_percent(run, &text, &values, out);
}

FILTER(indent) {
    (void)all;
    JinjaValue text, lines, by;
    JinjaBuilder b = jinja_builder(run), blanks = jinja_builder(run);
    int64_t width = 4;
    bool first = jinja_truth(&argument[1]), blank = jinja_truth(&argument[2]);
    if (jinja_argument_text(run, self, "s", &text) != 0) return -1;
    if (argument[0].type != JINJA_STRING) {
        if (jinja_argument_int(run, &argument[0], "width", 4, &width) != 0) return -1;
        jinja_build_fill(&blanks, " ", 1, width < 0 ? 0 : (size_t)width);
        if (jinja_built(&blanks, &by) != 0) return -1;
    } else
        by = argument[0];
    jinja_build(&b, text.text.bytes, text.text.size);
    jinja_build_text(&b, "\n"); // so that a newline at the end makes a line
    if (jinja_built(&b, &text) != 0 || jinja_string_lines(run, &text, false, &lines) != 0) return -1;
    b = jinja_builder(run);
    for (size_t i = 0; i < lines.list.count; i++) {
        const JinjaValue *line = &lines.list.item[i];
        if (i > 0) jinja_build_text(&b, "\n");
        if (i == 0 ? first : blank || line->text.size > 0) jinja_build(&b, by.text.bytes, by.text.size);
        jinja_build(&b, line->text.bytes, line->text.size);
    }
    return jinja_built(&b, out);
}

FILTER(truncate) {
    (void)all;
    JinjaValue text, end = jinja_literal("..."), part;
    int64_t length, leeway = 5;
    size_t offset, at, size = 0;
    if (jinja_argument_int(run, &argument[0], "length", 255, &length) != 0) return -1;
    if (argument[2].type != JINJA_ABSENT && jinja_argument_text(run, &argument[2], "end", &end) != 0) return -1;
    if (argument[3].type != JINJA_NONE && jinja_argument_int(run, &argument[3], "leeway", 5, &leeway) != 0) return -1;
    int64_t tail = (int64_t)jinja_utf8_count(end.text.bytes, end.text.size);
    if (length < tail || leeway < 0)
        return jinja_fail(run, "truncate needs a length of at least %lld, and a leeway of at least 0", (long long)tail);
    if (!jinja_length(self, &size)) return jinja_fail(run, "a value of type %s has no length", jinja_type_name(self));
    *out = *self;
    if ((int64_t)size - length <= leeway) return 0;
    if (jinja_argument_text(run, self, "s", &text) != 0 || jinja_charge_text(run, text.text.size) != 0) return -1;
    jinja_string_window(&text, 0, length - tail, &part, &offset);
    JinjaValue space = jinja_literal(" ");
    int found = jinja_truth(&argument[1]) ? 0 : jinja_string_find(run, &part, &space, true, &at);
    if (found < 0) return -1;
    if (found > 0) part.text.size = at;
    JinjaValue both[2] = {part, end};
    return jinja_join(run, both, 2, out);
}

FILTER(wordcount) {
    (void)all, (void)argument;
    JinjaValue text;
    int64_t words = 0;
    bool inside = false;
    if (jinja_to_text(run, self, &text) != 0 || jinja_charge_text(run, text.text.size) != 0) return -1;
    for (size_t at = 0, taken; at < text.text.size; at += taken) {
        uint32_t c = jinja_utf8_decode(text.text.bytes + at, text.text.size - at, &taken);
        bool word = c == '_' || jinja_char_is(c, JINJA_CHAR_LETTER) || jinja_char_is(c, JINJA_CHAR_NUMERIC);
        words += word && !inside;
        inside = word;
    }
    *out = jinja_int(words);
    return 0;
}

FILTER(default_value) {
    (void)run, (void)all;
    bool missing = self->type == JINJA_UNDEFINED || (jinja_truth(&argument[1]) && !jinja_truth(self));
    *out = !missing ? *self : argument[0].type == JINJA_ABSENT ? jinja_string("", 0) : argument[0];
    return 0;
}

/* A real as a whole number, towards zero; false beyond 64 bits. */
static bool truncated(double real, JinjaValue *out) {
    if (!(fabs(real) < 0x1p63)) return false;
    *out = jinja_int((int64_t)real);
    return true;
}

FILTER(to_int) {
    (void)all;
    int64_t base, whole;
    bool valid = false;
    double real;
    if (self->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, self);
    if (jinja_argument_int(run, &argument[1], "base", 10, &base) != 0) return -1;
    if (base != 0 && (base < 2 || base > 36)) return jinja_fail(run, "int needs a base of 0 or 2 to 36");
    *out = argument[0].type == JINJA_ABSENT ? jinja_int(0) : argument[0];
    if (jinja_is_whole(self))
        *out = jinja_int(jinja_whole(self));
    else if (self->type == JINJA_FLOAT) {
        if (!truncated(self->real, out) && isfinite(self->real))
            return jinja_fail_code(run, ERROR_UNSUPPORTED, "a whole number does not fit into 64 bits");
    } else if (self->type == JINJA_STRING) {
        if (jinja_charge_text(run, self->text.size) != 0) return -1;
        if (jinja_read_int(run, self->text.bytes, self->text.size, (unsigned)base, &whole, &valid) != 0) return -1;
        if (valid)
            *out = jinja_int(whole);
        else if (jinja_read_real(self->text.bytes, self->text.size, &real))
            truncated(real, out); // "42.23" is 42
    }
    return 0;
}

FILTER(to_float) {
    (void)all;
    double real;
    if (self->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, self);
    *out = argument[0].type == JINJA_ABSENT ? jinja_float(0) : argument[0];
    if (jinja_is_number(self))
        *out = jinja_float(jinja_real(self));
    else if (self->type == JINJA_STRING && jinja_read_real(self->text.bytes, self->text.size, &real))
        *out = jinja_float(real);
    return 0;
}

FILTER(absolute) {
    (void)all, (void)argument;
    if (self->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, self);
    if (!jinja_is_number(self))
        return jinja_fail(run, "abs needs a number, but got a value of type %s", jinja_type_name(self));
    if (self->type == JINJA_FLOAT)
        *out = jinja_float(fabs(self->real));
    else if (jinja_whole(self) < 0)
        return jinja_negate(run, self, out);
    else
        *out = jinja_int(jinja_whole(self));
    return 0;
}

FILTER(rounded) {
    (void)all;
    int64_t precision;
    char digits[512];
    if (self->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, self);
    if (!jinja_is_number(self))
        return jinja_fail(run, "round needs a number, but got a value of type %s", jinja_type_name(self));
    if (jinja_argument_int(run, &argument[0], "precision", 0, &precision) != 0) return -1;
    if (precision < -18 || precision > 100) return jinja_fail(run, "round needs a precision of -18 to 100");
    double real = jinja_real(self), scale = pow(10, (double)precision);
    bool ceiling = jinja_text_is(&argument[1], "ceil"), floors = jinja_text_is(&argument[1], "floor");
    if (argument[1].type != JINJA_ABSENT && !ceiling && !floors && !jinja_text_is(&argument[1], "common"))
        return jinja_fail(run, "round knows the methods common, ceil and floor");
    if (ceiling || floors)
        *out = jinja_float((ceiling ? ceil(real * scale) : floor(real * scale)) / scale);
    else if (self->type != JINJA_FLOAT)
        *out = jinja_int(precision >= 0 ? jinja_whole(self) : (int64_t)(rint(real * scale) / scale));
    else if (precision < 0)
        *out = jinja_float(rint(real * scale) / scale);
    else { // printf rounds the exact value, half to even, as Python does
        snprintf(digits, sizeof digits, "%.*f", (int)precision, real);
        *out = jinja_float(strtod(digits, NULL));
    }
    return 0;
}

FILTER(attribute) {
    (void)all;
    JinjaValue name;
    if (jinja_argument_text(run, &argument[0], "name", &name) != 0) return -1;
    if (self->type == JINJA_DICT) { // only methods: items are not looked at
        JinjaValue nothing = jinja_dict(NULL, 0);
        const JinjaBuiltin *method[JINJA_METHOD_TYPES] = {[JINJA_METHODS_DICT] =
                                                              jinja_method_find(JINJA_METHODS_DICT, &name)};
        return jinja_attribute(run, method[JINJA_METHODS_DICT] != NULL ? self : &nothing, &name, method, out);
    }
    return self->type == JINJA_NAMESPACE ? jinja_attribute(run, self, &name, NULL, out)
                                         : jinja_item(run, self, &name, out);
}

/* indent of json.dumps: None, a number of blanks, or a text. */
static int json_indent(JinjaRun *run, const JinjaValue *argument, JinjaJsonStyle *style) {
    int64_t width;
    style->indented = jinja_given(argument);
    style->indent = *argument;
    if (!style->indented || argument->type == JINJA_STRING) return 0;
    if (jinja_argument_int(run, argument, "indent", 0, &width) != 0) return -1;
    JinjaBuilder b = jinja_builder(run);
    jinja_build_fill(&b, " ", 1, width < 0 ? 0 : (size_t)width);
    return jinja_built(&b, &style->indent);
}

/* json.dumps as transformers sets it up. */
FILTER(to_json) {
    (void)all;
    JinjaJsonStyle style = {.ascii = jinja_truth(&argument[0]), .sorted = jinja_truth(&argument[3])};
    if (json_indent(run, &argument[1], &style) != 0) return -1;
    style.item_separator = jinja_literal(style.indented ? "," : ", ");
    style.key_separator = jinja_literal(": ");
    if (jinja_given(&argument[2])) {
        const JinjaValue *item;
        size_t count;
        if (jinja_items(run, &argument[2], &item, &count) != 0) return -1;
        if (count != 2) return jinja_fail(run, "separators must be two texts: between items and behind keys");
        if (jinja_argument_text(run, &item[0], "separators", &style.item_separator) != 0) return -1;
        if (jinja_argument_text(run, &item[1], "separators", &style.key_separator) != 0) return -1;
    }
    JinjaBuilder b = jinja_builder(run);
    return jinja_print_json(&b, self, &style) != 0 ? -1 : jinja_built(&b, out);
}

static const JinjaBuiltin filters[] = {
    {"trim", trim, "chars?"},
    {"tojson", to_json, "ensure_ascii? indent? separators? sort_keys?"},
    {"length", jinja_filter_length, ""},
    {"count", jinja_filter_length, ""},
    {"join", jinja_filter_join, "d? attribute?"},
    {"default", default_value, "default_value? boolean?"},
    {"d", default_value, "default_value? boolean?"},
    {"list", jinja_filter_list, ""},
    {"string", string, ""},
    {"int", to_int, "default? base?"},
    {"float", to_float, "default?"},
    {"upper", upper, ""},
    {"lower", lower, ""},
    {"title", title, ""},
    {"capitalize", capitalize, ""},
    {"replace", replace, "old new count?"},
    {"first", jinja_filter_first, ""},
    {"last", jinja_filter_last, ""},
    {"items", jinja_filter_items, ""},
    {"map", jinja_filter_map, "*"},
    {"select", jinja_filter_select, "*"},
    {"reject", jinja_filter_reject, "*"},
    {"selectattr", jinja_filter_selectattr, "*"},
    {"rejectattr", jinja_filter_rejectattr, "*"},
    {"reverse", jinja_filter_reverse, ""},
    {"sort", jinja_filter_sort, "reverse? case_sensitive? attribute?"},
    {"dictsort", jinja_filter_dictsort, "case_sensitive? by? reverse?"},
    {"unique", jinja_filter_unique, "case_sensitive? attribute?"},
    {"groupby", jinja_filter_groupby, "attribute default? case_sensitive?"},
    {"min", jinja_filter_min, "case_sensitive? attribute?"},
    {"max", jinja_filter_max, "case_sensitive? attribute?"},
    {"sum", jinja_filter_sum, "attribute? start?"},
    {"batch", jinja_filter_batch, "linecount fill_with?"},
    {"slice", jinja_filter_slice, "slices fill_with?"},
    {"indent", indent, "width? first? blank?"},
    {"truncate", truncate, "length? killwords? end? leeway?"},
    {"wordcount", wordcount, ""},
    {"center", center, "width?"},
    {"format", format, "*"},
    {"abs", absolute, ""},
    {"round", rounded, "precision? method?"},
    {"attr", attribute, "name"},
    {"escape", escape, ""},
    {"e", escape, ""},
    {"forceescape", escape, ""},
    {"safe", string, ""},
};

const JinjaBuiltins jinja_filters = {filters, sizeof filters / sizeof filters[0]};

bool jinja_filter_known(const JinjaValue *name) {
    static const char *const missing[] = {"filesizeformat", "pprint", "random",   "striptags",
                                          "urlencode",      "urlize", "wordwrap", "xmlattr"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        if (jinja_text_is(name, missing[i])) return true;
    return false;
}
