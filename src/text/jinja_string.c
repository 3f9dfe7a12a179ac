#include "text/jinja_string.h"
#include "text/jinja_print.h"
#include "text/jinja_utf8.h"

#include <string.h>

/* 1 where a character goes, 0 where it stays, -1 beyond the run's steps. */
static int is_stripped(JinjaRun *run, uint32_t c, const JinjaValue *chars) {
    if (chars == NULL) return jinja_char_is(c, JINJA_CHAR_SPACE);
    if (jinja_charge_text(run, chars->text.size) != 0) return -1;
    for (size_t at = 0, taken; at < chars->text.size; at += taken)
        if (jinja_utf8_decode(chars->text.bytes + at, chars->text.size - at, &taken) == c) return 1;
    return 0;
}

int jinja_string_strip(JinjaRun *run, const JinjaValue *text, const JinjaValue *chars, bool left, bool right,
                       JinjaValue *out) {
    const char *bytes = text->text.bytes;
    size_t begin = 0, end = text->text.size, taken;
    int goes = 1;
    while (left && begin < end) {
        if ((goes = is_stripped(run, jinja_utf8_decode(bytes + begin, end - begin, &taken), chars)) <= 0) break;
        begin += taken;
    }
    while (right && begin < end && goes >= 0) {
        size_t n = jinja_utf8_size_before(bytes + begin, end - begin);
        if ((goes = is_stripped(run, jinja_utf8_decode(bytes + end - n, n, &taken), chars)) <= 0) break;
        end -= n;
    }
    if (goes < 0 || jinja_charge_text(run, text->text.size - (end - begin)) != 0) return -1;
    *out = jinja_string(bytes + begin, end - begin);
    return 0;
}

static bool is_ascii(const JinjaValue *text) {
    for (size_t i = 0; i < text->text.size; i++)
        if ((unsigned char)text->text.bytes[i] >= 0x80) return false;
    return true;
}

static bool begins_word(uint32_t before) {
    return before == '-' || before == '(' || before == '{' || before == '[' || before == '<' ||
           jinja_char_is(before, JINJA_CHAR_SPACE);
}

/* The case that the letter c takes behind the letter `before`. */
static JinjaCase case_of(JinjaCaseStyle style, uint32_t c, uint32_t before, bool first) {
    switch (style) {
    case JINJA_LOWER:
        return JINJA_CASE_LOWER;
    case JINJA_UPPER:
        return JINJA_CASE_UPPER;
    case JINJA_CAPITALIZE:
        return first ? JINJA_CASE_TITLE : JINJA_CASE_LOWER;
    case JINJA_TITLE:
        return !first && jinja_char_is(before, JINJA_CHAR_CASED) ? JINJA_CASE_LOWER : JINJA_CASE_TITLE;
    case JINJA_TITLE_WORDS:
        return first || begins_word(before) ? JINJA_CASE_UPPER : JINJA_CASE_LOWER;
    default:
        return jinja_char_is(c, JINJA_CHAR_UPPER) ? JINJA_CASE_LOWER : JINJA_CASE_UPPER;
    }
}

int jinja_string_case(JinjaRun *run, const JinjaValue *text, JinjaCaseStyle style, JinjaValue *out) {
    const char *bytes = text->text.bytes;
    size_t size = text->text.size;
    if (style <= JINJA_UPPER && is_ascii(text)) {
        char *copy = jinja_take_bytes(run, size);
        if (copy == NULL || jinja_charge_text(run, size) != 0) return -1;
        char low = style == JINJA_LOWER ? 'A' : 'a';
        for (size_t i = 0; i < size; i++)
            copy[i] = (char)(bytes[i] >= low && bytes[i] < low + 26 ? bytes[i] ^ 0x20 : bytes[i]);
        *out = jinja_string(copy, size);
        return 0;
    }
    JinjaBuilder b = jinja_builder(run);
    jinja_build_room(&b, size);
    uint32_t before = 0, letters[3];
    for (size_t at = 0, taken; at < size; at += taken) {
        uint32_t c = jinja_utf8_decode(bytes + at, size - at, &taken);
        JinjaCase to = case_of(style, c, before, at == 0);
        size_t n = jinja_char_case(c, to, letters), ahead;
        bool word_goes_on =
            at + taken < size &&
            jinja_char_is(jinja_utf8_decode(bytes + at + taken, size - at - taken, &ahead), JINJA_CHAR_LETTER);
        if (c == 0x3a3 && to == JINJA_CASE_LOWER && !word_goes_on && jinja_char_is(before, JINJA_CHAR_LETTER))
            letters[0] = 0x3c2; // final sigma
        for (size_t i = 0; i < n; i++) jinja_build_char(&b, letters[i]);
        before = c;
    }
    return jinja_built(&b, out);
}

