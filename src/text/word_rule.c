#include "text/word_rule.h"
#include "text/unicode.h"

#include <stdint.h>

enum { OTHER = 0, LETTER = 1, NUMBER = 2, SPACE = 4, NEWLINE = 8 }; // \r and \n are SPACE and NEWLINE

#define FOUR(x) x, x, x, x
#define ALPHABET FOUR(LETTER), FOUR(LETTER), FOUR(LETTER), FOUR(LETTER), FOUR(LETTER), FOUR(LETTER), LETTER, LETTER
static const uint8_t ascii_class[128] = {
    [9] = SPACE,    [10] = SPACE | NEWLINE, [11] = SPACE,   [12] = SPACE,   [13] = SPACE | NEWLINE, [' '] = SPACE,
    ['0'] = NUMBER, ['1'] = NUMBER,         ['2'] = NUMBER, ['3'] = NUMBER, ['4'] = NUMBER,         ['5'] = NUMBER,
    ['6'] = NUMBER, ['7'] = NUMBER,         ['8'] = NUMBER, ['9'] = NUMBER, ['A'] = ALPHABET,       ['a'] = ALPHABET};

/* The class of the character at `at` and its length in bytes. */
static inline unsigned class_at(const char *text, size_t n, size_t at, size_t *length) {
    unsigned char byte = (unsigned char)text[at];
    if (byte < 0x80) {
        *length = 1;
        return ascii_class[byte];
    }
    uint32_t code;
    *length = unicode_decode(text + at, n - at, &code);
    uint32_t category = unicode_category(code);
    if (category & UNICODE_LETTER) return LETTER;
    if (category & UNICODE_NUMBER) return NUMBER;
    return unicode_is_space(code) ? SPACE : OTHER;
}

/* The end of the run of characters of exactly this class. */
static inline size_t run_end(const char *text, size_t n, size_t at, unsigned class) {
    size_t length;
    while (at < n && class_at(text, n, at, &length) == class) at += length;
    return at;
}

/* \s+(?!\S)|\s+ : a run of spaces leaves its last one to the word behind it. */
static size_t space_end(const char *text, size_t n, size_t at) {
    size_t first = at, last = at, length;
    while (at < n && (class_at(text, n, at, &length) & SPACE)) {
        last = at;
        at += length;
    }
    return at == n || last == first ? at : last;
}

/* The length of 's, 't, 're, 've, 'm, 'll or 'd at `at`, 0 where there is none. */
static size_t contraction(const char *text, size_t n, size_t at, bool any_case) {
    if (text[at] != '\'' || at + 1 == n) return 0;
    unsigned fold = any_case ? 0x20 : 0; // letters differ in this bit; no other character becomes one of those below
    unsigned a = (unsigned char)text[at + 1] | fold, b = at + 2 < n ? (unsigned char)text[at + 2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l')) return 3;
    // U+017F, the long s, is an s in another case.
    return any_case && (unsigned char)text[at + 1] == 0xc5 && at + 2 < n && (unsigned char)text[at + 2] == 0xbf ? 3 : 0;
}

size_t word_rule_gpt2(const char *text, size_t n, size_t at) {
    size_t length = contraction(text, n, at, false), start = at;
    if (length > 0) return at + length;
    unsigned class = class_at(text, n, at, &length);
    if (text[at] == ' ' && at + 1 < n) {
        size_t second;
        unsigned next = class_at(text, n, at + 1, &second);
        if (!(next & SPACE)) {
            class = next;
            at++;
            length = second;
        }
    }
    return class & SPACE ? space_end(text, n, start) : run_end(text, n, at + length, class);
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last line break of the run, or as space_end. */
static size_t space_or_line_end(const char *text, size_t n, size_t at) {
    size_t length, line_end = at;
    unsigned class;
    for (size_t i = at; i < n && ((class = class_at(text, n, i, &length)) & SPACE);) {
        i += length;
        if (class & NEWLINE) line_end = i;
    }
    return line_end > at ? line_end : space_end(text, n, at);
}

size_t word_rule_llama3(const char *text, size_t n, size_t at, size_t digits) {
    size_t length = contraction(text, n, at, true), second = 0;
    if (length > 0) return at + length;
    unsigned class = class_at(text, n, at, &length);
    if (class == LETTER) return run_end(text, n, at + length, LETTER);
    if (class == NUMBER) {
        for (at += length; --digits > 0 && at < n && class_at(text, n, at, &length) == NUMBER;) at += length;
        return at;
    }
    unsigned next = at + length < n ? class_at(text, n, at + length, &second) : SPACE;
    if (next == LETTER && !(class & NEWLINE)) return run_end(text, n, at + length + second, LETTER);
    if (class == OTHER || (text[at] == ' ' && next == OTHER)) {
        at = run_end(text, n, at + length, OTHER);
        while (at < n && (text[at] == '\r' || text[at] == '\n')) at++;
        return at;
    }
    return space_or_line_end(text, n, at);
}
