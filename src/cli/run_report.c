#include "cli/run_report.h"

#include "cli/command.h"
#include "cli/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* efficiency = operations a second over what a large matmul reaches on this machine now. */
static void add_efficiency(json_t *stage, double matmul_rate) {
    double flops = json_number_value(json_object_get(stage, "flops_per_second"));
    if (stage != NULL && flops > 0 && matmul_rate > 0)
        json_object_set_new(stage, "efficiency", json_real(flops / matmul_rate));
}

/* {"models": [{"name", "evaluation": {...}, "round": {"sample", "score", "pairs", "mix", "train"}}], "checkpoint"} */
static int add_model(const DiceRun *run, json_t *models, int index, double matmul_rate, Error *error) {
    static const char *const stages[] = {"sample", "score", "pairs", "mix", "train"};
    char name[32];
    json_t *evaluation =
        dice_run_summary(run, index < 0 ? 0 : (uint32_t)index, index < 0 ? "evaluate-start" : "evaluate", error);
    if (evaluation == NULL) return -1;
    snprintf(name, sizeof name, index < 0 ? "start" : "round %d", index);
    json_t *round = json_object();
    for (size_t s = 0; s < sizeof stages / sizeof *stages && index >= 0; s++) {
        json_t *summary = dice_run_is_done(run, (uint32_t)index, stages[s], NULL) == 1
                              ? dice_run_summary(run, (uint32_t)index, stages[s], NULL)
                              : NULL;
        add_efficiency(summary, matmul_rate);
        if (summary != NULL) json_object_set_new(round, stages[s], summary);
    }
    return json_array_append_new(
               models, json_pack("{s:s, s:o, s:o}", "name", name, "evaluation", evaluation, "round", round)) == 0
               ? 0
               : error_set(error, ERROR_MEMORY, "no memory for the report");
}

static double number(const json_t *object, const char *group, const char *key) {
    const json_t *from = group == NULL ? object : json_object_get(json_object_get(object, "round"), group);
    return json_number_value(json_object_get(from, key));
}

static bool has(const json_t *model, const char *group) {
    return json_object_get(json_object_get(model, "round"), group) != NULL;
}

typedef struct {
    const char *title, *group, *key, *format; // group NULL: of the evaluation
    double factor;
    bool not_start; // nothing to say of the start
    bool if_any;    // of an option that may be off: no row where all is 0
} Row;

static const Row rows[] = {
    {"held-out pairs: implicit reward prefers chosen, %", NULL, "accuracy", "%.1f", 100, true, false},
    {"held-out pairs: margin of that reward (times beta)", NULL, "margin", "%+.4f", 1, true, false},
    {"held-out pairs: chosen is the likelier answer, %", NULL, "likelier", "%.1f", 100, false, false},
    {"held-out pairs: log p(chosen) - log p(rejected), nats", NULL, "logps_margin", "%+.2f", 1, false, false},
    {"mean response, characters", NULL, "mean_chars", "%.0f", 1, false, false},
    {"responses that end by themselves, %", NULL, "stop_rate", "%.1f", 100, false, false},
    {"KL to the start, nats a response", NULL, "kl_nats", "%.3f", 1, true, false},
    {"pairs generated", "pairs", "pairs", "%.0f", 1, true, false},
    {"pairs left out by the band of gaps", "pairs", "dropped_band", "%.0f", 1, true, true},
    {"pairs with a rejected response of round 1", "pairs", "anchored", "%.0f", 1, true, true},
    {"responses that both rewards order alike, %", "pairs", "rank_agreement", "%.1f", 100, true, true},
    {"length gap before regularisation, characters", "pairs", "gap_before_chars", "%+.1f", 1, true, false},
    {"length gap after, characters", "pairs", "gap_after_chars", "%+.1f", 1, true, false},
    {"alpha, nats a character", "pairs", "alpha_nats_per_char", "%.4g", 1, true, false},
    {"alpha times beta (the paper's units)", "pairs", "alpha_times_beta", "%.4g", 1, true, false},
    {"reward spread within a prompt, nats", "pairs", "reward_spread_nats", "%.3f", 1, true, false},
    {"score noise, nats a response", "pairs", "noise_sd_nats", "%.2g", 1, true, false},
    {"sampling, tokens a second", "sample", "tokens_per_second", "%.0f", 1, true, false},
    {"scoring, tokens a second", "score", "tokens_per_second", "%.0f", 1, true, false},
    {"training, tokens a second", "train", "tokens_per_second", "%.0f", 1, true, false},
    {"sampling, % of this machine's matmul rate", "sample", "efficiency", "%.0f", 100, true, false},
    {"training, % of this machine's matmul rate", "train", "efficiency", "%.0f", 100, true, false},
};

