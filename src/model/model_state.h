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
    GemmWeight *qkv, *o, *gate_up, *down;   // (QKV, C), (C, H D), (2F, C), (C, F)
    const float *attention_norm, *mlp_norm; // (C)
    const float *qkv_bias;                  // (QKV)
    const float *q_norm, *k_norm;           // (D)
} LayerWeights;

struct Model {
    ModelOptions options;
    HfConfig config;
    Dims dims;
    Parameters parameters;
    GemmContext *gemm;
    LayerWeights *layer; // (L)
    TokenHead *head;
    const float *final_norm; // (C)

    Arena arena;      // of the five arrays below
    float *weights;   // trainable: the masters; else the vectors alone, at the same offsets
    float *gradients; // trainable only
    void *embedding;  // (V, C) of the compute type; NULL where the masters serve
    float *rope;      // (max_positions, D), filled up to rope_positions
    size_t rope_positions;

    Hash file_hash;       // of the values as loaded
    Activations *scratch; // of the calls that keep nothing
};

/* Element type and place of the embedding's rows. */
static inline DType model_embedding_type(const Model *m) {
    return m->embedding == NULL ? DTYPE_F32 : m->options.compute;
}
