#include "align/dpo_objective.h"

#include "align/implicit_reward.h"

static const char *const dpo_names[DPO_METRICS] = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                                   "rewards/margins", "logps/chosen",     "logps/rejected"};

static double one(const void *context, const TrainExample *example) {
    (void)context, (void)example;
    return 1;
}

static TrainLoss dpo(const void *context, const TrainExample *example, const float *const *logprob,
                     float *const *dlogprob) {
    const DpoContext *dpo = context;
    const ReferenceSums *reference = &dpo->reference[example->id];
    const PairLogprobs pair = {.chosen = implicit_reward_sum(logprob[0], example->branch_length[0]),
                               .rejected = implicit_reward_sum(logprob[1], example->branch_length[1]),
                               .reference_chosen = reference->chosen,
                               .reference_rejected = reference->rejected};
    PairLoss loss = dpo_loss(&dpo->settings, &pair);
    if (dlogprob != NULL) {
        for (size_t t = 0; t < example->branch_length[0]; t++) dlogprob[0][t] = (float)loss.d_chosen;
        for (size_t t = 0; t < example->branch_length[1]; t++) dlogprob[1][t] = (float)loss.d_rejected;
    }
    DpoMetrics m = dpo_loss_metrics(&dpo->settings, &pair, 1);
    return (TrainLoss){.loss = loss.loss,
                       .metric = {m.rewards_chosen, m.rewards_rejected, m.rewards_accuracies, m.rewards_margins,
                                  m.logps_chosen, m.logps_rejected}};
}

TrainObjective dpo_objective(const DpoContext *context) {
    return (TrainObjective){
        .context = context, .metrics = DPO_METRICS, .metric_names = dpo_names, .share = one, .loss = dpo};
}

static double tokens(const void *context, const TrainExample *example) {
    (void)context;
    return (double)example->branch_length[0];
}

static TrainLoss sft(const void *context, const TrainExample *example, const float *const *logprob,
                     float *const *dlogprob) {
    (void)context;
    double n = (double)example->branch_length[0];
    if (dlogprob != NULL)
        for (size_t t = 0; t < example->branch_length[0]; t++) dlogprob[0][t] = (float)(-1 / n);
    return (TrainLoss){.loss = -implicit_reward_sum(logprob[0], example->branch_length[0]) / n};
}

TrainObjective sft_objective(void) { return (TrainObjective){.share = tokens, .loss = sft}; }

TrainExample dpo_objective_example(const EncodedPair *pair, size_t id, size_t branches) {
    return (TrainExample){.id = id,
                          .prompt = pair->prompt,
                          .prompt_length = pair->prompt_length,
                          .branch = {pair->response[0], pair->response[1]},
                          .branch_length = {pair->length[0], pair->length[1]},
                          .branches = branches};
}
