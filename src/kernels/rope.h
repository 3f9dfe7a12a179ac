/* rope.h - rotary position embedding in the half-split order of Hugging Face: element i turns with element i + D/2.
 * Source: Su et al., arXiv 2104.09864; linear scaling arXiv 2306.15595; YaRN arXiv 2309.00071; llama3 as
 * transformers' modeling_rope_utils. */
#pragma once
#include "base/error.h"
#include "kernels/kernel_table.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN } RopeScaling;
typedef struct {
    double theta;
    RopeScaling scaling;
    double factor, low_frequency_factor, high_frequency_factor, original_positions; // as `scaling` needs
    double beta_fast, beta_slow; // yarn: frequencies that turn more often within the original context are left alone,
                                 // those that turn less often are divided by factor, between them a ramp
    double attention_factor;     // yarn: multiplies cosines and sines
    bool truncate;               // yarn: the ramp begins and ends at whole frequencies
} RopeParameters;

/* table: (positions, D) float32: D/2 cosines then D/2 sines a position, computed in double. With yarn a
 * turn is also a stretch by attention_factor; turning back stretches as well, as the gradient needs it. */
void rope_table(const RopeParameters *parameters, size_t head_dim, size_t positions, float *table);
/* Turns `heads` heads of one row in place; x: (heads, D) of `type`, `turn` the table's entry of its position. inverse
 * non-zero: the backward pass (turns by the negative angle). */
void rope_row(const KernelTable *kernels, size_t heads, size_t head_dim, const float *turn, DType type, void *x,
              int inverse);
