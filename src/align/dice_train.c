#include "align/dice_run.h"

#include "align/dpo_objective.h"
#include "align/implicit_reward.h"
#include "align/model_export.h"
#include "align/round_table.h"
#include "align/train_metrics.h"
#include "align/train_recipe.h"
#include "base/file.h"
#include "model/cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    DiceRun *run;
    uint32_t round;
    Model *model;
    Hash loss_reference; // pi(round - 1): where training starts
    RoundTable table;    // of the generated pairs; empty in round 0
    RoundTable first;    // of round 1, where pairs are anchored in it
    double *doubt;       // (examples) of the soft labels
    bool *on_policy;     // (examples) both responses were sampled from the model that training starts from
    StoredMix *mix;      // NULL in round 0: all offline pairs
    size_t mixed;
    TrainExample *example; // (examples) then (validations): ids count through
    ReferenceSums *reference;
    size_t examples;
    TrainObjective objective;
    size_t tokens; // trained on in this call, and the time of that
    double seconds;
    char *checkpoints; // directory
} Training;

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory for the training data"); }

/* Examples that are trained on, or those of the validation, and how the store has their reference sums. */
typedef struct {
    const char *name;  // "" or "validation/"
    size_t first, end; // examples
    size_t rows;       // numbers below this are in use
    const size_t *row; // (all examples) number of each; SIZE_MAX: its sums are not stored
} ReferenceSet;

typedef struct {
    Training *training;
    const ReferenceSet *set;
    const size_t *target; // (items) example
} ReferenceSink;

/* Sums that ld_alpha weighs are others than those of an evaluation. */
static void source_name(const Training *t, const char *set, bool chosen, char out[32]) {
    snprintf(out, 32, "%s%s/%s%s", set, chosen ? "chosen" : "rejected", dtype_name(t->run->compute),
             t->run->loss.ld_alpha == 1 ? "" : "/ld");
}

/* What an earlier run of this stage, or the evaluation of the same weights, has put into the store. */
static int read_references(Training *t, const ReferenceSet *set, Error *error) {
    for (int chosen = 0; chosen < 2; chosen++) {
        StoredScore *score;
        size_t count;
        char source[32];
        double *known = malloc((set->rows + 1) * sizeof *known);
        if (known == NULL) return no_memory(error);
        for (size_t i = 0; i < set->rows; i++) known[i] = NAN;
        source_name(t, set->name, chosen, source);
        int result = run_store_get_scores(t->run->store, source, 0, t->loss_reference.hex, &score, &count, error);
        for (size_t i = 0; i < count && result == 0; i++)
            if (score[i].prompt < set->rows) known[score[i].prompt] = score[i].sum;
        for (size_t i = set->first; i < set->end && result == 0; i++)
            if (set->row[i] != SIZE_MAX)
                *(chosen ? &t->reference[i].chosen : &t->reference[i].rejected) = known[set->row[i]];
        if (result == 0) free(score);
        free(known);
        if (result != 0) return -1;
    }
    return 0;
}

static int put_reference(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    const ReferenceSink *sink = context;
    Training *t = sink->training;
    const TrainExample *e = &t->example[sink->target[item]];
    size_t row = sink->set->row[e->id];
    double *known = response == 0 ? &t->reference[e->id].chosen : &t->reference[e->id].rejected;
    if (!isnan(*known)) return 0; // an earlier start, on another processor perhaps, had come as far as this one
    double sum = *known = dpo_objective_sum(&t->run->loss, scored->logprob, e->branch_length, (int)response);
    if (row == SIZE_MAX) return 0;
    StoredScore score = {.prompt = (uint32_t)row, .sum = sum, .tokens = e->branch_length[response]};
    source_name(t, sink->set->name, response == 0, score.source);
    memcpy(score.model, t->loss_reference.hex, sizeof score.model);
    return run_store_put_score(t->run->store, &score, error) == 0 ? run_store_save(t->run->store, error) : -1;
}

