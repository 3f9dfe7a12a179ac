/* rank_agreement.h - how far two scorers rank the same responses alike: a measure of confidence in a pair.
 *
 *   agreement = (pairs of responses that both order alike + half of those that either has as equal) / all of them
 *
 * which is (tau + 1) / 2 of Kendall's tau-a: 1 the same order, 1/2 no relation, 0 reversed. The scorers are the
 * implicit rewards of this round and of the one before, each with its own charge for length; what they order
 * differently is noise, or has changed since. The loss takes the agreement as a soft label: it is
 *
 *   agreement loss(chosen, rejected) + (1 - agreement) loss(rejected, chosen)
 *
 * Source: CREAM, Wang et al., arXiv 2410.12735. */
#pragma once
#include "align/length_regularize.h"

/* Of the kept responses of prompt n. The two tables have the same shape, lengths and kept cells; alpha: of each. NaN
 * where fewer than two are kept. */
double rank_agreement(const ScoredResponses *first, double first_alpha, const ScoredResponses *second,
                      double second_alpha, size_t n);
/* Mean over the prompts that have one; 1 where none has. */
double rank_agreement_mean(const ScoredResponses *first, double first_alpha, const ScoredResponses *second,
                           double second_alpha);
