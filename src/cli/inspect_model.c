#include "cli/inspect.h"

#include "align/data_recipe.h"
#include "align/loss_reference.h"
#include "cli/recipe_options.h"
#include "cli/rows.h"
#include "formats/safetensors_writer.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory to look into the model"); }

static int need(const char *value, const char *topic, const char *option, Error *error) {
    return value != NULL ? 0 : error_set(error, ERROR_USAGE, "dice inspect %s needs --%s", topic, option);
}

/* Whole numbers of a list, each within [0, most]. */
static int read_numbers(const json_t *list, size_t most, int32_t **numbers, size_t *count, const char *what,
                        Error *error) {
    *count = json_array_size(list);
    *numbers = calloc(*count + 1, sizeof **numbers);
    if (*numbers == NULL) return no_memory(error);
    for (size_t i = 0; i < *count; i++) {
        const json_t *n = json_array_get(list, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > (json_int_t)most)
            return error_set(error, ERROR_INPUT, "\"%s\"[%zu] is not a whole number from 0 to %zu", what, i, most);
        (*numbers)[i] = (int32_t)json_integer_value(n);
    }
    return 0;
}

typedef struct {
    int32_t *ids, *positions, *place; // (T), (R), (T): 0, 1, 2, ...
    size_t length, wanted;
    void **keys, **values; // (L) of one block
    Arena arena;
    float *logits; // (R, V), in the arena
} Probe;

static void probe_free(Probe *p, bool keep_logits) {
    free(p->ids);
    free(p->positions);
    free(p->place);
    free(p->keys);
    free(p->values);
    if (!keep_logits) arena_destroy(&p->arena);
    p->ids = p->positions = p->place = NULL;
    p->keys = p->values = NULL;
}

static int probe_allocate(Probe *p, const Model *model, Error *error) {
    const HfConfig *c = model_config(model);
    size_t row = c->kv_heads * c->head_dim, element = dtype_bytes(model_options(model)->compute);
    p->place = calloc(p->length, sizeof *p->place);
    p->keys = calloc(c->layers, sizeof *p->keys);
    p->values = calloc(c->layers, sizeof *p->values);
    if (p->place == NULL || p->keys == NULL || p->values == NULL) return no_memory(error);
    for (int counting = 1; counting >= 0; counting--) {
        Arena arena = arena_counting();
        if (counting == 0) arena = p->arena;
        for (size_t l = 0; l < c->layers; l++) {
            p->keys[l] = arena_take(&arena, p->length * row, element);
            p->values[l] = arena_take(&arena, p->length * row, element);
        }
        p->logits = arena_take(&arena, p->wanted * c->vocabulary, sizeof(float));
        if (counting == 1 && arena_create(&p->arena, arena.used, error) != 0) return -1;
    }
    return 0;
}

static int probe_run(Probe *p, Model *model, const json_t *row, Error *error) {
    const json_t *positions = json_object_get(row, "positions");
    size_t vocabulary = model_config(model)->vocabulary;
    if (read_numbers(json_object_get(row, "ids"), vocabulary - 1, &p->ids, &p->length, "ids", error) != 0) return -1;
    if (p->length == 0) return error_set(error, ERROR_INPUT, "a row of {\"ids\": [...]} was expected");
    if (read_numbers(positions, p->length - 1, &p->positions, &p->wanted, "positions", error) != 0) return -1;
    if (positions == NULL) {
        p->wanted = p->length;
        free(p->positions);
        if ((p->positions = calloc(p->length, sizeof *p->positions)) == NULL) return no_memory(error);
        for (size_t t = 0; t < p->length; t++) p->positions[t] = (int32_t)t;
    }
    if (probe_allocate(p, model, error) != 0) return -1;
    for (size_t t = 0; t < p->length; t++) p->place[t] = (int32_t)t;
    const AttentionSegment segment = {.query_length = p->length, .key_length = p->length, .parent = -1};
    const KvArrays cache = {.key = p->keys, .value = p->values, .rows = p->length};
    const DecodeInput input = {.rows = p->length,
                               .token = p->ids,
                               .position = p->place,
                               .cache_row = p->place,
                               .segment = &segment,
                               .segments = 1,
                               .logit_row = p->positions,
                               .logit_rows = p->wanted};
    return model_decode(model, &cache, &input, p->logits, error);
}

