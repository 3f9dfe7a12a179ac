#include "formats/safetensors_writer.h"
#include "kernels/adamw.h"
#include "model/lora.h"
#include "model/weights.h"

#include <math.h>
#include <stdlib.h>

/* The one list of the model's own arrays, for counting and for allocating. */
static void lay_out(Model *m, Arena *arena) {
    const Dims d = m->dims;
    bool masters = model_has_masters(&m->options);
    m->weights = arena_take(arena, masters ? m->parameters.elements : m->parameters.vectors, sizeof(float));
    m->gradients = masters ? arena_take(arena, m->parameters.elements, sizeof(float)) : NULL;
    m->embedding = masters ? NULL : arena_take(arena, d.V * d.C, dtype_bytes(m->options.compute));
    m->norms = m->config.norm_offset != 0 ? arena_take(arena, m->parameters.vectors, sizeof(float)) : NULL;
    for (size_t k = 0; k < m->config.ropes; k++)
        m->rope[k] = arena_take(arena, m->config.max_positions * d.D, sizeof(float));
    if (m->lora.settings.r > 0) lora_lay_out(&m->lora, arena, &m->config, &m->options);
}

/* Of a layer's weights. Below an adapter they are packed once; linear_begin_backward makes the other layout. */
static unsigned uses_of(const ModelOptions *options) {
    return model_has_masters(options) ? GEMM_FORWARD | GEMM_DATA_GRADIENT : GEMM_FORWARD;
}

static bool turns_weights(const ModelOptions *options) { return options->trainable && !model_has_masters(options); }

static TokenHeadUse head_use(const ModelOptions *options) {
    return !options->trainable ? TOKEN_HEAD_FORWARD : turns_weights(options) ? TOKEN_HEAD_FROZEN : TOKEN_HEAD_TRAINED;
}

/* Sizes of a layer's fused weights. */
typedef struct {
    size_t out, in;
} WeightSize;

static WeightSize weight_size(Dims d, Linear linear) {
    const WeightSize sizes[LINEARS] = {[LINEAR_QKV] = {d.QKV, d.C},
                                       [LINEAR_O] = {d.C, d.HD},
                                       [LINEAR_GATE_UP] = {2 * d.F, d.C},
                                       [LINEAR_DOWN] = {d.C, d.F}};
    return sizes[linear];
}

/* Bytes of a layer's packed weights. */
static size_t layer_bytes(Dims d, const ModelOptions *options, unsigned uses) {
    size_t bytes = 0;
    for (int i = 0; i < LINEARS; i++) {
        const WeightSize s = weight_size(d, (Linear)i);
        bytes += gemm_weight_bytes(options->kernels->isa, s.out, s.in, options->compute, uses);
    }
    return bytes;
}

/* What turning a layer's weights takes: one layer, and the largest of its weights. */
static size_t turning_bytes(Dims d, const ModelOptions *options) {
    size_t most = 0;
    for (int i = 0; i < LINEARS; i++) {
        const WeightSize s = weight_size(d, (Linear)i);
        if (s.out * s.in > most) most = s.out * s.in;
    }
    return layer_bytes(d, options, GEMM_DATA_GRADIENT) + most * sizeof(float);
}

/* The names and places of all tensors, of the model and of its adapter. */
static int create_lists(Model *m, Error *error) {
    if (parameters_create(&m->parameters, &m->config, error) != 0) return -1;
    if (m->options.lora.r == 0 || lora_create(&m->lora, &m->config, &m->options, error) == 0) return 0;
    parameters_free(&m->parameters);
    return -1;
}

size_t model_bytes(const HfConfig *config, const ModelOptions *options) {
    Model m = {.options = *options, .config = *config, .dims = dims_of(config)};
    Error error;
    if (create_lists(&m, &error) != 0) return SIZE_MAX;
    Arena arena = arena_counting();
    lay_out(&m, &arena);
    parameters_free(&m.parameters);
    lora_free(&m.lora);
    const Dims d = m.dims;
    size_t layers = d.L * layer_bytes(d, options, uses_of(options));
    if (turns_weights(options)) layers += turning_bytes(d, options);
    size_t adapter = options->lora.r > 0 ? lora_packed_bytes(config, options) : 0;
    size_t head = token_head_bytes(options->kernels->isa, d.V, d.C, options->compute, head_use(options));
    return arena.used + layers + adapter + head;
}

