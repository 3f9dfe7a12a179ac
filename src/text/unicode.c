#include "text/unicode.h"
#include "text/unicode_tables.h"

#include <string.h>

size_t unicode_decode(const char *s, size_t n, uint32_t *code) {
    const unsigned char *p = (const unsigned char *)s;
    *code = p[0];
    if (p[0] < 0x80) return 1;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    *code = UNICODE_INVALID;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 1;
    // Only the second byte has narrower bounds than 80..BF: against overlong forms, surrogates and beyond U+10FFFF.
    unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    uint32_t value = p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i == n || p[i] < low || p[i] > high) return i;
        value = value << 6 | (p[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *code = value;
    return length;
}

size_t unicode_encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80u | (code & 0x3fu));
    out[0] = (char)((0xf00u >> length & 0xffu) | code);
    return length;
}

size_t unicode_valid_prefix(const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (i + 8 <= n && (memcpy(&eight, s + i, 8), (eight & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        uint32_t code;
        size_t length = unicode_decode(s + i, n - i, &code);
        if (code == UNICODE_INVALID) return i;
        i += length;
    }
    return n;
}

size_t unicode_incomplete_suffix(const char *s, size_t n) {
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        unsigned char lead = (unsigned char)s[n - k];
        if (lead < 0x80) return 0;
        if (lead < 0xc0) continue;
        uint32_t code;
        size_t needs = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
        return needs > k && lead >= 0xc2 && lead <= 0xf4 && unicode_decode(s + n - k, k, &code) == k ? k : 0;
    }
    return 0;
}

void unicode_append_lossy(Buffer *out, const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t good = unicode_valid_prefix(s + i, n - i);
        if (good > 0) buffer_append(out, s + i, good);
        i += good;
        if (i == n) break;
        uint32_t code;
        i += unicode_decode(s + i, n - i, &code);
        buffer_append(out, UNICODE_REPLACEMENT, 3);
    }
}

uint32_t unicode_category(uint32_t code) {
    if (code < UNICODE_BLOCKS_END) return 1u << (unicode_block[unicode_block_of[code / 64] * 64u + code % 64] - 'A');
    for (size_t i = 0; i < UNICODE_RANGES; i++)
        if (code <= unicode_range[i].last)
            return code >= unicode_range[i].first ? 1u << unicode_range[i].category : UNICODE_UNASSIGNED;
    return UNICODE_UNASSIGNED;
}

bool unicode_is_space(uint32_t code) {
    if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13);
    return code == 0x85 || code == 0xa0 || (code >= 0x1680 && (unicode_category(code) & UNICODE_SEPARATOR));
}

bool unicode_is_numeric(uint32_t code) {
    if (code < 0x80) return code >= '0' && code <= '9';
    if (unicode_category(code) & UNICODE_NUMBER) return true;
    return (code >= 0x11de0 && code <= 0x11de9) || (code >= 0x16ff4 && code <= 0x16ff6); // new in Unicode 17
}

bool unicode_is_word(uint32_t code) {
    if (unicode_category(code) & (UNICODE_LETTER | UNICODE_MARK | UNICODE_ND | UNICODE_NL | UNICODE_PC)) return true;
    // Join_Control, and the circled and squared letters, which are Alphabetic though not letters.
    return code == 0x200c || code == 0x200d || (code >= 0x24b6 && code <= 0x24e9) ||
           (code >= 0x1f130 && code <= 0x1f149) || (code >= 0x1f150 && code <= 0x1f169) ||
           (code >= 0x1f170 && code <= 0x1f189);
}
