/* split_pattern.h - the patterns that pre-tokenizers cut text with.
 *
 * The patterns of GPT-2, Llama 3 and Qwen are recognised by their text and matched by hand-written code; every other
 * one goes to PCRE2 in Unicode mode, after its classes (\p{L}, \s, ...) were written out from our own tables, since the
 * library's Unicode and its \s differ from the reference's (Oniguruma). Both ways agree where both apply [SP-1].
 * Refused as ERROR_UNSUPPORTED: what the two libraries read differently (classes within classes, &&, \h).
 * A SplitPattern is never changed after it was made; a PatternScratch belongs to one thread.
 * Claims: [SP-n] are checked by tests/unit/test_split_pattern.c. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct SplitPattern SplitPattern;
typedef struct PatternScratch PatternScratch; // PCRE2's memory for matching

/* `name` stands in messages. */
int split_pattern_regex(SplitPattern **pattern, const char *regex, size_t bytes, const char *name, Error *error);
/* The same without the hand-written code: slower, and what test and fallback have in common. */
int split_pattern_pcre(SplitPattern **pattern, const char *regex, size_t bytes, const char *name, Error *error);
/* Matches `text` itself; an empty text matches nowhere. */
int split_pattern_literal(SplitPattern **pattern, const char *text, size_t bytes, Error *error);
/* The pattern inside ByteLevel (GPT-2's); cannot fail but for memory. */
int split_pattern_gpt2(SplitPattern **pattern, Error *error);
void split_pattern_free(SplitPattern *pattern);

/* A search through text[0..n), valid UTF-8. Begin with the first four set and the rest zero. *scratch is made when
 * first needed; pattern_scratch_free ends it. */
typedef struct {
    const SplitPattern *pattern;
    PatternScratch **scratch;
    const char *text;
    size_t n;
    size_t from;     // where the search goes on
    size_t last_end; // of the match before
    bool any;        // there was one
} SplitSearch;

/* The next match: 1 and [*begin, *end), or 0 where there is none, or -1 (memory, or a pattern that gives up). A match
 * may be empty, but not where the match before it ended; as in the reference. */
int split_search_next(SplitSearch *search, size_t *begin, size_t *end, Error *error);
void pattern_scratch_free(PatternScratch *scratch);
