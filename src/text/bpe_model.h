/* bpe_model.h - byte pair encoding of one piece of text.
 *
 * A piece begins as symbols: its bytes (byte_level) or its characters; a character that the vocabulary lacks becomes
 * its bytes <0xNN> (byte_fallback), or unk_token, several in a row fused to one where fuse_unk says so, or nothing.
 * Then, of all neighbouring pairs that merges know, the one with the lowest rank is joined, the leftmost first, until
 * none is left.
 *
 * Three things make it fast, and none changes an id:
 * - a piece is first cut where no merge can ever join (a bit for each pair of bytes at the border), so that a whole
 *   sentence of a SentencePiece-style vocabulary falls into words [BM-1];
 * - whether a string of the vocabulary encodes to itself is remembered (one relaxed atomic byte an id: every thread
 * that computes it gets the same), so that most words need one look into the table [BM-2];
 * - short pieces are merged by scanning, long ones by a heap: O(n log n) whatever the text [BM-3].
 * Source: Sennrich et al., arXiv 1508.07909; github.com/huggingface/tokenizers 0.23, models/bpe.
 * Claims: [BM-n] are checked by tests/unit/test_bpe_model.c. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include "text/token_list.h"
#include "text/vocabulary.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BPE_ID_LIMIT = 1 << 22 }; // ids are below; eight times the largest vocabulary known

typedef struct BpeModel BpeModel;
typedef struct BpeScratch BpeScratch; // memory of one thread

/* json: the value of "model". byte_level: strings are spelled in the byte alphabet (byte_alphabet.h). */
int bpe_model_from_json(BpeModel **model, const json_t *json, bool byte_level, const char *name, Error *error);
void bpe_model_free(BpeModel *model);
/* The strings as the file spells them. */
const Vocabulary *bpe_model_vocabulary(const BpeModel *model);
/* byte_level: those that are spelled in the byte alphabet, as bytes; else NULL. */
const Vocabulary *bpe_model_bytes(const BpeModel *model);

BpeScratch *bpe_scratch_create(void); // NULL when memory is exhausted
void bpe_scratch_free(BpeScratch *scratch);
/* Steps of merging since creation: heap operations and symbols scanned. What [BM-3] counts. */
uint64_t bpe_scratch_steps(const BpeScratch *scratch);

/* Appends the ids of a piece (UTF-8, 1 byte at least). ERROR_MEMORY; ERROR_INPUT where unk_token is needed but not in
 * the vocabulary. */
int bpe_model_encode(const BpeModel *model, BpeScratch *scratch, const char *piece, size_t bytes, TokenList *out,
                     Error *error);
