/* spm_merges.h - merge rules from the scores of a SentencePiece BPE vocabulary.
 *
 * SentencePiece joins, of all neighbouring pairs whose join is a token, the one with the highest score. Merge rules say
 * the same with an order: every split of every token into two tokens is a rule, best score first; of equal scores, the
 * one with the longer left part, then the longer right part; then in the order of the tokens.
 * Source: transformers' SentencePieceExtractor. */
#pragma once
#include "base/error.h"
#include "base/json.h"

/* A token and its score; the text is borrowed and not terminated. */
typedef struct {
    const char *text;
    size_t bytes;
    double score; // not NaN
} SpmPiece;

/* Appends [left, right] pairs to `merges`; piece i has id i. vocab: {token: id}. `name` stands in messages. */
int spm_merges(const SpmPiece *piece, size_t count, const json_t *vocab, json_t *merges, const char *name,
               Error *error);
