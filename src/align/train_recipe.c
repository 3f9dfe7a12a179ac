#include "align/train_recipe.h"

TrainSettings train_recipe_settings(const Recipe *recipe, uint32_t round, size_t examples) {
    const Recipe *r = recipe;
    bool zero = round == 0;
    double rate = zero && r->round0.learning_rate > 0 ? r->round0.learning_rate : r->train.learning_rate;
    double epochs = zero && r->round0.epochs > 0 ? r->round0.epochs : r->train.epochs;
    size_t pairs = zero && r->round0.pairs_per_step > 0 ? r->round0.pairs_per_step : r->train.pairs_per_step;
    size_t steps = zero && r->round0.steps > 0 ? r->round0.steps : zero && r->round0.epochs > 0 ? 0 : r->train.steps;
    return (TrainSettings){.schedule = {.kind = (LrKind)r->train.schedule, // the same order
                                        .peak = rate,
                                        .warmup = r->train.warmup_steps,
                                        .steps = steps > 0 ? steps : train_step_count(examples, epochs, pairs)},
                           .optimizer = {.beta1 = r->train.adam_beta1,
                                         .beta2 = r->train.adam_beta2,
                                         .eps = r->train.adam_eps,
                                         .weight_decay = r->train.weight_decay,
                                         .clip_norm = r->train.clip_norm,
                                         .float32_norm = r->train.gradient_norm == RECIPE_NORM_FLOAT32},
                           .examples_per_step = pairs,
                           .micro_tokens = r->train.micro_tokens,
                           .seed = r->seed,
                           .round = round,
                           .validate_every = r->train.validate_every,
                           .checkpoint_every = r->train.checkpoint_every};
}
