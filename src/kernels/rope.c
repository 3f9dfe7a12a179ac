#include "kernels/rope.h"

#include <math.h>

/* Wave lengths above original/low are stretched by factor, below original/high left alone, between them blended. */
static double llama3_frequency(const RopeParameters *p, double frequency) {
    double wave = 6.283185307179586476925 / frequency;
    double low = p->original_positions / p->low_frequency_factor,
           high = p->original_positions / p->high_frequency_factor;
    if (wave < high) return frequency;
    if (wave > low) return frequency / p->factor;
    double blend =
        (p->original_positions / wave - p->low_frequency_factor) / (p->high_frequency_factor - p->low_frequency_factor);
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

void rope_row(const KernelTable *kernels, size_t heads, size_t head_dim, const float *turn, DType type, void *x,
              int inverse) {
    size_t half = head_dim / 2;
    kernels->rope_row(heads, half, type, turn, turn + half, inverse ? -1.0f : 1.0f, x);
}

void rope_apply(const KernelTable *kernels, size_t T, size_t heads, size_t head_dim, const int32_t *position,
                const float *table, DType type, void *x, size_t stride, int inverse) {
    size_t row_bytes = stride * dtype_bytes(type);
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t t = 0; t < T; t++)
        rope_row(kernels, heads, head_dim, table + (size_t)position[t] * head_dim, type, (char *)x + t * row_bytes,
                 inverse);
}
