#include "align/dice_run.h"
#include "cli/command.h"
#include "cli/machine.h"
#include "cli/run_report.h"

typedef struct {
    CommonOptions common;
    OptionList set;
} Values;

static const Option options[] = {
    {"set", 's', OPTION_LIST, offsetof(Values, set), "KEY=VALUE", NULL, 0, 0,
     "overrides a key of the recipe, e.g. train.steps=100; may be repeated"},
};

/* A run that cannot fit is refused before it begins. */
static int check_memory(const DiceRun *dice, Error *error) {
    double total, available;
    RunPlan plan;
    if (dice_run_plan(dice, &plan, error) != 0) return -1;
    machine_memory(&total, &available);
    return run_plan_check(&plan, dice->recipe, available, error);
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    Recipe recipe = {0};
    DiceRun dice = {0};
    if (command_load_recipe(session, v->common.argument[0], &v->set, &recipe, error) != 0) return -1;
    int result = dice_run_open(&dice, &recipe, &session->kernels, false, &session->log, error);
    if (result == 0) {
        result = check_memory(&dice, error);
        if (result == 0) result = dice_run_rounds(&dice, error);
        terminal_clear(&session->terminal);
        if (result == 0) result = run_report_print(&dice, v->common.json, error);
        dice_run_close(&dice);
    }
    recipe_free(&recipe);
    return result;
}

COMMAND_DEFINE(
    run, Values, options, .summary = "the whole loop: checkpoint in, aligned checkpoint out", .arguments = "RECIPE",
    .least = 1, .most = 1,
    .description =
        "Runs every round of a recipe: sample K responses a prompt, rank them with the model's own DPO implicit "
        "reward,\n"
        "correct for length, pair best and worst, mix with offline pairs, train with DPO, evaluate; and again.\n"
        "Everything is kept in the recipe's `output` directory as it is made. Interrupted at any point (Ctrl-C, kill,\n"
        "power), the same command continues where it stopped and ends with the same checkpoint.\n"
        "`dice help recipe` lists every key of a recipe.",
    .examples = "  dice run recipes/smollm2-135m.yaml\n  dice run my.yaml --set rounds=3 --set "
                "train.learning_rate=1e-6\n  dice run my.yaml --json >result.json");
