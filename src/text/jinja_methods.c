/* The methods of str, list, tuple and dict. Those that change a list or dict are listed without a function: the sandbox
 * knows them only to forbid them. */
#include "text/jinja_builtin.h"
#include "text/jinja_format.h"
#include "text/jinja_string.h"
#include "text/jinja_utf8.h"

#include <string.h>

#define METHOD(name)                                                                                                   \
    static int name(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, const JinjaArguments *all,      \
                    JinjaValue *out)
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* An optional text: NULL where it is missing or None. */
static int optional_text(JinjaRun *run, const JinjaValue *argument, const char *name, JinjaValue *room,
                         const JinjaValue **out) {
    *out = NULL;
    if (argument->type == JINJA_ABSENT || argument->type == JINJA_NONE) return 0;
    *out = room;
    return jinja_argument_text(run, argument, name, room);
}

static int strip(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, bool left, bool right,
                 JinjaValue *out) {
    JinjaValue room;
    const JinjaValue *chars;
    if (optional_text(run, argument, "chars", &room, &chars) != 0) return -1;
    return jinja_string_strip(run, self, chars, left, right, out);
}

METHOD(str_strip) { return (void)all, strip(run, self, argument, true, true, out); }
METHOD(str_lstrip) { return (void)all, strip(run, self, argument, true, false, out); }
METHOD(str_rstrip) { return (void)all, strip(run, self, argument, false, true, out); }
METHOD(str_lower) { return (void)all, (void)argument, jinja_string_case(run, self, JINJA_LOWER, out); }
METHOD(str_upper) { return (void)all, (void)argument, jinja_string_case(run, self, JINJA_UPPER, out); }
METHOD(str_title) { return (void)all, (void)argument, jinja_string_case(run, self, JINJA_TITLE, out); }
METHOD(str_capitalize) { return (void)all, (void)argument, jinja_string_case(run, self, JINJA_CAPITALIZE, out); }
METHOD(str_swapcase) { return (void)all, (void)argument, jinja_string_case(run, self, JINJA_SWAP, out); }

static int split(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, bool right, JinjaValue *out) {
    JinjaValue room;
    const JinjaValue *separator;
    int64_t count;
    if (optional_text(run, &argument[0], "sep", &room, &separator) != 0) return -1;
    if (jinja_argument_int(run, &argument[1], "maxsplit", -1, &count) != 0) return -1;
    return jinja_string_split(run, self, separator, count, right, out);
}

METHOD(str_split) { return (void)all, split(run, self, argument, false, out); }
METHOD(str_rsplit) { return (void)all, split(run, self, argument, true, out); }

METHOD(str_splitlines) {
    (void)all;
    return jinja_string_lines(run, self, jinja_truth(&argument[0]), out);
}

METHOD(str_replace) {
    (void)all;
    JinjaValue old, with;
    int64_t count;
    if (jinja_argument_text(run, &argument[0], "old", &old) != 0 ||
        jinja_argument_text(run, &argument[1], "new", &with) != 0)
        return -1;
    if (jinja_argument_int(run, &argument[2], "count", -1, &count) != 0) return -1;
    return jinja_string_replace(run, self, &old, &with, count, out);
}

/* The arguments (what, start, end) of find and its like: the part of self to look in. *inside: it begins within self.
 */
static int window(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, JinjaValue *part, size_t *offset,
                  bool *inside) {
    static const char *const names[] = {"start", "end"};
    int64_t bound[2] = {0, INT64_MAX};
    for (int i = 0; i < 2; i++)
        if (argument[1 + i].type != JINJA_NONE &&
            jinja_argument_int(run, &argument[1 + i], names[i], bound[i], &bound[i]) != 0)
            return -1;
    *offset = 0;
    *inside = true;
    *part = *self;
    if (argument[1].type == JINJA_ABSENT && argument[2].type == JINJA_ABSENT) return 0;
    *inside = jinja_string_window(self, bound[0], bound[1], part, offset);
    return jinja_charge_text(run, self->text.size);
}

