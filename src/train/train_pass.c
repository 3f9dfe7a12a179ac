#include "train/train_pass.h"
#include "base/size.h"

#include <stdlib.h>

TrainPass train_pass(Model *model, const TrainObjective *objective, size_t micro_tokens) {
    return (TrainPass){.model = model, .objective = objective, .micro_tokens = micro_tokens};
}

void train_pass_free(TrainPass *pass) {
    model_adapter_dropout(pass->model, NULL);
    batch_free(&pass->batch);
    activations_free(pass->activations);
    free(pass->values);
    *pass = (TrainPass){0};
}

static size_t targets_of(const TrainExample *example) {
    size_t targets = 0;
    for (size_t b = 0; b < example->branches; b++) targets += example->branch_length[b];
    return targets;
}

size_t train_pass_example_rows(const TrainExample *example) { return example->prompt_length + targets_of(example); }

/* Room for the log-probs, gradients and figures of some targets; what was there is lost. */
static int reserve(TrainPass *pass, size_t targets, Error *error) {
    if (targets > pass->capacity) {
        size_t bytes;
        free(pass->values);
        pass->capacity = 0;
        pass->values = size_multiply(targets, 2 * sizeof(float) + sizeof(TokenFigures), &bytes) ? malloc(bytes) : NULL;
        if (pass->values == NULL)
            return error_set(error, ERROR_MEMORY, "no memory for the log-probs of %zu tokens", targets);
        pass->capacity = targets;
    }
    pass->logprob = pass->values;
    pass->dlogprob = pass->values + pass->capacity;
    pass->figures = pass->objective->figures ? (TokenFigures *)(pass->values + 2 * pass->capacity) : NULL;
    return 0;
}

/* A loss batch, or the part of it that a micro-batch takes: examples [first, end), whose targets begin at `target`. */
typedef struct {
    const TrainExample *const *example;
    size_t first, end, target, rows, targets;
} Span;

/* The next micro-batch from example `first` of n on: at least one example, then what fits. */
static Span next_micro(const TrainPass *pass, const TrainExample *const *example, size_t n, size_t first,
                       size_t target) {
    Span s = {.example = example, .first = first, .end = first, .target = target};
    do {
        s.rows += train_pass_example_rows(example[s.end]);
        s.targets += targets_of(example[s.end++]);
    } while (s.end < n && s.rows + train_pass_example_rows(example[s.end]) <= pass->micro_tokens);
    return s;
}

static int pack(TrainPass *pass, const Span *span, Error *error) {
    batch_clear(&pass->batch);
    for (size_t i = span->first; i < span->end; i++) {
        const TrainExample *e = span->example[i];
        size_t trunk;
        if (batch_add_trunk(&pass->batch, e->prompt, e->prompt_length, &trunk, error) != 0)
            return error_prefix(error, "example %zu", e->id);
        for (size_t b = 0; b < e->branches; b++)
            if (batch_add_branch(&pass->batch, trunk, e->branch[b], e->branch_length[b], error) != 0)
                return error_prefix(error, "example %zu", e->id);
    }
    return batch_finish(&pass->batch, error);
}

/* Log-probs of a micro-batch; gradient: model_backward will follow. */
static int forward(TrainPass *pass, const Span *span, bool gradient, Error *error) {
    if (pass->stage != NULL && log_interrupted(pass->log))
        return error_set(error, ERROR_INTERRUPTED, "interrupted while measuring (%s)", pass->stage);
    if (pack(pass, span, error) != 0) return -1;
    RngAddress dropout = pass->dropout; // a micro-batch drops the same in both of its passes
    dropout.k = (uint32_t)span->example[span->first]->id;
    model_adapter_dropout(pass->model, dropout.stream == 0 ? NULL : &dropout);
    float *logprob = pass->logprob + span->target;
    TokenFigures *figures = pass->figures == NULL ? NULL : pass->figures + span->target;
    int result = gradient ? model_forward(pass->model, &pass->batch, &pass->activations, logprob, figures, error)
                          : model_logprob(pass->model, &pass->batch, logprob, NULL, figures, error);
    return result == 0 ? 0
                       : error_prefix(error, "micro-batch of example %zu to example %zu",
                                      span->example[span->first]->id, span->example[span->end - 1]->id);
}

