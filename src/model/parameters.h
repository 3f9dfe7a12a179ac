/* parameters.h - the one list of a model's parameters: what they are called in a checkpoint, their shapes, which
 * families have them, and where each lies in the arrays of weights and gradients.
 *
 * Vectors (norms, biases) come first, then the matrices, each group in the order of the list: so the parameters with
 * weight decay are one range, and a model that keeps only packed matrices holds the first `vectors` floats of the same
 * layout [PA-1]. Neighbours in the list are neighbours in memory, without gaps [PA-2]. Hence the fused views:
 *   layer.q     as (QKV, C)  the weight of one product for queries, keys and values; layer.q_bias as (QKV)
 *   layer.gate  as (2F, C)   the weight of one product for gate and up; layer.gate_bias as (2F)
 * A tied head is the embedding: model.head == model.embedding, so both gradients add up in one place [PA-3].
 * Memory: parameters_create allocates, parameters_free ends it. Claims: tests/unit/test_parameters.c. */
#pragma once
#include "base/error.h"
#include "model/dims.h"
#include "model/model.h"

/* X(field, checkpoint name, rows, columns, there): rows and columns in the letters of Dims d, columns 0 for a vector;
 * there: whether the model of HfConfig *c has it. */
#define PARAMETERS_OF_MODEL(X)                                                                                         \
    X(embedding, "model.embed_tokens.weight", d.V, d.C, true)                                                          \
    X(norm, "model.norm.weight", d.C, 0, true)                                                                         \
    X(head, "lm_head.weight", d.V, d.C, !c->tied_head)

/* Of each layer; names go on from "model.layers.N.". */
#define PARAMETERS_OF_LAYER(X)                                                                                         \
    X(attention_norm, "input_layernorm.weight", d.C, 0, true)                                                          \
    X(q, "self_attn.q_proj.weight", d.HD, d.C, true)                                                                   \
    X(k, "self_attn.k_proj.weight", d.KD, d.C, true)                                                                   \
    X(v, "self_attn.v_proj.weight", d.KD, d.C, true)                                                                   \
    X(q_bias, "self_attn.q_proj.bias", d.HD, 0, c->qkv_bias)                                                           \
    X(k_bias, "self_attn.k_proj.bias", d.KD, 0, c->qkv_bias)                                                           \
    X(v_bias, "self_attn.v_proj.bias", d.KD, 0, c->qkv_bias)                                                           \
    X(q_norm, "self_attn.q_norm.weight", d.D, 0, c->qk_norm)                                                           \
    X(k_norm, "self_attn.k_norm.weight", d.D, 0, c->qk_norm)                                                           \
    X(o, "self_attn.o_proj.weight", d.C, d.HD, true)                                                                   \
    X(o_bias, "self_attn.o_proj.bias", d.C, 0, c->output_bias)                                                         \
    X(attention_end_norm, "post_attention_layernorm.weight", d.C, 0, c->sandwich_norms)                                \
    X(mlp_norm, PARAMETERS_MLP_NORM(c), d.C, 0, true)                                                                  \
    X(gate, "mlp.gate_proj.weight", d.F, d.C, true)                                                                    \
    X(up, "mlp.up_proj.weight", d.F, d.C, true)                                                                        \
    X(gate_bias, "mlp.gate_proj.bias", d.F, 0, c->mlp_bias)                                                            \
    X(up_bias, "mlp.up_proj.bias", d.F, 0, c->mlp_bias)                                                                \
    X(down, "mlp.down_proj.weight", d.C, d.F, true)                                                                    \
    X(down_bias, "mlp.down_proj.bias", d.C, 0, c->mlp_bias)                                                            \
    X(mlp_end_norm, "post_feedforward_layernorm.weight", d.C, 0, c->sandwich_norms)

/* The norm in front of the feed-forward stands behind attention, and is called so where that has none of its own. */
#define PARAMETERS_MLP_NORM(c)                                                                                         \
    ((c)->sandwich_norms ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight")

#define PARAMETERS_FIELD(field, name, rows, columns, there) size_t field;
/* Numbers of tensors in `tensor`; PARAMETERS_NONE where the family has none. */
typedef struct {
    PARAMETERS_OF_MODEL(PARAMETERS_FIELD)
} ModelParameters;
typedef struct {
    PARAMETERS_OF_LAYER(PARAMETERS_FIELD)
} LayerParameters;
#undef PARAMETERS_FIELD

#define PARAMETERS_NONE SIZE_MAX

typedef struct {
    ModelTensor *tensor; // (tensors) by offset
    size_t tensors, vector_tensors;
    size_t elements, vectors; // floats in all, and in the vectors that come first
    ModelParameters model;
    LayerParameters *layer; // (L)
} Parameters;

/* ERROR_INPUT where the sizes of the config do not fit into an address space. */
int parameters_create(Parameters *parameters, const HfConfig *config, Error *error);
void parameters_free(Parameters *parameters);

/* Where tensor `index` begins in an array of this layout; NULL for PARAMETERS_NONE, and where there is no array. */
static inline float *parameters_at(const Parameters *p, float *array, size_t index) {
    return index == PARAMETERS_NONE || array == NULL ? NULL : array + p->tensor[index].offset;
}