/* Computes the sums of a set that are still NaN. taken: (all examples) whether training needs them. */
static int compute_references(Training *t, const ReferenceSet *set, const bool *taken, Error *error) {
    size_t n = 0, most = set->end - set->first + 1;
    if (preference_loss_is_reference_free(&t->run->loss)) return 0;
    ScoreItem *item = calloc(most, sizeof *item);
    size_t *target = malloc(most * sizeof *target);
    int result = item == NULL || target == NULL ? no_memory(error) : 0;
    for (size_t i = set->first; i < set->end && result == 0; i++) {
        const TrainExample *e = &t->example[i];
        if (!taken[i] || (!isnan(t->reference[i].chosen) && !isnan(t->reference[i].rejected))) continue;
        target[n] = i;
        item[n++] = (ScoreItem){.prompt = e->prompt,
                                .prompt_length = e->prompt_length,
                                .response = e->branch,
                                .length = e->branch_length,
                                .responses = 2};
    }
    if (n > 0 && result == 0 && (result = run_store_begin(t->run->store, error)) == 0) {
        ReferenceSink stored = {.training = t, .set = set, .target = target};
        const ScoreSink sink = {.take = put_reference, .context = &stored};
        result = implicit_reward_score(t->model, item, n, t->run->recipe->train.micro_tokens, &sink, "reference",
                                       t->run->log, error);
        result = run_store_keep(t->run->store, result, error);
    }
    free(item);
    free(target);
    return result;
}

/* A generated pair: tokens as sampled. The log-probs recorded while sampling are the loss reference, unless the audit
 * found that they are not what the training forward pass gives. */
static int add_generated(Training *t, const StoredPair *pair, bool recorded, Error *error) {
    size_t i = t->examples;
    const StoredResponse *chosen = round_table_find(&t->table, pair->prompt, pair->chosen_k);
    const StoredResponse *rejected =
        round_table_find(pair->rejected_age > 0 ? &t->first : &t->table, pair->prompt, pair->rejected_k);
    if (chosen == NULL || rejected == NULL)
        return error_set(error, ERROR_INPUT,
                         "run.db: the pair of prompt %u in round %u names a response that is not there", pair->prompt,
                         t->round);
    const EncodedPrompt *prompt = &t->run->data.prompt[pair->prompt];
    t->example[i] = (TrainExample){.id = i,
                                   .prompt = prompt->ids,
                                   .prompt_length = prompt->length,
                                   .branch = {chosen->ids, rejected->ids},
                                   .branch_length = {chosen->length, rejected->length},
                                   .branches = 2};
    t->doubt[i] = pair->doubt;
    t->on_policy[i] = pair->rejected_age == 0;
    if (recorded && pair->rejected_age == 0) // an older response has log-probs of an older model
        t->reference[i] = (ReferenceSums){
            .chosen = dpo_objective_sum(&t->run->loss, chosen->logprob, t->example[i].branch_length, 0),
            .rejected = dpo_objective_sum(&t->run->loss, rejected->logprob, t->example[i].branch_length, 1)};
    t->examples++;
    return 0;
}

static int add_mixed(Training *t, size_t *row, Error *error) {
    StoredPair *pair = NULL;
    size_t pairs = 0;
    bool recorded = true;
    if (run_store_get_pairs(t->run->store, t->round, &pair, &pairs, error) != 0) return -1;
    int result = 0;
    if (pairs > 0) {
        json_t *score = dice_run_summary(t->run, t->round, "score", error);
        result = score == NULL ? -1 : round_table_load(&t->table, t->run, t->round, error);
        if (result == 0) result = round_table_load_anchors(&t->first, t->run, pair, pairs, error);
        recorded = !t->table.encoded_again &&
                   json_number_value(json_object_get(score, "audit_mean")) <= t->run->recipe->reward.audit_threshold;
        json_decref(score);
    }
    for (size_t i = 0; i < t->mixed && result == 0; i++) {
        const StoredMix *m = &t->mix[i];
        size_t p = 0;
        row[t->examples] = m->offline ? m->row : SIZE_MAX;
        if (m->offline && m->row < t->run->train_pairs) {
            t->example[t->examples] = dpo_objective_example(t->run->train_pair[m->row], t->examples, 2);
            t->examples++;
            continue;
        }
        while (p < pairs && pair[p].prompt != m->row) p++;
        result = m->offline || p == pairs
                     ? error_set(error, ERROR_INPUT, "run.db: row %zu of round %u's mix names no pair", i, t->round)
                     : add_generated(t, &pair[p], recorded, error);
    }
    free(pair);
    return result;
}

