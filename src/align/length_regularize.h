/* length_regularize.h - take the bonus for verbosity out of implicit rewards.
 *
 * Longer answers collect larger implicit rewards, so best-of-K by reward alone teaches the next round to ramble. We
 * charge alpha per character and choose alpha so that chosen and rejected are, on average, equally long:
 *
 *   score(y) = reward(y) - alpha |y|,  chosen = argmax, rejected = argmin,  gap(alpha) = mean(|chosen| - |rejected|)
 *
 * For one prompt the scores are K lines in alpha. The winner walks down the upper envelope, so its length only falls;
 * the loser walks along the lower one, so its length only rises. gap is therefore a non-increasing step function [LR-2]
 * with at most 2 (K - 1) steps a prompt, and the alpha with the smallest |gap| are found on the sorted steps, without a
 * grid [LR-3].
 *
 * Units: reward = log pi - log ref in nats, NOT times beta; |y| in code points; alpha in nats per character.
 * A prompt counts if at least two of its responses are kept. Numbers closer than 1e-12 relative are equal: rewards are
 * sums of rounded terms, and a tie must not be decided by the last bit.
 * Memory: every array belongs to the caller. Source: DICE, arXiv 2406.09760, eq. 5 and 6.
 * Claims: [LR-n] are checked by tests/unit/test_length_regularize.c. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const double *reward_nats;   // (N, K) finite where kept
    const int32_t *length_chars; // (N, K) >= 0 where kept
    const uint8_t *kept;         // (N, K) 1 = passed the filters
    size_t prompts, responses;   // N, K
} ScoredResponses;

typedef struct {
    double alpha;                 // inside the interval: its middle; low + 0.001 where it has no upper end
    double alpha_low, alpha_high; // the lowest open interval on which |gap| is smallest; high may be INFINITY
    double gap_chars;             // gap there, with its sign
    double gap_before_chars;      // gap at alpha = 0
} LengthFit;

/* The score of cell `at` of (N, K), nats. */
double length_regularize_score(const ScoredResponses *scored, size_t at, double alpha);

/* Best and worst kept response of prompt n; ties go to the lower index [LR-1]. False where fewer than two are kept. */
bool length_regularize_pick(const ScoredResponses *scored, size_t n, double alpha, size_t *chosen, size_t *rejected);

/* gap(alpha) in characters; 0 where no prompt counts. */
double length_regularize_gap(const ScoredResponses *scored, double alpha);

/* Exact. ERROR_INPUT where no prompt has two kept responses, ERROR_NUMERIC where a kept reward is not finite. */
int length_regularize_fit(const ScoredResponses *scored, LengthFit *fit, Error *error);

/* The search of the authors' scripts: 0, 0.001, ... below 1; stops at the first worsening, first on ties. For parity;
 * the interval is [alpha, alpha]. */
int length_regularize_fit_grid(const ScoredResponses *scored, LengthFit *fit, Error *error);

/* A charge that is given: what gap it leaves. The interval is [alpha, alpha]. */
LengthFit length_regularize_fixed(const ScoredResponses *scored, double alpha);
