#include "align/preference_loss.h"
#include "align/sigmoid.h"

#include <stdlib.h>

/* A value that depends on the difference of its inputs alone. */
static LossValue of_gap(double value, double slope) { return (LossValue){value, slope, -slope}; }

/* -(1-e) log sigmoid(z) - e log sigmoid(-z), z = beta gap - shift. */
static LossValue smoothed(double beta, double gap, double shift, double e) {
    double z = beta * gap - shift;
    return of_gap(-(1 - e) * log_sigmoid(z) - e * log_sigmoid(-z), beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z)));
}

static LossValue loss_sigmoid(const LossKnobs *k, double w, double l) {
    return smoothed(k->beta, w - l, 0, k->sigmoid_ignores_smoothing ? 0 : k->label_smoothing);
}

static LossValue loss_cdpo(const LossKnobs *k, double w, double l) {
    return smoothed(k->beta, w - l, 0, k->label_smoothing);
}

static LossValue loss_sigmoid_norm(const LossKnobs *k, double w, double l) { return smoothed(k->beta, w - l, 0, 0); }

static LossValue loss_simpo(const LossKnobs *k, double w, double l) {
    return smoothed(k->beta, w - l, k->simpo_gamma, k->label_smoothing);
}

static LossValue loss_robust(const LossKnobs *k, double w, double l) {
    double e = k->label_smoothing, z = k->beta * (w - l);
    return of_gap((-(1 - e) * log_sigmoid(z) + e * log_sigmoid(-z)) / (1 - 2 * e),
                  -k->beta * ((1 - e) * sigmoid(-z) + e * sigmoid(z)) / (1 - 2 * e));
}

static LossValue loss_hinge(const LossKnobs *k, double w, double l) {
    double slack = 1 - k->beta * (w - l);
    return slack < 0 ? of_gap(0, 0) : of_gap(slack, slack > 0 ? -k->beta : 0);
}

static LossValue loss_ipo(const LossKnobs *k, double w, double l) {
    double off = w - l - 1 / (2 * k->beta);
    return of_gap(off * off, 2 * off);
}

/* KL from the model's preference to that of the smoothed label; log S(z) - log S(-z) = z makes its slope short. */
static LossValue loss_exo_pair(const LossKnobs *k, double w, double l) {
    double e = k->label_smoothing, z = k->beta * (w - l), p = sigmoid(z), q = sigmoid(-z);
    return of_gap(p * (log_sigmoid(z) - log1p(-e)) + q * (log_sigmoid(-z) - log(e)),
                  k->beta * p * q * (z - log1p(-e) + log(e)));
}

static LossValue loss_discopop(const LossKnobs *k, double w, double l) {
    double z = k->beta * (w - l), t = z / k->discopop_tau, m = sigmoid(t), rest = sigmoid(-t);
    double dm = m * rest / k->discopop_tau, steep = m > 0 ? exp(-z) * m : 0; // exp(-z) may be infinite where m is 0
    double slope = -sigmoid(-z) * rest + log_sigmoid(z) * dm - steep + (dm > 0 ? exp(-z) * dm : 0);
    return of_gap(-log_sigmoid(z) * rest + steep, k->beta * slope);
}

static LossValue loss_nca_pair(const LossKnobs *k, double w, double l) {
    double b = k->beta;
    return (LossValue){-log_sigmoid(b * w) - 0.5 * log_sigmoid(-b * w) - 0.5 * log_sigmoid(-b * l),
                       b * (0.5 * sigmoid(b * w) - sigmoid(-b * w)), 0.5 * b * sigmoid(b * l)};
}

static LossValue loss_bco_pair(const LossKnobs *k, double w, double l) {
    double b = k->beta;
    return (LossValue){-log_sigmoid(b * w) - log_sigmoid(-b * l), -b * sigmoid(-b * w), b * sigmoid(b * l)};
}

static LossValue loss_sppo_hard(const LossKnobs *k, double w, double l) {
    double a = w - 0.5 / k->beta, b = l + 0.5 / k->beta;
    return (LossValue){a * a + b * b, 2 * a, 2 * b};
}

/* The slope of the sigmoid. */
static double bell(double x) { return sigmoid(x) * sigmoid(-x); }

static LossValue loss_apo_zero(const LossKnobs *k, double w, double l) {
    double b = k->beta;
    return (LossValue){sigmoid(-b * w) + sigmoid(b * l), -b * bell(b * w), b * bell(b * l)};
}

static LossValue loss_apo_down(const LossKnobs *k, double w, double l) {
    double b = k->beta, gap = b * bell(b * (w - l));
    return (LossValue){sigmoid(b * w) + sigmoid(-b * (w - l)), b * bell(b * w) - gap, gap};
}

static LossValue loss_sft(const LossKnobs *k, double w, double l) {
    (void)k, (void)l;
    return (LossValue){-w, -1, 0};
}

