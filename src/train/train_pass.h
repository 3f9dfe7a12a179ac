/* train_pass.h - one pass over some examples: packed into micro-batches, log-probs, loss, and the gradient if asked. */
#pragma once
#include "train/trainer.h"

typedef struct {
    Model *model;
    const TrainObjective *objective;
    size_t micro_tokens;
    Batch batch;
    Activations *activations;
    float *logprob, *dlogprob; // (capacity) by target
    size_t capacity;
} TrainPass;

TrainPass train_pass(Model *model, const TrainObjective *objective, size_t micro_tokens);
void train_pass_free(TrainPass *pass);

/* *mean: share-weighted means of loss and metrics over the n >= 1 examples. gradient: also adds the gradient of that
 * mean loss to the model's gradients. *tokens += the distinct tokens processed. ERROR_NUMERIC names the example, or the
 * micro-batch in which the model failed. */
int train_pass_run(TrainPass *pass, const TrainExample *const *example, size_t n, bool gradient, TrainLoss *mean,
                   size_t *tokens, Error *error);

size_t train_pass_example_rows(const TrainExample *example);
