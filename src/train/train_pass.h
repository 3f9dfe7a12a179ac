/* train_pass.h - one pass over some examples: packed into micro-batches, log-probs, loss, and the gradient if asked. */
#pragma once
#include "train/trainer.h"

typedef struct {
    Model *model;
    const TrainObjective *objective;
    size_t micro_tokens;
    RngAddress dropout; // of an adapter, in the next runs; .stream 0: nothing is dropped
    Batch batch;
    Activations *activations;
    float *logprob, *dlogprob; // (capacity) by target, in `values`
    TokenFigures *figures;     // likewise; NULL where not wanted
    float *values;
    size_t capacity;
    /* Progress of a measurement; stage NULL: none is told. */
    const Log *log;
    const char *stage;
    size_t done, total; // examples
} TrainPass;

TrainPass train_pass(Model *model, const TrainObjective *objective, size_t micro_tokens);
void train_pass_free(TrainPass *pass);

/* *mean: means of loss and metrics over the n >= 1 examples, cut into the objective's loss batches. gradient: also adds
 * the gradient of that mean loss to the model's gradients. A loss batch that must be whole and does not fit into one
 * micro-batch goes forward twice. *tokens += the distinct tokens processed. ERROR_NUMERIC names the example, or the
 * micro-batch in which the model failed. */
int train_pass_run(TrainPass *pass, const TrainExample *const *example, size_t n, bool gradient, TrainLoss *mean,
                   size_t *tokens, Error *error);

size_t train_pass_example_rows(const TrainExample *example);
