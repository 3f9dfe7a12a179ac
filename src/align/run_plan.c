#include "align/run_plan.h"

#include "align/preference_loss.h"
#include "align/replay_mix.h"
#include "align/round_table.h"
#include "align/train_recipe.h"
#include "base/size.h"
#include "model/cost.h"
#include "sample/generate.h"
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* A sum that no size_t holds stays the largest one: no machine has it. */
static size_t plus(size_t a, size_t b) { return size_add(a, b, &a) ? a : SIZE_MAX; }

static void plan_memory(const Recipe *r, const LoraSettings *lora, const HfConfig *config, const KernelTable *kernels,
                        DType compute, const DataSize *data, RunPlan *plan) {
    const ModelOptions inference = {.kernels = kernels, .compute = compute, .lora = *lora};
    const ModelOptions training = {.kernels = kernels,
                                   .compute = compute,
                                   .trainable = true,
                                   .checkpoint_activations = r->train.checkpoint_activations,
                                   .lora = *lora};
    const GenerateSettings settings = {.responses = r->sample.responses,
                                       .max_new_tokens = r->sample.max_new_tokens,
                                       .max_branches = r->sample.branches};
    size_t rows = r->train.micro_tokens > r->data.max_tokens ? r->train.micro_tokens : r->data.max_tokens;
    size_t weights = model_bytes(config, &inference), scoring = activations_bytes(config, &inference, rows, rows);
    plan->sample_bytes = plus(weights, generate_bytes(config, &inference, &settings, data->longest_prompt));
    plan->score_bytes = plus(weights, scoring);
    plan->trained_weights = model_planned_weights(config, &training);
    plan->train_bytes = plus(plus(model_bytes(config, &training), optimizer_bytes(plan->trained_weights)),
                             activations_bytes(config, &training, rows, rows));
    plan->train_bytes = plus(plan->train_bytes, scoring); // of the loss reference's sums, and of validation
    plan->peak_bytes = plan->train_bytes;
    plan->peak_stage = "train";
    if (plan->sample_bytes > plan->peak_bytes) plan->peak_bytes = plan->sample_bytes, plan->peak_stage = "sample";
    if (plan->score_bytes > plan->peak_bytes) plan->peak_bytes = plan->score_bytes, plan->peak_stage = "score";
}

/* Times that a training forwards a pair of so many tokens, backward counted in: forward; gradients of the activations;
 * gradients of the weights but where an adapter is trained; and forward once more where a loss batch whose pairs depend
 * on each other does not fit into a micro-batch (train/train_pass.h). */
static double passes_of(const Recipe *r, bool adapter, bool joins_pairs, size_t pairs_per_step, double pair_tokens) {
    size_t pairs = r->train.loss_pairs > 0 ? least(r->train.loss_pairs, pairs_per_step) : pairs_per_step;
    bool twice = joins_pairs && pairs > 1 && (double)pairs * pair_tokens > (double)r->train.micro_tokens;
    return (adapter ? 2 : 3) + (twice ? 1 : 0);
}

static int plan_work(const Recipe *r, bool adapter, const HfConfig *config, const DataSize *data, bool joins_pairs,
                     RunPlan *plan, Error *error) {
    ReplayCounts counts;
    size_t offline = data->offline_pairs > 0 ? data->offline_pairs : data->prompts;
    if (replay_mix_counts(offline, data->prompts, r->mix.gamma, &counts, error) != 0) return -1;
    double K = (double)r->sample.responses, new_tokens = (double)least(r->sample.max_new_tokens, config->max_positions);
    plan->generated_pairs = (double)counts.generated;
    plan->offline_rows = data->offline_pairs > 0 ? (double)counts.offline : 0;
    plan->sampled_prompts =
        r->sample.all ? (double)data->prompts
                      : fmin((double)data->prompts,
                             ceil((double)round_table_prompts_for(r, counts.generated) * (1 + r->sample.spare)));
    plan->sample_forwards = plan->sampled_prompts * (data->mean_prompt + K * new_tokens);
    plan->score_forwards = plan->sample_forwards * (1 + r->reward.audit_share);
    double pairs = plan->generated_pairs + plan->offline_rows;
    plan->steps = pairs > 0 ? (double)train_recipe_settings(r, 1, (size_t)pairs).schedule.steps : 0;
    double generated_share = pairs > 0 ? plan->generated_pairs / pairs : 0;
    double pair_tokens =
        data->mean_prompt + 2 * (generated_share * new_tokens + (1 - generated_share) * data->mean_response);
    double passes = passes_of(r, adapter, joins_pairs, r->train.pairs_per_step, pair_tokens),
           offline_tokens = data->mean_prompt + 2 * data->mean_response;
    plan->train_forwards =
        plan->steps * (double)r->train.pairs_per_step * pair_tokens * passes + plan->offline_rows * offline_tokens;
    double round0_forwards = 0;
    if (r->reference == NULL && data->offline_pairs > 0) {
        const TrainSettings zero = train_recipe_settings(r, 0, data->offline_pairs);
        double trained = (double)zero.schedule.steps * (double)zero.examples_per_step;
        passes = passes_of(r, adapter, joins_pairs, zero.examples_per_step, offline_tokens);
        round0_forwards = (trained * passes + (double)data->offline_pairs) * offline_tokens;
    }
    double round_forwards = plan->sample_forwards + plan->score_forwards + plan->train_forwards;
    double forwards = (double)r->rounds * round_forwards + round0_forwards;
    plan->flops = cost_forward(config, forwards, data->mean_prompt + new_tokens / 2, forwards);
    return 0;
}

int run_plan(const Recipe *recipe, const HfConfig *config, const KernelTable *kernels, DType compute,
             const DataSize *data, RunPlan *plan, Error *error) {
    *plan = (RunPlan){.data = *data};
    LoraSettings lora;
    PreferenceLoss loss;
    if (recipe_lora(recipe, &lora, error) != 0 || preference_loss_create(&loss, recipe, NULL, error) != 0) return -1;
    bool joins_pairs = preference_loss_joins_pairs(&loss);
    plan_memory(recipe, &lora, config, kernels, compute, data, plan);
    double weights = (double)plan->trained_weights,
           models = (double)recipe->rounds + (recipe->reference == NULL ? 1 : 0);
    bool half = lora.r == 0 && recipe->export.dtype == RECIPE_DTYPE_BFLOAT16;
    plan->disk_bytes = models * weights * (half ? 2 : 4) + 2 * weights * 12; // two checkpoints at a time
    return plan_work(recipe, lora.r > 0, config, data, joins_pairs, plan, error);
}

int run_plan_check(const RunPlan *plan, const Recipe *recipe, double available_bytes, Error *error) {
    if ((double)plan->peak_bytes <= available_bytes) return 0;
    bool train = strcmp(plan->peak_stage, "train") == 0;
    return error_set(error, ERROR_MEMORY,
                     "the stage \"%s\" needs %.1f GiB of memory and %.1f GiB are available: lower %s, or use a smaller "
                     "model (`dice plan` "
                     "shows every stage)",
                     plan->peak_stage, (double)plan->peak_bytes / 1073741824, available_bytes / 1073741824,
                     train && !recipe->train.checkpoint_activations
                         ? "train.micro_tokens or set train.checkpoint_activations: true"
                     : train ? "train.micro_tokens or data.max_tokens"
                             : "sample.branches, sample.max_new_tokens or train.micro_tokens");
}
