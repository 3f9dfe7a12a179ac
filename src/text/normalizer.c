#include "text/normalizer.h"
#include "text/normal_form.h"
#include "text/split_pattern.h"
#include "text/tokenizer_json.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 16 };

typedef enum { STEP_FORM, STEP_PREPEND, STEP_REPLACE } StepKind;

typedef struct {
    StepKind kind;
    NormalForm form;       // STEP_FORM
    SplitPattern *pattern; // STEP_REPLACE
    char *content;         // of STEP_PREPEND and STEP_REPLACE
    size_t bytes;          // of it
} Step;

struct Normalizer {
    Step step[STEPS_MAX];
    size_t steps;
};

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
        return normal_form_append(s->form, text, n, out, error);
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
        NormalForm form;
    } forms[] = {{"NFC", {true, false}}, {"NFD", {false, false}}, {"NFKC", {true, true}}, {"NFKD", {false, true}}};
    Normalizer *normalizer = context;
    if (normalizer->steps == STEPS_MAX)
        return error_set(error, ERROR_UNSUPPORTED, "%s: more than %d normalizers", name, STEPS_MAX);
    Step *s = &normalizer->step[normalizer->steps++];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(type, forms[i].type) == 0) {
            s->kind = STEP_FORM;
            s->form = forms[i].form;
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
