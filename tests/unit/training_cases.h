/* training_cases.h - a tiny model and random preference pairs for the tests of training: ids, references, settings. */
#pragma once
#include "align/dpo_objective.h"
#include "base/rng.h"
#include "tiny_cases.h"
#include "train/trainer.h"

enum { CASES_PAIRS = 12, CASES_LONGEST = 24, CASES_VOCABULARY = 331 };

typedef struct {
    KernelTable kernels;
    Model *model;
    int32_t ids[CASES_PAIRS][3][CASES_LONGEST]; // prompt, chosen, rejected
    TrainExample pair[CASES_PAIRS];             // ids 0 .. CASES_PAIRS - 1
    ReferenceSums reference[CASES_PAIRS];
    DpoContext context;
    TrainObjective objective; // DPO on the pairs
} TrainingCases;

static inline void training_cases_fill(TrainingCases *c, uint64_t seed) {
    for (uint32_t i = 0; i < CASES_PAIRS; i++) {
        const RngAddress at = {.seed = seed, .stream = RNG_TEST, .item = i};
        size_t length[3];
        for (uint32_t part = 0; part < 3; part++) {
            length[part] = 1 + rng_below(&at, part, CASES_LONGEST);
            for (uint32_t t = 0; t < length[part]; t++)
                c->ids[i][part][t] = (int32_t)rng_below(&at, 100 * (part + 1) + t, CASES_VOCABULARY);
        }
        c->pair[i] = (TrainExample){.id = i,
                                    .prompt = c->ids[i][0],
                                    .prompt_length = length[0],
                                    .branch = {c->ids[i][1], c->ids[i][2]},
                                    .branch_length = {length[1], length[2]},
                                    .branches = 2};
        c->reference[i] = (ReferenceSums){.chosen = -5.8 * (double)length[1] - rng_uniform(&at, 4),
                                          .rejected = -5.8 * (double)length[2] - rng_uniform(&at, 5)};
    }
}

/* The model is loaded anew, with its weights as in the file; free it with model_free. */
static inline void training_cases_create(TrainingCases *c, uint64_t seed) {
    *c = (TrainingCases){0};
    Error error = {0};
    if (kernel_table_create(&c->kernels, 1, &error) != 0) fail_msg("%s", error.message);
    training_cases_fill(c, seed);
    c->context = (DpoContext){.loss = preference_loss_sigmoid(0.1, 0), .reference = c->reference};
    c->objective = dpo_objective(&c->context);
    c->model = tiny_load("llama_tied", &c->kernels, DTYPE_F32, true, false);
}

/* Weights as they are now, to be freed. */
static inline float *training_cases_weights(Model *model) {
    size_t bytes = model_weight_count(model) * sizeof(float);
    float *copy = malloc(bytes);
    memcpy(copy, model_weights(model), bytes);
    return copy;
}

static inline bool training_cases_equal(Model *model, const float *weights) {
    return memcmp(model_weights(model), weights, model_weight_count(model) * sizeof(float)) == 0;
}

static inline double training_cases_distance(Model *model, const float *weights) {
    double most = 0;
    for (size_t i = 0; i < model_weight_count(model); i++)
        most = fmax(most, fabs((double)model_weights(model)[i] - (double)weights[i]));
    return most;
}

static inline TrainSettings training_cases_settings(size_t steps) {
    return (TrainSettings){
        .schedule = {.kind = LR_LINEAR, .peak = 1e-3, .warmup = 2, .steps = steps},
        .optimizer = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .clip_norm = 1},
        .examples_per_step = 5,
        .micro_tokens = 128,
        .seed = 3,
        .round = 1};
}
