/* glu.h - out = act(gate) * up, the gated linear unit of a feed-forward layer (Shazeer, arXiv 2002.05202).
 *
 *   GLU_SILU  act(x) = x / (1 + exp(-x))
 *   GLU_GELU  act(x) = x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3): x (1 + tanh u) / 2, the tanh form
 *             of GELU (Hendrycks and Gimpel, arXiv 1606.08415)
 * gate_up: (T, 2F) = [gate | up] a row; out: (T, F). */
#pragma once
#include "kernels/kernel_table.h"

typedef enum { GLU_SILU, GLU_GELU } Glu;

void glu_forward(const KernelTable *kernels, Glu glu, size_t T, size_t F, DType type, const void *gate_up, void *out);
/* out again, and gate_up becomes the gradient of itself, while a row is in the cache. dout: (T, F). */
void glu_backward(const KernelTable *kernels, Glu glu, size_t T, size_t F, DType type, void *gate_up, void *out,
                  const void *dout);
