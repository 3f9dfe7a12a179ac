#include "align/data_recipe.h"
#include "align/loss_reference.h"
#include "align/model_export.h"
#include "align/train_metrics.h"
#include "align/train_recipe.h"
#include "cli/metrics_file.h"
#include "cli/recipe_options.h"
#include "cli/rows.h"
#include "cli/train_directory.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *model, *adapter, *reference, *reference_adapter, *data, *validation, *out, *method, *metrics;
    bool in_order;
    OptionList set;
} Values;

static const Option options[] = {
    {"model", 'm', OPTION_TEXT, offsetof(Values, model), "DIRECTORY", NULL, 0, 0,
     "Hugging Face checkpoint to start from (needed)"},
    {"adapter", 0, OPTION_TEXT, offsetof(Values, adapter), "DIRECTORY", NULL, 0, 0,
     "PEFT directory: LoRA adapter to go on training, as --set lora.adapter="},
    {"data", 'd', OPTION_TEXT, offsetof(Values, data), "FILE", NULL, 0, 0,
     "preference pairs, or rows with one answer for sft (needed)"},
    {"out", 'o', OPTION_TEXT, offsetof(Values, out), "DIRECTORY", NULL, 0, 0,
     "the trained checkpoint, with LoRA the PEFT directory; OUT.checkpoints holds metrics and what continues an "
     "interrupted training (needed)"},
    {"method", 0, OPTION_CHOICE, offsetof(Values, method), "dpo|sft", "dpo", 0, 0,
     "DPO, or whichever loss train.loss names, on pairs; or cross-entropy on the (chosen) answers"},
    {"reference", 'r', OPTION_TEXT, offsetof(Values, reference), "DIRECTORY", NULL, 0, 0,
     "reference of the DPO loss (default: the start model)"},
    {"reference-adapter", 0, OPTION_TEXT, offsetof(Values, reference_adapter), "DIRECTORY", NULL, 0, 0,
     "PEFT directory: adapter of --reference, or of the model where that is not given"},
    {"validation", 0, OPTION_TEXT, offsetof(Values, validation), "FILE", NULL, 0, 0,
     "held-out rows, measured every train.validate_every steps and at the end"},
    {"metrics", 0, OPTION_TEXT, offsetof(Values, metrics), "FILE", NULL, 0, 0,
     "one JSON line a step (default: OUT.checkpoints/metrics.jsonl)"},
    {"in-order", 0, OPTION_FLAG, offsetof(Values, in_order), NULL, NULL, 0, 0,
     "take the rows as they stand in the file instead of shuffling"},
    {"set", 's', OPTION_LIST, offsetof(Values, set), "KEY=VALUE", NULL, 0, 0,
     "any key of a recipe's train, lora, data and export groups; may be repeated"},
};

typedef struct {
    const Values *v;
    Session *session;
    Recipe recipe;
    Chat chat;
    LoraSettings lora; // r 0: all weights are trained
    Model *model;
    PreferenceData data; // the rows, then those of the validation
    size_t rows, validations;
    TrainExample *example;
    PreferenceLoss loss;
    ReferenceSums *reference;
    TrainObjective objective;
    MetricsFile metrics;
    char *checkpoints;
} Training;

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory for the training data"); }

static int read_data(Training *t, Error *error) {
    const EncodeRules rules = data_recipe_rules(&t->recipe, &t->chat, model_config(t->model));
    bool sft = strcmp(t->v->method, "sft") == 0;
    if (preference_data_add_pairs(&t->data, t->v->data, &rules, sft, &t->session->log, error) != 0) return -1;
    t->rows = t->data.pairs;
    if (t->v->validation != NULL &&
        preference_data_add_pairs(&t->data, t->v->validation, &rules, sft, &t->session->log, error) != 0)
        return -1;
    t->validations = t->data.pairs - t->rows;
    t->example = calloc(t->data.pairs + 1, sizeof *t->example);
    t->reference = calloc(t->data.pairs + 1, sizeof *t->reference);
    if (t->example == NULL || t->reference == NULL) return no_memory(error);
    for (size_t i = 0; i < t->data.pairs; i++) t->example[i] = dpo_objective_example(&t->data.pair[i], i, sft ? 1 : 2);
    Buffer text = {0};
    int result = preference_data_show_first(&t->data, &t->chat, &text, error);
    if (text.data != NULL) log_say(&t->session->log, LOG_INFO, "the first row as the model sees it:\n%s", text.data);
    buffer_free(&text);
    return result;
}

