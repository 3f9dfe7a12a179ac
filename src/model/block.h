/* block.h - one layer, forward and backward. Training, scoring, prefill and decoding all go through this forward, so
 * that a row has the same bits in each of them wherever the kernels allow it [MO-2].
 *   x += Wo attention(rope(Wqkv norm(x)));  x += Wdown glu(Wgate_up norm(x))
 * With sandwich norms what a line adds goes through a norm of its own first. */
#pragma once
#include "model/model_state.h"

/* The rows of a call and whom they attend to. */
typedef struct {
    size_t rows;             // T
    const int32_t *position; // (T)
    const AttentionSegment *segment;
    size_t segments;
    const KvArrays *cache;    // decoding: keys and values are read from there; NULL: from the rows themselves
    const int32_t *cache_row; // (T) where those of the rows go
} BlockInput;

/* The attention kernel's view of a layer, whose scratch is as large for every layer; cache: whether keys and values
 * come from a cache. */
AttentionShape block_attention_shape(const HfConfig *config, size_t layer, DType compute, bool cache);

/* From a->layer[layer].x to `out` (T, C), which may be the same memory. out NULL: only what the backward pass reads. */
int block_forward(Model *model, size_t layer, const BlockInput *input, Activations *a, float *out, Error *error);
/* a->dx: from the gradient of the layer's output to that of its input. Adds the gradients of the layer's weights. */
int block_backward(Model *model, size_t layer, const BlockInput *input, Activations *a, Error *error);
