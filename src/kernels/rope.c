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

/* The frequency, as its number, that turns `turns` times within the original context. */
static double yarn_place(const RopeParameters *p, size_t head_dim, double turns) {
    return (double)head_dim * log(p->original_positions / (turns * 6.283185307179586476925)) / (2 * log(p->theta));
}

/* How much of frequency i is divided by factor. */
static double yarn_ramp(const RopeParameters *p, size_t head_dim, size_t i) {
    double low = yarn_place(p, head_dim, p->beta_fast), high = yarn_place(p, head_dim, p->beta_slow);
    if (p->truncate) low = floor(low), high = ceil(high);
    low = fmax(low, 0), high = fmin(high, (double)head_dim - 1);
    if (low == high) high += 0.001;
    return fmin(fmax(((double)i - low) / (high - low), 0), 1);
}

void rope_table(const RopeParameters *parameters, size_t head_dim, size_t positions, float *table) {
    size_t half = head_dim / 2;
    double size = parameters->scaling == ROPE_YARN ? parameters->attention_factor : 1;
    for (size_t i = 0; i < half; i++) {
        double frequency = pow(parameters->theta, -2.0 * (double)i / (double)head_dim);
        if (parameters->scaling == ROPE_LINEAR) frequency /= parameters->factor;
        if (parameters->scaling == ROPE_LLAMA3) frequency = llama3_frequency(parameters, frequency);
        if (parameters->scaling == ROPE_YARN) {
            double ramp = yarn_ramp(parameters, head_dim, i);
            frequency *= ramp / parameters->factor + (1 - ramp);
        }
        for (size_t t = 0; t < positions; t++) {
            double angle = (double)t * frequency;
            table[t * head_dim + i] = (float)(size * cos(angle));
            table[t * head_dim + half + i] = (float)(size * sin(angle));
        }
    }
}

void rope_row(const KernelTable *kernels, size_t heads, size_t head_dim, const float *turn, DType type, void *x,
              int inverse) {
    size_t half = head_dim / 2;
    kernels->rope_row(heads, half, type, turn, turn + half, inverse ? -1.0f : 1.0f, x);
}
