#include "text/jinja_literal.h"
#include "text/jinja_builder.h"
#include "text/jinja_utf8.h"

#include <stdlib.h>
#include <string.h>

/* Value of a digit, or 99. */
static unsigned digit(char c) {
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A') + 10;
    return 99;
}

/* \xhh, \uhhhh, \Uhhhhhhhh: exactly `digits` of them. */
static int read_code(JinjaBuilder *b, const char *bytes, size_t size, size_t digits) {
    uint32_t c = 0;
    for (size_t i = 0; i < digits; i++) {
        unsigned d = i < size ? digit(bytes[i]) : 99;
        if (d > 15) return jinja_fail(b->run, "an escape in a text needs %zu hexadecimal digits", digits);
        c = c << 4 | d;
    }
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return jinja_fail(b->run, "the escape U+%04X in a text is not a character", (unsigned)c);
    jinja_build_char(b, c);
    return 0;
}

/* What follows a backslash; *taken is its length without it. */
static int read_escape(JinjaBuilder *b, const char *bytes, size_t size, size_t *taken) {
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char c = bytes[0];
    *taken = 1;
    if (c == '\n') return 0; // the line goes on
    for (size_t i = 0; plain[i] != 0; i += 2)
        if (plain[i] == c) {
            jinja_build(b, &plain[i + 1], 1);
            return 0;
        }
    if (c == 'x' || c == 'u' || c == 'U') {
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        *taken = 1 + digits;
        return read_code(b, bytes + 1, size - 1, digits);
    }
    if (c >= '0' && c <= '7') {
        uint32_t code = 0;
        for (*taken = 0; *taken < 3 && *taken < size && bytes[*taken] >= '0' && bytes[*taken] <= '7'; ++*taken)
            code = code * 8 + (uint32_t)(bytes[*taken] - '0');
        jinja_build_char(b, code);
        return 0;
    }
    if (c == 'N')
        return jinja_fail_code(b->run, ERROR_UNSUPPORTED,
                               "escapes by name (\\N{...}) are not supported in a chat template");
    jinja_build(b, "\\", 1); // unknown: both stay
    *taken = 0;
    return 0;
}

int jinja_read_text(JinjaRun *run, const char *bytes, size_t size, JinjaValue *value, size_t *taken) {
    size_t end = 1;
    while (end < size && bytes[end] != bytes[0]) end += bytes[end] == '\\' ? 2 : 1;
    if (end >= size) return jinja_fail(run, "the text that begins here does not end; %c was expected", bytes[0]);
    *taken = end + 1;
    if (memchr(bytes + 1, '\\', end - 1) == NULL) {
        *value = jinja_string(bytes + 1, end - 1);
        return 0;
    }
    JinjaBuilder b = jinja_builder(run);
    jinja_build_room(&b, end);
    for (size_t at = 1; at < end;) {
        if (bytes[at] != '\\') {
            jinja_build(&b, &bytes[at++], 1);
            continue;
        }
        size_t escape;
        if (read_escape(&b, bytes + at + 1, end - at - 1, &escape) != 0) return -1;
        at += 1 + escape;
    }
    return jinja_built(&b, value);
}

/* Digits in a base of 2 to 36 as a value; ERROR_UNSUPPORTED beyond 64 bits. Underscores are skipped. */
static int read_whole(JinjaRun *run, const char *digits, size_t size, unsigned base, bool negative, int64_t *whole) {
    int64_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (digits[i] == '_') continue;
        int64_t d = digit(digits[i]);
        if (__builtin_mul_overflow(n, (int64_t)base, &n) || __builtin_add_overflow(n, negative ? -d : d, &n))
            return jinja_fail_code(run, ERROR_UNSUPPORTED, "the whole number %.*s does not fit into 64 bits",
                                   (int)(size < 40 ? size : 40), digits);
    }
    *whole = n;
    return 0;
}

/* Length of digits of `base` with single underscores between them. */
static size_t span_digits(const char *bytes, size_t size, unsigned base) {
    size_t n = 0;
    while (n < size &&
           (digit(bytes[n]) < base || (bytes[n] == '_' && n > 0 && n + 1 < size && digit(bytes[n + 1]) < base)))
        n++;
    return n;
}

