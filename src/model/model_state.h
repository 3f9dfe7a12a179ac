/* model_state.h - what a Model is made of; for the files of this room only. */
#pragma once
#include "kernels/gemm.h"
#include "kernels/rope.h"
#include "model/activations.h"
#include "model/dims.h"
#include "model/model.h"
#include "model/parameters.h"

/* The values of one layer in the forms that its computation reads; a NULL vector: the family has none. */
typedef struct {
    GemmWeight *qkv, *o, *gate_up, *down;           // (QKV, C), (C, H D), (2F, C), (C, F)
    const float *attention_norm, *mlp_norm;         // (C)
    const float *attention_end_norm, *mlp_end_norm; // (C) behind the last product of attention and feed-forward
    const float *qkv_bias, *o_bias, *gate_up_bias, *down_bias; // (QKV), (C), (2F), (C)
    const float *q_norm, *k_norm;                              // (D)
    const float *rope;                                         // (max_positions, D) of its kind
} LayerWeights;

/* The fused products of a layer. */
typedef enum { LINEAR_QKV, LINEAR_O, LINEAR_GATE_UP, LINEAR_DOWN, LINEARS } Linear;

/* An adapter's part in one of the layers that a product is fused of. */
typedef struct {
    size_t column, out; // of the product's result
    size_t b_tensor;    // number in Lora.tensor
    GemmWeight *b;      // (out, r)
} LoraMember;
enum { LORA_MEMBERS = 3 };

typedef struct {
    size_t in, out, members; // members 0: the adapter leaves this product alone
    size_t a_tensor;         // the first; the others follow it
    GemmWeight *a;           // (members r, in)
    LoraMember member[LORA_MEMBERS];
} LoraLinear;

typedef struct {
    LoraLinear linear[LINEARS];
} LoraLayer;

/* An adapter, see model/lora.h; settings.r 0: none. */
typedef struct {
    LoraSettings settings;
    float scale;
    bool on;
    char *base;          // directory of the weights below, absolute where that can be told
    ModelTensor *tensor; // (tensors) by offset
    size_t tensors, elements, layers;
    LoraLayer *layer;           // (L)
    float *weights, *gradients; // (elements); gradients NULL unless trainable
    float *u, *du;              // (BLOCK_CHUNK, 3 r)
    void *u_half, *du_half;     // the same in the compute type; NULL when that is float32
    float *wide;                // (BLOCK_CHUNK, widest side) results before they become bfloat16; NULL likewise
    void *dropped;              // (BLOCK_CHUNK, widest input) masked; NULL without dropout
    float *dx_dropped;          // (BLOCK_CHUNK, widest input) likewise
    uint64_t dropout_key;       // of the pass; 0: nothing is dropped
} Lora;

struct Model {
    ModelOptions options;
    HfConfig config;
    Dims dims;
    Parameters parameters;
    GemmContext *gemm;
    GemmWeight *turned[LINEARS]; // below an adapter in training: the weights of one layer for data gradients; else NULL
    LayerWeights *layer;         // (L)
    TokenHead *head;
    const float *final_norm; // (C)
    Lora lora;

    Arena arena;      // of the six arrays below and the adapter's
    float *weights;   // where they are trained: the masters; else the vectors alone, at the same offsets
    float *gradients; // likewise; NULL where they are not
    void *embedding;  // (V, C) of the compute type; NULL where the masters serve
    float *norms;   // the vectors as norms multiply by them, config.norm_offset + weight; NULL where that is the weight
    float *rope[2]; // (max_positions, D) of each kind, filled up to rope_positions
    size_t rope_positions;

    Hash file_hash;       // of the values as loaded
    Activations *scratch; // of the calls that keep nothing
};

/* Whether the weights themselves are trained, and so have masters and gradients. */
static inline bool model_has_masters(const ModelOptions *options) { return options->trainable && options->lora.r == 0; }

/* Element type and place of the embedding's rows. */
static inline DType model_embedding_type(const Model *m) {
    return m->embedding == NULL ? DTYPE_F32 : m->options.compute;
}
