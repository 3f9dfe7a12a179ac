#include "text/normalizer.h"
#include "text/split_pattern.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { STEPS_MAX = 16 };

typedef enum { STEP_FORM, STEP_PREPEND, STEP_REPLACE } StepKind;

typedef struct {
    StepKind kind;
    utf8proc_option_t form; // STEP_FORM
    SplitPattern *pattern;  // STEP_REPLACE
    char *content;          // of STEP_PREPEND and STEP_REPLACE
    size_t bytes;           // of it
} Step;

struct Normalizer {
    Step step[STEPS_MAX];
    size_t steps;
};

/* The bytes at the beginning of s[0..n) that no composition changes: characters below U+0300 stay as they are in NFC
 * unless one from U+0300 on follows. Their last character is therefore left out where something follows. */
static size_t inert_prefix(const char *s, size_t n, utf8proc_option_t form) {
    unsigned char limit = form == (UTF8PROC_STABLE | UTF8PROC_COMPOSE) ? 0xcc : 0x80; // 0xCC leads U+0300
    size_t i = 0;
    while (i < n && (unsigned char)s[i] < limit) i++;
    if (i == n || i == 0) return i;
    do i--;
    while (((unsigned char)s[i] & 0xc0) == 0x80);
    return i;
}

/* The length of what must be looked at from there: up to where an inert run of several characters begins. */
static size_t active_prefix(const char *s, size_t n, utf8proc_option_t form) {
    size_t i = 0;
    while (i < n) {
        size_t inert = inert_prefix(s + i, n - i, form);
        if (i > 0 && (inert == n - i || inert >= 16)) return i;
        uint32_t code;
        i += inert > 0 ? inert : unicode_decode(s + i, n - i, &code);
    }
    return n;
}

static int append_form(utf8proc_option_t form, const char *text, size_t n, Buffer *out, Error *error) {
    for (size_t i = 0; i < n;) {
        size_t inert = inert_prefix(text + i, n - i, form);
        buffer_append(out, text + i, inert);
        i += inert;
        if (i == n) break;
        size_t active = active_prefix(text + i, n - i, form);
        utf8proc_uint8_t *mapped = NULL;
        utf8proc_ssize_t length =
            utf8proc_map((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)active, &mapped, form);
        if (length < 0)
            return error_set(error, length == UTF8PROC_ERROR_NOMEM ? ERROR_MEMORY : ERROR_INTERNAL,
                             "normalizing %zu bytes: %s", active, utf8proc_errmsg(length));
        buffer_append(out, mapped, (size_t)length);
        free(mapped);
        i += active;
    }
    return 0;
}

static int append_replaced(const Step *s, const char *text, size_t n, Buffer *out, Error *error) {
    PatternScratch *scratch = NULL;
    SplitSearch search = {s->pattern, &scratch, text, n, 0, 0, false};
    size_t at = 0, begin, end;
    int found = 0;
    while (n > 0 && (found = split_search_next(&search, &begin, &end, error)) > 0) {
        buffer_append(out, text + at, begin - at);
        buffer_append(out, s->content, s->bytes);
        at = end;
    }
    buffer_append(out, text + at, n - at);
    pattern_scratch_free(scratch);
    return found;
}

static int apply_step(const Step *s, const char *text, size_t n, Buffer *out, Error *error) {
    switch (s->kind) {
    case STEP_FORM:
        return append_form(s->form, text, n, out, error);
    case STEP_REPLACE:
        return append_replaced(s, text, n, out, error);
    case STEP_PREPEND:
        if (n > 0) buffer_append(out, s->content, s->bytes);
        buffer_append(out, text, n);
    }
    return 0;
}

int normalizer_apply(const Normalizer *normalizer, const char *text, size_t n, Buffer *out, Error *error) {
    Buffer other = {0};
    int result = 0;
    buffer_clear(out);
    for (size_t i = 0; i < normalizer->steps && result == 0; i++) { // `text` is the caller's or in `other`
        buffer_clear(out);
        result = apply_step(&normalizer->step[i], text, n, out, error);
        if (i + 1 == normalizer->steps) break;
        Buffer swap = *out;
        *out = other;
        other = swap;
        text = other.data == NULL ? "" : other.data;
        n = other.size;
    }
    if (normalizer->steps == 0) buffer_append(out, text, n);
    if (result == 0 && (out->failed || other.failed))
        result = error_set(error, ERROR_MEMORY, "no memory to normalize a text of %zu bytes", n);
    buffer_free(&other);
    return result;
}

static int read_content(Step *s, const json_t *json, const char *key, const char *name, Error *error) {
    const json_t *content = json_need(json, key, JSON_STRING, name, error);
    if (content == NULL) return -1;
    s->bytes = json_string_length(content);
    if ((s->content = malloc(s->bytes + 1)) == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", name);
    memcpy(s->content, json_string_value(content), s->bytes);
    return 0;
}

static int read_step(void *context, const char *type, const json_t *json, const char *name, Error *error) {
    static const struct {
        const char *type;
        int form;
    } forms[] = {{"NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
                 {"NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
                 {"NFKC", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
                 {"NFKD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};
    Normalizer *normalizer = context;
    if (normalizer->steps == STEPS_MAX)
        return error_set(error, ERROR_UNSUPPORTED, "%s: more than %d normalizers", name, STEPS_MAX);
    Step *s = &normalizer->step[normalizer->steps++];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(type, forms[i].type) == 0) {
            s->kind = STEP_FORM;
            s->form = (utf8proc_option_t)forms[i].form;
            return 0;
        }
    if (strcmp(type, "Prepend") == 0) {
        s->kind = STEP_PREPEND;
        return read_content(s, json, "prepend", name, error);
    }
    if (strcmp(type, "Replace") == 0) {
        s->kind = STEP_REPLACE;
        return read_content(s, json, "content", name, error) != 0
                   ? -1
                   : tokenizer_json_pattern(&s->pattern, json, name, error);
    }
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: normalizer %s is not supported; there are Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace",
                     name, type);
}

int normalizer_from_json(Normalizer **normalizer, const json_t *json, const char *name, Error *error) {
    *normalizer = calloc(1, sizeof **normalizer);
    if (*normalizer == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", name);
    if (tokenizer_json_parts(json, "normalizer", "normalizers", read_step, *normalizer, name, error) == 0) return 0;
    normalizer_free(*normalizer);
    *normalizer = NULL;
    return -1;
}

void normalizer_free(Normalizer *normalizer) {
    if (normalizer == NULL) return;
    for (size_t i = 0; i < normalizer->steps; i++) {
        split_pattern_free(normalizer->step[i].pattern);
        free(normalizer->step[i].content);
    }
    free(normalizer);
}

bool normalizer_is_empty(const Normalizer *normalizer) { return normalizer->steps == 0; }
