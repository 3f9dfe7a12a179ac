#include "formats/peft_adapter.h"
#include "base/file.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const target_names[PEFT_TARGETS] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                       "gate_proj", "up_proj", "down_proj"};

static const char *parent_of(PeftTarget target) { return target <= PEFT_O ? "self_attn" : "mlp"; }

double peft_adapter_scale(const LoraSettings *s) { return s->alpha / (s->rslora ? sqrt((double)s->r) : (double)s->r); }

void peft_adapter_name(size_t layer, PeftTarget target, char matrix, char out[PEFT_NAME]) {
    snprintf(out, PEFT_NAME, "base_model.model.model.layers.%zu.%s.%s.lora_%c.weight", layer, parent_of(target),
             target_names[target], matrix);
}

/* --- adapter_config.json, read --- */

/* PEFT writes "model.layers.0.mlp.up_proj", one for each layer, where a model has few: what follows the layer. Whether
 * all layers are there shows when their tensors are looked for. */
static const char *without_layer(const char *name) {
    const char *number = strncmp(name, "model.layers.", 13) == 0 ? name + 13 : name;
    size_t digits = strspn(number, "0123456789");
    return number != name && digits > 0 && number[digits] == '.' ? number + digits + 1 : name;
}

int peft_adapter_targets(const char *const *name, size_t n, const char *place, ErrorCode code, unsigned *targets,
                         Error *error) {
    *targets = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned bits = strcmp(name[i], "all-linear") == 0 ? PEFT_ALL_LINEAR : 0;
        for (int t = 0; t < PEFT_TARGETS; t++) {
            char whole[32];
            snprintf(whole, sizeof whole, "%s.%s", parent_of((PeftTarget)t), target_names[t]);
            if (strcmp(name[i], target_names[t]) == 0 || strcmp(without_layer(name[i]), whole) == 0) bits |= 1u << t;
        }
        if (bits == 0)
            return error_set(error, code,
                             "%s: the target module \"%.80s\" is none of q_proj, k_proj, v_proj, o_proj, gate_proj, "
                             "up_proj, down_proj, all-linear: adapters on other modules are not supported",
                             place, name[i]);
        *targets |= bits;
    }
    if (*targets != 0) return 0;
    return error_set(error, code, "%s: there is no target module; name some, or all-linear", place);
}

static int read_targets(const json_t *root, const char *name, LoraSettings *s, Error *error) {
    const json_t *list = json_object_get(root, "target_modules");
    size_t n = json_is_string(list) ? 1 : json_array_size(list);
    char place[512];
    snprintf(place, sizeof place, "%.400s: \"target_modules\"", name);
    const char **names = calloc(n + 1, sizeof *names);
    if (names == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", name);
    int result = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        names[i] = json_string_value(json_is_string(list) ? list : json_array_get(list, i));
        if (names[i] == NULL)
            result = error_set(error, ERROR_INPUT, "%s holds %s where the name of a module was expected", place,
                               json_type_name(json_typeof(json_array_get(list, i))));
    }
    if (result == 0) result = peft_adapter_targets(names, n, place, ERROR_UNSUPPORTED, &s->targets, error);
    free(names);
    return result;
}

/* Keys that change nothing in what the adapter computes, or are read elsewhere. */
static bool is_known(const char *key) {
    static const char *const keys[] = {"auto_mapping",
                                       "base_model_name_or_path",
                                       "inference_mode",
                                       "init_lora_weights",
                                       "lora_alpha",
                                       "lora_dropout",
                                       "megatron_core",
                                       "peft_type",
                                       "peft_version",
                                       "qalora_group_size",
                                       "r",
                                       "revision",
                                       "runtime_config",
                                       "target_modules",
                                       "task_type",
                                       "use_rslora"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0) return true;
    return false;
}

/* What a key that is not used may hold: null, false, "", "none", [], {}. */
static bool is_off(const json_t *value) {
    const char *text = json_string_value(value);
    if (text != NULL) return *text == 0 || strcmp(text, "none") == 0;
    return json_is_null(value) || json_is_false(value) || (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static int check_keys(json_t *root, const char *name, Error *error) {
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        if (is_known(key) || is_off(value)) continue;
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: \"%.80s\" is set, which this program does not have: plain LoRA with one rank is "
                         "supported, without DoRA, biases, fan_in_fan_out, modules_to_save and patterns",
                         name, key);
    }
    return 0;
}