size_t model_planned_weights(const HfConfig *config, const ModelOptions *options) {
    Model m = {.options = *options, .config = *config, .dims = dims_of(config)};
    Error error;
    if (create_lists(&m, &error) != 0) return SIZE_MAX;
    size_t count = model_weight_count(&m);
    parameters_free(&m.parameters);
    lora_free(&m.lora);
    return count;
}

/* Points the small vectors of a layer to their places. */
static void place_vectors(Model *m, size_t layer) {
    const Parameters *p = &m->parameters;
    const LayerParameters *at = &p->layer[layer];
    float *norms = m->norms != NULL ? m->norms : m->weights;
    LayerWeights *w = &m->layer[layer];
    w->attention_norm = parameters_at(p, norms, at->attention_norm);
    w->attention_end_norm = parameters_at(p, norms, at->attention_end_norm);
    w->mlp_norm = parameters_at(p, norms, at->mlp_norm);
    w->mlp_end_norm = parameters_at(p, norms, at->mlp_end_norm);
    w->q_norm = parameters_at(p, norms, at->q_norm);
    w->k_norm = parameters_at(p, norms, at->k_norm);
    w->qkv_bias = parameters_at(p, m->weights, at->q_bias);
    w->o_bias = parameters_at(p, m->weights, at->o_bias);
    w->gate_up_bias = parameters_at(p, m->weights, at->gate_bias);
    w->down_bias = parameters_at(p, m->weights, at->down_bias);
    w->rope = m->rope[m->config.ropes == 2 && hf_config_slides(&m->config, layer)];
}

/* The fused weights of a layer, in the order of Linear. */
static int create_weights(Model *m, unsigned uses, GemmWeight **const weight[LINEARS], Error *error) {
    for (int i = 0; i < LINEARS; i++) {
        const WeightSize s = weight_size(m->dims, (Linear)i);
        if (gemm_weight_create(m->gemm, s.out, s.in, m->options.compute, uses, weight[i], error) != 0) return -1;
    }
    return 0;
}

/* Allocates the packed matrices. */
static int create_layers(Model *m, Error *error) {
    const Dims d = m->dims;
    const DType type = m->options.compute;
    unsigned uses = uses_of(&m->options);
    m->layer = calloc(d.L, sizeof *m->layer);
    if (m->layer == NULL) return error_set(error, ERROR_MEMORY, "no memory for %zu layers", d.L);
    m->final_norm = parameters_at(&m->parameters, m->norms != NULL ? m->norms : m->weights, m->parameters.model.norm);
    for (size_t l = 0; l < d.L; l++) {
        LayerWeights *w = &m->layer[l];
        place_vectors(m, l);
        if (create_weights(m, uses, (GemmWeight * *[]){&w->qkv, &w->o, &w->gate_up, &w->down}, error) != 0) return -1;
    }
    GemmWeight **const turned[] = {&m->turned[0], &m->turned[1], &m->turned[2], &m->turned[3]};
    if (turns_weights(&m->options) && create_weights(m, GEMM_DATA_GRADIENT, turned, error) != 0) return -1;
    return token_head_create(m->gemm, d.V, d.C, type, head_use(&m->options), &m->head, error);
}

static int create(Model *m, const char *directory, const Checkpoint *checkpoint, Error *error) {
    if (create_lists(m, error) != 0 || gemm_create(&m->gemm, m->options.kernels, error) != 0) return -1;
    Arena counted = arena_counting();
    lay_out(m, &counted);
    if (arena_create(&m->arena, counted.used, error) != 0) return error_prefix(error, "%s", directory);
    lay_out(m, &m->arena);
    if (create_layers(m, error) != 0 || weights_load(m, checkpoint, directory, error) != 0) return -1;
    if (m->lora.settings.r > 0 && (lora_name_base(&m->lora, directory, error) != 0 ||
                                   lora_create_weights(m, error) != 0 || lora_pack(m, error) != 0))
        return -1;
    return activations_create(&m->scratch, m->dims.L, error);
}

