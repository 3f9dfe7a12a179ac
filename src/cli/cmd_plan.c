#include "align/dice_run.h"
#include "cli/command.h"
#include "cli/machine.h"

#include <stdio.h>

typedef struct {
    CommonOptions common;
    OptionList set;
} Values;

static const Option options[] = {
    {"set", 's', OPTION_LIST, offsetof(Values, set), "KEY=VALUE", NULL, 0, 0,
     "overrides a key of the recipe, e.g. sample.branches=32; may be repeated"},
};

static json_t *to_json(const RunPlan *p, double available, double rate) {
    return json_pack("{s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                     "sample_bytes", (json_int_t)p->sample_bytes, "score_bytes", (json_int_t)p->score_bytes,
                     "train_bytes", (json_int_t)p->train_bytes, "peak_bytes", (json_int_t)p->peak_bytes, "peak_stage",
                     p->peak_stage, "available_bytes", available, "disk_bytes", p->disk_bytes, "prompts",
                     (json_int_t)p->data.prompts, "offline_pairs", (json_int_t)p->data.offline_pairs, "sampled_prompts",
                     p->sampled_prompts, "generated_pairs", p->generated_pairs, "offline_rows", p->offline_rows,
                     "steps", p->steps, "sample_forwards", p->sample_forwards, "score_forwards", p->score_forwards,
                     "train_forwards", p->train_forwards, "hours_at_matmul_rate",
                     rate > 0 ? p->flops / rate / 3600 : 0);
}

static void print_plan(const RunPlan *p, double available, double rate) {
    const DataSize *d = &p->data;
    const double gib = 1073741824;
    printf("data      %zu prompts, %zu offline pairs; mean prompt %.0f tokens, mean offline answer %.0f\n", d->prompts,
           d->offline_pairs, d->mean_prompt, d->mean_response);
    printf("a round   %.0f prompts sampled, %.0f generated and %.0f offline pairs, %.0f steps\n", p->sampled_prompts,
           p->generated_pairs, p->offline_rows, p->steps);
    printf("memory    sample %.2f GiB, score %.2f, train %.2f; available %.2f\n", (double)p->sample_bytes / gib,
           (double)p->score_bytes / gib, (double)p->train_bytes / gib, available / gib);
    printf("disk      %.2f GiB at most\n", p->disk_bytes / gib);
    printf("work      at most %.3g token-forwards a round: sample %.3g, score %.3g, train %.3g\n",
           p->sample_forwards + p->score_forwards + p->train_forwards, p->sample_forwards, p->score_forwards,
           p->train_forwards);
    printf("time      at least %.2f h for the whole run at this machine's matmul rate (%.0f GFLOP/s), if every "
           "response is as long as it may be\n",
           p->flops / rate / 3600, rate / 1e9);
}

static int plan_run(const Values *v, Session *session, const DiceRun *dice, Error *error) {
    double total, available, rate;
    RunPlan plan;
    if (dice_run_plan(dice, &plan, error) != 0 ||
        machine_matmul_rate(&session->kernels, dice->compute, &rate, error) != 0)
        return -1;
    machine_memory(&total, &available);
    if (!v->common.json)
        print_plan(&plan, available, rate);
    else if (command_print_json(to_json(&plan, available, rate), error) != 0)
        return -1;
    return run_plan_check(&plan, dice->recipe, available, error);
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    Recipe recipe = {0};
    DiceRun dice = {0};
    if (command_load_recipe(session, v->common.argument[0], &v->set, &recipe, error) != 0) return -1;
    int result = dice_run_open(&dice, &recipe, &session->kernels, true, &session->log, error);
    if (result == 0) {
        result = plan_run(v, session, &dice, error);
        dice_run_close(&dice);
    }
    recipe_free(&recipe);
    return result;
}

COMMAND_DEFINE(plan, Values, options, .summary = "memory, disk and time of a recipe, before anything runs",
               .arguments = "RECIPE", .least = 1, .most = 1,
               .description = "Reads the model's configuration and the data, loads no weights. Memory is counted by "
                              "the code that allocates it.\n"
                              "Exit code 5 where it does not fit, with what to change.",
               .examples = "  dice plan recipes/llama3-8b.yaml\n  dice plan my.yaml --set sample.branches=16 --json");
