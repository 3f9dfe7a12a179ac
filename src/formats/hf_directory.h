/* hf_directory.h - a Hugging Face checkpoint directory as a whole: the files beside the weights.
 *
 * What a model needs besides its tensors is copied unchanged from the model it came from, so that a checkpoint of ours
 * has the tokenizer and the chat template of its parent to the byte. Only config.json's dtype follows the weights; the
 * rest of it, too, keeps its bytes [HD-1]. Claims: tests/unit/test_hf_directory.c. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include "base/hash.h"

/* Copies the files that `from` has (config, generation config, tokenizer, template, licence) into the existing
 * directory `to`; dtype and torch_dtype of config.json, where they stand, become `type`. */
int hf_directory_copy(const char *from, const char *to, DType type, Error *error);

/* The chat template: chat_template.jinja, else "chat_template" of tokenizer_config.json (a string, or a list of named
 * ones of which "default" counts, and must be there). *text is NULL where there is none, else to be freed. */
int hf_directory_chat_template(const char *directory, char **text, Error *error);

/* A name for the content of config, tokenizer, template and weights, or of a PEFT directory: any other byte gives
 * another. */
int hf_directory_hash(const char *directory, Hash *hash, Error *error);
