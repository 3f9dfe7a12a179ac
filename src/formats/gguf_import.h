/* gguf_import.h - a GGUF file becomes a Hugging Face checkpoint directory, complete: config.json,
 * generation_config.json, tokenizer.json, tokenizer_config.json, model.safetensors (or shards and their index).
 *
 * Values are those of the quantised numbers, exactly, as float32, or rounded to bfloat16. Files of architecture llama
 * keep the rows of q and k in another order, pairs of a rotation side by side: row 2 i + s of a head is row
 * s D/2 + i here [GI-1]. A file without output.weight has the embedding as its head [GI-2]. Norms of gemma3
 * are stored as 1 + weight [GI-4]. A tensor that is missing,
 * too many, or of another shape ends the import. The directory appears complete or not at all: it is written as
 * DIRECTORY.partial and renamed [GI-3]. Memory: one row at a time. Source: llama.cpp's conversion of Llama weights
 * and of Gemma's norms (undone here). Claims: tests/unit/test_gguf_import.c. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include "base/log.h"

/* directory: does not exist yet, or is empty. dtype: float32 or bfloat16. */
int gguf_import(const char *gguf_path, const char *directory, DType dtype, const Log *log, Error *error);