int inspect_logits(const InspectValues *v, const char *path, Session *session, Error *error) {
    Model *model = NULL;
    if (need(v->tokens, "logits", "tokens", error) != 0 || need(v->out, "logits", "out", error) != 0) return -1;
    json_t *rows = inspect_read_lines(v->tokens, error);
    if (rows == NULL) return -1;
    size_t n = json_array_size(rows), done = 0;
    Probe *probe = calloc(n + 1, sizeof *probe);
    TensorSource *tensor = calloc(n + 1, sizeof *tensor);
    char(*name)[32] = calloc(n + 1, sizeof *name);
    int result = probe == NULL || tensor == NULL || name == NULL
                     ? no_memory(error)
                     : command_load_model(session, (ModelPlace){path, v->adapter}, false, &model, error);
    for (size_t i = 0; i < n && result == 0; i++, done++) {
        result = probe_run(&probe[i], model, json_array_get(rows, i), error);
        if (result != 0) error_prefix(error, "%s, row %zu", v->tokens, i + 1);
        snprintf(name[i], sizeof name[i], "%zu.logits", i);
        tensor[i] = (TensorSource){.name = name[i],
                                   .type = DTYPE_F32,
                                   .rank = 2,
                                   .shape = {probe[i].wanted, model_config(model)->vocabulary},
                                   .values = probe[i].logits};
        probe_free(&probe[i], true);
    }
    if (result == 0) result = safetensors_write_file(v->out, tensor, n, error);
    for (size_t i = 0; i < done && probe != NULL; i++) probe_free(&probe[i], false);
    model_free(model);
    free(probe);
    free(tensor);
    free(name);
    json_decref(rows);
    return result;
}

static int reference_sums(const InspectValues *v, Session *session, Model *model, const PreferenceData *data,
                          const PreferenceLoss *loss, ReferenceSums *sums, Error *error) {
    Model *other = NULL;
    int result =
        v->reference == NULL ? 0 : command_load_model(session, (ModelPlace){v->reference, NULL}, false, &other, error);
    if (result == 0)
        result = loss_reference_sums(other != NULL ? other : model, data, loss, other != NULL, 8192, sums,
                                     &session->log, error);
    model_free(other);
    return result;
}

static int write_gradient(Model *model, const char *path, Error *error) {
    size_t n = model_tensor_count(model);
    TensorSource *source = calloc(n + 1, sizeof *source);
    if (source == NULL) return no_memory(error);
    for (size_t i = 0; i < n; i++)
        source[i] = model_tensor_source(&model_tensors(model)[i], DTYPE_F32, model_gradients(model));
    int result = safetensors_write_file(path, source, n, error);
    free(source);
    return result;
}

/* The options that are keys of a recipe by another name, then --set. */
static int read_recipe(const InspectValues *v, const Session *session, const char *path, Recipe *recipe, Error *error) {
    char *preset[3] = {0};
    bool failed = asprintf(&preset[0], "train.beta=%.17g", v->beta) < 0 ||
                  asprintf(&preset[1], "reward.response_end=%s", v->response_end) < 0 ||
                  asprintf(&preset[2], "data.system=%s", v->system) < 0;
    int result = failed ? no_memory(error)
                        : recipe_options_read(recipe, session, path, "-", v->data, (const char *const *)preset, 3,
                                              &v->set, error);
    for (int i = 0; i < 3; i++) free(preset[i]);
    return result;
}

int inspect_gradient(const InspectValues *v, const char *path, Session *session, Error *error) {
    Model *model = NULL;
    Chat chat = {0};
    PreferenceData data = {0};
    TrainReport report = {0};
    Recipe recipe = {0};
    DpoContext context = {0};
    bool sft = strcmp(v->method, "sft") == 0;
    if (need(v->data, "gradient", "data", error) != 0 || need(v->out, "gradient", "out", error) != 0) return -1;
    int result = read_recipe(v, session, path, &recipe, error);
    if (result == 0) result = preference_loss_create(&context.loss, &recipe, &session->log, error);
    if (result == 0) result = rows_load_chat(&chat, path, error);
    if (result == 0) result = command_load_model(session, (ModelPlace){path, v->adapter}, true, &model, error);
    if (result == 0) {
        const EncodeRules rules = data_recipe_rules(&recipe, &chat, model_config(model));
        result = preference_data_add_pairs(&data, v->data, &rules, sft, &session->log, error);
    }
    TrainExample *example = calloc(data.pairs + 1, sizeof *example);
    ReferenceSums *sums = calloc(data.pairs + 1, sizeof *sums);
    if (example == NULL || sums == NULL) result = no_memory(error);
    for (size_t i = 0; i < data.pairs && result == 0; i++)
        example[i] = dpo_objective_example(&data.pair[i], i, sft ? 1 : 2);
    context.loss_pairs = recipe.train.loss_pairs;
    context.log_logits = recipe.train.log_logits;
    context.reference = sums;
    const TrainObjective objective = sft ? sft_objective() : dpo_objective(&context);
    if (result == 0 && !sft) result = reference_sums(v, session, model, &data, &context.loss, sums, error);
    if (result == 0)
        result = train_gradient(model, example, data.pairs, recipe.train.micro_tokens, &objective, &report, error);
    terminal_clear(&session->terminal);
    if (result == 0) result = write_gradient(model, v->out, error);
    if (result == 0) {
        json_t *o = json_pack("{s:f, s:f, s:I}", "loss", report.loss, "grad_norm", report.grad_norm, "rows",
                              (json_int_t)data.pairs);
        for (size_t i = 0; i < objective.metrics; i++)
            json_object_set_new(o, objective.metric_names[i], json_real(report.metric[i]));
        result = command_print_json(o, error);
    }
    free(example);
    free(sums);
    preference_data_free(&data);
    chat_free(&chat);
    model_free(model);
    recipe_free(&recipe);
    return result;
}