/* The recipe of this training, so that keys, defaults and checks are those of `dice run`. */
static int read_recipe(Training *t, Error *error) {
    const Values *v = t->v;
    char *adapter = NULL;
    if (v->adapter != NULL && asprintf(&adapter, "lora.adapter=%s", v->adapter) < 0) return no_memory(error);
    const char *const preset[] = {adapter};
    int result =
        recipe_options_read(&t->recipe, t->session, v->model, v->out, v->data, preset, adapter != NULL, &v->set, error);
    free(adapter);
    return result == 0 ? recipe_lora(&t->recipe, &t->lora, error) : -1;
}

/* The start model, its adapter among it: the one given, or a new one, which changes nothing yet. */
static int load_start(Training *t, Error *error) {
    const ModelPlace start = {t->v->model, t->recipe.lora.adapter};
    if (command_load_adapted(t->session, start, true, &t->lora, &t->model, error) != 0) return -1;
    return t->lora.r > 0 && start.adapter == NULL ? model_adapter_initialize(t->model, t->recipe.seed, error) : 0;
}

static int sum_references(Training *t, Model *model, bool recompute, Error *error) {
    return loss_reference_sums(model, &t->data, &t->loss, recompute, t->recipe.train.micro_tokens, t->reference,
                               &t->session->log, error);
}

/* Sums under the loss reference: the start model itself, before it changes; another adapter on the same weights, or
 * none; or another model. */
static int compute_references(Training *t, Error *error) {
    const Values *v = t->v;
    const ModelPlace place = {v->reference != NULL ? v->reference : v->model, v->reference_adapter};
    Model *other = NULL;
    if (v->reference == NULL && v->reference_adapter == NULL) return sum_references(t, t->model, false, error);
    bool exchange = t->lora.r > 0 && file_is_same(place.directory, v->model);
    int result = exchange ? command_load_adapted(t->session, place, true, &t->lora, &t->model, error)
                          : command_load_model(t->session, place, false, &other, error);
    if (result == 0) result = sum_references(t, exchange ? t->model : other, true, error);
    if (result == 0 && exchange) result = load_start(t, error);
    model_free(other);
    return result;
}

static int on_step(void *context, const TrainReport *report, Error *error) {
    Training *t = context;
    return metrics_file_write(&t->metrics, train_metrics_step(report, &t->objective), error);
}

static int on_validated(void *context, const TrainReport *report, Error *error) {
    Training *t = context;
    log_say(&t->session->log, LOG_INFO, "validation after step %zu: loss %.4f", report->step, report->loss);
    return metrics_file_write(&t->metrics, train_metrics_validation(report, &t->objective), error);
}

/* The newest checkpoint replaces the older ones. */
static int on_checkpoint(void *context, size_t step, const char *directory, Error *error) {
    (void)step;
    const Training *t = context;
    return train_directory_keep(t->checkpoints, strrchr(directory, '/') + 1, error);
}

/* What the training belongs to, as lines "key: value". */
static int describe_training(Training *t, Buffer *out, Error *error) {
    const Values *v = t->v;
    Hash model, data, validation = {{0}};
    if (model_hash(t->model, &model, error) != 0 || hash_file(v->data, &data, error) != 0 ||
        (v->validation != NULL && hash_file(v->validation, &validation, error) != 0))
        return -1;
    recipe_canonical(&t->recipe, out);
    buffer_format(out, "--method: %s\n--reference: %s\norder: %s\nweights of the model: %s\ncontent of --data: %s\n",
                  v->method, v->reference == NULL ? "" : v->reference, v->in_order ? "file" : "shuffled", model.hex,
                  data.hex);
    buffer_format(out, "--reference-adapter: %s\n", v->reference_adapter == NULL ? "" : v->reference_adapter);
    buffer_format(out, "content of --validation: %s\n", validation.hex);
    return out->failed ? no_memory(error) : 0;
}

/* Where an interrupted training left off, if one did; it must be this one. */
static int find_checkpoint(Training *t, char **resume, size_t *step, Error *error) {
    Buffer facts = {0};
    int result = describe_training(t, &facts, error);
    if (result == 0) result = train_directory_claim(t->checkpoints, facts.data, error);
    buffer_free(&facts);
    return result == 0 ? train_directory_newest(t->checkpoints, resume, step, error) : -1;
}

static int open_metrics(Training *t, size_t step, Error *error) {
    char *usual = file_join(t->checkpoints, "metrics.jsonl");
    if (usual == NULL) return no_memory(error);
    int result = metrics_file_open(&t->metrics, t->v->metrics != NULL ? t->v->metrics : usual, step, error);
    free(usual);
    return result;
}

static TrainSettings settings_of(const Training *t, const size_t *order) {
    TrainSettings settings = train_recipe_settings(&t->recipe, 0, t->rows);
    settings.order = order;
    settings.order_count = order == NULL ? 0 : t->rows;
    return settings;
}

