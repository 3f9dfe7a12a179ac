/* hf_config.h - config.json and generation_config.json: what the model is, as numbers.
 *
 * Both key styles are read: the old one (rope_theta, rope_scaling, torch_dtype) and that of transformers 5
 * (rope_parameters, dtype). Every number is checked against a range and against the others (heads are a multiple of
 * kv_heads, ...), so that what reads an HfConfig need not check again. A key that is not there has the value that
 * transformers gives it for this family [HC-1]; both styles of one model give equal structs [HC-2]; which
 * layers have a sliding window follows the family's rule [HC-3].
 * Source: transformers' configuration classes; keys that change nothing in the forward pass are ignored.
 * Claims: tests/unit/test_hf_config.c. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include "formats/hf_rope.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { FAMILY_LLAMA, FAMILY_MISTRAL, FAMILY_QWEN2, FAMILY_QWEN3, FAMILY_GEMMA3 } ModelFamily;
typedef enum { HF_SILU, HF_GELU_TANH } HfActivation;
enum { HF_EOS_MAX = 16, HF_LAYERS_MAX = 4096 };

typedef struct {
    ModelFamily family;
    size_t layers, channels, heads, kv_heads, head_dim, feed_forward, vocabulary;
    size_t max_positions;
    double norm_eps;
    HfRope rope[2];                     // two kinds: [1] of the layers that slide (gemma3)
    size_t ropes;                       // kinds
    size_t window;                      // of the layers that slide, in tokens; 0: no layer does
    uint8_t sliding[HF_LAYERS_MAX / 8]; // a bit a layer, see hf_config_slides
    double attention_scale;             // of scores: 1 / sqrt(head_dim), or of gemma3's query_pre_attn_scalar
    double embedding_scale;             // of embeddings as inputs: 1, or sqrt(channels) (gemma3)
    double norm_offset;                 // a norm multiplies by this + its weight: 0, or 1 (gemma3)
    bool sandwich_norms;                // attention and feed-forward are normed before they are added (gemma3)
    HfActivation activation;            // of the gate
    bool tied_head;                     // the head is the embedding
    bool qkv_bias;                      // q, k and v have a bias (qwen2; others where attention_bias says so)
    bool output_bias;                   // the attention's output, too (attention_bias of llama, qwen3, gemma3)
    bool mlp_bias;                      // gate, up and down have one (llama's mlp_bias)
    bool qk_norm;                       // rmsnorm of every head of q and k (qwen3, gemma3)
    DType dtype;                        // of the stored weights as the file says; float32 where it says nothing
    int32_t bos_token, pad_token;       // -1: none
    int32_t eos_token[HF_EOS_MAX];      // of config.json, replaced by generation_config.json's where that has one
    size_t eos_count;
} HfConfig;

const char *hf_config_family(const HfConfig *config); // its model_type
/* Whether a layer has the sliding window. */
static inline bool hf_config_slides(const HfConfig *c, size_t layer) { return c->sliding[layer / 8] >> layer % 8 & 1; }

/* directory: with config.json and perhaps generation_config.json. ERROR_UNSUPPORTED: another family or feature. */
int hf_config_read(HfConfig *config, const char *directory, Error *error);
/* The same from text; generation may be NULL. `name` stands in messages. */
int hf_config_parse(HfConfig *config, const char *text, size_t bytes, const char *generation, size_t generation_bytes,
                    const char *name, Error *error);
