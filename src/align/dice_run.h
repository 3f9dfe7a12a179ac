/* dice_run.h - a whole run of DICE: from a recipe to aligned checkpoints, continued wherever it stopped.
 *
 * Models of a run (METHOD: pi(-1), pi(0), ...). With a `reference` in the recipe, pi(-1) is it and pi(0) is `model`;
 * without, pi(-1) is `model` and round 0 makes pi(0) from it by DPO on the offline pairs. Round t >= 1:
 *
 *   sample   K responses to each needed prompt from pi(t-1), log-probs recorded             dice_sample.c
 *   score    audit of those log-probs; sums under the reward reference pi(t-2)              dice_score.c
 *   pairs    reward = log pi(t-1) - log pi(t-2); length regularisation; best and worst      dice_pairs.c
 *   mix      a share gamma of offline pairs with disjoint prompts                           dice_pairs.c
 *   train    DPO from pi(t-1) with pi(t-1) as the loss reference; export of pi(t)           dice_train.c
 *   evaluate held-out pairs and samples under pi(t)                                         dice_evaluate.c
 *
 * The two references of a round are kept apart by name: reward_reference (pi(t-2)) and loss_reference (pi(t-1)).
 * Everything goes to OUTPUT/run.db as it is made; a stage that is there is not done again, one that was cut short goes
 * on inside itself. A run directory belongs to one recipe (its FIXED keys), model and data: others are ERROR_MISMATCH.
 *
 *   OUTPUT/run.db          OUTPUT/start/    the imported model, where the recipe names a GGUF file
 *   OUTPUT/round-T/model/  pi(T) as a Hugging Face directory      OUTPUT/round-T/NAME.jsonl  what the round was made of
 *   OUTPUT/round-T/adapter/  or, with LoRA, its adapter on the start model as a PEFT directory
 *   OUTPUT/round-T/checkpoints/step-000050/  training state, removed when the round is finished
 *
 * Source: DICE, arXiv 2406.09760. */
#pragma once
#include "align/preference_data.h"
#include "align/preference_loss.h"
#include "align/run_plan.h"
#include "base/log.h"
#include "formats/recipe.h"
#include "kernels/kernel_table.h"
#include "model/model.h"
#include "store/run_store.h"

typedef struct {
    const Recipe *recipe;
    const KernelTable *kernels;
    const Log *log;
    DType compute, score_compute; // of sampling and training; of scoring
    RunStore *store;
    char *start_directory, *reference_directory; // Hugging Face directories; reference NULL: round 0 makes pi(0)
    HfConfig config;                             // of the start model
    LoraSettings lora;                           // r 0: whole models are trained, else adapters of the start model
    Chat chat;
    PreferenceLoss loss; // what rounds minimise

    PreferenceData data, held_out;  // held_out: only where the recipe names a file of its own
    const EncodedPair **train_pair; // (train_pairs) D_off
    const EncodedPair **validation; // (validations)
    uint32_t *prompt;               // (prompts) numbers of the prompts to sample for
    size_t train_pairs, validations, prompts;
} DiceRun;

/* Opens or creates the run directory, checks that it belongs to this recipe, model and data, reads everything. dry:
 * only reads model configuration, tokenizer and data; nothing is written, and `store` stays NULL. */
int dice_run_open(DiceRun *run, const Recipe *recipe, const KernelTable *kernels, bool dry, const Log *log,
                  Error *error);
void dice_run_close(DiceRun *run);
/* What all of it will cost; of a run that was opened dry, too. */
int dice_run_plan(const DiceRun *run, RunPlan *plan, Error *error);

/* All rounds. ERROR_INTERRUPTED: the same call continues. */
int dice_run_rounds(DiceRun *run, Error *error);

/* The directory of pi(i), i >= -1, to be freed; NULL when memory is exhausted. Of a model that is an adapter: its PEFT
 * directory. */
char *dice_run_model(const DiceRun *run, int index);
bool dice_run_has_round0(const DiceRun *run);
/* Whether rounds sample at all: not with gamma 1, unless `sample.all` asks for it. */
bool dice_run_generates(const DiceRun *run);
/* OUTPUT/round-T/NAME, to be freed. */
char *dice_run_path(const DiceRun *run, uint32_t round, const char *name);
/* Loads pi(index) in precision `compute`, with its hash. *model: NULL, or a model that is not needed any more; where
 * both are adapters on one model, or that model itself, only the adapter is exchanged. After an error it is NULL. A
 * trainable model that has no adapter yet gets a new one, which changes nothing. */
int dice_run_load(const DiceRun *run, int index, DType compute, bool trainable, Model **model, Hash *hash,
                  Error *error);

/* Stages; each returns at once where it is done. */
int dice_sample(DiceRun *run, uint32_t round, Error *error);
int dice_score(DiceRun *run, uint32_t round, Error *error);
int dice_pairs(DiceRun *run, uint32_t round, Error *error);
int dice_train(DiceRun *run, uint32_t round, Error *error);
/* index: of the model, -1 for the start. */
int dice_evaluate(DiceRun *run, int index, Error *error);

/* Summary of a finished stage, a new reference; NULL (and an error) where the stage is not done. */
json_t *dice_run_summary(const DiceRun *run, uint32_t round, const char *stage, Error *error);
/* 0 where a stage is done, else an error that says so: for the stage that goes on from it. */
int dice_run_require(const DiceRun *run, uint32_t round, const char *stage, Error *error);
/* Marks a stage as done with its summary, whose reference it takes. */
int dice_run_finish(const DiceRun *run, uint32_t round, const char *stage, json_t *summary, Error *error);
/* 1: done, 0: not, -1: error. */
int dice_run_is_done(const DiceRun *run, uint32_t round, const char *stage, Error *error);
