#include "align/pair_select.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t kept(const ScoredResponses *s, size_t n) {
    size_t count = 0;
    for (size_t k = 0; k < s->responses; k++) count += s->kept[n * s->responses + k] != 0;
    return count;
}

/* [PS-2] */
static size_t nearest_to_mean_less_2sd(const ScoredResponses *s, size_t n, double alpha, size_t count) {
    size_t row = n * s->responses, found = 0;
    double sum = 0, squares = 0, least = INFINITY;
    for (size_t k = 0; k < s->responses; k++)
        if (s->kept[row + k]) sum += length_regularize_score(s, row + k, alpha);
    double mean = sum / (double)count;
    for (size_t k = 0; k < s->responses; k++)
        if (s->kept[row + k]) squares += pow(length_regularize_score(s, row + k, alpha) - mean, 2);
    double target = mean - 2 * sqrt(squares / (double)(count - 1));
    for (size_t k = 0; k < s->responses; k++) {
        if (!s->kept[row + k]) continue;
        double distance = fabs(length_regularize_score(s, row + k, alpha) - target);
        if (distance < least) least = distance, found = k;
    }
    return found;
}

static size_t kept_at(const ScoredResponses *s, size_t n, size_t place) {
    size_t k = 0;
    for (;; k++)
        if (s->kept[n * s->responses + k] && place-- == 0) return k;
}

/* [PS-3] */
static void draw_two(const ScoredResponses *s, size_t n, double alpha, const PairRules *rules, size_t count,
                     size_t *chosen, size_t *rejected) {
    const RngAddress address = {.seed = rules->seed,
                                .stream = RNG_PAIRS,
                                .round = rules->round,
                                .item = rules->number == NULL ? (uint32_t)n : rules->number[n]};
    size_t a = rng_below(&address, 0, count), b = rng_below(&address, 1, count - 1), row = n * s->responses;
    b += b >= a;
    a = kept_at(s, n, a), b = kept_at(s, n, b);
    bool better = length_regularize_score(s, row + a, alpha) > length_regularize_score(s, row + b, alpha);
    *chosen = better ? a : b;
    *rejected = better ? b : a;
}

/* The two responses of prompt n; false where there are not two. */
static bool pick(const ScoredResponses *s, size_t n, double alpha, const PairRules *rules, size_t *chosen,
                 size_t *rejected) {
    size_t count = kept(s, n);
    if (count < rules->min_responses || !length_regularize_pick(s, n, alpha, chosen, rejected)) return false;
    if (rules->rule == PAIR_MEAN_2SD) *rejected = nearest_to_mean_less_2sd(s, n, alpha, count);
    if (rules->rule == PAIR_RANDOM) draw_two(s, n, alpha, rules, count, chosen, rejected);
    return true;
}

typedef struct {
    double gap;
    size_t place;
} Gap;

static int by_gap(const void *a, const void *b) {
    const Gap *x = a, *y = b;
    if (x->gap != y->gap) return x->gap < y->gap ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* [PS-4] Takes the pairs outside of the band out of the list. */
static int keep_band(const PairRules *rules, SelectedPair *pair, PairCounts *counts, Error *error) {
    size_t n = counts->pairs, low = (size_t)round((double)n * rules->band_low),
           high = (size_t)round((double)n * rules->band_high), left = 0;
    if (low == 0 && high >= n) return 0;
    Gap *gap = calloc(n + 1, sizeof *gap);
    uint8_t *inside = calloc(n + 1, 1);
    int result = gap == NULL || inside == NULL ? error_set(error, ERROR_MEMORY, "no memory for the gaps of pairs") : 0;
    if (result == 0) {
        for (size_t i = 0; i < n; i++) gap[i] = (Gap){pair[i].chosen_score - pair[i].rejected_score, i};
        qsort(gap, n, sizeof *gap, by_gap);
        for (size_t i = low; i < high && i < n; i++) inside[gap[i].place] = 1;
        for (size_t i = 0; i < n; i++)
            if (inside[i]) pair[left++] = pair[i];
        counts->banded = n - left;
        counts->pairs = left;
    }
    free(gap);
    free(inside);
    return result;
}

int pair_select(const ScoredResponses *scored, double alpha, const char *const *text, const PairRules *rules,
                SelectedPair *out, PairCounts *counts, Error *error) {
    *counts = (PairCounts){0};
    for (size_t n = 0; n < scored->prompts; n++) {
        size_t chosen, rejected, row = n * scored->responses;
        if (!pick(scored, n, alpha, rules, &chosen, &rejected)) {
            counts->few++;
            continue;
        }
        double high = length_regularize_score(scored, row + chosen, alpha),
               low = length_regularize_score(scored, row + rejected, alpha);
        if (chosen == rejected || !(high > low))
            counts->ties++;
        else if (text != NULL && strcmp(text[row + chosen], text[row + rejected]) == 0)
            counts->equal++;
        else if (high - low < rules->min_gap)
            counts->noisy++;
        else
            out[counts->pairs++] = (SelectedPair){
                .prompt = n, .chosen = chosen, .rejected = rejected, .chosen_score = high, .rejected_score = low};
    }
    return keep_band(rules, out, counts, error);
}

double pair_select_gap(const ScoredResponses *scored, const SelectedPair *pair, size_t pairs) {
    double sum = 0;
    for (size_t i = 0; i < pairs; i++) {
        const int32_t *chars = scored->length_chars + pair[i].prompt * scored->responses;
        sum += (double)chars[pair[i].chosen] - (double)chars[pair[i].rejected];
    }
    return pairs == 0 ? 0 : sum / (double)pairs;
}