static TrainSettings settings_of(const Training *t) {
    return train_recipe_settings(t->run->recipe, t->round, t->examples);
}

/* The examples of the round, then those of the validation; row[i]: the number under which the store has example i. */
static int list_examples(Training *t, size_t *row, Error *error) {
    const DiceRun *run = t->run;
    if (t->round > 0) {
        if (add_mixed(t, row, error) != 0) return -1;
    } else {
        for (size_t i = 0; i < run->train_pairs; i++)
            t->example[i] = dpo_objective_example(run->train_pair[i], i, 2), row[i] = i;
        t->examples = run->train_pairs;
    }
    for (size_t i = 0; i < run->validations; i++) {
        t->example[t->examples + i] = dpo_objective_example(run->validation[i], t->examples + i, 2);
        row[t->examples + i] = i;
    }
    return 0;
}

/* Reference sums of all examples, as far as they are taken: stored ones, then computed ones. */
static int find_references(Training *t, const size_t *row, bool *taken, Error *error) {
    const DiceRun *run = t->run;
    const TrainSettings settings = settings_of(t);
    const ReferenceSet set[] = {
        {.name = "", .end = t->examples, .rows = run->train_pairs, .row = row},
        {"validation/", t->examples, t->examples + run->validations, run->validations, row},
    };
    if (train_taken(&settings, t->examples, taken, error) != 0) return -1;
    memset(taken + t->examples, true, run->validations);
    for (size_t s = 0; s < 2; s++)
        if (read_references(t, &set[s], error) != 0 || compute_references(t, &set[s], taken, error) != 0) return -1;
    return 0;
}

/* The examples of the round, and of the validation, with their references. */
static int gather(Training *t, Error *error) {
    const DiceRun *run = t->run;
    if (t->round > 0 && run_store_get_mix(run->store, t->round, &t->mix, &t->mixed, error) != 0) return -1;
    size_t most = (t->round == 0 ? run->train_pairs : t->mixed) + run->validations + 1;
    t->example = calloc(most, sizeof *t->example);
    t->reference = calloc(most, sizeof *t->reference);
    t->doubt = calloc(most, sizeof *t->doubt);
    t->on_policy = calloc(most, sizeof *t->on_policy);
    size_t *row = malloc(most * sizeof *row);
    bool *taken = calloc(most, sizeof *taken);
    int result = t->example == NULL || t->reference == NULL || t->doubt == NULL || t->on_policy == NULL ||
                         row == NULL || taken == NULL
                     ? no_memory(error)
                     : 0;
    for (size_t i = 0; i < most && result == 0; i++) t->reference[i] = (ReferenceSums){NAN, NAN};
    if (result == 0) result = list_examples(t, row, error);
    if (result == 0) result = find_references(t, row, taken, error);
    free(row);
    free(taken);
    return result;
}

static int put_metrics(const Training *t, json_t *metrics, bool step, size_t number, Error *error) {
    char *text = metrics == NULL ? NULL : json_dumps(metrics, JSON_COMPACT | JSON_REAL_PRECISION(17)), name[40];
    json_decref(metrics);
    if (text == NULL) return no_memory(error);
    snprintf(name, sizeof name, "validation-%06zu", number);
    int result = step ? run_store_put_step(t->run->store, t->round, (uint32_t)number, text, error)
                      : run_store_put_evaluation(t->run->store, t->round, name, text, error);
    free(text);
    return result;
}

static int on_step(void *context, const TrainReport *report, Error *error) {
    Training *t = context;
    t->tokens += report->step_tokens;
    t->seconds += report->seconds;
    return put_metrics(t, train_metrics_step(report, &t->objective), true, report->step, error);
}

