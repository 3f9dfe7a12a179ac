/* hf_tokenizer.h - the tokenizer of a checkpoint as documents, whatever files it comes in.
 *
 * A checkpoint directory has tokenizer.json, or only SentencePiece's tokenizer.model, which is made into one
 * (spm_model.h) with what stands beside it, as transformers does for Llama and Mistral [HT-1]:
 *   tokenizer_config.json   added_tokens_decoder {id: {content, special, ...}}; add_bos_token (true where absent),
 *                           add_eos_token; legacy false: only the very beginning of a text gets the leading space;
 *                           bos_token, ... win over what tokenizer.model says
 *   added_tokens.json       {text: id}, for those that added_tokens_decoder does not have
 * Claims: tests/unit/test_hf_tokenizer.c. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>

/* path: a directory, a tokenizer.json, or a file that ends with .model. *tokenizer: tokenizer.json; *config:
 * tokenizer_config.json, NULL where there is none. Both new references; *name is the file that they are of, to be
 * freed. A directory with neither file is ERROR_IO. */
int hf_tokenizer_read(const char *path, json_t **tokenizer, json_t **config, char **name, Error *error);
/* Whether a checkpoint directory has a file that hf_tokenizer_read takes. */
bool hf_tokenizer_is_there(const char *directory);
