/* peft_adapter.h - a LoRA adapter as a PEFT directory: adapter_config.json and adapter_model.safetensors.
 *
 * An adapter adds a product of two thin matrices to linear layers, y = W x + s B (A x), A (r, in), B (out, r), with
 * s = alpha / r, or alpha / sqrt(r) with rslora. Its tensors are called
 *   base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight   and lora_B, N from 0, q_proj .. down_proj.
 * What we write, transformers and peft load to the same logits. What we read must mean the same here as there: a key
 * that changes results in a way that we do not have (DoRA, modules_to_save, biases, patterns of ranks, ...) is
 * ERROR_UNSUPPORTED and named, and so is one that we do not know unless it is null, false or empty [PE-1].
 * Source: PEFT 0.21, LoraConfig and save_pretrained; Hu et al., arXiv 2106.09685; rslora: Kalajdzievski, arXiv
 * 2312.03732. Claims: tests/unit/test_peft_adapter.c. */
#pragma once
#include "formats/safetensors.h"
#include <stdbool.h>

/* The linear layers of a block, in the order of PEFT_TARGET_NAMES. */
typedef enum { PEFT_Q, PEFT_K, PEFT_V, PEFT_O, PEFT_GATE, PEFT_UP, PEFT_DOWN, PEFT_TARGETS } PeftTarget;
enum { PEFT_ALL_LINEAR = (1 << PEFT_TARGETS) - 1, PEFT_MOST_RANK = 4096, PEFT_NAME = 96 };

typedef struct {
    size_t r; // rank; 0: no adapter
    double alpha, dropout;
    bool rslora;
    unsigned targets; // bits 1 << PeftTarget
} LoraSettings;

typedef struct {
    LoraSettings settings;
    char *directory, *base; // base: base_model_name_or_path, or NULL
    Checkpoint *tensors;
} PeftAdapter;

/* s of the formula above. */
double peft_adapter_scale(const LoraSettings *settings);
/* Names of modules to bits: q_proj .. down_proj, with or without self_attn. or mlp. before it (and the layer before
 * that), or all-linear. `place` begins the message where one is not known; code is then the Error's. */
int peft_adapter_targets(const char *const *name, size_t n, const char *place, ErrorCode code, unsigned *targets,
                         Error *error);
/* The name of lora_A ('A') or lora_B of a layer's target. */
void peft_adapter_name(size_t layer, PeftTarget target, char matrix, char out[PEFT_NAME]);

/* adapter_config.json from text; `name` stands in messages. *base is to be freed, or NULL. */
int peft_adapter_parse(const char *text, size_t bytes, const char *name, LoraSettings *settings, char **base,
                       Error *error);
/* The configuration alone. */
int peft_adapter_settings(const char *directory, LoraSettings *settings, Error *error);
/* Both files. peft_adapter_close ends it, also after a failure. */
int peft_adapter_open(PeftAdapter *adapter, const char *directory, Error *error);
void peft_adapter_close(PeftAdapter *adapter);
/* A tensor that must be there with this shape. */
int peft_adapter_find(const PeftAdapter *adapter, const char *name, size_t rows, size_t columns,
                      const TensorView **view, Error *error);
/* After all tensors were found: ERROR_UNSUPPORTED where the file holds one that a model of so many layers has no use
 * for. */
int peft_adapter_check_names(const PeftAdapter *adapter, size_t layers, Error *error);

/* Writes adapter_config.json. base: what the adapter belongs to, as a path or a name of the hub. */
int peft_adapter_write_config(const char *directory, const LoraSettings *settings, const char *base, Error *error);
