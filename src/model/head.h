/* head.h - from the residual stream after the last layer to log-probs or logits, and back. Only the rows that are asked
 * for go through the final norm and the head. */
#pragma once
#include "model/model_state.h"

/* From a->end to the log-probs (targets) of the batch, in target order; logsumexp and figures likewise, or NULL.
 * A result that is not finite is ERROR_NUMERIC and named. */
int head_logprob(Model *model, const Batch *batch, Activations *a, float *logprob, float *logsumexp,
                 TokenFigures *figures, Error *error);
/* Sets a->dx from dlogprob (targets); adds the gradients of head and final norm. */
int head_backward(Model *model, const Batch *batch, Activations *a, const float *dlogprob, Error *error);
/* logits (R, V) of some rows of a->end. */
int head_logits(Model *model, Activations *a, size_t head_rows, const int32_t *head_row, float *logits, Error *error);
