/* input.h - token ids to the residual stream, and the gradient of the embedding. */
#pragma once
#include "model/model_state.h"

/* Every id is in the vocabulary and every position in the context, or ERROR_INPUT; the rotary table then covers them.
 */
int input_check(Model *model, size_t rows, const int32_t *token, const int32_t *position, Error *error);
/* x (T, C) float32 = rows of the embedding as the compute type holds them. */
void input_embed(const Model *model, size_t rows, const int32_t *token, float *x);
/* Adds dx (T, C) to the gradient of the embedding, row after row, so that the order of each sum is that of the batch.
 * As in transformers, the padding token's row gets none. */
void input_backward(Model *model, size_t rows, const int32_t *token, const float *dx);