/* startswith and endswith: one text or a tuple of them. */
static int affix(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument,
                 bool (*holds)(const JinjaValue *, const JinjaValue *), JinjaValue *out) {
    JinjaValue part, fix;
    size_t offset, count = argument[0].type == JINJA_TUPLE ? argument[0].list.count : 1;
    const JinjaValue *one = argument[0].type == JINJA_TUPLE ? argument[0].list.item : &argument[0];
    bool inside, found = false;
    if (window(run, self, argument, &part, &offset, &inside) != 0) return -1;
    for (size_t i = 0; i < count && !found; i++) {
        if (jinja_argument_text(run, &one[i], "prefix", &fix) != 0) return -1;
        found = inside && holds(&part, &fix);
    }
    *out = jinja_bool(found);
    return jinja_charge(run, count);
}

METHOD(str_startswith) { return (void)all, affix(run, self, argument, jinja_string_begins, out); }
METHOD(str_endswith) { return (void)all, affix(run, self, argument, jinja_string_ends, out); }

/* find, rfind, index and rindex. */
static int find(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, bool last, bool must,
                JinjaValue *out) {
    JinjaValue what, part;
    size_t offset, at;
    bool inside;
    if (jinja_argument_text(run, &argument[0], "sub", &what) != 0 ||
        window(run, self, argument, &part, &offset, &inside) != 0)
        return -1;
    int found = inside ? jinja_string_find(run, &part, &what, last, &at) : 0;
    if (found < 0) return -1;
    if (must && found == 0) return jinja_fail(run, "the text looked for is not there");
    *out = jinja_int(found > 0 ? (int64_t)(offset + jinja_utf8_count(part.text.bytes, at)) : -1);
    return found > 0 ? jinja_charge_text(run, at) : 0;
}

METHOD(str_find) { return (void)all, find(run, self, argument, false, false, out); }
METHOD(str_rfind) { return (void)all, find(run, self, argument, true, false, out); }
METHOD(str_index) { return (void)all, find(run, self, argument, false, true, out); }
METHOD(str_rindex) { return (void)all, find(run, self, argument, true, true, out); }

METHOD(str_count) {
    (void)all;
    JinjaValue what, part;
    size_t offset, at;
    int64_t count = 0;
    int found = 1;
    bool inside;
    if (jinja_argument_text(run, &argument[0], "sub", &what) != 0 ||
        window(run, self, argument, &part, &offset, &inside) != 0)
        return -1;
    if (inside && what.text.size == 0) count = (int64_t)jinja_utf8_count(part.text.bytes, part.text.size) + 1;
    while (inside && what.text.size > 0 && (found = jinja_string_find(run, &part, &what, false, &at)) > 0) {
        count++;
        part.text.bytes += at + what.text.size;
        part.text.size -= at + what.text.size;
    }
    *out = jinja_int(count);
    return found < 0 ? -1 : jinja_charge_text(run, self->text.size);
}

static int pad(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, JinjaAlign align, JinjaValue *out) {
    JinjaValue fill = jinja_literal(" ");
    int64_t width;
    if (jinja_argument_int(run, &argument[0], "width", 0, &width) != 0) return -1;
    if (argument[1].type != JINJA_ABSENT && jinja_argument_text(run, &argument[1], "fillchar", &fill) != 0) return -1;
    if (jinja_utf8_count(fill.text.bytes, fill.text.size) != 1)
        return jinja_fail(run, "the fill of a text must be one character");
    return jinja_string_pad(run, self, width, &fill, align, out);
}

METHOD(str_center) { return (void)all, pad(run, self, argument, JINJA_ALIGN_CENTER, out); }
METHOD(str_ljust) { return (void)all, pad(run, self, argument, JINJA_ALIGN_LEFT, out); }
METHOD(str_rjust) { return (void)all, pad(run, self, argument, JINJA_ALIGN_RIGHT, out); }

