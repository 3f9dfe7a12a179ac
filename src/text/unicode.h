/* unicode.h - UTF-8 and the classes of code points, as the tokenizers' references see them.
 *
 * Pre-tokenizer patterns speak of \p{L}, \p{N} and \s. The libraries at hand know older or newer Unicode than the
 * reference, so the general categories of Unicode 16 are here, as a table of two stages.
 * UTF-8 is strict: no surrogates, no overlong forms, nothing above U+10FFFF. What is broken is replaced by U+FFFD, one
 * for each maximal beginning of a character [UC-1] (Unicode 16, section 3.9; Python and Rust do the same). Source:
 * UnicodeData of Unicode 16.0.0 through tools/make_unicode_tables.py; classes held against those measured in tokenizers
 * 0.23.3 [UC-2]. Claims: [UC-n] are checked by tests/unit/test_unicode.c. */
#pragma once
#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNICODE_INVALID 0xffffffffu
#define UNICODE_REPLACEMENT "\xef\xbf\xbd" // U+FFFD

/* The code point that the bytes s[0..n), n >= 1, begin with, and its length in bytes. UNICODE_INVALID where they do not
 * begin with a character; then the length is that of what one U+FFFD stands for. */
size_t unicode_decode(const char *s, size_t n, uint32_t *code);
/* Writes 1 to 4 bytes; code must be a scalar value. */
size_t unicode_encode(uint32_t code, char out[4]);
/* The number of bytes before the first that is not UTF-8; n where all are. */
size_t unicode_valid_prefix(const char *s, size_t n);
/* The number of bytes (0 to 3) at the end that more bytes could complete to a character. */
size_t unicode_incomplete_suffix(const char *s, size_t n);
/* Appends with U+FFFD for what is not UTF-8. */
void unicode_append_lossy(Buffer *out, const char *s, size_t n);

/* The general category as a bit. */
enum {
    UNICODE_UNASSIGNED = 1 << 0,
    UNICODE_LU = 1 << 1,
    UNICODE_LL = 1 << 2,
    UNICODE_LT = 1 << 3,
    UNICODE_LM = 1 << 4,
    UNICODE_LO = 1 << 5,
    UNICODE_LETTER = 31 << 1,
    UNICODE_MARK = 7 << 6,
    UNICODE_ND = 1 << 9,
    UNICODE_NL = 1 << 10,
    UNICODE_NUMBER = 7 << 9,
    UNICODE_PC = 1 << 12,
    UNICODE_PUNCTUATION = 127 << 12,
    UNICODE_SYMBOL = 15 << 19,
    UNICODE_SEPARATOR = 7 << 23,
    UNICODE_CONTROL = 1 << 26
};
uint32_t unicode_category(uint32_t code);

bool unicode_is_space(uint32_t code);   // \s of the patterns: White_Space
bool unicode_is_numeric(uint32_t code); // Rust's is_numeric: Nd, Nl, No of Unicode 17
bool unicode_is_word(uint32_t code);    // \w of Rust's regex