/* Some kinds of initialisation change the weights of the base, too: the adapter alone would not be the model. */
static int check_initialisation(const json_t *root, const char *name, Error *error) {
    const json_t *value = json_object_get(root, "init_lora_weights");
    const char *text = json_string_value(value);
    if (value == NULL || json_is_null(value) || json_is_boolean(value)) return 0;
    if (text != NULL && (strcmp(text, "gaussian") == 0 || strcmp(text, "eva") == 0 || strcmp(text, "orthogonal") == 0))
        return 0;
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: \"init_lora_weights\" is %s%.60s%s, which may go with changed weights of the base; save the "
                     "adapter again as a plain one",
                     name, text == NULL ? "no text" : "\"", text == NULL ? "" : text, text == NULL ? "" : "\"");
}

static int read_numbers(const json_t *root, const char *name, LoraSettings *s, Error *error) {
    int64_t r = 8; // PEFT's defaults
    int rslora = 0;
    double alpha = 8, dropout = 0;
    if (json_get_integer(root, "r", 1, PEFT_MOST_RANK, &r, name, error) != 0 ||
        json_get_number(root, "lora_alpha", &alpha, name, error) != 0 ||
        json_get_number(root, "lora_dropout", &dropout, name, error) != 0 ||
        json_get_bool(root, "use_rslora", &rslora, name, error) != 0)
        return -1;
    if (!(dropout >= 0 && dropout < 1))
        return error_set(error, ERROR_INPUT, "%s: \"lora_dropout\" is %g, a number from 0 to below 1 was expected",
                         name, dropout);
    if (!(alpha > 0 && alpha <= 1e6))
        return error_set(error, ERROR_INPUT, "%s: \"lora_alpha\" is %g, a number above 0 was expected", name, alpha);
    *s = (LoraSettings){.r = (size_t)r, .alpha = alpha, .dropout = dropout, .rslora = rslora != 0};
    return 0;
}

int peft_adapter_parse(const char *text, size_t bytes, const char *name, LoraSettings *settings, char **base,
                       Error *error) {
    *base = NULL;
    json_t *root = json_parse(text, bytes, name, 1, error);
    int result = -1;
    const json_t *type = root == NULL ? NULL : json_need(root, "peft_type", JSON_STRING, name, error);
    if (type != NULL && strcmp(json_string_value(type), "LORA") != 0)
        error_set(error, ERROR_UNSUPPORTED, "%s: \"peft_type\" is \"%.60s\", only \"LORA\" is supported", name,
                  json_string_value(type));
    else if (type != NULL && read_numbers(root, name, settings, error) == 0 &&
             read_targets(root, name, settings, error) == 0 && check_initialisation(root, name, error) == 0 &&
             check_keys(root, name, error) == 0) {
        const char *found = json_string_value(json_object_get(root, "base_model_name_or_path"));
        result = found != NULL && (*base = strdup(found)) == NULL
                     ? error_set(error, ERROR_MEMORY, "%s: no memory for a name", name)
                     : 0;
    }
    json_decref(root);
    return result;
}