/* By key; ties in the order they came. */
static int by_key(const void *a, const void *b) {
    const LossRank *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void rank(size_t n, LossRank *ranked) { qsort(ranked, n, sizeof *ranked, by_key); }

/* Optimal transport in one dimension pairs equal ranks: the policy's k-th smallest gap with that of the reference. */
static void loss_aot(const LossKnobs *k, size_t n, const PairSums *pair, LossRank *scratch, LossValue *value) {
    LossRank *policy = scratch, *reference = scratch + n;
    for (size_t i = 0; i < n; i++) {
        policy[i] = (LossRank){pair[i].policy[0] - pair[i].policy[1], i};
        reference[i] = (LossRank){pair[i].reference[0] - pair[i].reference[1], i};
    }
    rank(n, policy);
    rank(n, reference);
    for (size_t i = 0; i < n; i++)
        value[policy[i].index] = smoothed(k->beta, policy[i].key - reference[i].key, 0, k->label_smoothing);
}

/* The k-th smallest log-ratio of the chosen responses with that of the rejected ones. */
static void loss_aot_unpaired(const LossKnobs *k, size_t n, const PairSums *pair, LossRank *scratch, LossValue *value) {
    LossRank *chosen = scratch, *rejected = scratch + n;
    for (size_t i = 0; i < n; i++) {
        chosen[i] = (LossRank){pair[i].policy[0] - pair[i].reference[0], i};
        rejected[i] = (LossRank){pair[i].policy[1] - pair[i].reference[1], i};
    }
    rank(n, chosen);
    rank(n, rejected);
    for (size_t i = 0; i < n; i++) {
        LossValue v = smoothed(k->beta, chosen[i].key - rejected[i].key, 0, k->label_smoothing);
        value[chosen[i].index].value = v.value;
        value[chosen[i].index].d_chosen = v.d_chosen;
        value[rejected[i].index].d_rejected = v.d_rejected;
    }
}

/* Each half's KL to the reference, max(0, mean u), is the other half's point of reference; slopes go through it too. */
static void loss_kto_pair(const LossKnobs *k, size_t n, const PairSums *pair, LossRank *scratch, LossValue *value) {
    (void)scratch;
    double b = k->beta, mean[2] = {0}, through[2] = {0};
    for (size_t i = 0; i < n; i++)
        for (int side = 0; side < 2; side++) mean[side] += (pair[i].policy[side] - pair[i].reference[side]) / (double)n;
    double kl_chosen = mean[0] < 0 ? 0 : mean[0], kl_rejected = mean[1] < 0 ? 0 : mean[1];
    for (size_t i = 0; i < n; i++) {
        double chosen = b * (pair[i].policy[0] - pair[i].reference[0] - kl_rejected);
        double rejected = b * (kl_chosen - (pair[i].policy[1] - pair[i].reference[1]));
        value[i] = (LossValue){0.5 * (sigmoid(-chosen) + sigmoid(-rejected)), -0.5 * b * bell(chosen),
                               0.5 * b * bell(rejected)};
        if (mean[0] >= 0) through[0] -= 0.5 * b * bell(rejected) / (double)n;
        if (mean[1] >= 0) through[1] += 0.5 * b * bell(chosen) / (double)n;
    }
    for (size_t i = 0; i < n; i++) value[i].d_chosen += through[0], value[i].d_rejected += through[1];
}

/* One line a loss. In formulas w and l are the inputs for chosen and rejected, z = beta (w - l), S the sigmoid, L its
 * logarithm, b beta, e label_smoothing. */
#define PAIR(id, reads, ...)                                                                                           \
    { .name = #id, .metric = "loss/" #id, .input = reads, .pair = loss_##id, __VA_ARGS__ }
#define BATCH(id, ...)                                                                                                 \
    { .name = #id, .metric = "loss/" #id, .input = LOSS_OF_BATCHES, .batch = loss_##id, __VA_ARGS__ }

// clang-format off
const PreferenceLossRow preference_losses[] = {
    PAIR(sigmoid, LOSS_OF_SCORES,
         .formula = "-(1-e) L(z) - e L(-z)",
         .source = "DPO, Rafailov et al., arXiv 2305.18290, eq. 7",
         .use = "the default, and what DICE's published numbers were made with"),
    PAIR(cdpo, LOSS_OF_SCORES,
         .formula = "-(1-e) L(z) - e L(-z)",
         .source = "conservative DPO, Mitchell, \"A note on DPO with noisy preferences and relationship to IPO\", 2023",
         .use = "pairs of which a share e is thought to be the wrong way round; "
                "`sigmoid` that minds e in every parity mode"),
    PAIR(robust, LOSS_OF_SCORES,
         .formula = "(-(1-e) L(z) + e L(-z)) / (1-2e)",
         .source = "robust DPO, Chowdhury et al., arXiv 2403.00409",
         .use = "the same noise, but unbiased: its mean over swapped pairs is the clean loss; "
                "it varies more than cdpo"),
    PAIR(hinge, LOSS_OF_SCORES,
         .formula = "max(0, 1 - z)",
         .source = "SLiC-HF, Zhao et al., arXiv 2305.10425, on DPO's log-ratios as in RSO, arXiv 2309.06657",
         .use = "pairs that are won by a margin of 1 / beta nats stop counting"),
    PAIR(ipo, LOSS_OF_SCORES_PER_TOKEN,
         .formula = "(w - l - 1/(2b))^2",
         .source = "IPO, Azar et al., arXiv 2310.12036, eq. 17, per token as TRL and the authors' code have it",
         .use = "clean pairs that sigmoid overfits: margins are drawn to 1/(2b) instead of growing; "
                "beta is another scale here"),
    PAIR(exo_pair, LOSS_OF_SCORES, .needs_smoothing = true,
         .formula = "S(z) (L(z) - ln(1-e)) + S(-z) (L(-z) - ln e)",
         .source = "EXO, Ji et al., arXiv 2402.00856",
         .use = "the reverse KL of the optimum instead of the forward one; e = 1e-3 as in the paper"),
    PAIR(sigmoid_norm, LOSS_OF_SCORES_PER_TOKEN,
         .formula = "-L(z)",
         .source = "length-normalised DPO as in Tulu 3, Lambert et al., arXiv 2411.15124",
         .use = "answers that grow longer with every round; beta about 5"),
    PAIR(discopop, LOSS_OF_SCORES,
         .formula = "m = S(z / discopop_tau): -L(z) (1-m) + exp(-z) m",
         .source = "DiscoPOP, Lu et al., arXiv 2406.08414",
         .use = "a loss found by search: logistic for lost pairs, exponential for won ones"),
    PAIR(nca_pair, LOSS_OF_LOG_RATIOS,
         .formula = "-L(b w) - 1/2 L(-b w) - 1/2 L(-b l)",
         .source = "NCA, Chen et al., arXiv 2402.05369",
         .use = "keeps the likelihood of chosen answers from falling with that of the rejected ones"),
    PAIR(bco_pair, LOSS_OF_LOG_RATIOS,
         .formula = "-L(b w) - L(-b l)",
         .source = "BCO, Jung et al., arXiv 2404.04656, without its shift, as TRL has it",
         .use = "good and bad told apart one by one; part of MPO (arXiv 2411.10442): "
                "`0.8 sigmoid + 0.2 bco_pair + sft`"),
    PAIR(sppo_hard, LOSS_OF_LOG_RATIOS,
         .formula = "(w - 1/(2b))^2 + (l + 1/(2b))^2",
         .source = "SPPO, Wu et al., arXiv 2405.00675, with probabilities 0 and 1",
         .use = "both log-ratios drawn to a fixed point; beta 1e-3 in the paper"),
    PAIR(apo_zero, LOSS_OF_LOG_RATIOS,
         .formula = "1 - S(b w) + S(b l)",
         .source = "APO-zero, D'Oosterlinck et al., arXiv 2408.06266",
         .use = "chosen answers better than the model's own: pushes them up, the rejected ones down"),
    PAIR(apo_down, LOSS_OF_LOG_RATIOS,
         .formula = "S(b w) + 1 - S(z)",
         .source = "APO-down, D'Oosterlinck et al., arXiv 2408.06266",
         .use = "chosen answers worse than the model's own: pushes both down, the rejected ones more"),
    PAIR(simpo, LOSS_OF_LOGPROBS_PER_TOKEN,
         .formula = "z' = z - simpo_gamma: -(1-e) L(z') - e L(-z')",
         .source = "SimPO, Meng et al., arXiv 2405.14734, eq. 6",
         .use = "no reference, so nothing ties the policy to it: beta 2 to 10, a small learning rate, few steps"),
    PAIR(sft, LOSS_OF_TOKEN_MEANS,
         .formula = "-w, the mean over the tokens of all chosen responses of the batch",
         .source = "cross-entropy; beside a preference loss: iterative RPO, Pang et al., arXiv 2404.19733",
         .use = "a second term, `sigmoid + 0.2 sft`, that keeps chosen answers likely"),
    BATCH(aot,
         .formula = "sigmoid's with e, of z = b (g_k - r_k): "
                    "g, r the batch's sorted gaps pi_w - pi_l and ref_w - ref_l",
         .source = "AOT paired, Melnyk et al., arXiv 2406.05882",
         .use = "chosen above rejected as distributions, not pair by pair; wants large batches"),
    BATCH(aot_unpaired,
         .formula = "sigmoid's with e, of z = b (w_k - l_k): "
                    "the batch's log-ratios u of chosen and of rejected, each sorted",
         .source = "AOT unpaired, Melnyk et al., arXiv 2406.05882",
         .use = "the same where chosen and rejected do not answer the same prompts"),
    BATCH(kto_pair,
         .formula = "mean of 1 - S(b (u_w - K_l)) and 1 - S(b (K_w - u_l)), "
                    "K = max(0, mean u over the batch), one a side",
         .source = "KTO on pairs, Ethayarajh et al., arXiv 2402.01306, "
                   "as TRL up to 0.9 had it (the gradient goes through K)",
         .use = "gains and losses weighed as people weigh them; in DICE's ablation it gained less than ipo and hinge"),
};
// clang-format on
const size_t preference_loss_count = sizeof preference_losses / sizeof *preference_losses;