METHOD(str_zfill) {
    (void)all;
    JinjaValue zero = jinja_literal("0"), digits = *self;
    int64_t width;
    bool sign = self->text.size > 0 && (self->text.bytes[0] == '-' || self->text.bytes[0] == '+');
    if (jinja_argument_int(run, &argument[0], "width", 0, &width) != 0) return -1;
    if (!sign) return jinja_string_pad(run, self, width, &zero, JINJA_ALIGN_RIGHT, out);
    digits.text.bytes++;
    digits.text.size--;
    if (jinja_string_pad(run, &digits, width < 1 ? 0 : width - 1, &zero, JINJA_ALIGN_RIGHT, &digits) != 0) return -1;
    JinjaBuilder b = jinja_builder(run);
    jinja_build(&b, self->text.bytes, 1);
    jinja_build(&b, digits.text.bytes, digits.text.size);
    return jinja_built(&b, out);
}

METHOD(str_join) {
    (void)all;
    const JinjaValue *item;
    size_t count;
    if (jinja_items(run, &argument[0], &item, &count) != 0) return -1;
    return jinja_string_join(run, self, item, count, false, out);
}

static int partition(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, bool last, JinjaValue *out) {
    JinjaValue separator, *item = jinja_take(run, 3, sizeof *item), nothing = jinja_string("", 0);
    size_t at;
    if (item == NULL || jinja_argument_text(run, &argument[0], "sep", &separator) != 0) return -1;
    if (separator.text.size == 0) return jinja_fail(run, "a text cannot be split at an empty separator");
    int found = jinja_string_find(run, self, &separator, last, &at);
    if (found < 0) return -1;
    size_t behind = found ? at + separator.text.size : 0;
    item[0] = found ? jinja_string(self->text.bytes, at) : last ? nothing : *self;
    item[1] = found ? separator : nothing;
    item[2] = found ? jinja_string(self->text.bytes + behind, self->text.size - behind) : last ? *self : nothing;
    *out = jinja_list(JINJA_TUPLE, item, 3);
    return 0;
}

METHOD(str_partition) { return (void)all, partition(run, self, argument, false, out); }
METHOD(str_rpartition) { return (void)all, partition(run, self, argument, true, out); }

METHOD(str_removeprefix) {
    (void)all;
    JinjaValue fix;
    if (jinja_argument_text(run, &argument[0], "prefix", &fix) != 0) return -1;
    size_t n = jinja_string_begins(self, &fix) ? fix.text.size : 0;
    *out = jinja_string(self->text.bytes + n, self->text.size - n);
    return 0;
}

METHOD(str_removesuffix) {
    (void)all;
    JinjaValue fix;
    if (jinja_argument_text(run, &argument[0], "suffix", &fix) != 0) return -1;
    *out = jinja_string(self->text.bytes, self->text.size - (jinja_string_ends(self, &fix) ? fix.text.size : 0));
    return 0;
}

METHOD(str_format) { return (void)argument, jinja_format_braces(run, self, all, out); }

/* Every character is of one of two classes, and there is one. */
static int every(JinjaRun *run, const JinjaValue *self, JinjaCharClass class, JinjaCharClass other, JinjaValue *out) {
    bool holds = self->text.size > 0;
    for (size_t at = 0, taken; holds && at < self->text.size; at += taken) {
        uint32_t c = jinja_utf8_decode(self->text.bytes + at, self->text.size - at, &taken);
        holds = jinja_char_is(c, class) || jinja_char_is(c, other);
    }
    *out = jinja_bool(holds);
    return jinja_charge_text(run, self->text.size);
}

METHOD(str_isalpha) { return (void)all, (void)argument, every(run, self, JINJA_CHAR_LETTER, JINJA_CHAR_LETTER, out); }
METHOD(str_isalnum) { return (void)all, (void)argument, every(run, self, JINJA_CHAR_LETTER, JINJA_CHAR_NUMERIC, out); }
METHOD(str_isdecimal) {
    return (void)all, (void)argument, every(run, self, JINJA_CHAR_DECIMAL, JINJA_CHAR_DECIMAL, out);
}
METHOD(str_isdigit) { return (void)all, (void)argument, every(run, self, JINJA_CHAR_DIGIT, JINJA_CHAR_DIGIT, out); }
METHOD(str_isnumeric) {
    return (void)all, (void)argument, every(run, self, JINJA_CHAR_NUMERIC, JINJA_CHAR_NUMERIC, out);
}
METHOD(str_isspace) { return (void)all, (void)argument, every(run, self, JINJA_CHAR_SPACE, JINJA_CHAR_SPACE, out); }

