#include "text/jinja_utf8.h"

#include <string.h>
#include <utf8proc.h>

/* Size that a lead byte announces; 1 for a stray continuation byte. */
static size_t announced(unsigned char lead) {
    return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 1;
}

size_t jinja_utf8_size(const char *bytes, size_t size) {
    size_t n = announced((unsigned char)bytes[0]);
    return n <= size ? n : size;
}

size_t jinja_utf8_size_before(const char *bytes, size_t size) {
    size_t n = 1;
    while (n < size && n < 4 && ((unsigned char)bytes[size - n] & 0xc0) == 0x80) n++;
    return announced((unsigned char)bytes[size - n]) == n ? n : 1;
}

size_t jinja_utf8_count(const char *bytes, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

size_t jinja_utf8_offset(const char *bytes, size_t size, size_t index) {
    size_t at = 0;
    for (; index > 0 && at < size; index--) at += jinja_utf8_size(bytes + at, size - at);
    return at;
}

uint32_t jinja_utf8_decode(const char *bytes, size_t size, size_t *taken) {
    unsigned char lead = (unsigned char)bytes[0];
    *taken = jinja_utf8_size(bytes, size);
    uint32_t c = *taken == 1 ? lead : lead & (0x7fu >> *taken);
    for (size_t i = 1; i < *taken; i++) c = c << 6 | ((unsigned char)bytes[i] & 0x3fu);
    return c;
}

size_t jinja_utf8_encode(uint32_t c, char out[4]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> size & 0xf0) | c);
    return size;
}

bool jinja_utf8_valid(const char *bytes, size_t size, size_t *at) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (*at = 0; *at < size;) {
        unsigned char lead = (unsigned char)bytes[*at];
        if (lead < 0x80) {
            ++*at;
            continue;
        }
        size_t n = announced(lead), taken;
        if (n == 1 || n > size - *at) return false;
        for (size_t i = 1; i < n; i++)
            if (((unsigned char)bytes[*at + i] & 0xc0) != 0x80) return false;
        uint32_t c = jinja_utf8_decode(bytes + *at, n, &taken);
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
        *at += n;
    }
    return true;
}

static bool is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_line_end(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/* Superscripts and circled digits: a digit, though no decimal. */
static bool is_other_digit(uint32_t c) {
    static const uint16_t ranges[][2] = {{0xb2, 0xb3},     {0xb9, 0xb9},     {0x2070, 0x2070}, {0x2074, 0x2079},
                                         {0x2080, 0x2089}, {0x2460, 0x2468}, {0x2474, 0x247c}, {0x2488, 0x2490},
                                         {0x24ea, 0x24ea}, {0x24f5, 0x24fd}, {0x24ff, 0x24ff}, {0x2776, 0x277e},
                                         {0x2780, 0x2788}, {0x278a, 0x2792}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

bool jinja_char_is(uint32_t c, JinjaCharClass class) {
    if (class == JINJA_CHAR_SPACE) return is_space(c);
    if (class == JINJA_CHAR_LINE_END) return is_line_end(c);
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    bool other_lower = c == 0xaa || c == 0xba || (c >= 0x24d0 && c <= 0x24e9) || (c >= 0x2170 && c <= 0x217f);
    bool other_upper = (c >= 0x24b6 && c <= 0x24cf) || (c >= 0x2160 && c <= 0x216f);
    switch (class) {
    case JINJA_CHAR_PRINTABLE:
        return c == ' ' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_SO);
    case JINJA_CHAR_LETTER:
        return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    case JINJA_CHAR_DECIMAL:
        return category == UTF8PROC_CATEGORY_ND;
    case JINJA_CHAR_DIGIT:
        return category == UTF8PROC_CATEGORY_ND || is_other_digit(c);
    case JINJA_CHAR_NUMERIC:
        return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
    case JINJA_CHAR_LOWER:
        return category == UTF8PROC_CATEGORY_LL || other_lower;
    case JINJA_CHAR_UPPER:
        return category == UTF8PROC_CATEGORY_LU || other_upper;
    case JINJA_CHAR_TITLE:
        return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT || other_upper;
    default:
        return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) || other_lower || other_upper;
    }
}

/* Letters whose upper case is more than one letter, from Unicode's SpecialCasing without the polytonic Greek ones. */
static const struct {
    uint16_t letter, upper[3], title[3];
} specials[] = {
    {0xdf, {'S', 'S'}, {'S', 's'}},
    {0x149, {0x2bc, 'N'}, {0x2bc, 'N'}},
    {0x1f0, {'J', 0x30c}, {'J', 0x30c}},
    {0x390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x3b0, {0x3a5, 0x308, 0x301}, {0x3a5, 0x308, 0x301}},
    {0x587, {0x535, 0x552}, {0x535, 0x582}},
    {0x1e96, {'H', 0x331}, {'H', 0x331}},
    {0x1e97, {'T', 0x308}, {'T', 0x308}},
    {0x1e98, {'W', 0x30a}, {'W', 0x30a}},
    {0x1e99, {'Y', 0x30a}, {'Y', 0x30a}},
    {0x1e9a, {'A', 0x2be}, {'A', 0x2be}},
    {0xfb00, {'F', 'F'}, {'F', 'f'}},
    {0xfb01, {'F', 'I'}, {'F', 'i'}},
    {0xfb02, {'F', 'L'}, {'F', 'l'}},
    {0xfb03, {'F', 'F', 'I'}, {'F', 'f', 'i'}},
    {0xfb04, {'F', 'F', 'L'}, {'F', 'f', 'l'}},
    {0xfb05, {'S', 'T'}, {'S', 't'}},
    {0xfb06, {'S', 'T'}, {'S', 't'}},
    {0xfb13, {0x544, 0x546}, {0x544, 0x576}},
    {0xfb14, {0x544, 0x535}, {0x544, 0x565}},
    {0xfb15, {0x544, 0x53b}, {0x544, 0x56b}},
    {0xfb16, {0x54e, 0x546}, {0x54e, 0x576}},
    {0xfb17, {0x544, 0x53d}, {0x544, 0x56d}},
};

size_t jinja_char_case(uint32_t c, JinjaCase to, uint32_t out[3]) {
    if (to != JINJA_CASE_LOWER && c >= 0xdf)
        for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
            if (specials[i].letter != c) continue;
            const uint16_t *letters = to == JINJA_CASE_UPPER ? specials[i].upper : specials[i].title;
            size_t n = 0;
            for (; n < 3 && letters[n] != 0; n++) out[n] = letters[n];
            return n;
        }
    utf8proc_int32_t letter = (utf8proc_int32_t)c;
    out[0] = (uint32_t)(to == JINJA_CASE_LOWER   ? utf8proc_tolower(letter)
                        : to == JINJA_CASE_UPPER ? utf8proc_toupper(letter)
                                                 : utf8proc_totitle(letter));
    if (c == 0x130 && to == JINJA_CASE_LOWER) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    return 1;
}
