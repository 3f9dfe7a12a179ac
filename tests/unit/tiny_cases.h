/* tiny_cases.h - the tiny golden models: their prompts and branches as a Batch, and the numbers that Hugging Face
 * transformers computed for them in double precision (layout and bounds: README of the oracle). Two of them are in
 * tests/data; the others lie beside the repository. */
#pragma once
#include "base/file.h"
#include "base/json.h"
#include "model/model.h"
#include "test.h"
#include <math.h>
#include <string.h>

enum { TINY_PROMPTS = 4, TINY_BRANCHES = 4, TINY_MODELS = 6 };
static const char *const tiny_models[TINY_MODELS] = {"llama_tied", "llama_rope3", "mistral_swa",
                                                     "qwen2_tied", "qwen3_hd",    "gemma3_text"};

/* A test of one of them, which gets its name as the state. */
#define TINY_TEST(check, model)                                                                                        \
    { #check "_" #model, check, NULL, NULL, #model }

static inline const char *tiny_path(const char *model, const char *file, char *path, size_t capacity) {
    snprintf(path, capacity, "tests/data/tiny/%s/%s", model, file);
    if (file_exists(path)) return path;
    char name[256];
    snprintf(name, sizeof name, "oracle/tiny/%s/%s", model, file);
    return test_shared(name, path, capacity);
}

/* A safetensors file of goldens: float64, float32 or int32, which the library's reader does not take. */
typedef struct {
    FileMap map;
    json_t *header;
    const uint8_t *data;
} Golden;

static inline void golden_open(Golden *g, const char *path) {
    Error error = {0};
    if (file_map(&g->map, path, &error) != 0) fail_msg("%s", error.message);
    uint64_t length;
    memcpy(&length, g->map.data, 8);
    g->header = json_parse((const char *)g->map.data + 8, length, path, 1, &error);
    if (g->header == NULL) fail_msg("%s", error.message);
    g->data = g->map.data + 8 + length;
}

static inline void golden_close(Golden *g) {
    json_decref(g->header);
    file_unmap(&g->map);
}

/* Tensor `name` as doubles that the caller frees. */
static inline double *golden_read(const Golden *g, const char *name, size_t *count) {
    const json_t *entry = json_object_get(g->header, name), *at = json_object_get(entry, "data_offsets");
    if (entry == NULL) fail_msg("no golden %s", name);
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    size_t begin = (size_t)json_integer_value(json_array_get(at, 0)),
           end = (size_t)json_integer_value(json_array_get(at, 1));
    bool wide = strcmp(type, "F64") == 0, whole = strcmp(type, "I32") == 0;
    size_t n = (end - begin) / (wide ? 8 : 4);
    double *out = malloc((n + 1) * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        float f;
        int32_t w;
        if (wide)
            memcpy(out + i, g->data + begin + 8 * i, 8);
        else if (whole)
            memcpy(&w, g->data + begin + 4 * i, 4), out[i] = (double)w;
        else
            memcpy(&f, g->data + begin + 4 * i, 4), out[i] = (double)f;
    }
    if (count != NULL) *count = n;
    return out;
}

static inline int32_t *tiny_ids(const json_t *list, size_t *length) {
    *length = json_array_size(list);
    int32_t *ids = malloc((*length + 1) * sizeof *ids);
    for (size_t i = 0; i < *length; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return ids;
}

/* Ids of prompt p, and of its branch b. */
static inline int32_t *tiny_prompt(const json_t *cases, size_t p, size_t *length) {
    return tiny_ids(json_object_get(json_array_get(json_object_get(cases, "prompts"), p), "ids"), length);
}
static inline const json_t *tiny_branch_of(const json_t *cases, size_t p, size_t b) {
    return json_array_get(json_object_get(json_array_get(json_object_get(cases, "prompts"), p), "branches"), b);
}
static inline int32_t *tiny_branch(const json_t *cases, size_t p, size_t b, size_t *length) {
    return tiny_ids(json_object_get(tiny_branch_of(cases, p, b), "ids"), length);
}

/* Adds a prompt and branches [first, first + branches) of it. */
static inline void tiny_add(Batch *batch, const json_t *cases, size_t p, size_t first, size_t branches) {
    Error error = {0};
    size_t length, trunk;
    int32_t *ids = tiny_prompt(cases, p, &length);
    if (batch_add_trunk(batch, ids, length, &trunk, &error) != 0) fail_msg("%s", error.message);
    free(ids);
    for (size_t b = first; b < first + branches; b++) {
        ids = tiny_branch(cases, p, b, &length);
        if (batch_add_branch(batch, trunk, ids, length, &error) != 0) fail_msg("%s", error.message);
        free(ids);
    }
}

static inline json_t *tiny_cases(const char *model) {
    char path[512];
    Error error = {0};
    if (tiny_path(model, "cases.json", path, sizeof path) == NULL) skip();
    json_t *cases = json_parse_file(path, &error);
    if (cases == NULL) fail_msg("%s", error.message);
    return cases;
}

static inline Model *tiny_load(const char *name, const KernelTable *kernels, DType compute, bool trainable,
                               bool checkpoint) {
    char path[512];
    Error error = {0};
    Model *model = NULL;
    if (tiny_path(name, "model/config.json", path, sizeof path) == NULL) skip();
    path[strlen(path) - strlen("/config.json")] = 0;
    ModelOptions options = {
        .kernels = kernels, .compute = compute, .trainable = trainable, .checkpoint_activations = checkpoint};
    if (model_load(&model, path, &options, &error) != 0) fail_msg("%s", error.message);
    return model;
}

/* Largest and root mean square difference. */
typedef struct {
    double max, sum_squares;
    size_t count;
} Deviation;
static inline void deviation_add(Deviation *d, double difference) {
    if (!(fabs(difference) <= d->max)) d->max = fabs(difference);
    d->sum_squares += difference * difference, d->count++;
}
static inline double deviation_rms(const Deviation *d) { return sqrt(d->sum_squares / (double)d->count); }
