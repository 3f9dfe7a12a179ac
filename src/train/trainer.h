/* trainer.h - the training loop: examples in, optimiser steps out. Knows no loss; the objective brings it.
 *
 * A step takes the next `examples_per_step` examples of the order (each epoch a new permutation drawn from the seed, or
 * the caller's own order), and minimises the mean over them. The objective may cut them into loss batches, whose losses
 * are averaged by their examples. What is computed at once is another matter: micro-batches of at most micro_tokens
 * tokens, whose borders do not change results. The state after a step is a function of (weights at the start, examples,
 * settings, step): a run that is continued from a checkpoint ends bit-equal to one that was never stopped [TR-1].
 * Claims: tests/unit/test_trainer.c. */
#pragma once
#include "base/log.h"
#include "model/model.h"
#include "train/lr_schedule.h"
#include "train/optimizer.h"

enum { TRAIN_METRICS_MAX = 20, TRAIN_BRANCHES_MAX = 2 };

/* A prompt with its branches: chosen and rejected, or one response. Everything is borrowed. */
typedef struct {
    size_t id; // the caller's number of it, for the objective and for messages
    const int32_t *prompt;
    size_t prompt_length;
    const int32_t *branch[TRAIN_BRANCHES_MAX];
    size_t branch_length[TRAIN_BRANCHES_MAX];
    size_t branches;
} TrainExample;

/* Means over examples, under the objective's names. */
typedef struct {
    double loss, metric[TRAIN_METRICS_MAX];
} TrainLoss;

/* Consecutive examples of a loss batch: all of it, or a part. Tokens stand in the order of examples and branches. */
typedef struct {
    const TrainExample *const *example; // (examples)
    size_t examples;
    size_t batch_examples, batch_tokens[TRAIN_BRANCHES_MAX]; // of the whole loss batch: examples, tokens of each branch
    const float *logprob;                                    // (tokens)
    const TokenFigures *figures;                             // (tokens), or NULL unless the objective wants them
    float *dlogprob;                                         // (tokens), or NULL: not wanted
} TrainPart;

typedef struct {
    const void *context;
    size_t metrics;
    const char *metric_names[TRAIN_METRICS_MAX]; // (metrics)
    size_t batch_examples;                       // of a loss batch; 0: all of a step, or of a measurement
    bool whole_batches; // an example's loss depends on the log-probs of its batch: a part is a whole batch
    bool figures;       // it reads those
    /* Adds to *mean what the part contributes to the mean over its batch; writes the gradient of that contribution.
     * ERROR_NUMERIC names an example whose loss is not finite. */
    int (*loss)(const void *context, const TrainPart *part, TrainLoss *mean, Error *error);
} TrainObjective;

typedef struct {
    LrSchedule schedule; // schedule.steps is the number of steps, see train_step_count
    OptimizerSettings optimizer;
    size_t examples_per_step, micro_tokens;
    uint64_t seed;
    uint32_t round;
    const size_t *order; // (order_count) example indices in the order of use; NULL: shuffled epochs
    size_t order_count;
    size_t validate_every, checkpoint_every; // steps; 0: never
} TrainSettings;

/* Figures of a step, or of a measurement. */
typedef struct {
    size_t step, steps; // step counts from 1: the steps taken
    double epoch, learning_rate, grad_norm, loss, metric[TRAIN_METRICS_MAX];
    size_t tokens;      // processed since the start of training; each distinct token of a batch once
    size_t step_tokens; // likewise, in this step
    double seconds;     // of this step
} TrainReport;

typedef struct {
    void *context;
    int (*step)(void *context, const TrainReport *report, Error *error);
    int (*validated)(void *context, const TrainReport *report, Error *error);
    int (*checkpointed)(void *context, size_t step, const char *directory, Error *error);
} TrainEvents; // members may be NULL

typedef struct {
    const TrainExample *example, *validation;
    size_t examples, validations;
} TrainData;

/* Steps that `epochs` passes over the examples take, the last one filled up. */
size_t train_step_count(size_t examples, double epochs, size_t examples_per_step);

/* taken: (examples) false before; becomes true for each one that a training with these settings takes. What the others
 * would need (a loss reference, say) need not be computed. */
int train_taken(const TrainSettings *settings, size_t examples, bool *taken, Error *error);

/* Trains until schedule.steps steps are taken. directory: where checkpoints go ("directory/step-000050"), NULL for
 * none; resume: continue from this checkpoint, NULL: from the start. When the log says interrupted, a checkpoint is
 * written and ERROR_INTERRUPTED returned. ERROR_NUMERIC (naming step and example) leaves the weights as after the step
 * before. */
int train(Model *model, const TrainSettings *settings, const TrainData *data, const TrainObjective *objective,
          const char *directory, const char *resume, const TrainEvents *events, const Log *log, Error *error);

/* The objective's means over examples without training, under `stage` in the log's progress. */
int train_measure(Model *model, const TrainExample *example, size_t examples, size_t micro_tokens,
                  const TrainObjective *objective, const char *stage, TrainReport *report, const Log *log,
                  Error *error);

/* Gradients of the objective's mean over the examples, into the model's zeroed gradients; no update. */
int train_gradient(Model *model, const TrainExample *example, size_t examples, size_t micro_tokens,
                   const TrainObjective *objective, TrainReport *report, Error *error);
