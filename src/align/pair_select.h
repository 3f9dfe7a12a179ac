/* pair_select.h - from scored responses to preference pairs, and what is dropped on the way.
 *
 * A prompt gives a pair where enough responses are kept, the two are different texts, their length-regularised scores
 * differ, and their gap is at least min_gap (noise). Which two, s being the scores of the prompt's kept responses:
 *
 *   best_worst  argmax s and argmin s, the method                                                      [PS-1]
 *   mean_2sd    argmax s and the one nearest to mean(s) - 2 sd(s), sd over n - 1: less of an outlier   [PS-2]
 *   random      two drawn from the seed, the better one is chosen                                      [PS-3]
 *
 * Then a band: of n pairs in the order of their gaps those from round(n low) up to, and without, round(n high) stay
 * [PS-4]. Ties go to the lower index. Everything dropped is counted.
 * Sources: DICE, arXiv 2406.09760, eq. 7; mean - 2 sd: Xiao et al., 2502.16825; large gaps alone: SeRA, 2410.09362;
 * small ones alone: 2508.04149; the drop rules are ours. Claims: tests/unit/test_pair_select.c. */
#pragma once
#include "align/length_regularize.h"

typedef enum { PAIR_BEST_WORST, PAIR_MEAN_2SD, PAIR_RANDOM } PairRule;

typedef struct {
    PairRule rule;
    size_t min_responses;
    double min_gap;             // nats
    double band_low, band_high; // shares of the pairs, 0 <= low < high <= 1
    uint64_t seed;              // of the draws of PAIR_RANDOM, with the round and the prompt's number
    uint32_t round;
    const uint32_t *number; // (N) NULL: the index is the number
} PairRules;

typedef struct {
    size_t prompt, chosen, rejected;     // indices of ScoredResponses
    double chosen_score, rejected_score; // after length regularisation, nats
} SelectedPair;

typedef struct {
    size_t pairs, few, ties, equal, noisy, banded; // pairs made; prompts dropped, by reason
} PairCounts;

/* text: (N, K) the responses' texts, NULL where not kept; the whole may be NULL: no comparison. out: room for N pairs,
 * in the order of the prompts. ERROR_MEMORY. */
int pair_select(const ScoredResponses *scored, double alpha, const char *const *text, const PairRules *rules,
                SelectedPair *out, PairCounts *counts, Error *error);

/* Mean over the pairs of characters(chosen) - characters(rejected). 0 without pairs. */
double pair_select_gap(const ScoredResponses *scored, const SelectedPair *pair, size_t pairs);
