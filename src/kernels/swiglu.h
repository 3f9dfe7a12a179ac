/* swiglu.h - out = silu(gate) * up (Shazeer, arXiv 2002.05202). gate_up: (T, 2F) = [gate | up] a row; out: (T, F). */
#pragma once
#include "kernels/kernel_table.h"

void swiglu_forward(const KernelTable *kernels, size_t T, size_t F, DType type, const void *gate_up, void *out);
/* dgate_up (T, 2F) may be the same memory as gate_up. */
void swiglu_backward(const KernelTable *kernels, size_t T, size_t F, DType type, const void *gate_up, const void *dout,
                     void *dgate_up);
