/* sampling_filter.h - one token from one row of logits: repetition penalty, temperature, top-k, top-p, min-p, draw.
 *
 * Order as transformers' generate: repetition penalty, temperature, top-k, top-p, min-p, then softmax over what is left
 * and inversion of `uniform` in vocabulary order. Nothing sorts the whole vocabulary. temperature 0: argmax, ties to the
 * lower id. logprob is that of the untouched logits (temperature 1, full vocabulary), whatever the filters did. */
#pragma once
#include "kernels/kernel_table.h"
#include <stdint.h>

typedef struct {
    float temperature;        // >= 0
    size_t top_k;             // 0: off
    float top_p, min_p;       // 1 and 0: off
    float repetition_penalty; // 1: off; logits of seen tokens are divided (positive) or multiplied (negative) by it
} SamplingFilter;

typedef struct {
    int32_t token;
    float logprob, logsumexp;
} SampledToken;

/* logits: (V) float32, finite, left as they were. seen: distinct ids already in the text. scratch: at least
 * sampling_filter_scratch_bytes(V). uniform in [0, 1). */
size_t sampling_filter_scratch_bytes(size_t V);
SampledToken sampling_filter_draw(const KernelTable *kernels, const SamplingFilter *filter, size_t V, const float *logits,
                                  const int32_t *seen, size_t seen_count, double uniform, void *scratch);
