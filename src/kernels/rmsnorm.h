/* rmsnorm.h - y = x / sqrt(mean(x^2) + eps) * weight, per row of x (T, C) float32.
 * Source: Zhang and Sennrich, arXiv 1910.07467. */
#pragma once
#include "kernels/kernel_table.h"

/* y: (T, C) of y_type; inverse_rms: (T) float32, kept for the backward pass, or NULL. */
void rmsnorm_forward(const KernelTable *kernels, size_t T, size_t C, const float *x, const float *weight, float eps,
                     void *y, DType y_type, float *inverse_rms);
/* dx (T, C) += ; dweight (C) += or NULL. Scratch: rmsnorm_scratch_bytes. The order of the sum over T is fixed. */
size_t rmsnorm_scratch_bytes(size_t T, size_t C);
void rmsnorm_backward(const KernelTable *kernels, size_t T, size_t C, const float *x, const float *weight,
                      const float *inverse_rms, const float *dy, float *dx, float *dweight, void *scratch);
