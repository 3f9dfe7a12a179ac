#include "train/train_pass.h"

#include <math.h>
#include <stdlib.h>

TrainPass train_pass(Model *model, const TrainObjective *objective, size_t micro_tokens) {
    return (TrainPass){.model = model, .objective = objective, .micro_tokens = micro_tokens};
}

void train_pass_free(TrainPass *pass) {
    batch_free(&pass->batch);
    activations_free(pass->activations);
    free(pass->logprob);
    free(pass->dlogprob);
    *pass = (TrainPass){0};
}

size_t train_pass_example_rows(const TrainExample *example) {
    size_t rows = example->prompt_length;
    for (size_t b = 0; b < example->branches; b++) rows += example->branch_length[b];
    return rows;
}

static int pack(TrainPass *pass, const TrainExample *const *example, size_t n, Error *error) {
    batch_clear(&pass->batch);
    for (size_t i = 0; i < n; i++) {
        const TrainExample *e = example[i];
        size_t trunk;
        if (batch_add_trunk(&pass->batch, e->prompt, e->prompt_length, &trunk, error) != 0)
            return error_prefix(error, "example %zu", e->id);
        for (size_t b = 0; b < e->branches; b++)
            if (batch_add_branch(&pass->batch, trunk, e->branch[b], e->branch_length[b], error) != 0)
                return error_prefix(error, "example %zu", e->id);
    }
    if (batch_finish(&pass->batch, error) != 0) return -1;
    size_t targets = pass->batch.targets;
    if (targets <= pass->capacity) return 0;
    free(pass->logprob);
    free(pass->dlogprob);
    pass->capacity = targets;
    pass->logprob = malloc(targets * sizeof(float));
    pass->dlogprob = malloc(targets * sizeof(float));
    if (pass->logprob != NULL && pass->dlogprob != NULL) return 0;
    pass->capacity = 0;
    return error_set(error, ERROR_MEMORY, "no memory for the log-probs of %zu tokens", targets);
}

/* Losses of the packed examples; weight is what a share counts in the mean. */
static int evaluate(TrainPass *pass, const TrainExample *const *example, size_t n, double weight, bool gradient,
                    TrainLoss *mean, Error *error) {
    const TrainObjective *objective = pass->objective;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const TrainExample *e = example[i];
        const float *logprob[TRAIN_BRANCHES_MAX];
        float *dlogprob[TRAIN_BRANCHES_MAX];
        size_t first = at;
        for (size_t b = 0; b < e->branches; b++) {
            logprob[b] = pass->logprob + at;
            dlogprob[b] = pass->dlogprob + at;
            at += e->branch_length[b];
        }
        TrainLoss loss = objective->loss(objective->context, e, logprob, gradient ? dlogprob : NULL);
        if (!isfinite(loss.loss))
            return error_set(error, ERROR_NUMERIC, "the loss of example %zu is not finite", e->id);
        double share = weight * objective->share(objective->context, e);
        mean->loss += share * loss.loss;
        for (size_t m = 0; m < objective->metrics; m++) mean->metric[m] += share * loss.metric[m];
        if (gradient)
            for (size_t t = first; t < at; t++) pass->dlogprob[t] = (float)(share * pass->dlogprob[t]);
    }
    return 0;
}

static int run_packed(TrainPass *pass, bool gradient, Error *error) {
    if (gradient) return model_forward(pass->model, &pass->batch, &pass->activations, pass->logprob, error);
    return model_logprob(pass->model, &pass->batch, pass->logprob, NULL, error);
}

int train_pass_run(TrainPass *pass, const TrainExample *const *example, size_t n, bool gradient, TrainLoss *mean,
                   size_t *tokens, Error *error) {
    const TrainObjective *objective = pass->objective;
    double shares = 0;
    for (size_t i = 0; i < n; i++) shares += objective->share(objective->context, example[i]);
    *mean = (TrainLoss){0};
    for (size_t first = 0, end = 0; first < n; first = end) {
        size_t rows = train_pass_example_rows(example[end++]);
        while (end < n && rows + train_pass_example_rows(example[end]) <= pass->micro_tokens)
            rows += train_pass_example_rows(example[end++]);
        if (pack(pass, example + first, end - first, error) != 0) return -1;
        if (run_packed(pass, gradient, error) != 0)
            return error_prefix(error, "micro-batch of example %zu to example %zu", example[first]->id,
                                example[end - 1]->id);
        if (evaluate(pass, example + first, end - first, 1 / shares, gradient, mean, error) != 0) return -1;
        if (gradient && model_backward(pass->model, &pass->batch, pass->activations, pass->dlogprob, error) != 0)
            return -1;
        *tokens += rows;
    }
    return 0;
}
