/* cost.h - the floating-point operations that any correct implementation must do for a batch.
 *
 * A multiply and an add are two. Counted: every weight matrix once a token, the head once a row whose log-probs are
 * needed, and the causal half of attention, at most a window of it. Not counted: padding, recomputation, element-wise
 * work. The backward pass is twice the forward pass. */
#pragma once
#include "formats/hf_config.h"

/* Weights of the matrices that every token passes (without embedding and head), and all weights of the model. */
double cost_body_weights(const HfConfig *config);
double cost_all_weights(const HfConfig *config);

/* tokens: distinct tokens; context: mean number of keys that a token sees; head_rows: rows that pass the head. */
double cost_forward(const HfConfig *config, double tokens, double context, double head_rows);
