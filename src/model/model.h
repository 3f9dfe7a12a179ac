/* model.h - a llama-family language model: weights in, log-probs out, and their gradient.
 *
 * One forward and one backward for every family; what differs is data in HfConfig. Compute is float32 or bfloat16
 * (weights and matmul inputs bfloat16; accumulation, residual stream, norms, softmax and log-probs float32).
 *   x = embedding[token];  per layer: x += Wo attention(rope(Wqkv norm(x)));  x += Wdown glu(Wgate_up norm(x))
 *   log p(token) = token_logprob(norm(x))
 * A trainable model keeps float32 master weights and float32 gradients, both one array in the order of
 * model_tensors(); model_pack refreshes what the matmuls read after the masters changed. With an adapter (LoRA, see
 * model/lora.h) all of this is the adapter's alone: the weights below it stay packed in the compute type, once, and
 * have neither masters nor gradients.
 *
 * Results for a row do not depend on what else is in the batch, nor on the thread count [MO-1]. Training, scoring,
 * prefill and decoding share one forward pass of a layer: hidden states are equal to the bit in all of them [MO-2].
 * Memory: the model owns everything it hands out. One caller at a time. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "formats/hf_config.h"
#include "formats/peft_adapter.h"
#include "formats/safetensors_writer.h"
#include "kernels/kernel_table.h"
#include "kernels/token_logprob.h"
#include "model/batch.h"
#include <stdbool.h>

typedef struct Model Model;
typedef struct Activations Activations;

typedef struct {
    const KernelTable *kernels; // outlives the model
    DType compute;              // DTYPE_F32 or DTYPE_BF16
    bool trainable;
    bool checkpoint_activations; // backward recomputes each layer from its input: less memory, a third more work
    LoraSettings lora;           // r 0: no adapter. A new one changes nothing: its B are 0 (and its A too)
} ModelOptions;

/* One parameter as the checkpoint, or PEFT, names it. Tied heads have one tensor, the embedding. */
typedef struct {
    char name[96];
    size_t rank, shape[2], elements;
    size_t offset;  // into model_weights and model_gradients
    bool is_matrix; // weight decay applies (matrices, embedding, head), not to norms and biases
} ModelTensor;

/* It as safetensors_write takes it, with its part of `values`, which are all tensors in one array. Borrows both. */
TensorSource model_tensor_source(const ModelTensor *tensor, DType type, const float *values);

/* directory: config.json and safetensors. Missing, wrongly shaped or non-finite tensors are errors that name them.
 * ERROR_UNSUPPORTED for a family or a tensor that the forward pass does not have. */
int model_load(Model **model, const char *directory, const ModelOptions *options, Error *error);
void model_free(Model *model); // NULL is fine
/* Bytes that model_load will need, for plans (without activations). */
size_t model_bytes(const HfConfig *config, const ModelOptions *options);

const HfConfig *model_config(const Model *model);
const ModelOptions *model_options(const Model *model);
/* What is trained: the adapter where there is one, else the whole model. */
size_t model_tensor_count(const Model *model);
const ModelTensor *model_tensors(const Model *model);
size_t model_weight_count(const Model *model); // floats in model_weights
float *model_weights(Model *model);            // master weights; NULL unless trainable
float *model_gradients(Model *model);          // NULL unless trainable; model_backward adds to it
int model_pack(Model *model, Error *error);
/* The same count before a model is loaded, for plans; SIZE_MAX where it does not fit into an address space. */
size_t model_planned_weights(const HfConfig *config, const ModelOptions *options);

/* model_load, with the adapter of a PEFT directory, or NULL for a model that computes without. Where *model is not NULL
 * but one that came from the same directory with these options (and an adapter of this shape), only the adapter is
 * exchanged or switched off: so several adapters share the weights below. Another *model is freed first; after an error
 * *model is NULL. */
int model_load_adapted(Model **model, const char *directory, const char *adapter, const ModelOptions *options,
                       Error *error);
/* Start values of the adapter: A uniform from the seed, B 0. It is on then. */
int model_adapter_initialize(Model *model, uint64_t seed, Error *error);
/* The adapter of a PEFT directory, whose settings must be those of the model's options (but for dropout). It is on. */
int model_adapter_load(Model *model, const char *directory, Error *error);
/* Writes a PEFT directory's two files into an existing directory; the directory that the model was loaded from is what
 * they name as the base. */
int model_adapter_save(const Model *model, const char *directory, Error *error);
/* Off: the model computes, and is called by model_hash, as if there were no adapter. It begins switched on. */
void model_adapter_switch(Model *model, bool on);
/* Which values the passes from now on drop, where lora.dropout > 0 and the model is trainable; NULL, as at the start:
 * none. */
void model_adapter_dropout(Model *model, const RngAddress *pass);
/* A name for the weights: hash of names, shapes and values (of the masters, or of the file's values). */
int model_hash(Model *model, Hash *hash, Error *error);
/* Writes the master weights as safetensors into directory (needs trainable). */
int model_save(const Model *model, const char *directory, DType type, size_t shard_bytes, Error *error);

/* Log-probs of every target of the batch: logprob (targets) float32; likewise, or NULL, logsumexp at the target's
 * position, and its figures. Keeps nothing. */
int model_logprob(Model *model, const Batch *batch, float *logprob, float *logsumexp, TokenFigures *figures,
                  Error *error);

/* The same, keeping in *activations what model_backward needs. Start with *activations == NULL: created once, grows to
 * the largest batch, freed by activations_free; activations_bytes tells its size for plans. */
int model_forward(Model *model, const Batch *batch, Activations **activations, float *logprob, TokenFigures *figures,
                  Error *error);
/* gradients += d loss / d weights, from dlogprob (targets) = d loss / d logprob. After model_forward of the same batch,
 * once: it overwrites the activations. */
int model_backward(Model *model, const Batch *batch, Activations *activations, const float *dlogprob, Error *error);
void activations_free(Activations *activations);
/* For rows of prompts and responses, `targets` of them in responses; not trainable: of a model_logprob. */
size_t activations_bytes(const HfConfig *config, const ModelOptions *options, size_t rows, size_t targets);

/* Keys and values of earlier tokens, for decoding: one pair of (rows, Hkv D) arrays of the compute type a layer. */
typedef struct {
    void **key, **value; // (L) pointers
    size_t rows;
} KvArrays;

/* One step of decoding or a prefill: T new tokens, whose keys and values go to cache rows cache_row[t] before attention
 * reads the cache. segment: query rows are rows of this call, key rows are rows of the cache. */
typedef struct {
    size_t rows;
    const int32_t *token, *position, *cache_row; // (T)
    const AttentionSegment *segment;
    size_t segments;
    const int32_t *logit_row; // (R) rows whose logits are wanted, ascending
    size_t logit_rows;
} DecodeInput;

/* logits: (R, V) float32. */
int model_decode(Model *model, const KvArrays *cache, const DecodeInput *input, float *logits, Error *error);
size_t model_decode_bytes(const HfConfig *config, const ModelOptions *options, size_t rows, size_t logit_rows);
/* What a cache of `rows` rows takes. */
size_t model_kv_bytes(const HfConfig *config, const ModelOptions *options, size_t rows);
