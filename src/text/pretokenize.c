#include "text/pretokenize.h"
#include "base/buffer.h"
#include "text/split_pattern.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { STAGES_MAX = 16 };

typedef enum { STAGE_SPLIT, STAGE_DIGITS, STAGE_BYTE_LEVEL, STAGE_METASPACE } StageKind;
typedef enum { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS } Behavior;
typedef enum { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS } Prepend;

typedef struct {
    StageKind kind;
    Behavior behavior;
    bool invert;           // gaps are what the pattern matches
    SplitPattern *pattern; // NULL: Digits, or no cutting
    Prepend prepend;       // of a space or of Metaspace's replacement
    char *replacement;     // of spaces by Metaspace
} Stage;

struct Pretokenizer {
    Stage stage[STAGES_MAX];
    size_t stages;
    bool byte_level;
};

struct PretokenizeScratch {
    PatternScratch *pattern;
    Buffer text[STAGES_MAX]; // of stages that write a new text
};

typedef struct {
    const Pretokenizer *p;
    PretokenizeScratch *scratch;
    PieceSink sink;
    void *context;
    Error *error;
} Walk;

static int walk(const Walk *w, size_t index, const char *text, size_t n, bool first);

/* A match or the gap between two; pieces are made of them. */
typedef struct {
    size_t begin, end;
    bool match;
} Span;

/* Joins spans to pieces as the behavior wants it: the last one waits for its neighbour. */
typedef struct {
    const Walk *walk;
    size_t index; // of the next stage
    const char *text;
    bool first;
    Behavior behavior;
    Span waiting; // begin == end: none
    bool any, previous_match;
} Joiner;

static int flush(Joiner *j) {
    Span s = j->waiting;
    j->waiting.begin = s.end;
    if (s.begin == s.end || (j->behavior == REMOVED && s.match)) return 0;
    return walk(j->walk, j->index, j->text + s.begin, s.end - s.begin, j->first && s.begin == 0);
}

static int add_span(Joiner *j, Span s) {
    bool joins = false, previous = j->previous_match;
    if (j->any && j->behavior == CONTIGUOUS) joins = s.match == previous;
    if (j->any && j->behavior == MERGED_WITH_PREVIOUS) joins = s.match && !previous;
    if (j->any && j->behavior == MERGED_WITH_NEXT) joins = !s.match && previous;
    j->any = true;
    j->previous_match = s.match;
    if (joins) {
        j->waiting.end = s.end;
        return 0;
    }
    if (flush(j) != 0) return -1;
    j->waiting = s;
    return 0;
}

static int split_by_pattern(Joiner *j, const Stage *s, const char *text, size_t n) {
    SplitSearch search = {s->pattern, &j->walk->scratch->pattern, text, n, 0, 0, false};
    size_t at = 0, begin, end;
    for (int found = 1; at < n && found; at = end) {
        if ((found = split_search_next(&search, &begin, &end, j->walk->error)) < 0) return -1;
        if (!found) begin = end = n;
        if (begin > at && add_span(j, (Span){at, begin, s->invert}) != 0) return -1;
        if (found && add_span(j, (Span){begin, end, !s->invert}) != 0) return -1;
    }
    return 0;
}

/* A numeric character is a match; Contiguous joins them to runs. */
static int split_by_digits(Joiner *j, const char *text, size_t n) {
    size_t at = 0;
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t code = (unsigned char)text[i];
        length = code < 0x80 ? 1 : unicode_decode(text + i, n - i, &code);
        if (!unicode_is_numeric(code)) continue;
        if (i > at && add_span(j, (Span){at, i, false}) != 0) return -1;
        at = i + length;
        if (add_span(j, (Span){i, at, true}) != 0) return -1;
    }
    return at < n ? add_span(j, (Span){at, n, false}) : 0;
}

static int split(const Walk *w, size_t index, const char *text, size_t n, bool first) {
    const Stage *s = &w->p->stage[index];
    Joiner j = {.walk = w, .index = index + 1, .text = text, .first = first, .behavior = s->behavior};
    int result = s->kind == STAGE_DIGITS ? split_by_digits(&j, text, n) : split_by_pattern(&j, s, text, n);
    return result != 0 ? -1 : flush(&j);
}

