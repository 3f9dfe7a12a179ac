/* decode_rules.h - the decoder of tokenizer.json: how strings of tokens become text again.
 *
 * Supported: ByteLevel, or a Sequence of Replace (String) and Metaspace, then ByteFallback, then Fuse, then Strip (of
 * the beginning), each of which may be absent. Without a decoder the strings are joined by spaces, as in the reference.
 * Source: github.com/huggingface/tokenizers 0.23, decoders. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>

enum { DECODE_REPLACES_MAX = 8 };

typedef struct {
    char *from, *to;
    size_t from_bytes, to_bytes;
    bool drop_in_first; // Metaspace: in the first token it is dropped
} DecodeReplace;

typedef struct {
    bool byte_level, byte_fallback, fuse, join_with_spaces;
    DecodeReplace replace[DECODE_REPLACES_MAX];
    size_t replaces;
    char strip[5];      // a character, ends with a 0
    size_t strip_start; // how many of it are taken off the beginning
} DecodeRules;

/* json: the value of "decoder"; NULL and null are no decoder. */
int decode_rules_from_json(DecodeRules *rules, const json_t *json, const char *name, Error *error);
void decode_rules_free(DecodeRules *rules);

/* Writes the string of one token after all Replaces to *out, which is cleared first. */
void decode_rules_replace(const DecodeRules *rules, const char *text, size_t n, bool first, Buffer *out);
