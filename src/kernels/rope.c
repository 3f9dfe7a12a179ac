#include "kernels/rope.h"

#include <math.h>

/* Wave lengths above original/low are stretched by factor, below original/high left alone, between them blended. */
static double llama3_frequency(const RopeParameters *p, double frequency) {
    double wave = 6.283185307179586476925 / frequency;
    double low = p->original_positions / p->low_frequency_factor, high = p->original_positions / p->high_frequency_factor;
    if (wave < high) return frequency;
    if (wave > low) return frequency / p->factor;
    double blend = (p->original_positions / wave - p->low_frequency_factor) / (p->high_frequency_factor - p->low_frequency_factor);
    return (1 - blend) * frequency / p->factor + blend * frequency;
}

void rope_table(const RopeParameters *parameters, size_t head_dim, size_t positions, float *table) {
    size_t half = head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        double frequency = pow(parameters->theta, -2.0 * (double)i / (double)head_dim);
        if (parameters->scaling == ROPE_LINEAR) frequency /= parameters->factor;
        if (parameters->scaling == ROPE_LLAMA3) frequency = llama3_frequency(parameters, frequency);
        for (size_t t = 0; t < positions; t++) {
            double angle = (double)t * frequency;
            table[t * head_dim + i] = (float)cos(angle);
            table[t * head_dim + half + i] = (float)sin(angle);
        }
    }
}

/* The two halves of a head do not overlap, so the loops are vectors for the compiler. */
static void turn_f32(size_t half, const float *cosine, const float *sine, float sign, float *low, float *high) {
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        float a = low[i], b = high[i], s = sign * sine[i];
        low[i] = a * cosine[i] - b * s;
        high[i] = b * cosine[i] + a * s;
    }
}

static void turn_bf16(size_t half, const float *cosine, const float *sine, float sign, bf16 *low, bf16 *high) {
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        float a = dtype_bf16_to_float(low[i]), b = dtype_bf16_to_float(high[i]), s = sign * sine[i];
        low[i] = dtype_bf16_from_float(a * cosine[i] - b * s);
        high[i] = dtype_bf16_from_float(b * cosine[i] + a * s);
    }
}

void rope_row(size_t heads, size_t head_dim, const float *turn, DType type, void *x, int inverse) {
    size_t half = head_dim / 2;
    float sign = inverse ? -1.0f : 1.0f;
    for (size_t at = 0; at < heads * head_dim; at += head_dim) {
        if (type == DTYPE_F32) turn_f32(half, turn, turn + half, sign, (float *)x + at, (float *)x + at + half);
        else turn_bf16(half, turn, turn + half, sign, (bf16 *)x + at, (bf16 *)x + at + half);
    }
}

void rope_apply(const KernelTable *kernels, size_t T, size_t heads, size_t head_dim, const int32_t *position, const float *table,
                DType type, void *x, size_t stride, int inverse) {
    size_t row_bytes = stride * dtype_bytes(type);
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t t = 0; t < T; t++)
        rope_row(heads, head_dim, table + (size_t)position[t] * head_dim, type, (char *)x + t * row_bytes, inverse);
}
