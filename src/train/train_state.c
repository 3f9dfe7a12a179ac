#include "train/train_state.h"

#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const moment_names[2] = {"first", "second"};
enum { NAME_MAX_BYTES = 112 }; // "second." and the longest ModelTensor name

static bool is_adapter(const Model *model) { return model_options(model)->lora.r > 0; }

static const char *weights_file(const Model *model) {
    return is_adapter(model) ? "adapter_model.safetensors" : "model.safetensors";
}

static int save_weights(const char *directory, const Model *model, Error *error) {
    return is_adapter(model) ? model_adapter_save(model, directory, error)
                             : model_save(model, directory, DTYPE_F32, 0, error);
}

/* One moment as tensors under their names; names is (tensors) of NAME_MAX_BYTES. */
static void list_moment(const Model *model, int moment, const float *values, char (*names)[NAME_MAX_BYTES],
                        TensorSource *out) {
    const ModelTensor *tensor = model_tensors(model);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        snprintf(names[i], NAME_MAX_BYTES, "%s.%s", moment_names[moment], tensor[i].name);
        out[i] = model_tensor_source(&tensor[i], DTYPE_F32, values);
        out[i].name = names[i];
    }
}

static int save_optimizer(const char *directory, const Model *model, const Optimizer *optimizer, Error *error) {
    size_t n = model_tensor_count(model);
    char *path = file_join(directory, "optimizer.safetensors");
    char(*names)[NAME_MAX_BYTES] = calloc(2 * n, sizeof *names);
    TensorSource *source = calloc(2 * n, sizeof *source);
    int result = -1;
    if (path == NULL || names == NULL || source == NULL) {
        error_set(error, ERROR_MEMORY, "%s: no memory for the list of tensors", directory);
    } else {
        list_moment(model, 0, optimizer->first, names, source);
        list_moment(model, 1, optimizer->second, names + n, source + n);
        result = safetensors_write_file(path, source, 2 * n, error);
    }
    free(path);
    free(names);
    free(source);
    return result;
}

/* What the two tensor files hold. */
typedef struct {
    Hash model, optimizer;
} StateHash;

static int hash_of(Model *model, const Optimizer *optimizer, StateHash *hash, Error *error) {
    Hasher *hasher = hasher_create();
    if (hasher == NULL) return error_set(error, ERROR_MEMORY, "no memory for a hash");
    hasher_add(hasher, optimizer->first, optimizer->count * sizeof(float));
    hasher_add(hasher, optimizer->second, optimizer->count * sizeof(float));
    hash->optimizer = hasher_result(hasher);
    hasher_destroy(hasher);
    return model_hash(model, &hash->model, error);
}

static int save_state(const char *directory, Model *model, const Optimizer *optimizer, const TrainState *state,
                      Error *error) {
    char *path = file_join(directory, "state.json"), text[256];
    StateHash hash;
    int result = -1;
    if (path == NULL)
        error_set(error, ERROR_MEMORY, "%s: no memory for a file name", directory);
    else if (hash_of(model, optimizer, &hash, error) == 0) {
        int n =
            snprintf(text, sizeof text, "{\"step\": %zu, \"tokens\": %zu, \"model\": \"%s\", \"optimizer\": \"%s\"}\n",
                     state->step, state->tokens, hash.model.hex, hash.optimizer.hex);
        result = file_write(path, text, (size_t)n, error);
    }
    free(path);
    return result;
}

int train_state_save(const char *directory, Model *model, const Optimizer *optimizer, const TrainState *state,
                     Error *error) {
    char *partial = NULL;
    int result = -1;
    if (asprintf(&partial, "%s.partial", directory) < 0)
        return error_set(error, ERROR_MEMORY, "%s: no memory", directory);
    if (file_remove_tree(partial, error) == 0 && file_make_directory(partial, error) == 0 &&
        save_weights(partial, model, error) == 0 && save_optimizer(partial, model, optimizer, error) == 0 &&
        save_state(partial, model, optimizer, state, error) == 0 && file_remove_tree(directory, error) == 0)
        result = file_rename(partial, directory, error);
    if (result != 0) file_remove_tree(partial, NULL);
    free(partial);
    return result;
}

