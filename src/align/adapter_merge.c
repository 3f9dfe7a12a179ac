#include "align/adapter_merge.h"

#include "formats/hf_config.h"
#include "formats/peft_adapter.h"
#include "formats/safetensors_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One tensor of the checkpoint, and what is added to it. */
typedef struct {
    const KernelTable *kernels;
    const TensorView *weight;
    float scale;
    size_t r, in;
    float *a, *b, *row; // (r, in), (out, r), (in): NULL where nothing is added
} Merged;

static int read_row(const void *context, size_t row, float *out, Error *error) {
    const Merged *m = context;
    size_t width = m->weight->shape[m->weight->rank - 1];
    if (tensor_read_f32(m->weight, row * width, width, out, error) != 0) return -1;
    if (m->a == NULL) return 0;
    memset(m->row, 0, m->in * sizeof *m->row);
    for (size_t k = 0; k < m->r; k++) m->kernels->axpy(m->in, m->b[row * m->r + k], m->a + k * m->in, m->row);
    m->kernels->axpy(m->in, m->scale, m->row, out);
    return 0;
}

/* "model.layers.0.mlp.up_proj.weight" -> what PEFT calls the matrices on it; false where it can have none. */
static bool name_of(const TensorView *weight, char matrix, char out[PEFT_NAME]) {
    const char *end = strrchr(weight->name, '.');
    if (weight->rank != 2 || end == NULL || strcmp(end, ".weight") != 0) return false;
    int n = snprintf(out, PEFT_NAME, "base_model.model.%.*s.lora_%c.weight", (int)(end - weight->name), weight->name,
                     matrix);
    return n < PEFT_NAME;
}

static float *read_all(const TensorView *view, Error *error) {
    float *values = malloc((view->elements + 1) * sizeof *values);
    if (values == NULL) {
        error_set(error, ERROR_MEMORY, "no memory for the tensor \"%s\"", view->name);
        return NULL;
    }
    if (tensor_read_f32(view, 0, view->elements, values, error) == 0) return values;
    free(values);
    return NULL;
}

/* Fills in what is added to m->weight, if anything; counts it. */
static int find_adapter(Merged *m, const PeftAdapter *adapter, size_t *merged, Error *error) {
    char a[PEFT_NAME], b[PEFT_NAME];
    const TensorView *view[2];
    if (!name_of(m->weight, 'A', a) || checkpoint_find(adapter->tensors, a) == NULL) return 0;
    name_of(m->weight, 'B', b);
    m->r = adapter->settings.r, m->in = m->weight->shape[1];
    m->scale = (float)peft_adapter_scale(&adapter->settings);
    if (peft_adapter_find(adapter, a, m->r, m->in, &view[0], error) != 0 ||
        peft_adapter_find(adapter, b, m->weight->shape[0], m->r, &view[1], error) != 0 ||
        (m->a = read_all(view[0], error)) == NULL || (m->b = read_all(view[1], error)) == NULL)
        return -1;
    m->row = malloc(m->in * sizeof *m->row);
    ++*merged;
    return m->row != NULL ? 0 : error_set(error, ERROR_MEMORY, "no memory for a row of %zu", m->in);
}

/* Every target of every layer must have been merged, and nothing else be in the file. */
static int check_complete(const PeftAdapter *adapter, const char *base, size_t merged, Error *error) {
    HfConfig config;
    if (hf_config_read(&config, base, error) != 0) return -1;
    size_t expected = config.layers * (size_t)__builtin_popcount(adapter->settings.targets);
    if (merged == expected) return peft_adapter_check_names(adapter, config.layers, error);
    return error_set(error, ERROR_INPUT,
                     "%s: %zu of the %zu linear layers that its configuration names in %s have an adapter: it belongs "
                     "to another model, or is incomplete",
                     adapter->directory, merged, expected, base);
}

int adapter_merge(const KernelTable *kernels, const char *base, const char *adapter, const char *to, DType type,
                  size_t shard_bytes, Error *error) {
    PeftAdapter low_rank;
    Checkpoint *checkpoint = NULL;
    Merged *merged = NULL;
    TensorSource *source = NULL;
    size_t n = 0, count = 0;
    int result = -1;
    if (peft_adapter_open(&low_rank, adapter, error) != 0 || checkpoint_open(&checkpoint, base, error) != 0) goto done;
    n = checkpoint_count(checkpoint);
    merged = calloc(n + 1, sizeof *merged);
    source = calloc(n + 1, sizeof *source);
    if (merged == NULL || source == NULL) {
        error_set(error, ERROR_MEMORY, "%s: no memory to list %zu tensors", base, n);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        const TensorView *view = checkpoint_at(checkpoint, i);
        merged[i] = (Merged){.kernels = kernels, .weight = view};
        if (find_adapter(&merged[i], &low_rank, &count, error) != 0) goto done;
        source[i] = (TensorSource){
            .name = view->name, .type = type, .rank = view->rank, .read_row = read_row, .context = &merged[i]};
        memcpy(source[i].shape, view->shape, view->rank * sizeof *view->shape);
    }
    if (check_complete(&low_rank, base, count, error) == 0)
        result = safetensors_write(to, source, n, shard_bytes, error);
done:
    for (size_t i = 0; i < n && merged != NULL; i++) free(merged[i].a), free(merged[i].b), free(merged[i].row);
    free(merged);
    free(source);
    checkpoint_close(checkpoint);
    peft_adapter_close(&low_rank);
    return result;
}
