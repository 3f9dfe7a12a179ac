/* replay_mix.h - how many generated and how many offline pairs a round trains on, and which.
 *
 *   n_generated = min(floor(n_total (1 - gamma)), available),  n_offline = floor(gamma n_generated / (1 - gamma))
 * with n_total the offline rows. gamma 1 means offline only: all n_total rows (the authors' formula divides by zero).
 * gamma is taken as the decimal that the user wrote (nine places), so that 0.9 is nine tenths and floor() is exact.
 * Rows are drawn uniformly without replacement; offline rows only from prompts that the drawn generated rows do not
 * hold. Source: the released scripts of DICE, arXiv 2406.09760. */
#pragma once
#include "base/error.h"
#include "base/rng.h"
#include <stddef.h>

typedef struct {
    size_t generated, offline;
} ReplayCounts;

/* 0 <= gamma <= 1, else ERROR_USAGE. */
int replay_mix_counts(size_t offline_rows, size_t generated_available, double gamma, ReplayCounts *counts,
                      Error *error);

/* Draws the rows. generated_prompt[i] and offline_prompt[j] name the rows' prompts by numbers below `prompts`.
 * generated and offline (room for available and offline_rows indices) receive the drawn rows in drawn order; *counts is
 * what was drawn: fewer offline rows than planned where too few prompts are disjoint. ERROR_MEMORY. */
int replay_mix_draw(const size_t *generated_prompt, size_t generated_available, const size_t *offline_prompt,
                    size_t offline_rows, size_t prompts, double gamma, uint64_t seed, uint32_t round, size_t *generated,
                    size_t *offline, ReplayCounts *counts, Error *error);
