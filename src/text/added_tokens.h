/* added_tokens.h - tokens that are found in the text before anything else: <|im_start|>, </s>, ...
 *
 * Those with normalized = false are sought in the text as it is, the others in what the normalizer made of the text
 * between the first. At each place the longest one wins. single_word: only where no word character touches it; lstrip,
 * rstrip: white space before or behind it belongs to it: Unicode's, or that of ASCII where the entry says
 * "white_space": "ascii", which is ours, for GGUF files, and which other readers ignore. A search is a walk in a trie
 * from each possible first byte: time grows with the text, not with the number of tokens.
 * Source: github.com/huggingface/tokenizers 0.23, AddedVocabulary. Claims: tests/unit/test_added_tokens.c. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include "text/normalizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *content; // the AddedTokens' own, as is `form`; ends with a 0
    size_t bytes;
    const char *form; // what is sought and what decoding begins with: content, or what the normalizer makes of it
    size_t form_bytes;
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
    bool (*is_space)(uint32_t code); // what lstrip and rstrip take
} AddedToken;

typedef struct AddedTokens AddedTokens;

/* json: the array "added_tokens", or NULL. Tokens with empty content are left out. */
int added_tokens_from_json(AddedTokens **tokens, const json_t *json, const Normalizer *normalizer, const char *name,
                           Error *error);
void added_tokens_free(AddedTokens *tokens);
size_t added_tokens_count(const AddedTokens *tokens);
const AddedToken *added_tokens_at(const AddedTokens *tokens, size_t index);

/* A search through one text. Begin with text and bytes set and the rest zero. */
typedef struct {
    const char *text; // valid UTF-8
    size_t bytes;
    size_t scanned;    // matches before are done
    size_t begin, end; // of the last match, white space that belongs to it included
} AddedSearch;

/* The next token; what lies between the `end` before and `begin`, if anything, is text. NULL at the end: the rest is
 * text. normalized: which of the two groups. */
const AddedToken *added_tokens_next(const AddedTokens *tokens, bool normalized, AddedSearch *search);
