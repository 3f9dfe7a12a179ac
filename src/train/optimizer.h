/* optimizer.h - AdamW over a model's master weights, with gradient clipping by the global norm.
 *
 * One step: norm = |gradients|_2; gradients scaled by min(1, clip / (norm + 1e-6)) (torch.nn.utils.clip_grad_norm_);
 * then kernels/adamw.h, weight decay on matrices only. Moments are float32, zero at the start; bias correction counts
 * the steps taken, those with learning rate 0 too.
 * float32_norm adds the squares of a tensor up in eight float32 sums, as torch 2 does on AVX2. Where a sum is 1e7 times
 * its terms that loses much of them: on SmolLM2's embedding the norm comes out 2e-4 too small. Only for parity.
 * Memory: the optimizer owns its moments, two floats a weight. */
#pragma once
#include "model/model.h"

typedef struct {
    double beta1, beta2, eps, weight_decay;
    double clip_norm; // 0: no clipping
    bool float32_norm;
} OptimizerSettings;

typedef struct {
    OptimizerSettings settings;
    size_t count;          // floats
    float *first, *second; // (count) moments m and v
    size_t steps;          // taken so far
    Arena arena;
} Optimizer;

int optimizer_create(Optimizer *optimizer, const Model *model, const OptimizerSettings *settings, Error *error);
void optimizer_destroy(Optimizer *optimizer);
size_t optimizer_bytes(size_t weights);

/* Norm of the model's gradients in fixed order, in double or as torch adds it up; ERROR_NUMERIC if it is not finite. */
int optimizer_gradient_norm(Model *model, bool float32_norm, double *norm, Error *error);
/* Updates the masters and packs them. The gradients are left as they are. */
int optimizer_step(Optimizer *optimizer, Model *model, double learning_rate, double gradient_norm, Error *error);
