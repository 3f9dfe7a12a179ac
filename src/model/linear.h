/* linear.h - the linear layers of a block: fused products with what an adapter adds, forward and backward.
 *   y = W x + b  [+ s B (A x)]
 * One door for both ways of training: with all weights trained dW and db are summed; with an adapter only dA and dB. */
#pragma once
#include "model/model_state.h"

/* Which product, and for which rows: `first` counts from the begin of the batch, and only dropout looks at it. */
typedef struct {
    size_t layer;
    Linear linear;
    size_t first, rows;
} LinearCall;

/* x (rows, in) of the compute type, y (rows, out) of y_type; accumulating needs float32. */
int linear_forward(Model *model, const LinearCall *call, const void *x, void *y, DType y_type, bool accumulate,
                   Error *error);
/* Weights below an adapter are packed once, for forward: makes those of a layer ready for linear_data_gradient. */
int linear_begin_backward(Model *model, size_t layer, Error *error);
/* dx (rows, in) of dx_type = the gradient through W and the adapter; dy (rows, out) of the compute type. */
int linear_data_gradient(Model *model, const LinearCall *call, const void *dy, void *dx, DType dx_type, Error *error);
/* Adds the gradients of what is trained: of W, or of A and B. With an adapter directly after linear_data_gradient of
 * the same call, whose product with B it uses. */
int linear_weight_gradient(Model *model, const LinearCall *call, const void *dy, const void *x, Error *error);
