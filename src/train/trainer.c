#include "train/trainer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "train/train_pass.h"
#include "train/train_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t train_step_count(size_t examples, double epochs, size_t examples_per_step) {
    double steps = ceil(epochs * (double)examples / (double)examples_per_step);
    return steps < 1 ? 1 : (size_t)steps;
}

/* Where the loop takes its examples from: position p of the whole training -> example. */
typedef struct {
    const TrainSettings *settings;
    size_t examples, epoch; // epoch whose permutation is in `shuffled`; SIZE_MAX: none
    size_t *shuffled;       // (examples)
} Cursor;

static size_t cursor_at(Cursor *cursor, size_t position) {
    const TrainSettings *s = cursor->settings;
    if (s->order != NULL) return s->order[position % s->order_count];
    size_t epoch = position / cursor->examples;
    if (epoch != cursor->epoch) {
        const RngAddress address = {.seed = s->seed, .stream = RNG_SHUFFLE, .round = s->round, .item = (uint32_t)epoch};
        rng_permutation(&address, cursor->examples, cursor->shuffled);
        cursor->epoch = epoch;
    }
    return cursor->shuffled[position % cursor->examples];
}

int train_taken(const TrainSettings *settings, size_t examples, bool *taken, Error *error) {
    size_t positions = settings->schedule.steps * settings->examples_per_step;
    Cursor cursor = {.settings = settings, .examples = examples, .epoch = SIZE_MAX};
    cursor.shuffled = malloc((examples + 1) * sizeof *cursor.shuffled);
    if (cursor.shuffled == NULL)
        return error_set(error, ERROR_MEMORY, "no memory for the order of %zu examples", examples);
    if (settings->order == NULL && positions > examples) positions = examples; // the first epoch takes them all
    for (size_t p = 0; p < positions; p++) taken[cursor_at(&cursor, p)] = true;
    free(cursor.shuffled);
    return 0;
}

typedef struct {
    Model *model;
    const TrainSettings *settings;
    const TrainData *data;
    const TrainEvents *events;
    const Log *log;
    const char *directory;
    TrainPass pass;
    Optimizer optimizer;
    TrainState state;
    Cursor cursor;
    const TrainExample **step_example; // (examples_per_step)
} Loop;

static void gather(Loop *loop, size_t step) {
    size_t n = loop->settings->examples_per_step;
    for (size_t i = 0; i < n; i++) loop->step_example[i] = &loop->data->example[cursor_at(&loop->cursor, step * n + i)];
}

static TrainReport report_of(const TrainLoss *mean, const TrainObjective *objective) {
    TrainReport report = {.loss = mean->loss};
    memcpy(report.metric, mean->metric, objective->metrics * sizeof *report.metric);
    return report;
}

static void zero_gradients(Model *model) {
    memset(model_gradients(model), 0, model_weight_count(model) * sizeof(float));
}

static const TrainExample **pointers(const TrainExample *example, size_t n, Error *error) {
    const TrainExample **all = malloc((n + 1) * sizeof *all);
    if (all == NULL) error_set(error, ERROR_MEMORY, "no memory for the list of %zu examples", n);
    for (size_t i = 0; all != NULL && i < n; i++) all[i] = &example[i];
    return all;
}

static int measure(TrainPass *pass, const TrainExample *example, size_t examples, const char *stage,
                   TrainReport *report, const Log *log, Error *error) {
    double start = clock_seconds();
    size_t tokens = 0;
    TrainLoss mean;
    const TrainExample **all = pointers(example, examples, error);
    if (all == NULL) return -1;
    log_progress(log, &(LogProgress){.stage = stage, .total = examples, .unit = "examples"});
    pass->stage = stage, pass->log = log, pass->done = 0, pass->total = examples;
    int result = train_pass_run(pass, all, examples, false, &mean, &tokens, error);
    pass->stage = NULL;
    free(all);
    if (result != 0) return -1;
    *report = report_of(&mean, pass->objective);
    report->tokens = tokens;
    report->seconds = clock_seconds() - start;
    return 0;
}

int train_measure(Model *model, const TrainExample *example, size_t examples, size_t micro_tokens,
                  const TrainObjective *objective, const char *stage, TrainReport *report, const Log *log,
                  Error *error) {
    TrainPass pass = train_pass(model, objective, micro_tokens);
    int result = measure(&pass, example, examples, stage, report, log, error);
    train_pass_free(&pass);
    return result;
}

int train_gradient(Model *model, const TrainExample *example, size_t examples, size_t micro_tokens,
                   const TrainObjective *objective, TrainReport *report, Error *error) {
    const TrainExample **all = pointers(example, examples, error);
    if (all == NULL) return -1;
    TrainPass pass = train_pass(model, objective, micro_tokens);
    TrainLoss mean;
    size_t tokens = 0;
    zero_gradients(model);
    int result = train_pass_run(&pass, all, examples, true, &mean, &tokens, error);
    if (result == 0) {
        *report = report_of(&mean, objective);
        report->tokens = tokens;
        result = optimizer_gradient_norm(model, false, &report->grad_norm, error);
    }
    train_pass_free(&pass);
    free(all);
    return result;
}

