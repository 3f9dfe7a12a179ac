/* spm_merges.h - merge rules from the scores of a SentencePiece BPE vocabulary.
 *
 * SentencePiece joins, of all neighbouring pairs whose join is a token, the one with the highest score. Merge rules say
 * the same with an order: every split of every token into two tokens is a rule, best score first; of equal scores, the
 * one with the longer left part, then the longer right part; then in the order of the tokens.
 * Source: transformers' SentencePieceExtractor. */
#pragma once
#include "base/json.h"
#include "formats/gguf.h"

/* Appends [left, right] pairs to `merges`, from tokenizer.ggml.tokens and scores. vocab: {token: id}. */
int spm_merges(const Gguf *gguf, const json_t *vocab, json_t *merges, Error *error);