/* Losses of a span, whose loss batch counts `weight` in the mean. */
static int evaluate(TrainPass *pass, const TrainPart *batch, const Span *span, double weight, bool gradient,
                    TrainLoss *mean, Error *error) {
    const TrainObjective *objective = pass->objective;
    TrainLoss loss = {0};
    TrainPart part = *batch;
    part.example = span->example + span->first;
    part.examples = span->end - span->first;
    part.logprob = pass->logprob + span->target;
    part.dlogprob = gradient ? pass->dlogprob + span->target : NULL;
    if (pass->figures != NULL) part.figures = pass->figures + span->target;
    if (objective->loss(objective->context, &part, &loss, error) != 0) return -1;
    mean->loss += weight * loss.loss;
    for (size_t m = 0; m < objective->metrics; m++) mean->metric[m] += weight * loss.metric[m];
    for (size_t t = 0; part.dlogprob != NULL && weight != 1 && t < span->targets; t++)
        part.dlogprob[t] = (float)(weight * part.dlogprob[t]);
    return 0;
}

static void tell(TrainPass *pass, const Span *span, size_t *tokens) {
    *tokens += span->rows;
    pass->done += span->end - span->first;
    if (pass->stage == NULL) return;
    log_progress(pass->log, &(LogProgress){.stage = pass->stage,
                                           .done = pass->done,
                                           .total = pass->total,
                                           .unit = "examples",
                                           .tokens = (double)*tokens});
}

/* Examples have losses of their own, or the whole batch is one micro-batch: each is computed once. */
static int run_at_once(TrainPass *pass, const TrainPart *batch, double weight, bool gradient, TrainLoss *mean,
                       size_t *tokens, Error *error) {
    for (size_t first = 0; first < batch->batch_examples;) {
        Span span = next_micro(pass, batch->example, batch->batch_examples, first, 0);
        if (reserve(pass, span.targets, error) != 0 || forward(pass, &span, gradient, error) != 0 ||
            evaluate(pass, batch, &span, weight, gradient, mean, error) != 0)
            return -1;
        if (gradient && model_backward(pass->model, &pass->batch, pass->activations, pass->dlogprob, error) != 0)
            return -1;
        tell(pass, &span, tokens);
        first = span.end;
    }
    return 0;
}

/* All log-probs first, then the loss, then each micro-batch again for its gradient: forward passes are equal to the
 * bit. */
static int run_twice(TrainPass *pass, const TrainPart *batch, double weight, bool gradient, TrainLoss *mean,
                     size_t *tokens, Error *error) {
    size_t n = batch->batch_examples;
    Span all = {.example = batch->example, .end = n}, span;
    for (size_t i = 0; i < n; i++) all.targets += targets_of(batch->example[i]);
    if (reserve(pass, all.targets, error) != 0) return -1;
    for (size_t first = 0, target = 0; first < n; first = span.end, target += span.targets) {
        span = next_micro(pass, batch->example, n, first, target);
        if (forward(pass, &span, false, error) != 0) return -1;
        tell(pass, &span, tokens);
    }
    if (evaluate(pass, batch, &all, weight, gradient, mean, error) != 0) return -1;
    for (size_t first = 0, target = 0; gradient && first < n; first = span.end, target += span.targets) {
        span = next_micro(pass, batch->example, n, first, target);
        if (forward(pass, &span, true, error) != 0 ||
            model_backward(pass->model, &pass->batch, pass->activations, pass->dlogprob + target, error) != 0)
            return -1;
    }
    return 0;
}

int train_pass_run(TrainPass *pass, const TrainExample *const *example, size_t n, bool gradient, TrainLoss *mean,
                   size_t *tokens, Error *error) {
    const TrainObjective *objective = pass->objective;
    size_t size = objective->batch_examples == 0 ? n : objective->batch_examples;
    *mean = (TrainLoss){0};
    for (size_t first = 0; first < n; first += size) {
        TrainPart batch = {.example = example + first, .batch_examples = n - first < size ? n - first : size};
        for (size_t i = 0; i < batch.batch_examples; i++)
            for (size_t b = 0; b < batch.example[i]->branches; b++)
                batch.batch_tokens[b] += batch.example[i]->branch_length[b];
        bool twice = objective->whole_batches &&
                     next_micro(pass, batch.example, batch.batch_examples, 0, 0).end < batch.batch_examples;
        double weight = (double)batch.batch_examples / (double)n;
        if ((twice ? run_twice : run_at_once)(pass, &batch, weight, gradient, mean, tokens, error) != 0) return -1;
    }
    return 0;
}