static double value_of(const Row *row, const json_t *model) {
    return row->group == NULL ? number(json_object_get(model, "evaluation"), NULL, row->key)
                              : number(model, row->group, row->key);
}

static bool is_used(const Row *row, const json_t *models) {
    size_t i;
    json_t *model;
    bool any = !row->if_any;
    json_array_foreach(models, i, model) any = any || value_of(row, model) > 0;
    return any;
}

static void print_row(const Row *row, const json_t *models) {
    size_t i;
    json_t *model;
    if (!is_used(row, models)) return;
    printf("%-56s", row->title);
    json_array_foreach(models, i, model) {
        char text[32] = "-";
        bool there = row->group == NULL ? !(row->not_start && i == 0) : has(model, row->group);
        if (there) snprintf(text, sizeof text, row->format, value_of(row, model) * row->factor);
        printf("%12s", text);
    }
    puts("");
}

static void print_table(const json_t *models) {
    size_t i;
    json_t *model;
    printf("\n%-56s", "");
    json_array_foreach(models, i, model) printf("%12s", json_string_value(json_object_get(model, "name")));
    puts("");
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) print_row(&rows[r], models);
}

static const char *last_user_text(const json_t *prompt) {
    if (json_is_string(prompt)) return json_string_value(prompt);
    const char *text =
        json_string_value(json_object_get(json_array_get(prompt, json_array_size(prompt) - 1), "content"));
    return text == NULL ? "" : text;
}

static const json_t *answer_at(const json_t *model, json_int_t place) {
    size_t i;
    json_t *answer;
    json_array_foreach(json_object_get(json_object_get(model, "evaluation"), "answers"), i,
                       answer) if (json_integer_value(json_object_get(answer, "place")) == place) return answer;
    return NULL;
}

static void print_answers(const json_t *models) {
    const json_t *before = json_array_get(models, 0), *after = json_array_get(models, json_array_size(models) - 1);
    const json_t *list = json_object_get(json_object_get(before, "evaluation"), "answers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *old = answer_at(before, (json_int_t)i), *new = answer_at(after, (json_int_t)i);
        if (old == NULL || new == NULL) continue;
        printf("\n--- prompt %zu: %s\n  before: %s%s\n  after:  %s%s\n", i + 1,
               last_user_text(json_object_get(old, "prompt")), json_string_value(json_object_get(old, "answer")),
               json_is_true(json_object_get(old, "cut")) ? " [...]" : "",
               json_string_value(json_object_get(new, "answer")),
               json_is_true(json_object_get(new, "cut")) ? " [...]" : "");
    }
}

int run_report_print(const DiceRun *run, bool json, Error *error) {
    json_t *models = json_array();
    int last = (int)run->recipe->rounds;
    char *checkpoint = dice_run_model(run, last);
    int result = models == NULL || checkpoint == NULL ? error_set(error, ERROR_MEMORY, "no memory for the report") : 0;
    double rate = 0;
    if (result == 0) result = machine_matmul_rate(run->kernels, run->compute, &rate, error);
    for (int index = -1; index <= last && result == 0; index++) result = add_model(run, models, index, rate, error);
    if (result == 0 && json) {
        result = command_print_json(json_pack("{s:O, s:s}", "models", models, "checkpoint", checkpoint), error);
    } else if (result == 0) {
        print_table(models);
        print_answers(models);
        printf("\ncheckpoint: %s\n", checkpoint);
    }
    json_decref(models);
    free(checkpoint);
    return result;
}
