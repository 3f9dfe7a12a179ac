/* sampling_filter.h - one token from one row of logits: repetition penalty, temperature, top-k, top-p, min-p, draw.
 *
 * Order as transformers' generate [SF-1]:
 *   repetition penalty  logits of seen tokens are divided (positive) or multiplied (negative) by it
 *   temperature         x = logit / temperature;  0: argmax, ties to the lower id
 *   top-k               x >= the k-th largest stays, so that equals of the k-th stay too
 *   top-p               the smallest set of largest p = softmax(x) that reaches top_p stays: a token stays where the
 *                       sum of all larger p is below top_p. Equals at the end of the set: lower ids first. One always
 *                       stays
 *   min-p               p >= min_p times the largest p stays
 *   draw                inversion of `uniform` over what is left, in vocabulary order
 * Nothing sorts the vocabulary: k-th largest value and top-p threshold come from a radix descent over the few tokens
 * that a cheap bound leaves in question. logprob is that of the untouched logits (temperature 1, full vocabulary),
 * whatever the filters did [SF-2]. */
#pragma once
#include "kernels/kernel_table.h"
#include <stdint.h>

typedef struct {
    float temperature;        // >= 0
    size_t top_k;             // 0: off
    float top_p, min_p;       // 1 and 0: off
    float repetition_penalty; // > 0; 1: off
} SamplingFilter;

typedef struct {
    int32_t token;
    float logprob, logsumexp;
} SampledToken;

/* logits: (V) float32, left as they were; V >= 1. seen: distinct ids already in the text. scratch: at least
 * sampling_filter_scratch_bytes(V). uniform in [0, 1). Where a logit is NaN or +inf, logprob and logsumexp are not
 * finite and the token is 0 [SF-3]. */
size_t sampling_filter_scratch_bytes(size_t V);
SampledToken sampling_filter_draw(const KernelTable *kernels, const SamplingFilter *filter, size_t V,
                                  const float *logits, const int32_t *seen, size_t seen_count, double uniform,
                                  void *scratch);