/* Length of a real number: digits, then a fraction, an exponent or both. 0 where it is none. */
static size_t span_real(const char *bytes, size_t size) {
    size_t n = span_digits(bytes, size, 10), whole = n;
    if (n + 1 < size && bytes[n] == '.') {
        size_t fraction = span_digits(bytes + n + 1, size - n - 1, 10);
        if (fraction > 0) n += 1 + fraction;
    }
    if (n < size && (bytes[n] == 'e' || bytes[n] == 'E')) {
        size_t sign = n + 1 < size && (bytes[n + 1] == '+' || bytes[n + 1] == '-');
        size_t exponent = span_digits(bytes + n + 1 + sign, size - n - 1 - sign, 10);
        if (exponent > 0) return n + 1 + sign + exponent;
    }
    return n > whole ? n : 0;
}

/* strtod of a span that is no C string, without its underscores. */
static int read_span(JinjaRun *run, const char *bytes, size_t size, JinjaValue *value) {
    char *copy = jinja_take(run, size + 1, 1);
    if (copy == NULL) return -1;
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != '_') copy[n++] = bytes[i];
    *value = jinja_float(strtod(copy, NULL));
    return 0;
}

int jinja_read_number(JinjaRun *run, const char *bytes, size_t size, bool real, JinjaValue *value, size_t *taken) {
    size_t n = real ? span_real(bytes, size) : 0;
    if (n > 0) {
        *taken = n;
        return read_span(run, bytes, n, value);
    }
    char mark = (char)(size > 1 && bytes[0] == '0' ? bytes[1] | 0x20 : 0);
    unsigned base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    size_t prefix = base == 10 ? 0 : 2;
    if (prefix > 0 && size > 2 && bytes[2] == '_') prefix = 3;
    n = base == 10 ? 0 : span_digits(bytes + prefix, size - prefix, base);
    if (n == 0) {
        base = bytes[0] == '0' ? 1 : 10; // 0_0 is a number, 01 is two of them
        prefix = 0;
        n = span_digits(bytes, size, base);
    }
    int64_t whole;
    if (read_whole(run, bytes + prefix, n, base, false, &whole) != 0) return -1;
    *value = jinja_int(whole);
    *taken = prefix + n;
    return 0;
}

static void strip(const char **bytes, size_t *size) {
    size_t taken;
    while (*size > 0 && jinja_char_is(jinja_utf8_decode(*bytes, *size, &taken), JINJA_CHAR_SPACE)) {
        *bytes += taken;
        *size -= taken;
    }
    while (*size > 0) {
        size_t n = jinja_utf8_size_before(*bytes, *size);
        if (!jinja_char_is(jinja_utf8_decode(*bytes + *size - n, n, &taken), JINJA_CHAR_SPACE)) break;
        *size -= n;
    }
}

bool jinja_read_real(const char *bytes, size_t size, double *real) {
    strip(&bytes, &size);
    char copy[400];
    size_t n = 0;
    if (size == 0 || size >= sizeof copy || memchr(bytes, 0, size) != NULL) return false;
    for (size_t i = 0; i < size; i++) {
        bool between = i > 0 && i + 1 < size && digit(bytes[i - 1]) < 10 && digit(bytes[i + 1]) < 10;
        if (bytes[i] == 'x' || bytes[i] == 'X' || bytes[i] == '(' || (bytes[i] == '_' && !between)) return false;
        if (bytes[i] != '_') copy[n++] = bytes[i];
    }
    copy[n] = 0;
    char *end;
    if ((unsigned char)copy[0] <= ' ') return false;
    *real = strtod(copy, &end);
    return *end == 0;
}

int jinja_read_int(JinjaRun *run, const char *bytes, size_t size, unsigned base, int64_t *whole, bool *valid) {
    strip(&bytes, &size);
    bool negative = size > 0 && bytes[0] == '-';
    size_t at = size > 0 && (negative || bytes[0] == '+');
    char mark = (char)(size > at + 1 && bytes[at] == '0' ? bytes[at + 1] | 0x20 : 0);
    unsigned marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    bool prefixed = marked != 0 && (base == marked || base == 0);
    if (prefixed) {
        at += 2;
        base = marked;
        if (at < size && bytes[at] == '_') at++;
    }
    if (base == 0) base = 10;
    *valid = at < size && span_digits(bytes + at, size - at, base) == size - at;
    return *valid ? read_whole(run, bytes + at, size - at, base, negative, whole) : 0;
}
