#include "align/preference_loss.h"
#include "align/sigmoid.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool needs_reference(const PreferenceLossRow *row) {
    return row->input != LOSS_OF_LOGPROBS_PER_TOKEN && row->input != LOSS_OF_TOKEN_MEANS;
}

static bool reads_scores(const PreferenceLossRow *row) {
    return row->input == LOSS_OF_SCORES || row->input == LOSS_OF_SCORES_PER_TOKEN;
}

/* sft has no score to transform, and never minded the kind of divergence. */
static bool takes_divergence(const PreferenceLossRow *row) {
    return reads_scores(row) || row->input == LOSS_OF_TOKEN_MEANS;
}

/* Whether a pair has a value of its own that a weight could multiply. */
static bool takes_weights(const PreferenceLossRow *row) {
    return row->input != LOSS_OF_BATCHES && row->input != LOSS_OF_TOKEN_MEANS;
}

bool preference_loss_joins_pairs(const PreferenceLoss *loss) {
    for (size_t i = 0; i < loss->terms; i++)
        if (loss->term[i].row->input == LOSS_OF_BATCHES) return true;
    return false;
}

bool preference_loss_has_batches(const PreferenceLoss *loss) {
    for (size_t i = 0; i < loss->terms; i++)
        if (loss->term[i].row->input == LOSS_OF_TOKEN_MEANS) return true;
    return preference_loss_joins_pairs(loss);
}

/* sft alone is still compared with a reference: its rewards are the interesting part. */
bool preference_loss_is_reference_free(const PreferenceLoss *loss) {
    bool free_of_it = false;
    for (size_t i = 0; i < loss->terms; i++) {
        if (needs_reference(loss->term[i].row)) return false;
        free_of_it |= loss->term[i].row->input == LOSS_OF_LOGPROBS_PER_TOKEN;
    }
    return free_of_it;
}

/* The names of the rows that pass, or of all where the test is NULL: "sigmoid, cdpo, ...". */
static void append_names(Buffer *out, bool (*passes)(const PreferenceLossRow *)) {
    const char *comma = "";
    for (size_t i = 0; i < preference_loss_count; i++) {
        if (passes != NULL && !passes(&preference_losses[i])) continue;
        buffer_format(out, "%s%s", comma, preference_losses[i].name);
        comma = ", ";
    }
}

/* An error that ends with names of losses. */
static int refuse(Error *error, const char *what, const char *name, const char *hint,
                  bool (*passes)(const PreferenceLossRow *)) {
    Buffer names = {0};
    append_names(&names, passes);
    int result = names.failed ? error_set(error, ERROR_MEMORY, "train.loss: no memory")
                              : error_set(error, ERROR_USAGE, "%s \"%.60s\"%s %s", what, name, hint, names.data);
    buffer_free(&names);
    return result;
}

static const PreferenceLossRow *find(const char *name, size_t length) {
    for (size_t i = 0; i < preference_loss_count; i++)
        if (strlen(preference_losses[i].name) == length && memcmp(preference_losses[i].name, name, length) == 0)
            return &preference_losses[i];
    return NULL;
}

static const char *skip_blanks(const char *text) { return text + strspn(text, " \t"); }

/* One term, "[WEIGHT [*]] NAME"; *text is then behind it. */
static int read_term(const char **text, const char *whole, LossTerm *term, Error *error) {
    const char *p = skip_blanks(*text);
    char *end = NULL, name[64];
    term->weight = 1;
    if (*p != 0 && strchr("0123456789.-", *p) != NULL && strncmp(p, "0x", 2) != 0 && strncmp(p, "0X", 2) != 0) {
        term->weight = strtod(p, &end);
        bool number = end != p;
        p = skip_blanks(end);
        if (number && *p == '*') p = skip_blanks(p + 1);
    }
    size_t length = 0;
    while (isalnum((unsigned char)p[length]) || p[length] == '_') length++;
    if (length == 0 || !isfinite(term->weight))
        return error_set(
            error, ERROR_USAGE,
            "train.loss is \"%.80s\" where a loss or a weighted sum of losses was expected, such as sigmoid "
            "or \"sigmoid + 0.2 sft\"",
            whole);
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), p);
    term->row = find(p, length);
    *text = skip_blanks(p + length);
    return term->row != NULL ? 0 : refuse(error, "train.loss: there is no loss", name, "; there are", NULL);
}

