#include "base/file.h"
#include "formats/safetensors_writer.h"
#include "kernels/adamw.h"
#include "model/lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int lora_name_base(Lora *lora, const char *directory, Error *error) {
    lora->base = realpath(directory, NULL);
    if (lora->base == NULL) lora->base = strdup(directory);
    return lora->base != NULL ? 0 : error_set(error, ERROR_MEMORY, "%s: no memory for a name", directory);
}

int model_adapter_initialize(Model *m, uint64_t seed, Error *error) {
    const Lora *lora = &m->lora;
    for (size_t i = 0; i < lora->tensors; i++) {
        const ModelTensor *t = &lora->tensor[i];
        float *values = lora->weights + t->offset;
        bool is_a = strstr(t->name, ".lora_A.") != NULL;
        const double bound = 1 / sqrt((double)t->shape[1]);
        const RngAddress address = {.seed = seed, .stream = RNG_INIT, .item = (uint32_t)i};
        for (size_t k = 0; k < t->elements; k++)
            values[k] = is_a ? (float)((2 * rng_uniform(&address, (uint32_t)k) - 1) * bound) : 0;
    }
    m->lora.on = true;
    return lora_pack(m, error);
}

static bool is_same_shape(const LoraSettings *a, const LoraSettings *b) {
    return a->r == b->r && a->alpha == b->alpha && a->rslora == b->rslora && a->targets == b->targets;
}

static int check_settings(const LoraSettings *own, const PeftAdapter *adapter, Error *error) {
    const LoraSettings *s = &adapter->settings;
    if (is_same_shape(s, own)) return 0;
    return error_set(error, ERROR_MISMATCH,
                     "%s: the adapter has r %zu, alpha %g, rslora %d, target modules 0x%x, but r %zu, alpha %g, rslora "
                     "%d, target modules 0x%x were expected",
                     adapter->directory, s->r, s->alpha, (int)s->rslora, s->targets, own->r, own->alpha,
                     (int)own->rslora, own->targets);
}

/* Tensor i of the adapter as PEFT counts it. */
static int read_tensor(const Lora *lora, size_t i, const PeftAdapter *adapter, Error *error) {
    const ModelTensor *t = &lora->tensor[i];
    const TensorView *view;
    if (peft_adapter_find(adapter, t->name, t->shape[0], t->shape[1], &view, error) != 0) return -1;
    return tensor_read_f32(view, 0, view->elements, lora->weights + t->offset, error);
}

int model_adapter_load(Model *m, const char *directory, Error *error) {
    PeftAdapter adapter;
    int result = peft_adapter_open(&adapter, directory, error);
    if (result == 0) result = check_settings(&m->lora.settings, &adapter, error);
    for (size_t i = 0; i < m->lora.tensors && result == 0; i++) result = read_tensor(&m->lora, i, &adapter, error);
    if (result == 0) result = peft_adapter_check_names(&adapter, m->lora.layers, error);
    if (result == 0) result = lora_pack(m, error);
    if (result == 0) m->lora.on = true;
    peft_adapter_close(&adapter);
    return result;
}

/* Whether only the adapter need be exchanged to make `model` the one that is asked for. */
static bool can_exchange(const Model *model, const char *directory, const char *adapter, const ModelOptions *options) {
    const ModelOptions *own = &model->options;
    return own->lora.r > 0 && (adapter == NULL || is_same_shape(&own->lora, &options->lora)) &&
           own->compute == options->compute && own->trainable == options->trainable &&
           file_is_same(model->lora.base, directory);
}

int model_load_adapted(Model **model, const char *directory, const char *adapter, const ModelOptions *options,
                       Error *error) {
    int result = 0;
    if (*model == NULL || !can_exchange(*model, directory, adapter, options)) {
        model_free(*model);
        *model = NULL;
        result = model_load(model, directory, options, error);
    }
    if (result == 0 && adapter != NULL) result = model_adapter_load(*model, adapter, error);
    if (result == 0 && adapter == NULL) model_adapter_switch(*model, false);
    if (result == 0) return 0;
    model_free(*model);
    *model = NULL;
    return -1;
}

int model_adapter_save(const Model *m, const char *directory, Error *error) {
    const Lora *lora = &m->lora;
    TensorSource *source = calloc(lora->tensors + 1, sizeof *source);
    char *path = file_join(directory, "adapter_model.safetensors");
    int result = source == NULL || path == NULL
                     ? error_set(error, ERROR_MEMORY, "%s: no memory to list %zu tensors", directory, lora->tensors)
                     : 0;
    for (size_t i = 0; i < lora->tensors && result == 0; i++) {
        const ModelTensor *t = &lora->tensor[i];
        const float *values = lora->weights + t->offset;
        if (!isfinite(adamw_sum_squares(m->options.kernels, t->elements, values)))
            result = error_set(error, ERROR_NUMERIC, "%s: not written: tensor \"%s\" holds a value that is not finite",
                               directory, t->name);
        source[i] = model_tensor_source(t, DTYPE_F32, lora->weights);
    }
    if (result == 0) result = safetensors_write_file(path, source, lora->tensors, error);
    if (result == 0) result = peft_adapter_write_config(directory, &lora->settings, lora->base, error);
    free(source);
    free(path);
    return result;
}

int lora_hash(const Model *m, const Hash *base, Hash *hash, Error *error) {
    const Lora *lora = &m->lora;
    char settings[160];
    Hasher *hasher = hasher_create();
    if (hasher == NULL) return error_set(error, ERROR_MEMORY, "no memory for a hash");
    snprintf(settings, sizeof settings, "%s lora %zu %a 0x%x\n", base->hex, lora->settings.r, (double)lora->scale,
             lora->settings.targets);
    hasher_add(hasher, settings, strlen(settings));
    hasher_add(hasher, lora->weights, lora->elements * sizeof *lora->weights);
    *hash = hasher_result(hasher);
    hasher_destroy(hasher);
    return 0;
}

void model_adapter_switch(Model *m, bool on) { m->lora.on = on; }

void model_adapter_dropout(Model *m, const RngAddress *pass) {
    m->lora.dropout_key = pass == NULL || m->lora.settings.dropout == 0 ? 0 : rng_u64(pass, 0);
}