static int read_config(const char *directory, LoraSettings *settings, char **base, Error *error) {
    FileMap map = {0};
    char *path = file_join(directory, "adapter_config.json");
    if (path == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for a file name", directory);
    int result = file_map(&map, path, error);
    if (result == 0) {
        result =
            peft_adapter_parse(map.data == NULL ? "" : (const char *)map.data, map.size, path, settings, base, error);
        file_unmap(&map);
    } else if (file_is_directory(directory)) {
        error_prefix(error, "%s is no PEFT directory", directory);
    }
    free(path);
    return result;
}

int peft_adapter_settings(const char *directory, LoraSettings *settings, Error *error) {
    char *base = NULL;
    int result = read_config(directory, settings, &base, error);
    free(base);
    return result;
}

/* --- adapter_model.safetensors, read --- */

int peft_adapter_open(PeftAdapter *adapter, const char *directory, Error *error) {
    *adapter = (PeftAdapter){.directory = strdup(directory)};
    char *path = file_join(directory, "adapter_model.safetensors"), *pickle = file_join(directory, "adapter_model.bin");
    int result = -1;
    if (adapter->directory == NULL || path == NULL || pickle == NULL)
        error_set(error, ERROR_MEMORY, "%s: no memory for a file name", directory);
    else if (read_config(directory, &adapter->settings, &adapter->base, error) == 0) {
        if (!file_exists(path) && file_exists(pickle))
            error_set(error, ERROR_UNSUPPORTED,
                      "%s: a pickled adapter may run code and is not read; save it again with safe_serialization",
                      pickle);
        else
            result = checkpoint_open(&adapter->tensors, path, error);
    }
    free(path);
    free(pickle);
    return result;
}

void peft_adapter_close(PeftAdapter *adapter) {
    checkpoint_close(adapter->tensors);
    free(adapter->directory);
    free(adapter->base);
    *adapter = (PeftAdapter){0};
}

int peft_adapter_find(const PeftAdapter *adapter, const char *name, size_t rows, size_t columns,
                      const TensorView **view, Error *error) {
    const TensorView *v = *view = checkpoint_find(adapter->tensors, name);
    if (v == NULL)
        return error_set(error, ERROR_INPUT,
                         "%s: the tensor \"%s\" that adapter_config.json and the model ask for is missing",
                         adapter->directory, name);
    if (v->rank == 2 && v->shape[0] == rows && v->shape[1] == columns) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s: tensor \"%s\" has shape (%zu, %zu), but (%zu, %zu) was expected: the adapter belongs to "
                     "another model, or to another rank",
                     adapter->directory, name, v->rank > 0 ? v->shape[0] : 0, v->rank > 1 ? v->shape[1] : 0, rows,
                     columns);
}

int peft_adapter_check_names(const PeftAdapter *adapter, size_t layers, Error *error) {
    size_t expected = 2 * layers * (size_t)__builtin_popcount(adapter->settings.targets);
    if (checkpoint_count(adapter->tensors) == expected) return 0; // all of them were found before
    for (size_t i = 0; i < checkpoint_count(adapter->tensors); i++) {
        const char *name = checkpoint_at(adapter->tensors, i)->name;
        bool found = false;
        for (size_t l = 0; l < layers && !found; l++)
            for (int t = 0; t < PEFT_TARGETS && !found; t++)
                for (int matrix = 'A'; matrix <= 'B' && !found; matrix++) {
                    char own[PEFT_NAME];
                    peft_adapter_name(l, (PeftTarget)t, (char)matrix, own);
                    found = (adapter->settings.targets >> t & 1) != 0 && strcmp(own, name) == 0;
                }
        if (!found)
            return error_set(error, ERROR_UNSUPPORTED,
                             "%s: tensor \"%.200s\" has no place in this model with this adapter_config.json, so "
                             "results would be wrong without it",
                             adapter->directory, name);
    }
    return 0;
}

/* --- adapter_config.json, written --- */

/* Keys that every version of PEFT knows; those of later versions have the defaults there. */
static json_t *config_of(const LoraSettings *s, const char *base) {
    json_t *targets = json_array();
    for (int t = 0; t < PEFT_TARGETS; t++)
        if (s->targets >> t & 1) json_array_append_new(targets, json_string(target_names[t]));
    json_t *alpha = s->alpha == floor(s->alpha) ? json_integer((json_int_t)s->alpha) : json_real(s->alpha);
    return json_pack("{s:{}, s:n, s:s, s:s, s:b, s:b, s:b, s:n, s:n, s:o, s:f, s:n, s:s, s:I, s:{}, s:n, s:o, s:s, "
                     "s:b, s:b}",
                     "alpha_pattern", "auto_mapping", "base_model_name_or_path", base, "bias", "none", "fan_in_fan_out",
                     0, "inference_mode", 1, "init_lora_weights", 1, "layers_pattern", "layers_to_transform",
                     "lora_alpha", alpha, "lora_dropout", s->dropout, "modules_to_save", "peft_type", "LORA", "r",
                     (json_int_t)s->r, "rank_pattern", "revision", "target_modules", targets, "task_type", "CAUSAL_LM",
                     "use_dora", 0, "use_rslora", (int)s->rslora);
}

int peft_adapter_write_config(const char *directory, const LoraSettings *settings, const char *base, Error *error) {
    char *path = file_join(directory, "adapter_config.json");
    json_t *config = config_of(settings, base);
    char *text = config == NULL ? NULL : json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    int result = path == NULL || text == NULL
                     ? error_set(error, ERROR_MEMORY, "%s: no memory for adapter_config.json", directory)
                     : file_write(path, text, strlen(text), error);
    json_decref(config);
    free(path);
    free(text);
    return result;
}