/* Spaces become the replacement; one more comes in front where the stage wants it. */
static int metaspace(const Walk *w, size_t index, const char *text, size_t n, bool first) {
    const Stage *s = &w->p->stage[index];
    Buffer *out = &w->scratch->text[index];
    buffer_clear(out);
    size_t length = strlen(s->replacement);
    bool there = text[0] == ' ' || (n >= length && memcmp(text, s->replacement, length) == 0);
    if (!there && (s->prepend == PREPEND_ALWAYS || (s->prepend == PREPEND_FIRST && first)))
        buffer_append(out, s->replacement, length);
    for (size_t i = 0; i < n;) {
        const char *space = memchr(text + i, ' ', n - i);
        size_t end = space == NULL ? n : (size_t)(space - text);
        buffer_append(out, text + i, end - i);
        if (space != NULL) buffer_append(out, s->replacement, length);
        i = space == NULL ? n : end + 1;
    }
    if (out->failed) return error_set(w->error, ERROR_MEMORY, "no memory to cut a text of %zu bytes", n);
    return s->pattern != NULL ? split(w, index, out->data, out->size, first)
                              : walk(w, index + 1, out->data, out->size, first);
}

static int byte_level(const Walk *w, size_t index, const char *text, size_t n, bool first) {
    const Stage *s = &w->p->stage[index];
    if (s->prepend == PREPEND_ALWAYS && text[0] != ' ') {
        Buffer *out = &w->scratch->text[index];
        buffer_clear(out);
        buffer_append(out, " ", 1);
        buffer_append(out, text, n);
        if (out->failed) return error_set(w->error, ERROR_MEMORY, "no memory to cut a text of %zu bytes", n);
        text = out->data;
        n = out->size;
    }
    return s->pattern != NULL ? split(w, index, text, n, first) : walk(w, index + 1, text, n, first);
}

static int walk(const Walk *w, size_t index, const char *text, size_t n, bool first) {
    if (index == w->p->stages) return w->sink(w->context, text, n, w->error);
    switch (w->p->stage[index].kind) {
    case STAGE_METASPACE:
        return metaspace(w, index, text, n, first);
    case STAGE_BYTE_LEVEL:
        return byte_level(w, index, text, n, first);
    default:
        return split(w, index, text, n, first);
    }
}

int pretokenize(const Pretokenizer *p, PretokenizeScratch *scratch, const char *text, size_t bytes, bool first,
                PieceSink sink, void *context, Error *error) {
    Walk w = {p, scratch, sink, context, error};
    return bytes == 0 ? 0 : walk(&w, 0, text, bytes, first);
}

PretokenizeScratch *pretokenize_scratch_create(void) { return calloc(1, sizeof(PretokenizeScratch)); }

void pretokenize_scratch_free(PretokenizeScratch *scratch) {
    if (scratch == NULL) return;
    pattern_scratch_free(scratch->pattern);
    for (size_t i = 0; i < STAGES_MAX; i++) buffer_free(&scratch->text[i]);
    free(scratch);
}

static int read_split(Stage *s, const json_t *json, const char *name, Error *error) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const json_t *behavior = json_need(json, "behavior", JSON_STRING, name, error);
    int found = -1, invert = 0;
    if (behavior == NULL || json_get_bool(json, "invert", &invert, name, error) != 0) return -1;
    for (int i = 0; i < 5; i++)
        if (strcmp(json_string_value(behavior), names[i]) == 0) found = i;
    if (found < 0)
        return error_set(
            error, ERROR_UNSUPPORTED,
            "%s: Split with behavior \"%s\" is not supported; there are Removed, Isolated, MergedWithPrevious, "
            "MergedWithNext, Contiguous",
            name, json_string_value(behavior));
    s->kind = STAGE_SPLIT;
    s->behavior = (Behavior)found;
    s->invert = invert;
    return tokenizer_json_pattern(&s->pattern, json, name, error);
}

