#include "align/dice_run.h"

#include "align/data_recipe.h"
#include "align/replay_mix.h"
#include "base/file.h"
#include "base/rng.h"
#include "formats/gguf_import.h"
#include "formats/hf_directory.h"
#include "formats/recipe_parity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory to prepare the run"); }

bool dice_run_has_round0(const DiceRun *run) { return run->recipe->reference == NULL; }

bool dice_run_generates(const DiceRun *run) { return run->recipe->mix.gamma < 1 || run->recipe->sample.all; }

char *dice_run_path(const DiceRun *run, uint32_t round, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/round-%u/%s", run->recipe->output, round, name) < 0 ? NULL : path;
}

/* The model that round 0, or round 1 where there is none, trains on: `model` of the recipe. */
static int first_index(const DiceRun *run) { return dice_run_has_round0(run) ? -1 : 0; }

char *dice_run_model(const DiceRun *run, int index) {
    if (index < 0) return strdup(run->reference_directory != NULL ? run->reference_directory : run->start_directory);
    if (index == 0 && !dice_run_has_round0(run)) return strdup(run->start_directory);
    return dice_run_path(run, (uint32_t)index, run->lora.r > 0 ? "adapter" : "model");
}

/* The PEFT directory of pi(index)'s adapter, to be freed; NULL: it has none. */
static int adapter_of(const DiceRun *run, int index, char **adapter, Error *error) {
    *adapter = NULL;
    if (run->lora.r == 0 || index < first_index(run)) return 0;
    if (index > first_index(run))
        *adapter = dice_run_model(run, index);
    else if (run->recipe->lora.adapter == NULL)
        return 0;
    else
        *adapter = strdup(run->recipe->lora.adapter);
    return *adapter != NULL ? 0 : no_memory(error);
}

/* Hash of pi(index); a trainable adapter that is new begins to take part after that. */
static int name_loaded(const DiceRun *run, Model *model, bool is_new, Hash *hash, Error *error) {
    if (model_hash(model, hash, error) != 0) return -1;
    return is_new ? model_adapter_initialize(model, run->recipe->seed, error) : 0;
}

int dice_run_load(const DiceRun *run, int index, DType compute, bool trainable, Model **model, Hash *hash,
                  Error *error) {
    ModelOptions options = {.kernels = run->kernels,
                            .compute = compute,
                            .trainable = trainable,
                            .checkpoint_activations = run->recipe->train.checkpoint_activations};
    if (index > first_index(run) && dice_run_require(run, (uint32_t)index, "train", error) != 0) {
        model_free(*model);
        *model = NULL;
        return -1;
    }
    char *adapter, *own = dice_run_model(run, index), *directory = own;
    int result = own == NULL ? no_memory(error) : adapter_of(run, index, &adapter, error);
    if (result == 0 && run->lora.r > 0) {
        if (index >= first_index(run)) directory = run->start_directory;
        if (file_is_same(directory, run->start_directory)) options.lora = run->lora;
    }
    bool is_new = result == 0 && trainable && options.lora.r > 0 && adapter == NULL;
    if (result == 0) {
        result = model_load_adapted(model, directory, adapter, &options, error);
        free(adapter);
    }
    free(own);
    if (result == 0) result = name_loaded(run, *model, is_new, hash, error);
    if (result == 0) return 0;
    model_free(*model);
    *model = NULL;
    return -1;
}

json_t *dice_run_summary(const DiceRun *run, uint32_t round, const char *stage, Error *error) {
    char *text = NULL, place[64];
    if (run_store_get_stage(run->store, round, stage, &text, error) != 0) return NULL;
    snprintf(place, sizeof place, "run.db, round %u, stage %s", round, stage);
    json_t *summary = NULL;
    if (text == NULL)
        error_set(error, ERROR_INPUT,
                  "%s/run.db: round %u has no finished stage %s, which the one that was asked for goes on from: put "
                  "back a copy of the file, or begin a new run directory",
                  run->recipe->output, round, stage);
    else
        summary = json_parse(text, strlen(text), place, 1, error);
    free(text);
    return summary;
}