static int read_terms(PreferenceLoss *loss, const char *text, Error *error) {
    for (const char *p = text;; p++) {
        if (loss->terms == LOSS_TERMS_MAX)
            return error_set(error, ERROR_USAGE, "train.loss has more than %d terms", LOSS_TERMS_MAX);
        if (read_term(&p, text, &loss->term[loss->terms++], error) != 0) return -1;
        if (*p == 0) return 0;
        if (*p != '+')
            return error_set(error, ERROR_USAGE, "train.loss is \"%.80s\": a + was expected before \"%.40s\"", text, p);
    }
}

/* What the terms ask of the settings. */
static int check(const PreferenceLoss *loss, Error *error) {
    for (size_t i = 0; i < loss->terms; i++) {
        const PreferenceLossRow *row = loss->term[i].row;
        if (row->needs_smoothing && loss->knobs.label_smoothing <= 0)
            return error_set(error, ERROR_USAGE,
                             "train.loss %s needs train.label_smoothing above 0: its paper uses 1e-3", row->name);
        if (loss->divergence != RECIPE_DIVERGENCE_REVERSE_KL && !takes_divergence(row))
            return refuse(error, "train.f_divergence other than reverse_kl does not go with the loss", row->name,
                          "; it goes with", takes_divergence);
        if (loss->use_weighting && !takes_weights(row))
            return refuse(error, "train.use_weighting weighs pairs, and has nothing to weigh in the loss", row->name,
                          "; it goes with", takes_weights);
    }
    return 0;
}

int preference_loss_create(PreferenceLoss *loss, const Recipe *recipe, const Log *log, Error *error) {
    *loss = (PreferenceLoss){.knobs = {.beta = recipe->train.beta,
                                       .label_smoothing = recipe->train.label_smoothing,
                                       .discopop_tau = recipe->train.discopop_tau,
                                       .simpo_gamma = recipe->train.simpo_gamma,
                                       .sigmoid_ignores_smoothing = recipe->parity == RECIPE_PARITY_TRL_1},
                             .divergence = recipe->train.f_divergence,
                             .f_alpha = recipe->train.f_alpha,
                             .ld_alpha = recipe->train.ld_alpha,
                             .use_weighting = recipe->train.use_weighting};
    if (read_terms(loss, recipe->train.loss, error) != 0 || check(loss, error) != 0) return -1;
    if (recipe->pairs.soft_label != RECIPE_SOFT_LABEL_NONE && preference_loss_joins_pairs(loss))
        return error_set(error, ERROR_USAGE,
                         "pairs.soft_label does not go with train.loss %.80s: its pairs have no loss of their own",
                         recipe->train.loss);
    if (loss->knobs.sigmoid_ignores_smoothing && loss->knobs.label_smoothing > 0)
        log_say(log, LOG_INFO, "parity trl-1.x: the loss sigmoid ignores train.label_smoothing (cdpo does not)");
    return 0;
}

PreferenceLoss preference_loss_sigmoid(double beta, double label_smoothing) {
    return (PreferenceLoss){.knobs = {.beta = beta, .label_smoothing = label_smoothing},
                            .term = {{find("sigmoid", strlen("sigmoid")), 1}},
                            .terms = 1,
                            .ld_alpha = 1};
}

/* s of u, and ds/du. */
static double score(const PreferenceLoss *loss, double u, double *slope) {
    double a = loss->f_alpha - 1;
    *slope = 1;
    switch (loss->divergence) {
    case RECIPE_DIVERGENCE_REVERSE_KL:
        break;
    case RECIPE_DIVERGENCE_FORWARD_KL:
        *slope = exp(-u);
        return -expm1(-u);
    case RECIPE_DIVERGENCE_JS_DIVERGENCE:
        *slope = sigmoid(-u);
        return log(2) + log_sigmoid(u);
    case RECIPE_DIVERGENCE_ALPHA_DIVERGENCE:
        if (fabs(a) < 1e-6) break; // the limit
        *slope = exp(a * u);
        return expm1(a * u) / a;
    }
    return u;
}

/* What a row reads of one response, and the slope of that with respect to pi, or to the plain sum for
 * LOSS_OF_TOKEN_MEANS. */
