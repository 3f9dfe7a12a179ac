/* gguf_config.h - what a GGUF file says of its model, as config.json and generation_config.json.
 *
 * general.architecture llama (Mistral's models, too, are stored as llama), qwen2, qwen3 and gemma3. What follows from
 * the tensors is read from them: the vocabulary's size, whether the head is the embedding, and Llama 3's rope scaling,
 * of which GGUF keeps the factor of each frequency (rope_freqs.weight): factor, and 1, 4 and 8192 for the other
 * parameters, if those give the stored factors again [GC-1]; otherwise it is ERROR_UNSUPPORTED. Source: ggml's
 * docs/gguf.md, transformers' configuration classes. Claims: tests/unit/test_gguf_import.c. */
#pragma once
#include "base/dtype.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "formats/hf_config.h"

/* Two new references, and the same parsed. dtype: what the weights will be stored as. */
int gguf_config_json(const Gguf *gguf, DType dtype, json_t **config, json_t **generation, HfConfig *parsed,
                     Error *error);
