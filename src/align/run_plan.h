/* run_plan.h - what a run will cost, counted before anything is loaded.
 *
 * Memory is what the arenas of each stage will take, by the same counting; a stage's peak is its sum. Work is in
 * token-forwards (a token through the model once; backward counts as two, as one where an adapter is trained; a loss
 * whose pairs depend on each other goes forward once more where they are more than a micro-batch holds), so that it
 * means the same on every machine. Responses are counted at their longest: the true cost is lower. */
#pragma once
#include "formats/recipe.h"
#include "model/model.h"

typedef struct {
    size_t prompts, offline_pairs, longest_prompt; // of the data; longest_prompt in tokens
    double mean_prompt, mean_response;             // tokens; mean_response of the offline answers
} DataSize;

typedef struct {
    DataSize data;                                                // what it is counted for
    size_t sample_bytes, score_bytes, train_bytes;                // peak memory of each stage
    size_t peak_bytes;                                            // the largest of them
    const char *peak_stage;                                       // "sample", "score" or "train"
    size_t trained_weights;                                       // of the model, or of its adapter
    double disk_bytes;                                            // checkpoints and exported models of the whole run
    double sampled_prompts, generated_pairs, offline_rows, steps; // of a round
    double sample_forwards, score_forwards, train_forwards;       // token-forwards of a round, at the longest responses
    double flops;                                                 // of the whole run
} RunPlan;

/* config: of the model. threads as kernels says. */
int run_plan(const Recipe *recipe, const HfConfig *config, const KernelTable *kernels, DType compute,
             const DataSize *data, RunPlan *plan, Error *error);
/* ERROR_MEMORY that names the stage, what it needs, what there is, and which keys to change, where it does not fit. */
int run_plan_check(const RunPlan *plan, const Recipe *recipe, double available_bytes, Error *error);