static int validate(Loop *loop, Error *error) {
    TrainReport report;
    if (loop->data->validations == 0 || loop->events->validated == NULL) return 0;
    if (measure(&loop->pass, loop->data->validation, loop->data->validations, "validate", &report, loop->log, error) !=
        0)
        return -1;
    report.step = loop->state.step;
    report.steps = loop->settings->schedule.steps;
    return loop->events->validated(loop->events->context, &report, error);
}

static int save(Loop *loop, Error *error) {
    if (loop->directory == NULL) return 0;
    char name[32];
    snprintf(name, sizeof name, "step-%06zu", loop->state.step);
    char *path = file_join(loop->directory, name);
    if (path == NULL) return error_set(error, ERROR_MEMORY, "no memory for a file name");
    int result = train_state_save(path, loop->model, &loop->optimizer, &loop->state, error);
    if (result == 0 && loop->events->checkpointed != NULL)
        result = loop->events->checkpointed(loop->events->context, loop->state.step, path, error);
    free(path);
    return result;
}

static LogProgress progress_of(const Loop *loop) {
    return (LogProgress){.stage = "train",
                         .done = loop->state.step,
                         .total = loop->settings->schedule.steps,
                         .unit = "steps",
                         .tokens = (double)loop->state.tokens};
}

static int step(Loop *loop, Error *error) {
    const TrainSettings *s = loop->settings;
    double start = clock_seconds(), norm, rate = lr_schedule_rate(&s->schedule, loop->state.step);
    TrainLoss mean;
    size_t tokens = loop->state.tokens, before = tokens;
    gather(loop, loop->state.step);
    zero_gradients(loop->model);
    loop->pass.dropout =
        (RngAddress){.seed = s->seed, .stream = RNG_DROPOUT, .round = s->round, .item = (uint32_t)loop->state.step};
    int failed = train_pass_run(&loop->pass, loop->step_example, s->examples_per_step, true, &mean, &tokens, error);
    loop->pass.dropout = (RngAddress){0}; // measurements drop nothing
    if (failed != 0 || optimizer_gradient_norm(loop->model, s->optimizer.float32_norm, &norm, error) != 0)
        return error_prefix(error, "step %zu", loop->state.step + 1);
    if (optimizer_step(&loop->optimizer, loop->model, rate, norm, error) != 0) return -1;
    loop->state = (TrainState){.step = loop->state.step + 1, .tokens = tokens};
    TrainReport report = report_of(&mean, loop->pass.objective);
    report.step = loop->state.step;
    report.steps = s->schedule.steps;
    report.epoch = (double)(loop->state.step * s->examples_per_step) / (double)loop->data->examples;
    report.learning_rate = rate;
    report.grad_norm = norm;
    report.tokens = tokens;
    report.step_tokens = tokens - before;
    report.seconds = clock_seconds() - start;
    LogProgress progress = progress_of(loop);
    snprintf(progress.detail, sizeof progress.detail, "loss %.4f", report.loss);
    log_progress(loop->log, &progress);
    return loop->events->step == NULL ? 0 : loop->events->step(loop->events->context, &report, error);
}

static int run(Loop *loop, Error *error) {
    const TrainSettings *s = loop->settings;
    const LogProgress progress = progress_of(loop);
    log_progress(loop->log, &progress);
    while (loop->state.step < s->schedule.steps) {
        if (step(loop, error) != 0) return -1;
        size_t done = loop->state.step;
        bool last = done == s->schedule.steps, stop = !last && log_interrupted(loop->log);
        if ((last || (s->validate_every > 0 && done % s->validate_every == 0)) && validate(loop, error) != 0) return -1;
        if ((stop || (!last && s->checkpoint_every > 0 && done % s->checkpoint_every == 0)) && save(loop, error) != 0)
            return -1;
        if (stop)
            return error_set(error, ERROR_INTERRUPTED, "interrupted after step %zu of %zu", done, s->schedule.steps);
    }
    return 0;
}

int train(Model *model, const TrainSettings *settings, const TrainData *data, const TrainObjective *objective,
          const char *directory, const char *resume, const TrainEvents *events, const Log *log, Error *error) {
    static const TrainEvents none = {0};
    if (data->examples == 0) return error_set(error, ERROR_INPUT, "there is no example to train on");
    Loop loop = {.model = model,
                 .settings = settings,
                 .data = data,
                 .events = events == NULL ? &none : events,
                 .log = log,
                 .directory = directory,
                 .pass = train_pass(model, objective, settings->micro_tokens),
                 .cursor = {.settings = settings, .examples = data->examples, .epoch = SIZE_MAX}};
    int result = -1;
    loop.cursor.shuffled = malloc(data->examples * sizeof *loop.cursor.shuffled);
    loop.step_example = malloc(settings->examples_per_step * sizeof *loop.step_example);
    if (loop.cursor.shuffled == NULL || loop.step_example == NULL)
        error_set(error, ERROR_MEMORY, "no memory for the order of %zu examples", data->examples);
    else if (optimizer_create(&loop.optimizer, model, &settings->optimizer, error) == 0 &&
             (resume == NULL || train_state_load(resume, model, &loop.optimizer, &loop.state, error) == 0))
        result = run(&loop, error);
    optimizer_destroy(&loop.optimizer);
    train_pass_free(&loop.pass);
    free(loop.cursor.shuffled);
    free(loop.step_example);
    return result;
}
