/* lora.h - a low-rank adapter: y += s B (A dropout(x)) on linear layers whose weights stay as they are.
 *
 * An adapter is data attached to the linear layers of a model: thin float32 matrices A (r, in) and B (out, r), s as in
 * formats/peft_adapter.h. Layers that are fused (q k v; gate up) share the product with x: their A stand one below the
 * other and are one matrix. Forward, with u = s A x:  y += B u.  Backward, with du = s B^T dy:
 *   dB += dy^T u    dA += du^T x    dx += A^T du
 * All of that is done for BLOCK_CHUNK rows at a time, in the compute type with float32 sums; u is computed again in the
 * backward pass, which is cheaper than keeping it. Where dropout works, x is masked and scaled by 1 / (1 - p) on its
 * way to A; the mask is a function of (pass, layer, product, row, column), so it needs no memory, and fused layers
 * share it. At the start A is uniform in +-1 / sqrt(in) (kaiming_uniform with a = sqrt 5, as PEFT) and B is 0.
 * Memory: arrays lie in the model's arena. Source: Hu et al., arXiv 2106.09685. Claims: tests/unit/test_lora.c. */
#pragma once
#include "model/linear.h"

/* The list of tensors; settings.r >= 1. lora_free ends it. */
int lora_create(Lora *lora, const HfConfig *config, const ModelOptions *options, Error *error);
void lora_free(Lora *lora);
/* Takes the adapter's arrays, or counts them. */
void lora_lay_out(Lora *lora, Arena *arena, const HfConfig *config, const ModelOptions *options);
/* Bytes of the packed matrices. */
size_t lora_packed_bytes(const HfConfig *config, const ModelOptions *options);
int lora_create_weights(Model *model, Error *error);
int lora_pack(Model *model, Error *error);
/* Remembers the directory that the weights below come from. */
int lora_name_base(Lora *lora, const char *directory, Error *error);
/* Whether the adapter of this product takes part now. */
bool lora_is_on(const Model *model, const LinearCall *call);

/* y (rows, out) float32 += ... */
int lora_forward(Model *model, const LinearCall *call, const void *x, float *y, Error *error);
/* Leaves du for lora_weight_gradient; dx (rows, in) float32 += ... */
int lora_data_gradient(Model *model, const LinearCall *call, const void *dy, float *dx, Error *error);
int lora_weight_gradient(Model *model, const LinearCall *call, const void *dy, const void *x, Error *error);

/* `base`: hash of the weights below. */
int lora_hash(const Model *model, const Hash *base, Hash *hash, Error *error);
