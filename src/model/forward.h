/* forward.h - the residual stream of a batch, through all layers. */
#pragma once
#include "model/block.h"

BlockInput forward_input(const Batch *batch);
/* Scratch of the attention kernel for this call. */
size_t forward_attention_bytes(const Model *model, const BlockInput *input, Pass pass);
/* From `token` to a->end, which is reserved already. The ids were checked. */
int forward_layers(Model *model, const BlockInput *input, const int32_t *token, Activations *a, Error *error);
