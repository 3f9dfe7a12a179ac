#include "text/pattern_classes.h"
#include "text/unicode.h"

#include <stdint.h>
#include <string.h>

/* A set of code points: the categories of the mask, or what `is` says. */
typedef struct {
    uint32_t categories;
    bool (*is)(uint32_t code);
} Class;

static bool contains(const Class *class, uint32_t code) {
    return class->is != NULL ? class->is(code) : (unicode_category(code) & class->categories) != 0;
}

/* Every category but C: "L", "Lu", ... */
static bool category_named(const char *name, size_t bytes, Class *class) {
    static const struct {
        char name[3];
        uint8_t first, count;
    } known[] = {{"L", 1, 5},   {"Lu", 1, 1},  {"Ll", 2, 1},  {"Lt", 3, 1},  {"Lm", 4, 1},  {"Lo", 5, 1},
                 {"M", 6, 3},   {"Mn", 6, 1},  {"Mc", 7, 1},  {"Me", 8, 1},  {"N", 9, 3},   {"Nd", 9, 1},
                 {"Nl", 10, 1}, {"No", 11, 1}, {"P", 12, 7},  {"Pc", 12, 1}, {"Pd", 13, 1}, {"Ps", 14, 1},
                 {"Pe", 15, 1}, {"Pi", 16, 1}, {"Pf", 17, 1}, {"Po", 18, 1}, {"S", 19, 4},  {"Sm", 19, 1},
                 {"Sc", 20, 1}, {"Sk", 21, 1}, {"So", 22, 1}, {"Z", 23, 3},  {"Zs", 23, 1}, {"Zl", 24, 1},
                 {"Zp", 25, 1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == bytes && memcmp(known[i].name, name, bytes) == 0) {
            class->categories = ((1u << known[i].count) - 1) << known[i].first;
            return true;
        }
    return false;
}

/* Appends the ranges, or those of the complement, for use between [ and ]. No range begins or ends at a surrogate,
 * which PCRE2 would refuse: around them are only code points outside all of our classes. */
static void append_ranges(Buffer *out, const Class *class, bool complement) {
    enum {
        LAST = 0x10ffff,
        GAP = 0x32400,
        GAP_LAST = 0xdffff,
        END = 0xe0200
    }; // none of our classes holds GAP.., END..
    uint32_t first = 0;
    bool inside = false;
    for (uint32_t code = 0; code <= LAST + 1; code++) {
        if (code == GAP) code = GAP_LAST;
        if (code == END) code = LAST;
        bool in = code <= LAST && contains(class, code) != complement;
        if (in && !inside) first = code;
        if (!in && inside) buffer_format(out, "\\x{%X}-\\x{%X}", first, code - 1);
        inside = in;
    }
}

/* Reads a class escape at regex[at] == '\\'; its length, or 0 where it is none that we have a table for. */
static size_t class_escape(const char *regex, size_t bytes, size_t at, Class *class, bool *negative) {
    if (at + 1 == bytes) return 0;
    char letter = regex[at + 1];
    *class = (Class){0};
    *negative = letter == 'S' || letter == 'D' || letter == 'W' || letter == 'P';
    switch (letter) {
    case 's':
    case 'S':
        class->is = unicode_is_space;
        return 2;
    case 'd':
    case 'D':
        class->categories = UNICODE_ND;
        return 2;
    case 'w':
    case 'W':
        class->categories = UNICODE_LETTER | UNICODE_MARK | UNICODE_ND | UNICODE_PC;
        return 2;
    case 'p':
    case 'P':
        break;
    default:
        return 0;
    }
    if (at + 2 >= bytes || regex[at + 2] != '{') return 0;
    size_t begin = at + 3;
    if (begin < bytes && regex[begin] == '^') {
        *negative = !*negative;
        begin++;
    }
    const char *close = begin < bytes ? memchr(regex + begin, '}', bytes - begin) : NULL;
    if (close == NULL || !category_named(regex + begin, (size_t)(close - regex) - begin, class)) return 0;
    return (size_t)(close - regex) + 1 - at;
}

int pattern_classes_rewrite(const char *regex, size_t bytes, const char *name, Buffer *out, Error *error) {
    bool inside = false;
    size_t opened = 0; // where the current [ is
    for (size_t i = 0; i < bytes;) {
        Class class;
        bool negative;
        size_t length = regex[i] == '\\' ? class_escape(regex, bytes, i, &class, &negative) : 0;
        if (length > 0) {
            if (!inside) buffer_append_text(out, negative ? "[^" : "[");
            append_ranges(out, &class, inside && negative);
            if (!inside) buffer_append_text(out, "]");
            i += length;
            continue;
        }
        if (regex[i] == '\\' && i + 1 < bytes) {
            if (strchr("hHKRX", regex[i + 1]) != NULL)
                return error_set(error, ERROR_UNSUPPORTED, "%s: the pattern has \\%c, which is not supported", name,
                                 regex[i + 1]);
            buffer_append(out, regex + i, 2);
            i += 2;
            continue;
        }
        if (inside && (regex[i] == '[' || (regex[i] == '&' && i + 1 < bytes && regex[i + 1] == '&')))
            return error_set(error, ERROR_UNSUPPORTED,
                             "%s: the pattern has a class within a class at byte %zu, which is not supported", name, i);
        if (!inside && regex[i] == '[') {
            inside = true;
            opened = i;
        } else if (inside && regex[i] == ']' && i > opened + 1 && !(i == opened + 2 && regex[opened + 1] == '^'))
            inside = false;
        buffer_append(out, regex + i, 1);
        i++;
    }
    return out->failed ? error_set(error, ERROR_MEMORY, "%s: no memory for the pattern", name) : 0;
}
