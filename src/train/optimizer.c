#include "train/optimizer.h"

#include "kernels/adamw.h"

#include <math.h>

size_t optimizer_bytes(size_t weights) {
    Arena arena = arena_counting();
    arena_take(&arena, weights, sizeof(float));
    arena_take(&arena, weights, sizeof(float));
    return arena.used;
}

int optimizer_create(Optimizer *optimizer, const Model *model, const OptimizerSettings *settings, Error *error) {
    *optimizer = (Optimizer){.settings = *settings, .count = model_weight_count(model)};
    if (arena_create(&optimizer->arena, optimizer_bytes(optimizer->count), error) != 0)
        return error_prefix(error, "optimizer state");
    optimizer->first = arena_take(&optimizer->arena, optimizer->count, sizeof(float));
    optimizer->second = arena_take(&optimizer->arena, optimizer->count, sizeof(float));
    return 0;
}

void optimizer_destroy(Optimizer *optimizer) {
    arena_destroy(&optimizer->arena);
    *optimizer = (Optimizer){0};
}

static float root_of_lanes(const float lane[8]) {
    float sum = 0;
    for (size_t j = 0; j < 8; j++) sum += lane[j];
    return sqrtf(sum);
}

/* torch.nn.utils.clip_grad_norm_: the norm of the tensors' norms. */
static double torch_norm(Model *model) {
    const ModelTensor *tensor = model_tensors(model);
    float norms[8] = {0};
    for (size_t k = 0; k < model_tensor_count(model); k++) {
        const float *x = model_gradients(model) + tensor[k].offset;
        float lane[8] = {0};
        for (size_t i = 0; i < tensor[k].elements; i++) lane[i % 8] += x[i] * x[i];
        float norm = root_of_lanes(lane);
        norms[k % 8] += norm * norm;
    }
    return (double)root_of_lanes(norms);
}

int optimizer_gradient_norm(Model *model, bool float32_norm, double *norm, Error *error) {
    const KernelTable *kernels = model_options(model)->kernels;
    *norm = float32_norm ? torch_norm(model)
                         : sqrt(adamw_sum_squares(kernels, model_weight_count(model), model_gradients(model)));
    if (isfinite(*norm)) return 0;
    return error_set(error, ERROR_NUMERIC,
                     "the gradient is not finite: lower the learning rate or look for broken rows");
}

int optimizer_step(Optimizer *optimizer, Model *model, double learning_rate, double gradient_norm, Error *error) {
    const OptimizerSettings *s = &optimizer->settings;
    const KernelTable *kernels = model_options(model)->kernels;
    const ModelTensor *tensor = model_tensors(model);
    float *weights = model_weights(model);
    const float *gradients = model_gradients(model);
    double t = (double)++optimizer->steps, clip = s->clip_norm > 0 ? s->clip_norm / (gradient_norm + 1e-6) : 1;
    AdamwStep step = {.learning_rate = (float)learning_rate,
                      .beta1 = s->beta1,
                      .beta2 = s->beta2,
                      .eps = (float)s->eps,
                      .gradient_scale = clip < 1 ? (float)clip : 1,
                      .correction1 = (float)(1 - pow(s->beta1, t)),
                      .correction2 = (float)(1 - pow(s->beta2, t))};
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        size_t at = tensor[i].offset;
        step.weight_decay = tensor[i].is_matrix ? (float)s->weight_decay : 0;
        adamw_update(kernels, tensor[i].elements, &step, weights + at, optimizer->first + at, optimizer->second + at,
                     gradients + at);
    }
    return model_pack(model, error);
}