METHOD(str_isprintable) {
    if (every(run, self, JINJA_CHAR_PRINTABLE, JINJA_CHAR_PRINTABLE, out) != 0) return -1;
    (void)all, (void)argument;
    if (self->text.size == 0) *out = jinja_bool(true);
    return 0;
}

METHOD(str_isascii) {
    (void)all, (void)argument;
    bool ascii = true;
    for (size_t i = 0; i < self->text.size; i++) ascii = ascii && (unsigned char)self->text.bytes[i] < 0x80;
    *out = jinja_bool(ascii);
    return jinja_charge_text(run, self->text.size);
}

/* Some letter has this case and none the other one. */
static int all_cased(JinjaRun *run, const JinjaValue *self, JinjaCharClass class, JinjaValue *out) {
    bool some = false, other = false;
    for (size_t at = 0, taken; at < self->text.size; at += taken) {
        uint32_t c = jinja_utf8_decode(self->text.bytes + at, self->text.size - at, &taken);
        bool is = jinja_char_is(c, class);
        some = some || is;
        other = other || (!is && jinja_char_is(c, JINJA_CHAR_CASED));
    }
    *out = jinja_bool(some && !other);
    return jinja_charge_text(run, self->text.size);
}

METHOD(str_islower) { return (void)all, (void)argument, all_cased(run, self, JINJA_CHAR_LOWER, out); }
METHOD(str_isupper) { return (void)all, (void)argument, all_cased(run, self, JINJA_CHAR_UPPER, out); }

METHOD(str_istitle) {
    (void)all, (void)argument;
    bool some = false, holds = true, before = false;
    for (size_t at = 0, taken; at < self->text.size; at += taken) {
        uint32_t c = jinja_utf8_decode(self->text.bytes + at, self->text.size - at, &taken);
        bool large = jinja_char_is(c, JINJA_CHAR_TITLE), cased = jinja_char_is(c, JINJA_CHAR_CASED);
        holds = holds && (!cased || large != before);
        some = some || cased;
        before = cased;
    }
    *out = jinja_bool(some && holds);
    return jinja_charge_text(run, self->text.size);
}

METHOD(list_count) {
    (void)all;
    int64_t found = 0;
    for (size_t i = 0; i < self->list.count; i++) {
        bool equal;
        if (jinja_equal(run, &self->list.item[i], &argument[0], &equal) != 0) return -1;
        found += equal;
    }
    *out = jinja_int(found);
    return 0;
}

METHOD(list_index) {
    (void)all;
    for (size_t i = 0; i < self->list.count; i++) {
        bool equal;
        if (jinja_equal(run, &self->list.item[i], &argument[0], &equal) != 0) return -1;
        *out = jinja_int((int64_t)i);
        if (equal) return 0;
    }
    return jinja_fail(run, "the value looked for is not in the list");
}

METHOD(self_copy) {
    (void)all, (void)argument, (void)run;
    *out = *self;
    return 0;
}

METHOD(dict_get) {
    (void)all;
    const JinjaValue *found = NULL;
    if (!jinja_hashable(&argument[0]))
        return jinja_fail(run, "a value of type %s cannot be the key of a dict", jinja_type_name(&argument[0]));
    if (jinja_dict_get(run, self, &argument[0], &found) != 0) return -1;
    *out = found != NULL ? *found : argument[1].type != JINJA_ABSENT ? argument[1] : jinja_none();
    return 0;
}

static JinjaValue view(const JinjaValue *dict, JinjaView which) {
    JinjaValue out = *dict;
    out.type = JINJA_VIEW;
    out.detail = (uint8_t)which;
    return out;
}

METHOD(dict_keys) { return (void)all, (void)argument, (void)run, *out = view(self, JINJA_KEYS), 0; }
METHOD(dict_values) { return (void)all, (void)argument, (void)run, *out = view(self, JINJA_VALUES), 0; }
METHOD(dict_items) { return (void)all, (void)argument, (void)run, *out = view(self, JINJA_PAIRS), 0; }

