/* pair_select.h - from scored responses to preference pairs: best against worst, and what is dropped on the way.
 *
 * A prompt gives a pair where enough responses are kept, the two are different texts, their length-regularised scores
 * differ, and their gap is at least min_gap (noise). Everything dropped is counted.
 * Source: DICE, arXiv 2406.09760, eq. 7; the drop rules are ours. */
#pragma once
#include "align/length_regularize.h"

typedef struct {
    size_t prompt, chosen, rejected;     // indices of ScoredResponses
    double chosen_score, rejected_score; // after length regularisation, nats
} SelectedPair;

typedef struct {
    size_t pairs, few, ties, equal, noisy; // pairs made; prompts dropped, by reason
} PairCounts;

/* text: (N, K) the responses' texts, NULL where not kept; the whole may be NULL: no comparison. out: room for N pairs.
 */
void pair_select(const ScoredResponses *scored, double alpha, const char *const *text, size_t min_responses,
                 double min_gap, SelectedPair *out, PairCounts *counts);
