/* qkv.h - from the fused projection to the queries, keys and values that attention reads, and back: bias, norm of
 * every head of q and k, rope. Done row by row in float32 and rounded once to the compute type. */
#pragma once
#include "model/model_state.h"

/* projected: (T, QKV) float32, overwritten. qkv (T, QKV) of the compute type; in float32 it is `projected`. unnormed
 * (T, (H + Hkv) D) or NULL: receives queries and keys as they were before their norm. */
void qkv_forward(const Model *model, const LayerWeights *weights, size_t rows, const int32_t *position,
                 float *projected, void *qkv, void *unnormed);

/* dqkv (T, QKV) of the compute type: from the gradient of what attention read to that of the projection, in place;
 * unnormed as the forward pass left it. Adds the gradients of the layer's bias and norms; sums have a fixed order. */
void qkv_backward(Model *model, size_t layer, size_t rows, const int32_t *position, const void *unnormed, void *dqkv,
                  float *scratch);
size_t qkv_scratch_bytes(Dims d, size_t rows); // for families with bias or norms