static int on_validated(void *context, const TrainReport *report, Error *error) {
    const Training *t = context;
    log_say(t->run->log, LOG_INFO, "validation after step %zu: loss %.4f, accuracy %.3f, margin %.4f", report->step,
            report->loss, report->metric[DPO_REWARDS_ACCURACIES], report->metric[DPO_REWARDS_MARGINS]);
    return put_metrics(t, train_metrics_validation(report, &t->objective), false, report->step, error);
}

/* The round's newest checkpoint, which is where this stage puts them, whatever the store says. */
static int last_checkpoint(const Training *t, StoredCheckpoint *last, bool *found, Error *error) {
    char own[sizeof last->directory];
    if (run_store_get_checkpoint(t->run->store, t->round, last, found, error) != 0) return -1;
    snprintf(own, sizeof own, "round-%u/checkpoints/step-%06u", t->round, *found ? last->step : 0);
    if (!*found || strcmp(own, last->directory) == 0) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s/run.db: the checkpoint of step %u in round %u is at \"%s\", but dice keeps it at \"%s\": the "
                     "run store is damaged or was made by a stranger; begin a new run directory",
                     t->run->recipe->output, last->step, t->round, last->directory, own);
}

/* The newest checkpoint replaces the older ones. */
static int on_checkpoint(void *context, size_t step, const char *directory, Error *error) {
    const Training *t = context;
    StoredCheckpoint old, now = {.round = t->round, .step = (uint32_t)step};
    bool found;
    snprintf(now.directory, sizeof now.directory, "round-%u/checkpoints/%s", t->round, strrchr(directory, '/') + 1);
    if (last_checkpoint(t, &old, &found, error) != 0 || run_store_put_checkpoint(t->run->store, &now, error) != 0)
        return -1;
    if (!found || old.step == now.step) return 0;
    char *path = file_join(t->run->recipe->output, old.directory);
    int result = path == NULL ? no_memory(error) : file_remove_tree(path, error);
    free(path);
    return result;
}

static int train_model(Training *t, Error *error) {
    const Recipe *r = t->run->recipe;
    const DpoContext context = {.loss = t->run->loss,
                                .loss_pairs =
                                    r->train.loss_pairs > 0 ? r->train.loss_pairs : settings_of(t).examples_per_step,
                                .log_logits = r->train.log_logits,
                                .reference = t->reference,
                                .doubt = t->doubt,
                                .unweighed = r->train.weighted_pairs == RECIPE_WEIGHTED_OFFLINE ? t->on_policy : NULL};
    t->objective = dpo_objective(&context);
    const TrainData data = {.example = t->example,
                            .examples = t->examples,
                            .validation = t->example + t->examples,
                            .validations = t->run->validations};
    const TrainEvents events = {
        .context = t, .step = on_step, .validated = on_validated, .checkpointed = on_checkpoint};
    const TrainSettings settings = settings_of(t);
    StoredCheckpoint last;
    bool found;
    if (last_checkpoint(t, &last, &found, error) != 0) return -1;
    char *resume = found ? file_join(r->output, last.directory) : NULL;
    if (found && resume == NULL) return no_memory(error);
    if (found && !file_exists(resume)) {
        log_say(t->run->log, LOG_WARNING, "%s was removed: the training of round %u begins again", resume, t->round);
        free(resume);
        resume = NULL;
    }
    if (resume != NULL) log_say(t->run->log, LOG_INFO, "training continues after step %u", last.step);
    int result = train(t->model, &settings, &data, &t->objective, t->checkpoints, resume, &events, t->run->log, error);
    free(resume);
    return result;
}

/* Operations that forward and backward of an average token need, over the examples of the round. With an adapter there
 * are no gradients of the weights: the backward pass is one forward pass. */