/* `with` around and between all characters: what Python does for an empty `old`. */
static void replace_nothing(JinjaBuilder *b, const JinjaValue *text, const JinjaValue *with, int64_t count) {
    size_t at = 0;
    for (; count != 0 && !b->failed; count -= count > 0) {
        jinja_build(b, with->text.bytes, with->text.size);
        if (at == text->text.size) return;
        size_t n = jinja_utf8_size(text->text.bytes + at, text->text.size - at);
        jinja_build(b, text->text.bytes + at, n);
        at += n;
    }
    jinja_build(b, text->text.bytes + at, text->text.size - at);
}

int jinja_string_replace(JinjaRun *run, const JinjaValue *text, const JinjaValue *old, const JinjaValue *with,
                         int64_t count, JinjaValue *out) {
    JinjaBuilder b = jinja_builder(run);
    if (old->text.size == 0) {
        replace_nothing(&b, text, with, count);
        return jinja_built(&b, out);
    }
    JinjaValue rest = *text;
    size_t at;
    int found = 1;
    for (; count != 0 && !b.failed && (found = jinja_string_find(run, &rest, old, false, &at)) > 0;
         count -= count > 0) {
        jinja_build_room(&b, rest.text.size);
        jinja_build(&b, rest.text.bytes, at);
        jinja_build(&b, with->text.bytes, with->text.size);
        rest.text.bytes += at + old->text.size;
        rest.text.size -= at + old->text.size;
    }
    if (found < 0) return -1;
    if (rest.text.size == text->text.size) {
        *out = *text;
        return jinja_charge_text(run, text->text.size);
    }
    jinja_build(&b, rest.text.bytes, rest.text.size);
    return jinja_built(&b, out);
}

/* A list of texts that grows. */
typedef struct {
    JinjaRun *run;
    JinjaValue *item;
    size_t count, capacity;
} Parts;

static int add_part(Parts *parts, const char *bytes, size_t size) {
    if (parts->count == parts->capacity) {
        size_t capacity = parts->capacity == 0 ? 4 : 2 * parts->capacity;
        JinjaValue *grown = jinja_take(parts->run, capacity, sizeof *grown);
        if (grown == NULL) return -1;
        if (parts->count > 0) memcpy(grown, parts->item, parts->count * sizeof *grown);
        parts->item = grown;
        parts->capacity = capacity;
    }
    parts->item[parts->count++] = jinja_string(bytes, size);
    return jinja_charge_text(parts->run, size);
}

static int split_at(Parts *parts, const JinjaValue *text, const JinjaValue *separator, int64_t count, bool right) {
    JinjaValue rest = *text;
    size_t at;
    int found = 1;
    for (; count != 0 && (found = jinja_string_find(parts->run, &rest, separator, right, &at)) > 0;
         count -= count > 0) {
        size_t behind = at + separator->text.size;
        int status = right ? add_part(parts, rest.text.bytes + behind, rest.text.size - behind)
                           : add_part(parts, rest.text.bytes, at);
        if (status != 0) return -1;
        if (!right) rest.text.bytes += behind;
        rest.text.size = right ? at : rest.text.size - behind;
    }
    return found < 0 ? -1 : add_part(parts, rest.text.bytes, rest.text.size);
}

/* Bytes of the blanks (or of what is not blank) at one end. */
static size_t span(const JinjaValue *text, bool blank, bool right) {
    size_t size = text->text.size, n = 0, taken;
    while (n < size) {
        const char *c = text->text.bytes + (right ? size - n - jinja_utf8_size_before(text->text.bytes, size - n) : n);
        if (jinja_char_is(jinja_utf8_decode(c, right ? size - n - (size_t)(c - text->text.bytes) : size - n, &taken),
                          JINJA_CHAR_SPACE) != blank)
            break;
        n += taken;
    }
    return n;
}

/* Takes `n` bytes off one end. */
static JinjaValue cut(JinjaValue *text, size_t n, bool right) {
    JinjaValue part = jinja_string(text->text.bytes + (right ? text->text.size - n : 0), n);
    if (!right) text->text.bytes += n;
    text->text.size -= n;
    return part;
}

static int split_words(Parts *parts, const JinjaValue *text, int64_t count, bool right) {
    for (JinjaValue rest = *text;; count -= count > 0) {
        cut(&rest, span(&rest, true, right), right);
        if (rest.text.size == 0) return 0;
        JinjaValue word = count == 0 ? rest : cut(&rest, span(&rest, false, right), right);
        if (add_part(parts, word.text.bytes, word.text.size) != 0) return -1;
        if (count == 0) return 0;
    }
}

int jinja_string_split(JinjaRun *run, const JinjaValue *text, const JinjaValue *separator, int64_t count, bool right,
                       JinjaValue *out) {
    Parts parts = {.run = run};
    if (separator != NULL && separator->text.size == 0)
        return jinja_fail(run, "a text cannot be split at an empty separator");
    int status =
        separator != NULL ? split_at(&parts, text, separator, count, right) : split_words(&parts, text, count, right);
    for (size_t i = 0; right && i < parts.count / 2; i++) {
        JinjaValue other = parts.item[i];
        parts.item[i] = parts.item[parts.count - 1 - i];
        parts.item[parts.count - 1 - i] = other;
    }
    *out = jinja_list(JINJA_LIST, parts.item, parts.count);
    return status != 0 ? -1 : jinja_charge_text(run, text->text.size);
}

