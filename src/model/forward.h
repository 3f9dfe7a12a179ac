/* forward.h - the residual stream of a batch, through all layers. */
#pragma once
#include "model/block.h"

BlockInput forward_input(const Batch *batch);
/* Scratch of the attention kernel for this call. */
size_t forward_attention_bytes(const Model *model, const BlockInput *input, Pass pass);
/* The same for plans, where only numbers are known: one prompt, and two branches that share `targets`. */
size_t forward_planned_attention_bytes(const HfConfig *config, const ModelOptions *options, Pass pass, size_t rows,
                                       size_t targets);
/* From `token` to a->end, which is reserved already. The ids were checked. */
int forward_layers(Model *model, const BlockInput *input, const int32_t *token, Activations *a, Error *error);
