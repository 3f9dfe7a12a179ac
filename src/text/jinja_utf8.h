/* jinja_utf8.h - the code points of UTF-8 text, and what Python's str methods ask of them.
 *
 * Text in the engine is valid UTF-8 (jansson and the lexer see to that); these functions never read past `size` where
 * it is not, and then treat a stray byte as one character. Unicode properties come from utf8proc. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at the start of `size` >= 1 bytes. */
size_t jinja_utf8_size(const char *bytes, size_t size);
/* Bytes of the character that ends at `size` >= 1. */
size_t jinja_utf8_size_before(const char *bytes, size_t size);
/* Number of code points. */
size_t jinja_utf8_count(const char *bytes, size_t size);
/* Byte offset of the code point with that index (<= size). */
size_t jinja_utf8_offset(const char *bytes, size_t size, size_t index);
/* The code point at the start of `size` >= 1 bytes; *taken is its size. */
uint32_t jinja_utf8_decode(const char *bytes, size_t size, size_t *taken);
/* Writes 1 to 4 bytes and returns how many. */
size_t jinja_utf8_encode(uint32_t c, char out[4]);
/* False for overlong forms, surrogates and values over U+10FFFF; then *at is the first bad byte. */
bool jinja_utf8_valid(const char *bytes, size_t size, size_t *at);

typedef enum {
    JINJA_CHAR_SPACE,
    JINJA_CHAR_LINE_END,
    JINJA_CHAR_PRINTABLE,
    JINJA_CHAR_LETTER,
    JINJA_CHAR_DECIMAL,
    JINJA_CHAR_DIGIT,
    JINJA_CHAR_NUMERIC,
    JINJA_CHAR_LOWER,
    JINJA_CHAR_UPPER,
    JINJA_CHAR_TITLE, // upper or title case
    JINJA_CHAR_CASED
} JinjaCharClass;

/* As Python's isspace, isprintable, ... for one character. */
bool jinja_char_is(uint32_t c, JinjaCharClass class);

typedef enum { JINJA_CASE_LOWER, JINJA_CASE_UPPER, JINJA_CASE_TITLE } JinjaCase;
/* The 1 to 3 code points that c becomes. */
size_t jinja_char_case(uint32_t c, JinjaCase to, uint32_t out[3]);