static int read_digits(Stage *s, const json_t *json, const char *name, Error *error) {
    int individual = 0;
    if (json_get_bool(json, "individual_digits", &individual, name, error) != 0) return -1;
    s->kind = STAGE_DIGITS;
    s->behavior = individual ? ISOLATED : CONTIGUOUS;
    return 0;
}

static int read_byte_level(Stage *s, const json_t *json, const char *name, Error *error) {
    int prefix = 1, regex = 1;
    if (json_get_bool(json, "add_prefix_space", &prefix, name, error) != 0 ||
        json_get_bool(json, "use_regex", &regex, name, error) != 0)
        return -1;
    s->kind = STAGE_BYTE_LEVEL;
    s->behavior = ISOLATED;
    s->prepend = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
    return regex ? split_pattern_gpt2(&s->pattern, error) : 0;
}

static int read_metaspace(Stage *s, const json_t *json, const char *name, Error *error) {
    int prefix = 1, cuts = 1;
    if (json_get_bool(json, "add_prefix_space", &prefix, name, error) != 0 ||
        json_get_bool(json, "split", &cuts, name, error) != 0)
        return -1;
    const char *replacement = json_string_value(json_object_get(json, "replacement")),
               *scheme = json_string_value(json_object_get(json, "prepend_scheme"));
    uint32_t code;
    if (replacement == NULL || replacement[0] == 0 ||
        unicode_decode(replacement, strlen(replacement), &code) != strlen(replacement))
        return error_set(error, ERROR_INPUT, "%s: Metaspace needs a \"replacement\" of one character", name);
    if (scheme == NULL) scheme = prefix ? "always" : "never";
    s->kind = STAGE_METASPACE;
    s->behavior = MERGED_WITH_NEXT;
    if (strcmp(scheme, "always") == 0)
        s->prepend = PREPEND_ALWAYS;
    else if (strcmp(scheme, "first") == 0)
        s->prepend = PREPEND_FIRST;
    else if (strcmp(scheme, "never") == 0)
        s->prepend = PREPEND_NEVER;
    else
        return error_set(error, ERROR_INPUT, "%s: Metaspace has prepend_scheme \"%s\"; expected always, first or never",
                         name, scheme);
    if ((s->replacement = strdup(replacement)) == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", name);
    return cuts ? split_pattern_literal(&s->pattern, replacement, strlen(replacement), error) : 0;
}

static int read_stage(void *context, const char *type, const json_t *json, const char *name, Error *error) {
    static const struct {
        const char *type;
        int (*read)(Stage *s, const json_t *json, const char *name, Error *error);
    } known[] = {
        {"Split", read_split}, {"Digits", read_digits}, {"ByteLevel", read_byte_level}, {"Metaspace", read_metaspace}};
    Pretokenizer *p = context;
    if (p->byte_level)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: pre_tokenizer %s behind ByteLevel is not supported; ByteLevel must be the last", name,
                         type);
    if (p->stages == STAGES_MAX)
        return error_set(error, ERROR_UNSUPPORTED, "%s: more than %d pre_tokenizers", name, STAGES_MAX);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0) {
            Stage *s = &p->stage[p->stages++];
            if (known[i].read(s, json, name, error) != 0) return -1;
            p->byte_level = s->kind == STAGE_BYTE_LEVEL;
            return 0;
        }
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: pre_tokenizer %s is not supported; there are Sequence, Split, Digits, ByteLevel, Metaspace",
                     name, type);
}

int pretokenizer_from_json(Pretokenizer **p, const json_t *json, const char *name, Error *error) {
    *p = calloc(1, sizeof **p);
    if (*p == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", name);
    if (tokenizer_json_parts(json, "pre_tokenizer", "pretokenizers", read_stage, *p, name, error) == 0) return 0;
    pretokenizer_free(*p);
    *p = NULL;
    return -1;
}

void pretokenizer_free(Pretokenizer *p) {
    if (p == NULL) return;
    for (size_t i = 0; i < p->stages; i++) {
        split_pattern_free(p->stage[i].pattern);
        free(p->stage[i].replacement);
    }
    free(p);
}

bool pretokenizer_byte_level(const Pretokenizer *p) { return p->byte_level; }
