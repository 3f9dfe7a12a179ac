#include "align/rank_agreement.h"

#include <math.h>

/* Which of two cells has the higher score: 1 the first, -1 the second, 0 neither. */
static int order(const ScoredResponses *s, double alpha, size_t a, size_t b) {
    double x = length_regularize_score(s, a, alpha), y = length_regularize_score(s, b, alpha);
    return x < y ? -1 : x > y;
}

double rank_agreement(const ScoredResponses *first, double first_alpha, const ScoredResponses *second,
                      double second_alpha, size_t n) {
    size_t begin = n * first->responses, end = begin + first->responses, alike = 0, level = 0, all = 0;
    for (size_t a = begin; a < end; a++) {
        if (!first->kept[a]) continue;
        for (size_t b = a + 1; b < end; b++) {
            if (!first->kept[b]) continue;
            int x = order(first, first_alpha, a, b), y = order(second, second_alpha, a, b);
            all++;
            alike += x * y > 0;
            level += x * y == 0;
        }
    }
    return all == 0 ? (double)NAN : ((double)alike + 0.5 * (double)level) / (double)all;
}

double rank_agreement_mean(const ScoredResponses *first, double first_alpha, const ScoredResponses *second,
                           double second_alpha) {
    double sum = 0;
    size_t counted = 0;
    for (size_t n = 0; n < first->prompts; n++) {
        double one = rank_agreement(first, first_alpha, second, second_alpha, n);
        if (!isnan(one)) sum += one, counted++;
    }
    return counted == 0 ? 1 : sum / (double)counted;
}
