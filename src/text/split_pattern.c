#include "text/split_pattern.h"
#include "base/buffer.h"
#include "text/pattern_classes.h"
#include "text/unicode.h"
#include "text/word_rule.h"

#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

typedef enum { PATTERN_GPT2, PATTERN_LLAMA3, PATTERN_LITERAL, PATTERN_PCRE } PatternKind;

struct SplitPattern {
    PatternKind kind;
    size_t digits;    // PATTERN_LLAMA3
    char *literal;    // PATTERN_LITERAL
    size_t bytes;     // of it
    pcre2_code *code; // PATTERN_PCRE
    char name[200];
};

struct PatternScratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

#define LLAMA3(digits)                                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                               \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2_END "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* The spellings that we have met of the patterns in word_rule.h. */
static const struct {
    const char *regex;
    PatternKind kind;
    size_t digits;
} known[] = {{"'s|'t|'re|'ve|'m|'ll|'d" GPT2_END, PATTERN_GPT2, 0},
             {"'(?:[sdmt]|ll|ve|re)" GPT2_END, PATTERN_GPT2, 0},
             {LLAMA3("\\p{N}{1,3}"), PATTERN_LLAMA3, 3},
             {LLAMA3("\\p{N}"), PATTERN_LLAMA3, 1}};

static int create(SplitPattern **pattern, PatternKind kind, const char *name, Error *error) {
    SplitPattern *p = calloc(1, sizeof *p);
    if (p == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for a pattern", name);
    p->kind = kind;
    size_t length = strlen(name) < sizeof p->name ? strlen(name) : sizeof p->name - 1;
    memcpy(p->name, name, length);
    *pattern = p;
    return 0;
}

int split_pattern_gpt2(SplitPattern **pattern, Error *error) {
    return create(pattern, PATTERN_GPT2, "ByteLevel", error);
}

int split_pattern_literal(SplitPattern **pattern, const char *text, size_t bytes, Error *error) {
    if (create(pattern, PATTERN_LITERAL, "literal", error) != 0) return -1;
    if (((*pattern)->literal = malloc(bytes + 1)) == NULL) {
        split_pattern_free(*pattern);
        *pattern = NULL;
        return error_set(error, ERROR_MEMORY, "no memory for a pattern of %zu bytes", bytes);
    }
    memcpy((*pattern)->literal, text, bytes);
    (*pattern)->bytes = bytes;
    return 0;
}

int split_pattern_pcre(SplitPattern **pattern, const char *regex, size_t bytes, const char *name, Error *error) {
    *pattern = NULL;
    SplitPattern *p = NULL;
    Buffer rewritten = {0};
    int result = -1, code;
    size_t offset;
    if (create(&p, PATTERN_PCRE, name, error) != 0 ||
        pattern_classes_rewrite(regex, bytes, name, &rewritten, error) != 0)
        goto done;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context != NULL) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        // In the reference ^ and $ always match at line ends.
        p->code =
            pcre2_compile((PCRE2_SPTR)(rewritten.data == NULL ? "" : rewritten.data), rewritten.size,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &offset, context);
        pcre2_compile_context_free(context);
    }
    if (context == NULL)
        error_set(error, ERROR_MEMORY, "%s: no memory for a pattern", name);
    else if (p->code == NULL) {
        char why[256];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        error_set(error, ERROR_UNSUPPORTED, "%s: the pattern \"%.*s\" is not understood by PCRE2: %s", name,
                  (int)(bytes < 200 ? bytes : 200), regex, why);
    } else {
        pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); // only speed: where there is no JIT, pcre2_match interprets
        result = 0;
    }
done:
    buffer_free(&rewritten);
    if (result == 0)
        *pattern = p;
    else
        split_pattern_free(p);
    return result;
}

int split_pattern_regex(SplitPattern **pattern, const char *regex, size_t bytes, const char *name, Error *error) {
    *pattern = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].regex) == bytes && memcmp(known[i].regex, regex, bytes) == 0) {
            if (create(pattern, known[i].kind, name, error) != 0) return -1;
            (*pattern)->digits = known[i].digits;
            return 0;
        }
    return split_pattern_pcre(pattern, regex, bytes, name, error);
}

void split_pattern_free(SplitPattern *pattern) {
    if (pattern == NULL) return;
    free(pattern->literal);
    pcre2_code_free(pattern->code);
    free(pattern);
}

static PatternScratch *scratch_create(void) {
    PatternScratch *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->data = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(32 << 10, 8 << 20, NULL);
    if (s->data == NULL || s->context == NULL) {
        pattern_scratch_free(s);
        return NULL;
    }
    if (s->stack != NULL) pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return s;
}

void pattern_scratch_free(PatternScratch *scratch) {
    if (scratch == NULL) return;
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->context);
    pcre2_jit_stack_free(scratch->stack);
    free(scratch);
}

static int find_pcre(const SplitSearch *s, size_t *begin, size_t *end, Error *error) {
    const SplitPattern *p = s->pattern;
    if (*s->scratch == NULL && (*s->scratch = scratch_create()) == NULL)
        return error_set(error, ERROR_MEMORY, "%s: no memory for matching", p->name);
    pcre2_match_data *data = (*s->scratch)->data;
    int found =
        pcre2_match(p->code, (PCRE2_SPTR)s->text, s->n, s->from, PCRE2_NO_UTF_CHECK, data, (*s->scratch)->context);
    if (found == PCRE2_ERROR_NOMATCH) return 0;
    if (found < 0) {
        char why[256];
        pcre2_get_error_message(found, (PCRE2_UCHAR *)why, sizeof why);
        return error_set(error, ERROR_INPUT, "%s: the pattern gave up on a text of %zu bytes: %s", p->name, s->n, why);
    }
    *begin = pcre2_get_ovector_pointer(data)[0];
    *end = pcre2_get_ovector_pointer(data)[1];
    if (*begin > *end || *begin < s->from) // \K can do that
        return error_set(error, ERROR_INPUT, "%s: the pattern's match ends before it begins", p->name);
    return 1;
}

static int find(const SplitSearch *s, size_t *begin, size_t *end, Error *error) {
    const SplitPattern *p = s->pattern;
    if (p->kind == PATTERN_PCRE) return find_pcre(s, begin, end, error);
    if (s->from >= s->n) return 0;
    *begin = s->from;
    switch (p->kind) {
    case PATTERN_GPT2:
        *end = word_rule_gpt2(s->text, s->n, s->from);
        return 1;
    case PATTERN_LLAMA3:
        *end = word_rule_llama3(s->text, s->n, s->from, p->digits);
        return 1;
    default:
        break;
    }
    const char *found = p->bytes == 0 ? NULL : memmem(s->text + s->from, s->n - s->from, p->literal, p->bytes);
    if (found == NULL) return 0;
    *begin = (size_t)(found - s->text);
    *end = *begin + p->bytes;
    return 1;
}

int split_search_next(SplitSearch *s, size_t *begin, size_t *end, Error *error) {
    while (s->from <= s->n) {
        int found = find(s, begin, end, error);
        if (found <= 0) return found;
        bool again = *begin == *end && s->any && *end == s->last_end;
        s->any = true;
        s->from = s->last_end = *end;
        if (!again) return 1;
        uint32_t code;
        s->from += s->from < s->n ? unicode_decode(s->text + s->from, s->n - s->from, &code) : 1;
    }
    return 0;
}
