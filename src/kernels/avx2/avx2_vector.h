/* avx2_vector.h - conversions, elementwise operations and reductions over n floats, see kernels/kernel_table.h. */
#pragma once
#include "base/dtype.h"

void avx2_vector_to_bf16(size_t n, const float *src, bf16 *dst);
void avx2_vector_to_f32(size_t n, const bf16 *src, float *dst);
void avx2_vector_add(size_t n, const float *x, float *y);
void avx2_vector_scale(size_t n, float a, float *y);
void avx2_vector_axpy(size_t n, float a, const float *x, float *y);
float avx2_vector_dot(size_t n, const float *x, const float *y);
float avx2_vector_dot_bf16(size_t n, const bf16 *x, const bf16 *y);
void avx2_vector_axpy_bf16(size_t n, float a, const bf16 *x, float *y);
float avx2_vector_maximum(size_t n, const float *x);
float avx2_vector_exp_sum(size_t n, const float *x, float shift, float *y);
double avx2_vector_sum_squares(size_t n, const float *x);
