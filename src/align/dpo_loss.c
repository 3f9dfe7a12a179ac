#include "align/dpo_loss.h"

#include <math.h>

/* Both without overflow, and exact to the last bits at either end. */
static double log_sigmoid(double x) { return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x)); }
static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

static double log_ratio_gap(const PairLogprobs *p) {
    return (p->chosen - p->reference_chosen) - (p->rejected - p->reference_rejected);
}

PairLoss dpo_loss(const DpoSettings *settings, const PairLogprobs *pair) {
    double e = settings->label_smoothing, z = settings->beta * log_ratio_gap(pair);
    double slope = settings->beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z));
    return (PairLoss){.loss = -(1 - e) * log_sigmoid(z) - e * log_sigmoid(-z), .d_chosen = slope, .d_rejected = -slope};
}

DpoMetrics dpo_loss_metrics(const DpoSettings *settings, const PairLogprobs *pair, size_t n) {
    DpoMetrics m = {0};
    for (size_t i = 0; i < n; i++) {
        double chosen = settings->beta * (pair[i].chosen - pair[i].reference_chosen);
        double rejected = settings->beta * (pair[i].rejected - pair[i].reference_rejected);
        m.loss += dpo_loss(settings, &pair[i]).loss;
        m.rewards_chosen += chosen, m.rewards_rejected += rejected, m.rewards_margins += chosen - rejected;
        m.rewards_accuracies += chosen > rejected;
        m.logps_chosen += pair[i].chosen, m.logps_rejected += pair[i].rejected;
    }
    double *const sums[] = {
        &m.loss,         &m.rewards_chosen, &m.rewards_rejected, &m.rewards_accuracies, &m.rewards_margins,
        &m.logps_chosen, &m.logps_rejected};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) *sums[i] /= (double)n;
    return m;
}