int jinja_string_lines(JinjaRun *run, const JinjaValue *text, bool keep_ends, JinjaValue *out) {
    Parts parts = {.run = run};
    const char *bytes = text->text.bytes;
    size_t size = text->text.size;
    for (size_t at = 0, begin = 0, taken; at < size;) {
        uint32_t c = jinja_utf8_decode(bytes + at, size - at, &taken);
        size_t end = at;
        at += taken;
        if (!jinja_char_is(c, JINJA_CHAR_LINE_END)) {
            if (at < size) continue;
            end = at;
        } else if (c == '\r' && at < size && bytes[at] == '\n')
            at++;
        if (add_part(&parts, bytes + begin, (keep_ends ? at : end) - begin) != 0) return -1;
        begin = at;
    }
    *out = jinja_list(JINJA_LIST, parts.item, parts.count);
    return 0;
}

bool jinja_string_window(const JinjaValue *text, int64_t start, int64_t end, JinjaValue *part, size_t *offset) {
    int64_t count = (int64_t)jinja_utf8_count(text->text.bytes, text->text.size);
    if (end > count)
        end = count;
    else if (end < 0)
        end = end + count < 0 ? 0 : end + count;
    if (start < 0) start = start + count < 0 ? 0 : start + count;
    *offset = (size_t)start;
    if (start > end) return false;
    size_t begin = jinja_utf8_offset(text->text.bytes, text->text.size, (size_t)start);
    *part = jinja_string(text->text.bytes + begin,
                         jinja_utf8_offset(text->text.bytes + begin, text->text.size - begin, (size_t)(end - start)));
    return true;
}

int jinja_string_find(JinjaRun *run, const JinjaValue *text, const JinjaValue *part, bool last, size_t *at) {
    const char *bytes = text->text.bytes;
    size_t size = text->text.size, n = part->text.size;
    *at = last ? size : 0;
    if (n == 0) return 1;
    if (n > size) return 0;
    if (!last) {
        const char *found = memmem(bytes, size, part->text.bytes, n);
        *at = found == NULL ? 0 : (size_t)(found - bytes);
        return jinja_charge_text(run, found == NULL ? size : *at) != 0 ? -1 : found != NULL;
    }
    for (size_t end = size - n + 1; end > 0; end = *at) { // candidates from the right, each charged
        const char *found = memrchr(bytes, part->text.bytes[0], end);
        if (jinja_charge_text(run, n + (found == NULL ? end : end - (size_t)(found - bytes))) != 0) return -1;
        if (found == NULL) return 0;
        *at = (size_t)(found - bytes);
        if (memcmp(found, part->text.bytes, n) == 0) return 1;
    }
    return 0;
}

bool jinja_string_begins(const JinjaValue *text, const JinjaValue *part) {
    size_t n = part->text.size;
    return n == 0 || (n <= text->text.size && memcmp(text->text.bytes, part->text.bytes, n) == 0);
}

bool jinja_string_ends(const JinjaValue *text, const JinjaValue *part) {
    size_t n = part->text.size;
    return n == 0 || (n <= text->text.size && memcmp(text->text.bytes + text->text.size - n, part->text.bytes, n) == 0);
}

int jinja_string_pad(JinjaRun *run, const JinjaValue *text, int64_t width, const JinjaValue *fill, JinjaAlign align,
                     JinjaValue *out) {
    size_t count = jinja_utf8_count(text->text.bytes, text->text.size);
    size_t missing = width > 0 && (size_t)width > count ? (size_t)width - count : 0;
    // str.center puts the odd one to the left where both the gap and the width are odd
    size_t left = align == JINJA_ALIGN_LEFT    ? 0
                  : align == JINJA_ALIGN_RIGHT ? missing
                                               : missing / 2 + (missing & (size_t)width & 1);
    JinjaBuilder b = jinja_builder(run);
    jinja_build_fill(&b, fill->text.bytes, fill->text.size, left);
    jinja_build(&b, text->text.bytes, text->text.size);
    jinja_build_fill(&b, fill->text.bytes, fill->text.size, missing - left);
    return jinja_built(&b, out);
}

int jinja_string_join(JinjaRun *run, const JinjaValue *separator, const JinjaValue *item, size_t count, bool convert,
                      JinjaValue *out) {
    JinjaBuilder b = jinja_builder(run);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) jinja_build(&b, separator->text.bytes, separator->text.size);
        if (item[i].type != JINJA_STRING && !convert)
            return item[i].type == JINJA_UNDEFINED
                       ? jinja_fail_undefined(run, &item[i])
                       : jinja_fail(run, "only texts can be joined, but item %zu is a value of type %s", i,
                                    jinja_type_name(&item[i]));
        if (jinja_print(&b, &item[i]) != 0) return -1;
    }
    return jinja_charge(run, count) != 0 ? -1 : jinja_built(&b, out);
}
