#include "text/normal_form.h"
#include "base/size.h"
#include "text/unicode.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { SHORT_RUN = 16 };

/* Code points of the part of the text that is at hand. */
typedef struct {
    int32_t *code, *spare; // (capacity)
    size_t count, capacity;
} CodePoints;

static bool reserve(CodePoints *c, size_t more) {
    size_t need, bytes;
    if (!size_add(c->count, more, &need) || !size_multiply(need, 2 * sizeof *c->code, &bytes)) return false;
    if (need <= c->capacity) return true;
    int32_t *code = realloc(c->code, bytes);
    if (code != NULL) c->code = code;
    int32_t *spare = code == NULL ? NULL : realloc(c->spare, bytes);
    if (spare == NULL) return false;
    c->spare = spare;
    c->capacity = 2 * need;
    return true;
}

static unsigned combining_class(int32_t code) {
    return code < 0x300 ? 0 : (unsigned)utf8proc_get_property(code)->combining_class;
}

/* Orders marks[0..n) by class, equal ones as they were. */
static void order_marks(int32_t *marks, size_t n, int32_t *spare) {
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            int32_t mark = marks[i];
            size_t at = i;
            for (; at > 0 && combining_class(marks[at - 1]) > combining_class(mark); at--) marks[at] = marks[at - 1];
            marks[at] = mark;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++) start[combining_class(marks[i]) + 1]++;
    for (size_t class = 1; class < 257; class ++) start[class] += start[class - 1];
    for (size_t i = 0; i < n; i++) spare[start[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, spare, n * sizeof *marks);
}

static void order_all_marks(CodePoints *c) {
    for (size_t i = 0; i < c->count;) {
        size_t begin = i;
        while (i < c->count && combining_class(c->code[i]) != 0) i++;
        if (i - begin > 1) order_marks(c->code + begin, i - begin, c->spare);
        if (i == begin) i++;
    }
}

/* Appends the decomposition of text[0..n) to c. */
static bool decompose(NormalForm form, const char *text, size_t n, CodePoints *c) {
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (form.compatibility ? UTF8PROC_COMPAT : 0), boundary = 0;
    for (size_t i = 0; i < n;) {
        uint32_t code;
        i += unicode_decode(text + i, n - i, &code);
        if (!reserve(c, 1)) return false;
        if (code < 0x80) {
            c->code[c->count++] = (int32_t)code;
            continue;
        }
        utf8proc_ssize_t room = (utf8proc_ssize_t)(c->capacity - c->count), length;
        length =
            utf8proc_decompose_char((int32_t)code, c->code + c->count, room, (utf8proc_option_t)options, &boundary);
        if (length > room) { // it says what it needs
            if (!reserve(c, (size_t)length)) return false;
            length = utf8proc_decompose_char((int32_t)code, c->code + c->count, length, (utf8proc_option_t)options,
                                             &boundary);
        }
        if (length < 0) return false;
        c->count += (size_t)length;
    }
    return true;
}

static bool append_part(NormalForm form, const char *text, size_t n, CodePoints *c, Buffer *out) {
    c->count = 0;
    if (!decompose(form, text, n, c)) return false;
    order_all_marks(c);
    if (form.compose) {
        utf8proc_ssize_t count = utf8proc_normalize_utf32(c->code, (utf8proc_ssize_t)c->count,
                                                          (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
        if (count < 0) return false;
        c->count = (size_t)count;
    }
    for (size_t i = 0; i < c->count; i++) {
        char bytes[4];
        buffer_append(out, bytes, unicode_encode((uint32_t)c->code[i], bytes));
    }
    return true;
}

/* Nothing below U+0300 changes in NFC unless something from there on follows; below U+0080 nothing ever changes. */
static unsigned char plain_limit(NormalForm form) { return form.compose && !form.compatibility ? 0xcc : 0x80; }

/* The end of the characters at `at` that begin with a byte below the limit, or of those that do not. */
static size_t run_end(const char *text, size_t n, size_t at, unsigned char limit, bool below) {
    while (at < n && ((unsigned char)text[at] < limit) == below) {
        unsigned char lead = (unsigned char)text[at];
        at += lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    }
    return at;
}

int normal_form_append(NormalForm form, const char *text, size_t n, Buffer *out, Error *error) {
    CodePoints c = {0};
    bool good = true;
    for (size_t begin = 0, end; begin < n && good; begin = end) {
        size_t plain = run_end(text, n, begin, plain_limit(form), true);
        end = run_end(text, n, plain, plain_limit(form), false); // nothing before a plain character is composed with it
        if (plain < end && plain > begin)                        // but the last plain one may be with what follows
            do plain--;
            while (((unsigned char)text[plain] & 0xc0) == 0x80);
        buffer_append(out, text + begin, plain - begin);
        if (plain < end) good = append_part(form, text + plain, end - plain, &c, out);
    }
    free(c.code);
    free(c.spare);
    return good && !out->failed ? 0 : error_set(error, ERROR_MEMORY, "no memory to normalize a text of %zu bytes", n);
}