int dice_run_require(const DiceRun *run, uint32_t round, const char *stage, Error *error) {
    json_t *summary = dice_run_summary(run, round, stage, error);
    json_decref(summary);
    return summary == NULL ? -1 : 0;
}

int dice_run_finish(const DiceRun *run, uint32_t round, const char *stage, json_t *summary, Error *error) {
    char *text = summary == NULL ? NULL : json_dumps(summary, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(summary);
    if (text == NULL) return no_memory(error);
    int result = run_store_put_stage(run->store, round, stage, text, error);
    free(text);
    return result;
}

int dice_run_is_done(const DiceRun *run, uint32_t round, const char *stage, Error *error) {
    char *text = NULL;
    if (run_store_get_stage(run->store, round, stage, &text, error) != 0) return -1;
    free(text);
    return text != NULL;
}

/* A name for a model or data file's content. */
static int source_hash(const char *path, Hash *hash, Error *error) {
    return file_is_directory(path) ? hf_directory_hash(path, hash, error) : hash_file(path, hash, error);
}

/* Remembers a fact of the run at its first start; later it must be the same. */
static int check_identity(const DiceRun *run, const char *key, const char *what, const char *value, Error *error) {
    char *old = NULL;
    if (run_store_get_meta(run->store, key, &old, error) != 0) return -1;
    if (old == NULL) return run_store_put_meta(run->store, key, value, error);
    bool same = strcmp(old, value) == 0;
    free(old);
    if (same) return 0;
    return error_set(
        error, ERROR_MISMATCH,
        "%s was begun with another content of %s (it was changed since): restore it, or give another `output`",
        run->recipe->output, what);
}

static int check_source(const DiceRun *run, const char *key, const char *path, Error *error) {
    Hash hash;
    if (path == NULL) return 0;
    if (source_hash(path, &hash, error) != 0) return -1;
    return check_identity(run, key, path, hash.hex, error);
}

static int check_offline(const DiceRun *run, Error *error) {
    const RecipeSources *offline = &run->recipe->data.offline;
    for (size_t i = 0; i < offline->count; i++) {
        char key[48];
        snprintf(key, sizeof key, i == 0 ? "source/offline" : "source/offline/%zu", i);
        if (check_source(run, key, offline->item[i].path, error) != 0) return -1;
    }
    return 0;
}

static int check_recipe(const DiceRun *run, Error *error) {
    Buffer text = {0}, difference = {0};
    char *old = NULL;
    recipe_canonical(run->recipe, &text);
    int result = -1;
    if (text.failed)
        no_memory(error);
    else if (run_store_get_meta(run->store, "recipe", &old, error) == 0) {
        if (old == NULL)
            result = run_store_put_meta(run->store, "recipe", text.data, error);
        else {
            recipe_difference(old, text.data, &difference);
            result = difference.size == 0
                         ? 0
                         : error_set(error, ERROR_MISMATCH,
                                     "%s was begun with another recipe: give another `output`, or undo\n%s",
                                     run->recipe->output, difference.data);
        }
    }
    free(old);
    buffer_free(&text);
    buffer_free(&difference);
    return result;
}

static int check_run(const DiceRun *run, Error *error) {
    const Recipe *r = run->recipe;
    char precision[64];
    snprintf(precision, sizeof precision, "%s, scoring %s", dtype_name(run->compute), dtype_name(run->score_compute));
    if (check_recipe(run, error) != 0 || check_source(run, "source/model", r->model, error) != 0 ||
        check_source(run, "source/reference", r->reference, error) != 0 ||
        check_source(run, "source/adapter", r->lora.adapter, error) != 0 || check_offline(run, error) != 0 ||
        check_source(run, "source/prompts", r->data.prompts, error) != 0 ||
        check_source(run, "source/validation", r->data.validation, error) != 0)
        return -1;
    return check_identity(run, "precision", "the precision (`precision: auto` on another processor)", precision, error);
}

/* A GGUF file is imported once, into OUTPUT/NAME; a directory is used where it is. */
static int resolve_model(const DiceRun *run, const char *source, const char *name, char **directory, Error *error) {
    *directory = NULL;
    if (source == NULL) return 0;
    if (run->store == NULL && file_exists(source) && !file_is_directory(source))
        return error_set(error, ERROR_USAGE,
                         "%s is a file: turn it into a checkpoint directory first, `dice import %s DIRECTORY`", source,
                         source);
    if (file_is_directory(source))
        *directory = strdup(source);
    else
        *directory = file_join(run->recipe->output, name);
    if (*directory == NULL) return no_memory(error);
    if (file_is_directory(source) || file_is_directory(*directory)) return 0;
    if (file_exists(source)) log_say(run->log, LOG_INFO, "importing %s", source);
    return gguf_import(source, *directory, DTYPE_F32, run->log, error);
}

/* Copies of pair i that are trained on: the weight of its file, what is behind its point by a draw. */
static size_t copies_of(const DiceRun *run, size_t i) {
    double weight = run->recipe->data.offline.item[run->data.pair[i].file].weight, whole = floor(weight);
    const RngAddress address = {.seed = run->recipe->seed, .stream = RNG_SPLIT, .item = (uint32_t)i, .k = 1};
    return (size_t)whole + (weight > whole && rng_uniform(&address, 0) < weight - whole);
}

/* Splits the offline pairs: validation_pairs of them, drawn from the seed, are held out; the others are taken as often
 * as the weight of their file says. */
static int split_pairs(DiceRun *run, Error *error) {
    const Recipe *r = run->recipe;
    size_t n = run->data.pairs, held = r->data.validation == NULL ? r->data.validation_pairs : 0;
    if (held > 0 && held >= n)
        return error_set(error, ERROR_USAGE, "data.validation_pairs is %zu, but data.offline has only %zu usable pairs",
                         held, n);
    run->validations = held > 0 ? held : run->held_out.pairs;
    size_t most = 0;
    for (size_t i = 0; i < n; i++) most += copies_of(run, i);
    run->train_pair = calloc(most + 1, sizeof *run->train_pair);
    run->validation = calloc(run->validations + 1, sizeof *run->validation);
    size_t *order = malloc((n + 1) * sizeof *order);
    if (run->train_pair == NULL || run->validation == NULL || order == NULL) {
        free(order);
        return no_memory(error);
    }
    const RngAddress address = {.seed = r->seed, .stream = RNG_SPLIT};
    rng_permutation(&address, n, order);
    for (size_t i = 0; i < held; i++) run->validation[i] = &run->data.pair[order[i]];
    for (size_t i = held; i < n; i++)
        for (size_t copy = copies_of(run, order[i]); copy > 0; copy--)
            run->train_pair[run->train_pairs++] = &run->data.pair[order[i]];
    if (run->train_pairs != n - held)
        log_say(run->log, LOG_INFO, "%zu offline pairs, weights of their files counted, are %zu", n - held,
                run->train_pairs);
    if (held == 0)
        for (size_t i = 0; i < run->validations; i++) run->validation[i] = &run->held_out.pair[i];
    free(order);
    return 0;
}

/* The prompts to sample for: those of data.prompts, or those of the offline pairs that are trained on. */
static int choose_prompts(DiceRun *run, Error *error) {
    const PreferenceData *data = &run->data;
    uint8_t *wanted = calloc(data->prompts + 1, 1);
    run->prompt = calloc(data->prompts + 1, sizeof *run->prompt);
    int result = wanted == NULL || run->prompt == NULL ? no_memory(error) : 0;
    if (result == 0) {
        if (run->recipe->data.prompts == NULL)
            for (size_t i = 0; i < run->train_pairs; i++) wanted[run->train_pair[i]->prompt_number] = 1;
        else
            for (size_t p = 0; p < data->prompts; p++) wanted[p] = data->prompt[p].from_prompts;
        for (size_t p = 0; p < data->prompts; p++)
            if (wanted[p] && data->prompt[p].ids != NULL) run->prompt[run->prompts++] = (uint32_t)p;
    }
    free(wanted);
    return result;
}

static int put_prompts(DiceRun *run, Error *error) {
    for (size_t i = 0; i < run->prompts; i++) {
        const EncodedPrompt *p = &run->data.prompt[run->prompt[i]];
        if (run_store_put_prompt(run->store, run->prompt[i], p->ids, p->length, p->text, error) != 0) return -1;
    }
    return 0;
}

static int read_data(DiceRun *run, Error *error) {
    const Recipe *r = run->recipe;
    const EncodeRules rules = data_recipe_rules(r, &run->chat, &run->config);
    for (size_t i = 0; i < r->data.offline.count; i++)
        if (preference_data_add_pairs(&run->data, r->data.offline.item[i].path, &rules, false, run->log, error) != 0)
            return -1;
    if (r->data.prompts != NULL &&
        preference_data_add_prompts(&run->data, r->data.prompts, &rules, run->log, error) != 0)
        return -1;
    if (r->data.validation != NULL &&
        preference_data_add_pairs(&run->held_out, r->data.validation, &rules, false, run->log, error) != 0)
        return -1;
    if (split_pairs(run, error) != 0 || choose_prompts(run, error) != 0) return -1;
    Buffer example = {0};
    int result = preference_data_show_first(&run->data, &run->chat, &example, error);
    if (result == 0 && example.data != NULL)
        log_say(run->log, LOG_INFO, "a pair as the model sees it:\n%s", example.data);
    buffer_free(&example);
    return result;
}

static int open_store(DiceRun *run, Error *error) {
    char *path = file_join(run->recipe->output, "run.db");
    if (path == NULL) return no_memory(error);
    int result = file_make_directory(run->recipe->output, error) == 0 ? run_store_open(&run->store, path, error) : -1;
    free(path);
    return result;
}

/* Whether rounds will have something to sample for and to train on, seen before round 0 takes its time. */
static int check_rounds(const DiceRun *run, Error *error) {
    const Recipe *r = run->recipe;
    size_t offline = run->train_pairs > 0 ? run->train_pairs : run->prompts;
    ReplayCounts counts;
    if (r->rounds == 0 || !dice_run_generates(run)) return 0;
    if (run->prompts == 0)
        return error_set(error, ERROR_INPUT, "there is no prompt to sample for: give data.prompts or data.offline");
    if (replay_mix_counts(offline, run->prompts, r->mix.gamma, &counts, error) != 0) return -1;
    if (counts.generated > 0 || r->mix.gamma == 1) return 0;
    return error_set(
        error, ERROR_USAGE,
        "mix.gamma %g of %zu offline pairs leaves no room for a generated one: lower it, or give more pairs",
        r->mix.gamma, offline);
}

static int prepare(DiceRun *run, Error *error) {
    const Recipe *r = run->recipe;
    if (recipe_lora(r, &run->lora, error) != 0 ||
        resolve_model(run, r->model, "start", &run->start_directory, error) != 0 ||
        resolve_model(run, r->reference, "reference", &run->reference_directory, error) != 0 ||
        hf_config_read(&run->config, run->start_directory, error) != 0 ||
        chat_load(&run->chat, run->start_directory, error) != 0 ||
        chat_set_stop(&run->chat, (const char *const *)r->sample.stop.item, r->sample.stop.count, error) != 0)
        return -1;
    return read_data(run, error) == 0 ? check_rounds(run, error) : -1;
}

static DType precision_of(const Recipe *recipe, const KernelTable *kernels) {
    if (recipe->precision == RECIPE_PRECISION_AUTO) return isa_has_bf16(kernels->isa) ? DTYPE_BF16 : DTYPE_F32;
    return recipe->precision == RECIPE_PRECISION_BFLOAT16 ? DTYPE_BF16 : DTYPE_F32;
}

/* What the data amounts to, for a plan. */
static DataSize data_size(const DiceRun *run) {
    DataSize size = {.prompts = run->prompts, .offline_pairs = run->train_pairs};
    double prompt = 0, response = 0;
    for (size_t i = 0; i < run->prompts; i++) {
        size_t length = run->data.prompt[run->prompt[i]].length;
        prompt += (double)length;
        if (length > size.longest_prompt) size.longest_prompt = length;
    }
    for (size_t i = 0; i < run->train_pairs; i++)
        response += (double)(run->train_pair[i]->length[0] + run->train_pair[i]->length[1]) / 2;
    size.mean_prompt = run->prompts > 0 ? prompt / (double)run->prompts : 0;
    size.mean_response = run->train_pairs > 0 ? response / (double)run->train_pairs : 0;
    return size;
}

int dice_run_plan(const DiceRun *run, RunPlan *plan, Error *error) {
    const DataSize size = data_size(run);
    return run_plan(run->recipe, &run->config, run->kernels, run->compute, &size, plan, error);
}

/* What the run belongs to is remembered when all of it could be read, so that a recipe with a mistake in it may be
 * corrected and started again. */
static int begin_run(DiceRun *run, Error *error) {
    if (open_store(run, error) != 0 || run_store_begin(run->store, error) != 0) return -1;
    int result = check_run(run, error) == 0 && prepare(run, error) == 0 ? put_prompts(run, error) : -1;
    return run_store_finish(run->store, result, error);
}

int dice_run_open(DiceRun *run, const Recipe *recipe, const KernelTable *kernels, bool dry, const Log *log,
                  Error *error) {
    *run = (DiceRun){.recipe = recipe, .kernels = kernels, .log = log, .compute = precision_of(recipe, kernels)};
    run->score_compute = recipe->reward.precision == RECIPE_SCORE_SAME      ? run->compute
                         : recipe->reward.precision == RECIPE_SCORE_FLOAT32 ? DTYPE_F32
                                                                            : DTYPE_BF16;
    recipe_parity_say(recipe, log);
    int result = preference_loss_create(&run->loss, recipe, log, error);
    if (result == 0) result = dry ? prepare(run, error) : begin_run(run, error);
    if (result != 0) dice_run_close(run);
    return result;
}

void dice_run_close(DiceRun *run) {
    run_store_close(run->store);
    chat_free(&run->chat);
    preference_data_free(&run->data);
    preference_data_free(&run->held_out);
    free(run->train_pair);
    free(run->validation);
    free(run->prompt);
    free(run->start_directory);
    free(run->reference_directory);
    *run = (DiceRun){0};
}

int dice_run_rounds(DiceRun *run, Error *error) {
    if (dice_evaluate(run, -1, error) != 0) return -1;
    uint32_t first = dice_run_has_round0(run) ? 0 : 1;
    if (first == 1 && dice_evaluate(run, 0, error) != 0) return -1;
    for (uint32_t round = first; round <= run->recipe->rounds; round++) {
        log_say(run->log, LOG_INFO, "round %u of %zu%s", round, run->recipe->rounds,
                round == 0 ? " (DPO on the offline pairs)" : "");
        if (round > 0 && (dice_sample(run, round, error) != 0 || dice_score(run, round, error) != 0 ||
                          dice_pairs(run, round, error) != 0))
            return -1;
        if (dice_train(run, round, error) != 0 || dice_evaluate(run, (int)round, error) != 0) return -1;
    }
    return 0;
}
