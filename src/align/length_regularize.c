#include "align/length_regularize.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    double alpha;
    int64_t change; // of the summed gap, < 0
} Step;

static bool nearly(double a, double b, double scale) { return fabs(a - b) <= 1e-12 * scale; }

double length_regularize_score(const ScoredResponses *scored, size_t at, double alpha) {
    return scored->reward_nats[at] - alpha * (double)scored->length_chars[at];
}

bool length_regularize_pick(const ScoredResponses *scored, size_t n, double alpha, size_t *chosen, size_t *rejected) {
    const double *s = scored->reward_nats + n * scored->responses;
    const int32_t *l = scored->length_chars + n * scored->responses;
    const uint8_t *kept = scored->kept + n * scored->responses;
    size_t count = 0;
    double best = 0, worst = 0;
    for (size_t k = 0; k < scored->responses; k++) {
        if (!kept[k]) continue;
        double value = s[k] - alpha * l[k], scale = fabs(s[k]) + fabs(alpha * l[k]);
        if (count == 0 || (value > best && !nearly(value, best, scale))) best = value, *chosen = k;
        if (count == 0 || (value < worst && !nearly(value, worst, scale))) worst = value, *rejected = k;
        count++;
    }
    return count >= 2;
}

static int64_t summed_gap(const ScoredResponses *scored, double alpha, size_t *counted) {
    int64_t sum = 0;
    *counted = 0;
    for (size_t n = 0; n < scored->prompts; n++) {
        size_t w, r;
        if (!length_regularize_pick(scored, n, alpha, &w, &r)) continue;
        const int32_t *l = scored->length_chars + n * scored->responses;
        sum += (int64_t)l[w] - l[r];
        ++*counted;
    }
    return sum;
}

double length_regularize_gap(const ScoredResponses *scored, double alpha) {
    size_t counted;
    int64_t sum = summed_gap(scored, alpha, &counted);
    return counted == 0 ? 0 : (double)sum / (double)counted;
}

/* Walks one envelope of one prompt as alpha grows from just above 0. sign +1: the winner, whose length falls; -1: the
 * loser (the winner of the mirrored lines), whose length rises. Appends its steps and returns its first length. */
static int32_t walk(const double *s, const int32_t *l, const uint8_t *kept, size_t K, int sign, Step *step,
                    size_t *steps) {
    size_t at = K;
    for (size_t k = 0; k < K; k++) // highest at 0; among equals the one that wins just after 0
        if (kept[k] && (at == K || sign * s[k] > sign * s[at] || (s[k] == s[at] && sign * l[k] < sign * l[at]))) at = k;
    int32_t first = l[at];
    for (;;) {
        size_t next = K;
        double alpha = INFINITY;
        for (size_t k = 0; k < K; k++) {
            if (!kept[k] || sign * l[k] >= sign * l[at]) continue;
            double a = (s[at] - s[k]) / ((double)l[at] - l[k]);
            bool same = next != K && nearly(a, alpha, fabs(a));
            if (next == K || (same ? sign * l[k] < sign * l[next] : a < alpha)) next = k, alpha = a;
        }
        if (next == K) return first;
        step[(*steps)++] = (Step){alpha, -llabs((int64_t)l[at] - l[next])};
        at = next;
    }
}

static int by_alpha(const void *a, const void *b) {
    double x = ((const Step *)a)->alpha, y = ((const Step *)b)->alpha;
    return x < y ? -1 : x > y;
}

static int check(const ScoredResponses *scored, size_t *counted, Error *error) {
    *counted = 0;
    for (size_t n = 0; n < scored->prompts; n++) {
        size_t kept = 0;
        for (size_t k = 0; k < scored->responses; k++) {
            size_t i = n * scored->responses + k;
            if (!scored->kept[i]) continue;
            kept++;
            if (!isfinite(scored->reward_nats[i]))
                return error_set(error, ERROR_NUMERIC, "the reward of prompt %zu, response %zu is not finite", n, k);
        }
        *counted += kept >= 2;
    }
    if (*counted == 0)
        return error_set(error, ERROR_INPUT,
                         "no prompt has two responses left to compare; sample more responses, allow more new tokens, "
                         "or relax the filters");
    return 0;
}

/* All steps of all prompts, sorted; returns the summed gap just above alpha = 0. */
static int64_t collect(const ScoredResponses *scored, Step *step, size_t *steps) {
    int64_t gap = 0;
    for (size_t n = 0; n < scored->prompts; n++) {
        size_t at = n * scored->responses, w, r;
        if (!length_regularize_pick(scored, n, 0, &w, &r)) continue;
        const double *s = scored->reward_nats + at;
        gap += walk(s, scored->length_chars + at, scored->kept + at, scored->responses, +1, step, steps);
        gap -= walk(s, scored->length_chars + at, scored->kept + at, scored->responses, -1, step, steps);
    }
    qsort(step, *steps, sizeof *step, by_alpha);
    return gap;
}

int length_regularize_fit(const ScoredResponses *scored, LengthFit *fit, Error *error) {
    size_t counted, steps = 0;
    if (check(scored, &counted, error) != 0) return -1;
    Step *step = calloc(2 * scored->responses * counted, sizeof *step);
    if (step == NULL) return error_set(error, ERROR_MEMORY, "no memory for the steps of %zu prompts", counted);
    int64_t gap = collect(scored, step, &steps), best = INT64_MAX;
    double low = 0;
    for (size_t i = 0;;) {
        double high = i < steps ? step[i].alpha : INFINITY;
        if (llabs(gap) < llabs(best)) {
            best = gap;
            fit->alpha_low = low, fit->alpha_high = high;
        }
        if (i == steps) break;
        for (low = high; i < steps && nearly(step[i].alpha, low, low); i++)
            gap += step[i].change; // equal but for rounding
    }
    free(step);
    fit->gap_chars = (double)best / (double)counted;
    fit->gap_before_chars = length_regularize_gap(scored, 0);
    fit->alpha = isinf(fit->alpha_high) ? fit->alpha_low + 0.001 : 0.5 * (fit->alpha_low + fit->alpha_high);
    return 0;
}

int length_regularize_fit_grid(const ScoredResponses *scored, LengthFit *fit, Error *error) {
    size_t counted;
    if (check(scored, &counted, error) != 0) return -1;
    int64_t best = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t gap = summed_gap(scored, i / 1000.0, &counted);
        if (i > 0 && llabs(gap) > llabs(best)) break;
        if (i > 0 && llabs(gap) == llabs(best)) continue;
        best = gap;
        fit->alpha = fit->alpha_low = fit->alpha_high = i / 1000.0;
    }
    fit->gap_chars = (double)best / (double)counted;
    fit->gap_before_chars = length_regularize_gap(scored, 0);
    return 0;
}

LengthFit length_regularize_fixed(const ScoredResponses *scored, double alpha) {
    return (LengthFit){.alpha = alpha,
                       .alpha_low = alpha,
                       .alpha_high = alpha,
                       .gap_chars = length_regularize_gap(scored, alpha),
                       .gap_before_chars = length_regularize_gap(scored, 0)};
}
