/* spm_model.h - tokenizer.model: the vocabulary of a SentencePiece BPE, as the tokenizer.json that it amounts to.
 *
 * The file is a protocol buffer: a list of fields, each a varint (number << 3 | wire type) and a value. Of ModelProto:
 *
 *   1  pieces (repeated)  1 text, 2 score (float), 3 type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused,
 *                         6 byte
 *   2  trainer_spec       3 model_type (2: BPE), 24 treat_whitespace_as_suffix, 35 byte_fallback, 40..43 ids of
 *                         <unk> <s> </s> <pad> (-1: none)
 *   3  normalizer_spec    2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces
 *
 * Fields that are not named here are skipped, as protocol buffers want it. Every length is checked against the file
 * before it is used, every text is UTF-8 and there once [SM-1]. The result: merges = all splits of every piece into
 * two, best score first (spm_merges.h); unknown and control pieces are special added tokens, user-defined ones plain
 * added tokens; <s> stands in front of a text [SM-2]. add_dummy_prefix and remove_extra_whitespaces become the
 * normalizer [SM-3]. Unigram, word and character models, a character map, whitespace as suffix or unescaped are
 * ERROR_UNSUPPORTED with what to do: convert with transformers.
 * Source: sentencepiece_model.proto of github.com/google/sentencepiece 0.2. Claims: tests/unit/test_spm_model.c. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include <stddef.h>

/* tokenizer.json, and the special tokens as tokenizer_config.json names them (bos_token, eos_token, unk_token,
 * pad_token), both new references. `name` stands in messages. */
int spm_model_json(const void *bytes, size_t size, const char *name, json_t **tokenizer, json_t **config, Error *error);
