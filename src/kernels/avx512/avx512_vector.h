/* avx512_vector.h - conversions, elementwise operations and reductions over n floats, see kernels/kernel_table.h. */
#pragma once
#include "base/dtype.h"

void avx512_vector_to_bf16(size_t n, const float *src, bf16 *dst);
void avx512_vector_to_f32(size_t n, const bf16 *src, float *dst);
void avx512_vector_add(size_t n, const float *x, float *y);
void avx512_vector_scale(size_t n, float a, float *y);
void avx512_vector_axpy(size_t n, float a, const float *x, float *y);
float avx512_vector_dot(size_t n, const float *x, const float *y);
float avx512_vector_dot_bf16(size_t n, const bf16 *x, const bf16 *y);
void avx512_vector_axpy_bf16(size_t n, float a, const bf16 *x, float *y);
float avx512_vector_maximum(size_t n, const float *x);
float avx512_vector_exp_sum(size_t n, const float *x, float shift, float *y);
double avx512_vector_sum_squares(size_t n, const float *x);