static int train_model(Training *t, Error *error) {
    size_t loss_pairs = t->recipe.train.loss_pairs;
    const DpoContext context = {.loss = t->loss,
                                .loss_pairs = loss_pairs > 0 ? loss_pairs : settings_of(t, NULL).examples_per_step,
                                .log_logits = t->recipe.train.log_logits,
                                .reference = t->reference};
    bool sft = strcmp(t->v->method, "sft") == 0;
    t->objective = sft ? sft_objective() : dpo_objective(&context);
    size_t *order = NULL;
    char *resume = NULL;
    size_t step = 0;
    int result = sft ? 0 : compute_references(t, error);
    if (result == 0 && t->v->in_order && (order = malloc((t->rows + 1) * sizeof *order)) == NULL)
        result = no_memory(error);
    for (size_t i = 0; order != NULL && i < t->rows; i++) order[i] = i;
    if (result == 0) result = find_checkpoint(t, &resume, &step, error);
    if (result == 0) result = open_metrics(t, step, error);
    if (result == 0) {
        const TrainSettings settings = settings_of(t, order);
        const TrainData data = {.example = t->example,
                                .examples = t->rows,
                                .validation = t->example + t->rows,
                                .validations = t->validations};
        const TrainEvents events = {
            .context = t, .step = on_step, .validated = on_validated, .checkpointed = on_checkpoint};
        if (resume != NULL) log_say(&t->session->log, LOG_INFO, "training continues from %s", resume);
        result =
            train(t->model, &settings, &data, &t->objective, t->checkpoints, resume, &events, &t->session->log, error);
    }
    metrics_file_close(&t->metrics);
    free(order);
    free(resume);
    return result;
}

static int export_trained(Training *t, Error *error) {
    DType type = model_export_type(&t->recipe, model_config(t->model));
    Hash hash;
    json_t *card = json_pack("{s:s, s:s, s:s}", "parent", t->v->model, "method", t->v->method, "data", t->v->data);
    if (model_export(t->model, t->v->model, t->v->out, type, t->recipe.export.shard_bytes, &t->recipe, card, &hash,
                     error) != 0 ||
        train_directory_keep(t->checkpoints, "", error) != 0)
        return -1;
    if (t->v->common.json)
        return command_print_json(json_pack("{s:s, s:s}", "checkpoint", t->v->out, "model", hash.hex), error);
    printf("checkpoint: %s\n", t->v->out);
    return 0;
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    if (v->model == NULL || v->data == NULL || v->out == NULL)
        return error_set(error, ERROR_USAGE, "dice train needs --model, --data and --out; see `dice train --help`");
    if (file_exists(v->out))
        return error_set(error, ERROR_USAGE, "%s is there already: give another --out, or remove it", v->out);
    Training t = {.v = v, .session = session};
    int result = asprintf(&t.checkpoints, "%s.checkpoints", v->out) < 0 ? no_memory(error) : 0;
    if (result == 0) result = read_recipe(&t, error);
    if (result == 0) result = preference_loss_create(&t.loss, &t.recipe, &session->log, error);
    if (result == 0) result = rows_load_chat(&t.chat, v->model, error);
    if (result == 0) result = load_start(&t, error);
    if (result == 0) result = read_data(&t, error);
    if (result == 0) result = train_model(&t, error);
    terminal_clear(&session->terminal);
    if (result == 0) result = export_trained(&t, error);
    model_free(t.model);
    preference_data_free(&t.data);
    chat_free(&t.chat);
    recipe_free(&t.recipe);
    free(t.example);
    free(t.reference);
    free(t.checkpoints);
    return result;
}

COMMAND_DEFINE(
    train, Values, options, .summary = "DPO (or another preference loss) or SFT on a file of rows", .arguments = "",
    .least = 0, .most = 0,
    .description =
        "The trainer of `dice run` on its own. The reference log-probs of DPO are computed once, before the first "
        "step.\n"
        "Interrupted, the same command continues from the newest checkpoint in OUT.checkpoints and ends with the same\n"
        "weights. Keys are those of a recipe: train.learning_rate, train.steps, train.pairs_per_step, train.beta, ...\n"
        "(`dice help recipe`); `dice help losses` explains train.loss. Rows that are tokenised already "
        "({\"prompt_ids\", \"chosen_ids\", \"rejected_ids\"}) "
        "are taken as they are.",
    .examples =
        "  dice train --model SFT --data pairs.jsonl --out DPO --set train.learning_rate=5e-6 --set train.epochs=2\n"
        "  dice train --model SFT --data pairs.jsonl --out IPO --set train.loss=ipo --set train.beta=0.05\n"
        "  dice train --method sft --model BASE --data answers.jsonl --out SFT --set train.schedule=cosine\n"
        "  dice train --model SFT --data pairs.jsonl --out LORA --set lora.r=16 --set train.learning_rate=1e-4");
