/* bpe_tokenizer.h - text to token ids and back, id by id as Hugging Face `tokenizers` does it.
 *
 * A tokenizer is read from tokenizer.json and runs in five stages, each a part of that file:
 *
 *   added_tokens    special tokens that are spelled in the text are cut out first (added_tokens.h)
 *   normalizer      NFC, Prepend, Replace on what lies between them (normalizer.h)
 *   pre_tokenizer   cuts the text into pieces that no token crosses (pretokenize.h)
 *   model           byte pair encoding of each piece: of all neighbouring pairs the one whose merge was learnt first
 *                   is joined, until none is left (bpe_model.h)
 *   post_processor  ids in front and behind, such as <s>, where add_special asks for them
 *
 * and `decoder` is the way back (token_decoder.h). The time is linear in the length of the text (times a logarithm
 * inside one piece), whatever the text is [BT-3].
 *
 * Supported: model BPE, byte-level (GPT-2, Llama 3, Qwen, SmolLM2) or with byte fallback (Llama 2, Mistral, Zephyr,
 * Gemma). Another part or option is ERROR_UNSUPPORTED and says what there is; it is never ignored.
 * Text is UTF-8 and may hold NULs. Bytes that are not UTF-8 are read as U+FFFD, as Python's errors="replace" does.
 * Bytes that a byte-level vocabulary does not have (SmolLM2 lacks 21) vanish, as in the reference.
 * Memory: a Tokenizer owns all it points to. It is never changed after loading: several threads may use one at once.
 * Source: Sennrich et al., arXiv 1508.07909; github.com/huggingface/tokenizers 0.23.
 * Claims: [BT-n] are checked by tests/unit/test_bpe_tokenizer.c. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "text/token_list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;

/* path: a checkpoint directory with tokenizer.json or tokenizer.model and perhaps tokenizer_config.json, or one of the
 * first two (formats/hf_tokenizer.h). *t is NULL after a failure. */
int tokenizer_load(Tokenizer **t, const char *path, Error *error);
/* root: a parsed tokenizer.json, borrowed for the call; `name` stands in messages. */
int tokenizer_from_json(Tokenizer **t, const json_t *root, const char *name, Error *error);
void tokenizer_free(Tokenizer *t); // NULL is fine

/* Appends the ids of the text [BT-1]. add_special: with the post-processor's ids in front and behind. Special tokens
 * that the text spells are recognised in any case. After a failure (memory; a pattern that gives up; an unk_token that
 * is needed but has no id) `out` is as it was. */
int tokenizer_encode(const Tokenizer *t, const char *text, size_t bytes, bool add_special, TokenList *out,
                     Error *error);

/* Appends the text of the ids, always valid UTF-8 [BT-2]: what the decoder cannot read is U+FFFD. skip_special leaves
 * special tokens out. An id without a token (a padded row of a model) is nothing, as in the reference. Only
 * memory can fail; then `out` is as it was. */
int tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t count, bool skip_special, Buffer *out,
                     Error *error);

size_t tokenizer_vocabulary(const Tokenizer *t); // highest id + 1
/* The id of a token as the vocabulary spells it ("<|im_end|>", "\u0120the"), -1 where there is none. */
int32_t tokenizer_id(const Tokenizer *t, const char *token);
/* The other way; NULL for an id that is not used. The text is the tokenizer's, and ends with a 0 behind *bytes bytes;
 * `bytes` may be NULL. */
const char *tokenizer_token(const Tokenizer *t, int32_t id, size_t *bytes);
bool tokenizer_is_special(const Tokenizer *t, int32_t id);

/* What tokenizer_config.json names as bos_token, eos_token and pad_token; -1 where it does not, or is not there. */
int32_t tokenizer_bos(const Tokenizer *t);
int32_t tokenizer_eos(const Tokenizer *t);
int32_t tokenizer_pad(const Tokenizer *t);