static double input_of(const PreferenceLoss *loss, LossInput input, const PairSums *pair, int side, double mean_tokens,
                       double *slope) {
    double s;
    switch (input) {
    case LOSS_OF_SCORES:
        return score(loss, pair->policy[side] - pair->reference[side], slope);
    case LOSS_OF_SCORES_PER_TOKEN:
        s = score(loss, pair->policy[side] - pair->reference[side], slope);
        *slope /= pair->tokens[side];
        return s / pair->tokens[side];
    case LOSS_OF_LOG_RATIOS:
        *slope = 1;
        return pair->policy[side] - pair->reference[side];
    case LOSS_OF_LOGPROBS_PER_TOKEN:
        *slope = 1 / pair->tokens[side];
        return pair->policy[side] / pair->tokens[side];
    case LOSS_OF_TOKEN_MEANS:
        *slope = 1 / mean_tokens;
        return side == 0 ? pair->logprob_chosen / mean_tokens : 0;
    case LOSS_OF_BATCHES:
        break;
    }
    *slope = 0;
    return 0;
}

/* The value of a pair whose label is soft. */
static LossValue doubted(const PreferenceLoss *loss, const PreferenceLossRow *row, double doubt, double chosen,
                         double rejected) {
    LossValue v = row->pair(&loss->knobs, chosen, rejected);
    if (doubt == 0 || row->input == LOSS_OF_TOKEN_MEANS) return v;
    LossValue other = row->pair(&loss->knobs, rejected, chosen);
    return (LossValue){.value = (1 - doubt) * v.value + doubt * other.value,
                       .d_chosen = (1 - doubt) * v.d_chosen + doubt * other.d_rejected,
                       .d_rejected = (1 - doubt) * v.d_rejected + doubt * other.d_chosen};
}

static void add_pair(const PreferenceLoss *loss, size_t t, const PairSums *pair, double mean_tokens, PairLoss *out) {
    const LossTerm *term = &loss->term[t];
    double slope[2], weight = loss->use_weighting ? pair->weight : 1;
    double chosen = input_of(loss, term->row->input, pair, 0, mean_tokens, &slope[0]);
    double rejected = input_of(loss, term->row->input, pair, 1, mean_tokens, &slope[1]);
    LossValue v = doubted(loss, term->row, pair->doubt, chosen, rejected);
    out->term[t] = weight * v.value;
    out->loss += term->weight * weight * v.value;
    double d_chosen = term->weight * weight * v.d_chosen * slope[0];
    if (term->row->input == LOSS_OF_TOKEN_MEANS)
        out->d_logprob_chosen += d_chosen;
    else
        out->d_policy[0] += d_chosen, out->d_policy[1] += term->weight * weight * v.d_rejected * slope[1];
}

static int add_batch(const PreferenceLoss *loss, size_t t, size_t n, const PairSums *pair, PairLoss *out,
                     Error *error) {
    const LossTerm *term = &loss->term[t];
    LossRank *scratch = calloc(2 * n + 1, sizeof *scratch);
    LossValue *value = calloc(n + 1, sizeof *value);
    int result =
        scratch == NULL || value == NULL ? error_set(error, ERROR_MEMORY, "no memory for the loss of %zu pairs", n) : 0;
    if (result == 0) term->row->batch(&loss->knobs, n, pair, scratch, value);
    for (size_t i = 0; i < n && result == 0; i++) {
        out[i].term[t] = value[i].value;
        out[i].loss += term->weight * value[i].value;
        out[i].d_policy[0] += term->weight * value[i].d_chosen;
        out[i].d_policy[1] += term->weight * value[i].d_rejected;
    }
    free(scratch);
    free(value);
    return result;
}

int preference_loss(const PreferenceLoss *loss, size_t n, const PairSums *pair, double mean_tokens, PairLoss *out,
                    Error *error) {
    for (size_t i = 0; i < n; i++) out[i] = (PairLoss){0};
    for (size_t t = 0; t < loss->terms; t++) {
        if (loss->term[t].row->input != LOSS_OF_BATCHES)
            for (size_t i = 0; i < n; i++) add_pair(loss, t, &pair[i], mean_tokens, &out[i]);
        else if (add_batch(loss, t, n, pair, out, error) != 0)
            return -1;
    }
    return 0;
}

double preference_loss_sum(const PreferenceLoss *loss, const float *logprob, size_t n, size_t shared) {
    double sum = 0, rest = 0;
    if (loss->ld_alpha == 1) shared = n; // the very sum that a scored reference has
    for (size_t t = 0; t < n && t < shared; t++) sum += logprob[t];
    for (size_t t = shared; t < n; t++) rest += logprob[t];
    return sum + loss->ld_alpha * rest;
}

double preference_loss_reward(const PreferenceLoss *loss, const PairSums *pair, int branch) {
    if (preference_loss_is_reference_free(loss)) return loss->knobs.beta * pair->policy[branch] / pair->tokens[branch];
    return loss->knobs.beta * (pair->policy[branch] - pair->reference[branch]);
}
