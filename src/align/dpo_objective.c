#include "align/dpo_objective.h"

#include "align/implicit_reward.h"

#include <math.h>
#include <stdlib.h>

static const char *const dpo_names[DPO_METRICS] = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                                   "rewards/margins", "logps/chosen",     "logps/rejected"};
/* Those of the logits, after the others where they are asked for. */
enum { ENTROPY, TOKEN_ACCURACY, LOGITS_CHOSEN, LOGITS_REJECTED, LOGIT_METRICS };
static const char *const logit_names[LOGIT_METRICS] = {"entropy", "mean_token_accuracy", "logits/chosen",
                                                       "logits/rejected"};
_Static_assert((int)DPO_METRICS + (int)LOGIT_METRICS + (int)LOSS_TERMS_MAX <= (int)TRAIN_METRICS_MAX,
               "room for the value of every term");

static size_t shared_tokens(const size_t length[2]) { return length[0] < length[1] ? length[0] : length[1]; }

double dpo_objective_sum(const PreferenceLoss *loss, const float *logprob, const size_t length[2], int branch) {
    return preference_loss_sum(loss, logprob, length[branch], shared_tokens(length));
}

/* Mean over the tokens of log p - ln sum p^2: how far the policy is from drawing something else. */
static double agreement(const float *logprob, const TokenFigures *figures, size_t n) {
    double sum = 0;
    for (size_t t = 0; t < n; t++) sum += (double)logprob[t] - (double)figures[t].log_sum_square;
    return sum / (double)n;
}

static PairSums read_pair(const DpoContext *dpo, const TrainExample *e, const float *logprob,
                          const TokenFigures *figures) {
    const size_t *n = e->branch_length;
    const float *rejected = logprob + n[0];
    PairSums pair = {
        .policy = {dpo_objective_sum(&dpo->loss, logprob, n, 0), dpo_objective_sum(&dpo->loss, rejected, n, 1)},
        .reference = {dpo->reference[e->id].chosen, dpo->reference[e->id].rejected},
        .logprob_chosen = implicit_reward_sum(logprob, n[0]),
        .tokens = {(double)n[0], (double)n[1]},
        .weight = 1,
        .doubt = dpo->doubt == NULL ? 0 : dpo->doubt[e->id]};
    bool weighed = dpo->loss.use_weighting && figures != NULL && (dpo->unweighed == NULL || !dpo->unweighed[e->id]);
    if (weighed) pair.weight = exp(agreement(logprob, figures, n[0]) + agreement(rejected, figures + n[0], n[1]));
    return pair;
}

/* d (mean over N pairs) / d logprob of every token of a pair. */
static void write_gradient(const PreferenceLoss *loss, const TrainExample *e, const PairLoss *pair, double N,
                           float *dlogprob) {
    size_t shared = shared_tokens(e->branch_length);
    for (int b = 0; b < 2; b++) {
        double each = b == 0 ? pair->d_logprob_chosen : 0;
        float first = (float)((pair->d_policy[b] + each) / N);
        float rest = (float)((loss->ld_alpha * pair->d_policy[b] + each) / N);
        for (size_t t = 0; t < e->branch_length[b]; t++) *dlogprob++ = t < shared ? first : rest;
    }
}

/* Means over the tokens of the loss batch: of both answers, of the chosen ones, of each kind. */
static void add_logit_metrics(const TrainPart *part, const TrainExample *e, const TokenFigures *figures,
                              double *metric) {
    double tokens[2] = {(double)part->batch_tokens[0], (double)part->batch_tokens[1]};
    for (size_t b = 0; b < 2; b++)
        for (size_t t = 0; t < e->branch_length[b]; t++, figures++) {
            metric[ENTROPY] += (double)figures->entropy / (tokens[0] + tokens[1]);
            metric[LOGITS_CHOSEN + b] += (double)figures->mean_logit / tokens[b];
            if (b == 0) metric[TOKEN_ACCURACY] += (double)figures->top / tokens[0];
        }
}

static size_t first_term(const DpoContext *dpo) { return DPO_METRICS + (dpo->log_logits ? LOGIT_METRICS : 0); }

