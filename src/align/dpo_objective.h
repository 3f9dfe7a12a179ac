/* dpo_objective.h - what train/ minimises: the DPO loss on pairs, or the SFT loss on single responses.
 *
 * DPO: the mean over pairs of align/dpo_loss.h, with reference log-probs computed beforehand; metrics under TRL's
 * names. SFT: the mean over response tokens of -log p. */
#pragma once
#include "align/dpo_loss.h"
#include "align/preference_data.h"
#include "train/trainer.h"

/* Summed log-probs of the loss reference, by TrainExample.id. */
typedef struct {
    double chosen, rejected;
} ReferenceSums;

typedef struct {
    DpoSettings settings;
    const ReferenceSums *reference; // indexed by TrainExample.id
} DpoContext;

/* The objective borrows the context. */
TrainObjective dpo_objective(const DpoContext *context);
TrainObjective sft_objective(void);

enum {
    DPO_METRICS = 6
}; // rewards/chosen rewards/rejected rewards/accuracies rewards/margins logps/chosen logps/rejected

/* A pair as the trainer takes it; branches 1: its chosen answer alone. Borrows the ids. */
TrainExample dpo_objective_example(const EncodedPair *pair, size_t id, size_t branches);
