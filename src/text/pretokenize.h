/* pretokenize.h - cuts text into pieces that no token crosses.
 *
 * The pre_tokenizer of tokenizer.json is a list of stages; each cuts the pieces of the stage before it further, and
 * sees nothing but its piece: a lookahead ends where the piece ends. Supported: Sequence, Split (String or Regex;
 * Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous; invert), Digits, ByteLevel, Metaspace. ByteLevel
 * must be the last: bytes are spelled in another alphabet behind it. Here they stay bytes (pretokenizer_byte_level).
 * Claims: [PT-n] are checked by tests/unit/test_pretokenize.c: pieces without Removed, Metaspace and add_prefix_space
 * are the text, in order and whole [PT-1]; the time is linear [PT-2]. Source: github.com/huggingface/tokenizers 0.23,
 * pre_tokenizers. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct Pretokenizer Pretokenizer;
typedef struct PretokenizeScratch PretokenizeScratch; // memory of one thread

/* json: the value of "pre_tokenizer"; NULL and null leave the text whole. */
int pretokenizer_from_json(Pretokenizer **p, const json_t *json, const char *name, Error *error);
void pretokenizer_free(Pretokenizer *p);
/* True where pieces are to be spelled byte by byte. */
bool pretokenizer_byte_level(const Pretokenizer *p);

PretokenizeScratch *pretokenize_scratch_create(void); // NULL when memory is exhausted
void pretokenize_scratch_free(PretokenizeScratch *scratch);

/* Takes one piece (never empty; valid only during the call); other than 0 ends the cutting. */
typedef int (*PieceSink)(void *context, const char *piece, size_t bytes, Error *error);

/* Hands the pieces of text (valid UTF-8) to the sink in order. `first`: the text is the beginning of all that is
 * encoded. */
int pretokenize(const Pretokenizer *p, PretokenizeScratch *scratch, const char *text, size_t bytes, bool first,
                PieceSink sink, void *context, Error *error);
