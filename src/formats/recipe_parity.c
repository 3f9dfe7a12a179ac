#include "formats/recipe_parity.h"

#include <stdio.h>

typedef struct {
    RecipeParity mode;
    const char *key, *value, *meaning;
} Row;

/* Behaviour was read in the authors' scripts and measured on TRL 1.16; a mode also switches off what neither has. */
static const Row rows[] = {
    {RECIPE_PARITY_TRL_1, "reward.response_end", "template",
     "what the chat template puts behind the end of turn counts as response"},
    {RECIPE_PARITY_TRL_1, "data.overlong", "keep_start",
     "prompt + response is cut on the right, each answer alone, its end token lost; a prompt that fills it is dropped"},
    {RECIPE_PARITY_TRL_1, "train.gradient_norm", "float32",
     "the norm by which gradients are clipped is added up in float32, and so a little too small"},
    {RECIPE_PARITY_TRL_1, "data.keep_all", "true", "rows with an empty answer or with equal answers are trained on"},
    {RECIPE_PARITY_TRL_1, "data.deduplicate", "false", "a pair that is there twice counts twice"},
    {RECIPE_PARITY_DICE, "reward.alpha", "grid", "the charge for length is searched in steps of 0.001, not solved"},
    {RECIPE_PARITY_DICE, "reward.reference", "previous", "rewards are against the model of the round before"},
    {RECIPE_PARITY_DICE, "reward.response_end", "stop_token", "a response ends with its end-of-turn token"},
    {RECIPE_PARITY_DICE, "reward.min_gap_noise", "0", "no pair is dropped for a small gap"},
    {RECIPE_PARITY_DICE, "pairs.select", "best_worst", "a pair is the best and the worst response"},
    {RECIPE_PARITY_DICE, "pairs.band_low", "0", "pairs of every gap are used"},
    {RECIPE_PARITY_DICE, "pairs.band_high", "1", "pairs of every gap are used"},
    {RECIPE_PARITY_DICE, "pairs.soft_label", "none", "every pair is trusted"},
    {RECIPE_PARITY_DICE, "sample.tokens", "stripped",
     "responses are encoded again from their stripped text with the end-of-turn token, and all of them rescored"},
    {RECIPE_PARITY_DICE, "sample.all", "true", "every prompt is sampled, also those that the mix will not use"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const char *name_of(RecipeParity mode) { return mode == RECIPE_PARITY_TRL_1 ? "trl-1.x" : "dice"; }

int recipe_parity_apply(Recipe *recipe, Error *error) {
    for (size_t i = 0; i < ROWS; i++) {
        char assignment[80];
        if (rows[i].mode != recipe->parity) continue;
        snprintf(assignment, sizeof assignment, "%s=%s", rows[i].key, rows[i].value);
        if (recipe_set(recipe, assignment, error) != 0) return -1;
    }
    return 0;
}

void recipe_parity_describe(const Recipe *recipe, Buffer *out) {
    if (recipe->parity == RECIPE_PARITY_NONE) return;
    buffer_format(out, "parity %s sets, whatever the recipe says of them:", name_of(recipe->parity));
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].mode == recipe->parity)
            buffer_format(out, "\n  %s: %s   %s", rows[i].key, rows[i].value, rows[i].meaning);
}

void recipe_parity_say(const Recipe *recipe, const Log *log) {
    Buffer text = {0};
    recipe_parity_describe(recipe, &text);
    if (text.data != NULL) log_say(log, LOG_INFO, "%s", text.data);
    buffer_free(&text);
}
