/* normalizer.h - the normalizer of tokenizer.json: what happens to text before it is cut.
 *
 * Supported: Sequence, NFC, NFD, NFKC, NFKD (utf8proc; its Unicode may be newer than the reference's), Prepend, Replace
 * (String or Regex). A Normalizer is never changed after it was made. Source: github.com/huggingface/tokenizers 0.23,
 * normalizers. Claims: [NO-n] are checked by tests/unit/test_normalizer.c. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct Normalizer Normalizer;

/* json: the value of "normalizer"; NULL and null change nothing. */
int normalizer_from_json(Normalizer **normalizer, const json_t *json, const char *name, Error *error);
void normalizer_free(Normalizer *normalizer);
/* True where there is nothing to do for any text: then normalizer_apply need not be called. */
bool normalizer_is_empty(const Normalizer *normalizer);

/* Writes the normal form of text[0..n), valid UTF-8, to *out, which is cleared first. The empty text stays empty. */
int normalizer_apply(const Normalizer *normalizer, const char *text, size_t n, Buffer *out, Error *error);