static void add_metrics(const DpoContext *dpo, const PairSums *pair, const PairLoss *value, double N, TrainLoss *mean) {
    const PreferenceLoss *loss = &dpo->loss;
    double chosen = preference_loss_reward(loss, pair, 0), rejected = preference_loss_reward(loss, pair, 1);
    mean->loss += value->loss / N;
    mean->metric[DPO_REWARDS_CHOSEN] += chosen / N;
    mean->metric[DPO_REWARDS_REJECTED] += rejected / N;
    mean->metric[DPO_REWARDS_ACCURACIES] += (chosen > rejected) / N;
    mean->metric[DPO_REWARDS_MARGINS] += (chosen - rejected) / N;
    mean->metric[DPO_LOGPS_CHOSEN] += pair->policy[0] / N;
    mean->metric[DPO_LOGPS_REJECTED] += pair->policy[1] / N;
    for (size_t t = 0; loss->terms > 1 && t < loss->terms; t++) mean->metric[first_term(dpo) + t] += value->term[t] / N;
}

static int dpo(const void *context, const TrainPart *part, TrainLoss *mean, Error *error) {
    const DpoContext *dpo = context;
    size_t n = part->examples, at = 0;
    double N = (double)part->batch_examples;
    PairSums *pair = calloc(n + 1, sizeof *pair);
    PairLoss *value = calloc(n + 1, sizeof *value);
    int result =
        pair == NULL || value == NULL ? error_set(error, ERROR_MEMORY, "no memory for the loss of %zu pairs", n) : 0;
    for (size_t i = 0; i < n && result == 0;
         at += part->example[i]->branch_length[0] + part->example[i]->branch_length[1], i++)
        pair[i] =
            read_pair(dpo, part->example[i], part->logprob + at, part->figures == NULL ? NULL : part->figures + at);
    if (result == 0) result = preference_loss(&dpo->loss, n, pair, (double)part->batch_tokens[0] / N, value, error);
    at = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        const TrainExample *e = part->example[i];
        if (!isfinite(value[i].loss))
            result = error_set(error, ERROR_NUMERIC, "the loss of example %zu is not finite", e->id);
        add_metrics(dpo, &pair[i], &value[i], N, mean);
        if (dpo->log_logits && part->figures != NULL)
            add_logit_metrics(part, e, part->figures + at, mean->metric + DPO_METRICS);
        if (part->dlogprob != NULL) write_gradient(&dpo->loss, e, &value[i], N, part->dlogprob + at);
        at += e->branch_length[0] + e->branch_length[1];
    }
    free(pair);
    free(value);
    return result;
}

TrainObjective dpo_objective(const DpoContext *context) {
    const PreferenceLoss *loss = &context->loss;
    TrainObjective objective = {.context = context,
                                .metrics = DPO_METRICS,
                                .batch_examples =
                                    preference_loss_has_batches(loss) || context->log_logits ? context->loss_pairs : 0,
                                .whole_batches = preference_loss_joins_pairs(loss),
                                .figures = loss->use_weighting || context->log_logits,
                                .loss = dpo};
    for (size_t m = 0; m < DPO_METRICS; m++) objective.metric_names[m] = dpo_names[m];
    for (size_t m = 0; context->log_logits && m < LOGIT_METRICS; m++)
        objective.metric_names[objective.metrics++] = logit_names[m];
    for (size_t t = 0; loss->terms > 1 && t < loss->terms; t++)
        objective.metric_names[objective.metrics++] = loss->term[t].row->metric;
    return objective;
}

static int sft(const void *context, const TrainPart *part, TrainLoss *mean, Error *error) {
    (void)context;
    const float *logprob = part->logprob;
    double N = (double)part->batch_tokens[0];
    for (size_t i = 0, at = 0; i < part->examples; at += part->example[i++]->branch_length[0]) {
        size_t n = part->example[i]->branch_length[0];
        double loss = -implicit_reward_sum(logprob + at, n) / N;
        if (!isfinite(loss))
            return error_set(error, ERROR_NUMERIC, "the loss of example %zu is not finite", part->example[i]->id);
        mean->loss += loss;
        for (size_t t = 0; part->dlogprob != NULL && t < n; t++) part->dlogprob[at + t] = (float)(-1 / N);
    }
    return 0;
}

TrainObjective sft_objective(void) { return (TrainObjective){.loss = sft}; }

TrainExample dpo_objective_example(const EncodedPair *pair, size_t id, size_t branches) {
    return (TrainExample){.id = id,
                          .prompt = pair->prompt,
                          .prompt_length = pair->prompt_length,
                          .branch = {pair->response[0], pair->response[1]},
                          .branch_length = {pair->length[0], pair->length[1]},
                          .branches = branches};
}
