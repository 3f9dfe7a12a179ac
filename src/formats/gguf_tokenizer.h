/* gguf_tokenizer.h - the tokenizer inside a GGUF file, as the documents of a Hugging Face checkpoint.
 *
 * A GGUF file has the tokens with their types, and either merges ("gpt2": byte-level BPE) or scores ("llama":
 * SentencePiece BPE). Left out are the rules that cut text into pieces; they follow from a name, tokenizer.ggml.pre.
 *
 *   gpt2    vocabulary and merges as they are; pre-tokenizer and normalizer by name:
 *           gpt-2, default, phi-2, mpt, olmo (or no name); smollm, starcoder, refact, codeshell: digits one by one;
 *           llama-bpe, llama3, llama-v3, smaug-bpe, dbrx; qwen2, deepseek-r1-qwen; tekken; another name is
 *           ERROR_UNSUPPORTED
 *   llama   merges = all splits of every token into two tokens, best score first [GT-1]; byte fallback; a space becomes
 *           U+2581, one is put in front unless add_space_prefix is false
 *
 * Control (and, of "llama", unknown) tokens become special added tokens, user-defined ones plain added tokens [GT-2].
 * User-defined pieces of "llama" have U+2581 where the file has a space [GT-3].
 * Special tokens are put in front of and behind a text as add_bos_token and add_eos_token say.
 * Source: ggml's docs/gguf.md; llama.cpp's names of pre-tokenizers; the forms that the models' own tokenizer.json have.
 * Claims: tests/unit/test_gguf_tokenizer.c. */
#pragma once
#include "base/json.h"
#include "formats/gguf.h"

/* tokenizer.json (a new reference). */
int gguf_tokenizer_json(const Gguf *gguf, json_t **document, Error *error);
/* tokenizer_config.json (a new reference): special tokens, chat template. */
int gguf_tokenizer_config(const Gguf *gguf, json_t **document, Error *error);
