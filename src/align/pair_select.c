#include "align/pair_select.h"

#include <string.h>

static double score(const ScoredResponses *s, size_t at, double alpha) {
    return s->reward_nats[at] - alpha * (double)s->length_chars[at];
}

static size_t kept(const ScoredResponses *s, size_t n) {
    size_t count = 0;
    for (size_t k = 0; k < s->responses; k++) count += s->kept[n * s->responses + k] != 0;
    return count;
}

void pair_select(const ScoredResponses *scored, double alpha, const char *const *text, size_t min_responses,
                 double min_gap, SelectedPair *out, PairCounts *counts) {
    *counts = (PairCounts){0};
    for (size_t n = 0; n < scored->prompts; n++) {
        size_t chosen, rejected, row = n * scored->responses;
        if (kept(scored, n) < min_responses || !length_regularize_pick(scored, n, alpha, &chosen, &rejected)) {
            counts->few++;
            continue;
        }
        double high = score(scored, row + chosen, alpha), low = score(scored, row + rejected, alpha);
        if (chosen == rejected || !(high > low))
            counts->ties++;
        else if (text != NULL && strcmp(text[row + chosen], text[row + rejected]) == 0)
            counts->equal++;
        else if (high - low < min_gap)
            counts->noisy++;
        else
            out[counts->pairs++] = (SelectedPair){
                .prompt = n, .chosen = chosen, .rejected = rejected, .chosen_score = high, .rejected_score = low};
    }
}