/* Every tensor of the model from the checkpoint, under `prefix` and its name, into values by offset. */
static int load_tensors(const Checkpoint *file, const char *place, const Model *model, const char *prefix,
                        float *values, Error *error) {
    const ModelTensor *tensor = model_tensors(model);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof name, "%s%s", prefix, tensor[i].name);
        const TensorView *view = checkpoint_find(file, name);
        if (view == NULL || view->rank != tensor[i].rank ||
            memcmp(view->shape, tensor[i].shape, view->rank * sizeof(size_t)) != 0)
            return error_set(error, ERROR_MISMATCH,
                             "%s: the tensor \"%s\" is missing or of another shape: the checkpoint is of another model",
                             place, name);
        if (tensor_read_f32(view, 0, view->elements, values + tensor[i].offset, error) != 0) return -1;
    }
    return 0;
}

static int load_file(const char *directory, const char *file, Checkpoint **checkpoint, Error *error) {
    char *path = file_join(directory, file);
    if (path == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for a file name", directory);
    int result = checkpoint_open(checkpoint, path, error);
    free(path);
    return result;
}

static int load_state(const char *directory, TrainState *state, StateHash *hash, Error *error) {
    char *path = file_join(directory, "state.json");
    if (path == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for a file name", directory);
    int result = -1;
    int64_t step = -1, tokens = -1;
    json_t *root = json_parse_file(path, error),
           *model = root == NULL ? NULL : json_need(root, "model", JSON_STRING, path, error),
           *optimizer = model == NULL ? NULL : json_need(root, "optimizer", JSON_STRING, path, error);
    if (optimizer != NULL && json_get_integer(root, "step", 0, INT64_MAX, &step, path, error) == 0 &&
        json_get_integer(root, "tokens", 0, INT64_MAX, &tokens, path, error) == 0) {
        if (step < 0 || tokens < 0) {
            error_set(error, ERROR_INPUT, "%s: \"step\" or \"tokens\" is missing", path);
        } else {
            *state = (TrainState){.step = (size_t)step, .tokens = (size_t)tokens};
            snprintf(hash->model.hex, sizeof hash->model.hex, "%s", json_string_value(model));
            snprintf(hash->optimizer.hex, sizeof hash->optimizer.hex, "%s", json_string_value(optimizer));
            result = 0;
        }
    }
    json_decref(root);
    free(path);
    return result;
}

/* The files must hold what was saved. */
static int check_hash(const char *directory, Model *model, const Optimizer *optimizer, const StateHash *expected,
                      Error *error) {
    StateHash found;
    if (hash_of(model, optimizer, &found, error) != 0) return -1;
    bool weights = strcmp(found.model.hex, expected->model.hex) == 0;
    if (weights && strcmp(found.optimizer.hex, expected->optimizer.hex) == 0) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s/%s: the numbers are not those that were saved: the checkpoint is damaged; remove it",
                     directory, weights ? "optimizer.safetensors" : weights_file(model));
}

int train_state_load(const char *directory, Model *model, Optimizer *optimizer, TrainState *state, Error *error) {
    Checkpoint *weights = NULL, *moments = NULL;
    StateHash expected;
    int result = -1;
    if (load_state(directory, state, &expected, error) == 0 &&
        load_file(directory, weights_file(model), &weights, error) == 0 &&
        load_file(directory, "optimizer.safetensors", &moments, error) == 0 &&
        load_tensors(weights, directory, model, "", model_weights(model), error) == 0 &&
        load_tensors(moments, directory, model, "first.", optimizer->first, error) == 0 &&
        load_tensors(moments, directory, model, "second.", optimizer->second, error) == 0 &&
        check_hash(directory, model, optimizer, &expected, error) == 0) {
        optimizer->steps = state->step;
        result = model_pack(model, error);
    }
    checkpoint_close(weights);
    checkpoint_close(moments);
    return result;
}
