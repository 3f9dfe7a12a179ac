/* dpo_objective.h - what train/ minimises: a preference loss on pairs, or the SFT loss on single responses.
 *
 * Pairs: the mean over a loss batch of align/preference_loss.h, with reference log-probs computed beforehand. Metrics
 * are TRL's: rewards are beta times the log-ratio whatever the loss, accuracy counts strict > only, logps are the
 * policy's sums; with ld_alpha all of them are of the weighted sums. Where several losses are summed, the mean of each
 * is logged too, "loss/NAME". With log_logits also TRL's means over the response tokens of a loss batch: "entropy" of
 * both answers, "mean_token_accuracy" (how often a chosen token is the likeliest word), and of the vocabulary's mean
 * logit "logits/chosen" and "logits/rejected". SFT: the mean over response tokens of -log p. */
#pragma once
#include "align/preference_data.h"
#include "align/preference_loss.h"
#include "train/trainer.h"

/* Log-probs of the loss reference, preference_loss_sum of each, by TrainExample.id. */
typedef struct {
    double chosen, rejected;
} ReferenceSums;

typedef struct {
    PreferenceLoss loss;
    size_t loss_pairs;              // pairs of a loss batch, where loss or metrics have batches; 0: all of a step
    bool log_logits;                // metrics of the logits too
    const ReferenceSums *reference; // indexed by TrainExample.id
    const double *doubt;            // likewise, 0 to 1 (preference_loss.h); NULL: none
    const bool *unweighed;          // likewise: pairs that use_weighting leaves at weight 1; NULL: none
} DpoContext;

/* The objective borrows the context. */
TrainObjective dpo_objective(const DpoContext *context);
TrainObjective sft_objective(void);

/* The first metrics of every preference loss, in this order. */
enum {
    DPO_REWARDS_CHOSEN,
    DPO_REWARDS_REJECTED,
    DPO_REWARDS_ACCURACIES,
    DPO_REWARDS_MARGINS,
    DPO_LOGPS_CHOSEN,
    DPO_LOGPS_REJECTED,
    DPO_METRICS
};

/* A pair as the trainer takes it; branches 1: its chosen answer alone. Borrows the ids. */
TrainExample dpo_objective_example(const EncodedPair *pair, size_t id, size_t branches);

/* preference_loss_sum of one answer of a pair, from its tokens' log-probs. */
double dpo_objective_sum(const PreferenceLoss *loss, const float *logprob, const size_t length[2], int branch);
