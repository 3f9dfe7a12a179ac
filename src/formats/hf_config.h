/* hf_config.h - config.json and generation_config.json: what the model is, as numbers.
 *
 * Both key styles are read: the old one (rope_theta, rope_scaling, torch_dtype) and that of transformers 5
 * (rope_parameters, dtype). Every number is checked against a range and against the others (heads are a multiple of
 * kv_heads, ...), so that what reads an HfConfig need not check again. A key that is not there has the value that
 * transformers gives it for this family [HC-1]; both styles of one model give equal structs [HC-2]; the sliding window
 * is 0 unless every layer has it [HC-3].
 * Source: transformers' configuration classes; keys that change nothing in the forward pass are ignored.
 * Claims: tests/unit/test_hf_config.c. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { FAMILY_LLAMA, FAMILY_MISTRAL, FAMILY_QWEN2, FAMILY_QWEN3 } ModelFamily;
typedef enum { HF_ROPE_PLAIN, HF_ROPE_LINEAR, HF_ROPE_LLAMA3 } HfRopeScaling;
enum { HF_EOS_MAX = 16 };

typedef struct {
    ModelFamily family;
    size_t layers, channels, heads, kv_heads, head_dim, feed_forward, vocabulary;
    size_t max_positions;
    double norm_eps, rope_theta;
    HfRopeScaling rope_scaling;
    double rope_factor;                                           // linear, llama3
    double rope_low_frequency_factor, rope_high_frequency_factor; // llama3
    double rope_original_positions;                               // llama3
    size_t window;                                                // sliding window in tokens, 0: none
    bool tied_head;                                               // the head is the embedding
    bool attention_bias; // q, k and v have a bias (qwen2); the switch of llama and qwen3, which is o's too, is refused
    bool qk_norm;        // rmsnorm of every head of q and k (qwen3)
    DType dtype;         // of the stored weights as the file says; float32 where it says nothing
    int32_t bos_token, pad_token;  // -1: none
    int32_t eos_token[HF_EOS_MAX]; // of config.json, replaced by generation_config.json's where that has one
    size_t eos_count;
} HfConfig;

/* directory: with config.json and perhaps generation_config.json. ERROR_UNSUPPORTED: another family or feature. */
int hf_config_read(HfConfig *config, const char *directory, Error *error);
/* The same from text; generation may be NULL. `name` stands in messages. */
int hf_config_parse(HfConfig *config, const char *text, size_t bytes, const char *generation, size_t generation_bytes,
                    const char *name, Error *error);