int model_load(Model **model, const char *directory, const ModelOptions *options, Error *error) {
    Model *m = calloc(1, sizeof *m);
    Checkpoint *checkpoint = NULL;
    int result = -1;
    if (m == NULL) {
        error_set(error, ERROR_MEMORY, "%s: no memory", directory);
        goto done;
    }
    m->options = *options;
    if (hf_config_read(&m->config, directory, error) != 0 || checkpoint_open(&checkpoint, directory, error) != 0)
        goto done;
    m->dims = dims_of(&m->config);
    result = create(m, directory, checkpoint, error);
done:
    checkpoint_close(checkpoint);
    if (result == 0)
        *model = m;
    else
        model_free(m);
    return result;
}

void model_free(Model *m) {
    if (m == NULL) return;
    activations_free(m->scratch);
    for (size_t l = 0; m->layer != NULL && l < m->dims.L; l++) {
        gemm_weight_destroy(m->layer[l].qkv);
        gemm_weight_destroy(m->layer[l].o);
        gemm_weight_destroy(m->layer[l].gate_up);
        gemm_weight_destroy(m->layer[l].down);
    }
    for (int i = 0; i < LINEARS; i++) gemm_weight_destroy(m->turned[i]);
    free(m->layer);
    token_head_destroy(m->head);
    lora_free(&m->lora);
    gemm_destroy(m->gemm);
    arena_destroy(&m->arena);
    parameters_free(&m->parameters);
    free(m);
}

const HfConfig *model_config(const Model *model) { return &model->config; }
const ModelOptions *model_options(const Model *model) { return &model->options; }
static bool has_adapter(const Model *model) { return model->lora.settings.r > 0; }

size_t model_tensor_count(const Model *m) { return has_adapter(m) ? m->lora.tensors : m->parameters.tensors; }
const ModelTensor *model_tensors(const Model *m) { return has_adapter(m) ? m->lora.tensor : m->parameters.tensor; }
size_t model_weight_count(const Model *m) { return has_adapter(m) ? m->lora.elements : m->parameters.elements; }
float *model_gradients(Model *m) { return has_adapter(m) ? m->lora.gradients : m->gradients; }
float *model_weights(Model *m) {
    if (!m->options.trainable) return NULL;
    return has_adapter(m) ? m->lora.weights : m->weights;
}

int model_pack(Model *m, Error *error) { return has_adapter(m) ? lora_pack(m, error) : weights_pack(m, error); }

int model_hash(Model *m, Hash *hash, Error *error) {
    if (model_has_masters(&m->options)) return weights_hash(m, hash, error);
    *hash = m->file_hash;
    return has_adapter(m) && m->lora.on ? lora_hash(m, &m->file_hash, hash, error) : 0;
}

TensorSource model_tensor_source(const ModelTensor *tensor, DType type, const float *values) {
    return (TensorSource){.name = tensor->name,
                          .type = type,
                          .rank = tensor->rank,
                          .shape = {tensor->shape[0], tensor->shape[1]},
                          .values = values + tensor->offset};
}

int model_save(const Model *model, const char *directory, DType type, size_t shard_bytes, Error *error) {
    const Parameters *p = &model->parameters;
    if (!model_has_masters(&model->options))
        return error_set(error, ERROR_INTERNAL, "%s: only a trainable model has weights to write", directory);
    for (size_t i = 0; i < p->tensors; i++) // a model that no one could load again is not written over one that works
        if (!isfinite(
                adamw_sum_squares(model->options.kernels, p->tensor[i].elements, model->weights + p->tensor[i].offset)))
            return error_set(error, ERROR_NUMERIC, "%s: not written: tensor \"%s\" holds a value that is not finite",
                             directory, p->tensor[i].name);
    TensorSource *source = calloc(p->tensors, sizeof *source);
    if (source == NULL)
        return error_set(error, ERROR_MEMORY, "%s: no memory to list %zu tensors", directory, p->tensors);
    for (size_t i = 0; i < p->tensors; i++) source[i] = model_tensor_source(&p->tensor[i], type, model->weights);
    int result = safetensors_write(directory, source, p->tensors, shard_bytes, error);
    free(source);
    return result;
}
