/* checkpoint_cases.h - a Hugging Face directory made for a test: the byte-level tokenizer of tests/data, a ChatML-like
 * template, and, where wanted, random weights. */
#pragma once
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "formats/safetensors_writer.h"
#include "model/parameters.h"
#include "test.h"
#include <string.h>

enum { CHECKPOINT_START = 396, CHECKPOINT_END = 397, CHECKPOINT_PAD = 398, CHECKPOINT_VOCABULARY = 400 };

static const char *const checkpoint_template =
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\\n' + m['content'] + '<|end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}";

typedef struct {
    char path[64];
} CheckpointDirectory;

static inline void checkpoint_put(const CheckpointDirectory *d, const char *name, const char *text) {
    Error error = {0};
    char *path = file_join(d->path, name);
    if (file_write(path, text, strlen(text), &error) != 0) fail_msg("%s", error.message);
    free(path);
}

/* chat_template NULL: none. Remove it with checkpoint_remove. */
static inline void checkpoint_create(CheckpointDirectory *d, const char *chat_template) {
    Error error = {0};
    snprintf(d->path, sizeof d->path, "/tmp/dice-checkpoint-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    checkpoint_put(d, "config.json",
                   "{\"model_type\": \"llama\", \"hidden_size\": 16, \"num_hidden_layers\": 2, "
                   "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 24, "
                   "\"vocab_size\": 400, \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, "
                   "\"tie_word_embeddings\": false, \"torch_dtype\": \"float32\", \"eos_token_id\": 397}");
    checkpoint_put(d, "generation_config.json", "{\"eos_token_id\": [397, 398]}");
    json_t *config =
        json_pack("{s:s, s:s, s:s}", "bos_token", "<|start|>", "eos_token", "<|end|>", "pad_token", "<|pad|>");
    if (chat_template != NULL) json_object_set_new(config, "chat_template", json_string(chat_template));
    char *text = json_dumps(config, 0), *tokenizer = file_join(d->path, "tokenizer.json");
    checkpoint_put(d, "tokenizer_config.json", text);
    if (file_copy("tests/data/tokenizer_bytes.json", tokenizer, &error) != 0) fail_msg("%s", error.message);
    json_decref(config);
    free(text), free(tokenizer);
}

/* Random weights, but for the end token's logit: about `end` at each position. */
static inline void checkpoint_weights_ending(const CheckpointDirectory *d, uint64_t seed, float end) {
    Error error = {0};
    HfConfig c;
    Parameters p;
    if (hf_config_read(&c, d->path, &error) != 0 || parameters_create(&p, &c, &error) != 0)
        fail_msg("%s", error.message);
    float *values = malloc(p.elements * sizeof *values);
    const RngAddress address = {.seed = seed, .stream = RNG_TEST};
    for (size_t i = 0; i < p.elements; i++)
        values[i] = (float)(rng_normal(&address, (uint32_t)i) * 0.3 + (i < p.vectors));
    for (size_t t = 0; t < c.vocabulary; t++) { // through a constant
        parameters_at(&p, values, p.model.embedding)[t * c.channels] = 2;
        parameters_at(&p, values, p.model.head)[t * c.channels] = t == CHECKPOINT_END ? end : 0;
    }
    TensorSource source[64] = {0};
    for (size_t i = 0; i < p.tensors; i++) source[i] = model_tensor_source(&p.tensor[i], DTYPE_F32, values);
    if (safetensors_write(d->path, source, p.tensors, 0, &error) != 0) fail_msg("%s", error.message);
    free(values);
    parameters_free(&p);
}

/* The end token has a share of one in ten or so. */
static inline void checkpoint_weights(const CheckpointDirectory *d, uint64_t seed) {
    checkpoint_weights_ending(d, seed, 6);
}

static inline void checkpoint_remove(CheckpointDirectory *d) { file_remove_tree(d->path, NULL); }