static double flops_per_token(const Training *t) {
    double flops = 0, tokens = 0;
    for (size_t i = 0; i < t->examples; i++) {
        const TrainExample *e = &t->example[i];
        double prompt = (double)e->prompt_length;
        tokens += prompt;
        flops += cost_forward(&t->run->config, prompt, prompt / 2, 0);
        for (size_t b = 0; b < e->branches; b++) {
            double length = (double)e->branch_length[b];
            tokens += length;
            flops += cost_forward(&t->run->config, length, prompt + length / 2, length);
        }
    }
    double passes = t->run->lora.r > 0 ? 2 : 3;
    return tokens > 0 ? passes * flops / tokens : 0;
}

static json_t *describe(const Training *t, const Hash *hash) {
    double rate = t->seconds > 0 ? (double)t->tokens / t->seconds : 0;
    return json_pack("{s:s, s:s, s:I, s:f, s:f}", "model", hash->hex, "loss_reference", t->loss_reference.hex, "pairs",
                     (json_int_t)t->examples, "tokens_per_second", rate, "flops_per_second", rate * flops_per_token(t));
}

/* Together, so that no start finds the exported model as a checkpoint to continue from. */
static int finish(const Training *t, const StoredCheckpoint *done, const Hash *hash, Error *error) {
    RunStore *store = t->run->store;
    if (run_store_begin(store, error) != 0) return -1;
    int result = run_store_put_checkpoint(store, done, error);
    if (result == 0) result = dice_run_finish(t->run, t->round, "train", describe(t, hash), error);
    return run_store_finish(store, result, error);
}

static int export_model(Training *t, Error *error) {
    const DiceRun *run = t->run;
    DType type = model_export_type(run->recipe, &run->config);
    StoredCheckpoint done = {.round = t->round, .step = UINT32_MAX};
    char *directory = dice_run_model(run, (int)t->round), *parent = dice_run_model(run, (int)t->round - 1);
    Hash hash = {{0}};
    int result = directory == NULL || parent == NULL ? no_memory(error) : 0;
    if (result == 0) {
        json_t *card = json_pack("{s:i, s:s, s:I}", "round", (int)t->round, "parent", t->loss_reference.hex, "pairs",
                                 (json_int_t)t->examples);
        result = model_export(t->model, parent, directory, type, run->recipe->export.shard_bytes, run->recipe, card,
                              &hash, error);
    }
    snprintf(done.directory, sizeof done.directory, "round-%u/%s", t->round, run->lora.r > 0 ? "adapter" : "model");
    memcpy(done.model, hash.hex, sizeof done.model);
    if (result == 0) result = finish(t, &done, &hash, error);
    if (result == 0) log_say(run->log, LOG_INFO, "round %u: %s", t->round, directory);
    free(directory);
    free(parent);
    return result;
}

static int train_round(DiceRun *run, uint32_t round, char *checkpoints, Error *error) {
    Training t = {.run = run, .round = round, .checkpoints = checkpoints};
    int result = file_make_directory(checkpoints, error);
    if (result == 0)
        result = dice_run_load(run, (int)round - 1, run->compute, true, &t.model, &t.loss_reference, error);
    if (result == 0) result = gather(&t, error);
    if (result == 0) result = train_model(&t, error);
    if (result == 0) result = export_model(&t, error);
    model_free(t.model);
    round_table_free(&t.table);
    round_table_free(&t.first);
    free(t.doubt);
    free(t.on_policy);
    free(t.mix);
    free(t.example);
    free(t.reference);
    return result;
}

int dice_train(DiceRun *run, uint32_t round, Error *error) {
    int done = dice_run_is_done(run, round, "train", error);
    if (done < 0 || (!done && round > 0 && dice_run_require(run, round, "mix", error) != 0)) return -1;
    if (round == 0 && run->train_pairs == 0)
        return error_set(error, ERROR_USAGE,
                         "round 0 trains on offline pairs: give data.offline, or `reference` for a model that is "
                         "DPO-trained already");
    char *checkpoints = dice_run_path(run, round, "checkpoints");
    int result = checkpoints == NULL ? no_memory(error) : done ? 0 : train_round(run, round, checkpoints, error);
    if (result == 0) result = file_remove_tree(checkpoints, error); // also where a kill came before it
    free(checkpoints);
    return result;
}