static const JinjaBuiltin str_methods[] = {
    {"strip", str_strip, "chars?"},
    {"lstrip", str_lstrip, "chars?"},
    {"rstrip", str_rstrip, "chars?"},
    {"split", str_split, "sep? maxsplit?"},
    {"rsplit", str_rsplit, "sep? maxsplit?"},
    {"splitlines", str_splitlines, "keepends?"},
    {"replace", str_replace, "old new count?"},
    {"startswith", str_startswith, "prefix start? end?"},
    {"endswith", str_endswith, "suffix start? end?"},
    {"find", str_find, "sub start? end?"},
    {"rfind", str_rfind, "sub start? end?"},
    {"index", str_index, "sub start? end?"},
    {"rindex", str_rindex, "sub start? end?"},
    {"count", str_count, "sub start? end?"},
    {"lower", str_lower, ""},
    {"upper", str_upper, ""},
    {"title", str_title, ""},
    {"capitalize", str_capitalize, ""},
    {"swapcase", str_swapcase, ""},
    {"casefold", str_lower, ""},
    {"center", str_center, "width fillchar?"},
    {"ljust", str_ljust, "width fillchar?"},
    {"rjust", str_rjust, "width fillchar?"},
    {"zfill", str_zfill, "width"},
    {"join", str_join, "iterable"},
    {"partition", str_partition, "sep"},
    {"rpartition", str_rpartition, "sep"},
    {"removeprefix", str_removeprefix, "prefix"},
    {"removesuffix", str_removesuffix, "suffix"},
    {"format", str_format, "*"},
    {"isalpha", str_isalpha, ""},
    {"isalnum", str_isalnum, ""},
    {"isdecimal", str_isdecimal, ""},
    {"isdigit", str_isdigit, ""},
    {"isnumeric", str_isnumeric, ""},
    {"isspace", str_isspace, ""},
    {"isprintable", str_isprintable, ""},
    {"isascii", str_isascii, ""},
    {"islower", str_islower, ""},
    {"isupper", str_isupper, ""},
    {"istitle", str_istitle, ""},
};

static const JinjaBuiltin list_methods[] = {
    {"count", list_count, "value"},
    {"index", list_index, "value"},
    {"copy", self_copy, ""},
    {"append", NULL, ""},
    {"clear", NULL, ""},
    {"extend", NULL, ""},
    {"insert", NULL, ""},
    {"pop", NULL, ""},
    {"remove", NULL, ""},
    {"reverse", NULL, ""},
    {"sort", NULL, ""},
};

static const JinjaBuiltin tuple_methods[] = {{"count", list_count, "value"}, {"index", list_index, "value"}};

static const JinjaBuiltin dict_methods[] = {
    {"get", dict_get, "key default?"}, {"keys", dict_keys, ""}, {"values", dict_values, ""}, {"items", dict_items, ""},
    {"copy", self_copy, ""},           {"clear", NULL, ""},     {"pop", NULL, ""},           {"popitem", NULL, ""},
    {"setdefault", NULL, ""},          {"update", NULL, ""},
};

static const JinjaBuiltins methods[JINJA_METHOD_TYPES] = {
    [JINJA_METHODS_STRING] = {str_methods, COUNT(str_methods)},
    [JINJA_METHODS_LIST] = {list_methods, COUNT(list_methods)},
    [JINJA_METHODS_TUPLE] = {tuple_methods, COUNT(tuple_methods)},
    [JINJA_METHODS_DICT] = {dict_methods, COUNT(dict_methods)},
};

int jinja_method_type(const JinjaValue *value) {
    switch ((JinjaType)value->type) {
    case JINJA_STRING:
        return JINJA_METHODS_STRING;
    case JINJA_LIST:
        return JINJA_METHODS_LIST;
    case JINJA_TUPLE:
        return JINJA_METHODS_TUPLE;
    case JINJA_DICT:
        return JINJA_METHODS_DICT;
    default:
        return -1;
    }
}

const JinjaBuiltin *jinja_method_find(int type, const JinjaValue *name) {
    return jinja_builtin_find(&methods[type], name);
}
