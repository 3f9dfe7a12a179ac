#include "model/block.h"
#include "kernels/glu.h"
#include "kernels/rmsnorm.h"
#include "model/linear.h"
#include "model/qkv.h"

#include <string.h>

AttentionShape block_attention_shape(const HfConfig *config, size_t layer, DType compute, bool cache) {
    const Dims d = dims_of(config);
    size_t kv_stride = cache ? d.KD : d.QKV;
    return (AttentionShape){.heads = d.H,
                            .kv_heads = d.Hkv,
                            .head_dim = d.D,
                            .q_stride = d.QKV,
                            .k_stride = kv_stride,
                            .v_stride = kv_stride,
                            .o_stride = d.HD,
                            .window = hf_config_slides(config, layer) ? config->window : 0,
                            .scale = (float)config->attention_scale,
                            .type = compute};
}

/* Element `at` of an array of the compute type. */
static void *offset(const Model *m, void *array, size_t at) {
    return (char *)array + at * dtype_bytes(m->options.compute);
}

/* Rows of the chunk that begins at row t of T. */
static size_t chunk_at(size_t t, size_t T) { return T - t < BLOCK_CHUNK ? T - t : BLOCK_CHUNK; }

static LinearCall linear_call(size_t layer, Linear linear, size_t first, size_t rows) {
    return (LinearCall){.layer = layer, .linear = linear, .first = first, .rows = rows};
}

/* y = norm(x) in the compute type; `copy` receives x, on which the layer's product is then added. */
static void norm_forward(const Model *m, size_t rows, const float *x, float *copy, const float *weight, void *y) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    const DType type = m->options.compute;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) {
        k->rmsnorm_row(C, x + t * C, weight, (float)m->config.norm_eps, (char *)y + t * C * dtype_bytes(type), type);
        if (copy != x && copy != NULL) memcpy(copy + t * C, x + t * C, C * sizeof *x);
    }
}

static void scatter_to_cache(const Model *m, size_t layer, const BlockInput *input, const char *qkv) {
    const Dims d = m->dims;
    size_t size = dtype_bytes(m->options.compute), bytes = d.KD * size;
    char *key = input->cache->key[layer], *value = input->cache->value[layer];
#pragma omp parallel for num_threads(m->options.kernels->threads) schedule(static)
    for (size_t t = 0; t < input->rows; t++) {
        const char *row = qkv + t * d.QKV * size;
        size_t to = (size_t)input->cache_row[t] * bytes;
        memcpy(key + to, row + d.HD * size, bytes);
        memcpy(value + to, row + (d.HD + d.KD) * size, bytes);
    }
}

/* Of rows [first, first + rows): queries, keys and values from the layer's input. */
static int project(Model *m, size_t layer, const BlockInput *input, Activations *a, size_t first, size_t rows,
                   Error *error) {
    const Dims d = m->dims;
    const LayerWeights *w = &m->layer[layer];
    const LayerActivations *own = &a->layer[layer];
    float *projected = a->projected != NULL ? a->projected : (float *)own->qkv + first * d.QKV;
    norm_forward(m, rows, own->x + first * d.C, own->middle + first * d.C, w->attention_norm, a->normed);
    const LinearCall call = linear_call(layer, LINEAR_QKV, first, rows);
    if (linear_forward(m, &call, a->normed, projected, DTYPE_F32, false, error) != 0) return -1;
    qkv_forward(m, w, rows, input->position + first, projected, offset(m, own->qkv, first * d.QKV),
                own->unnormed == NULL ? NULL : offset(m, own->unnormed, first * (d.HD + d.KD)));
    return 0;
}

/* Of all rows, between the two chains. */
static void attend(Model *m, size_t layer, const BlockInput *input, Activations *a) {
    const Dims d = m->dims;
    const LayerActivations *own = &a->layer[layer];
    const void *key = offset(m, own->qkv, d.HD), *value = offset(m, own->qkv, d.HD + d.KD);
    if (input->cache != NULL) {
        scatter_to_cache(m, layer, input, own->qkv);
        key = input->cache->key[layer], value = input->cache->value[layer];
    }
    AttentionShape shape = block_attention_shape(&m->config, layer, m->options.compute, input->cache != NULL);
    attention_forward(m->options.kernels, &shape, input->segment, input->segments, own->qkv, key, value, own->attended,
                      own->lse, a->attention);
}

/* stream += a product, which goes through `norm` first unless that is NULL; kept (rows, C) of the compute type receives
 * it without the norm, or is NULL. stream NULL: only that. */
static int add_product(Model *m, const LinearCall *call, const void *x, const float *norm, Activations *a, void *kept,
                       float *stream, Error *error) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    const DType type = m->options.compute;
    if (norm == NULL) return linear_forward(m, call, x, stream, DTYPE_F32, true, error);
    if (linear_forward(m, call, x, a->branch, DTYPE_F32, false, error) != 0) return -1;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < call->rows; t++) {
        float *row = a->branch + t * C;
        if (kept != NULL && type == DTYPE_F32) memcpy((float *)kept + t * C, row, C * sizeof *row);
        if (kept != NULL && type == DTYPE_BF16) k->to_bf16(C, row, (bf16 *)kept + t * C);
        if (stream == NULL) continue;
        k->rmsnorm_row(C, row, norm, (float)m->config.norm_eps, row, DTYPE_F32);
        k->add(C, row, stream + t * C);
    }
    return 0;
}

static Glu glu_of(const Model *m) { return m->config.activation == HF_SILU ? GLU_SILU : GLU_GELU; }

/* Of rows [first, first + rows): the output projection and the feed-forward. out NULL: up to what backward reads. */
static int feed_forward(Model *m, size_t layer, Activations *a, size_t first, size_t rows, float *out, Error *error) {
    const Dims d = m->dims;
    const LayerWeights *w = &m->layer[layer];
    const LayerActivations *own = &a->layer[layer];
    const DType type = m->options.compute;
    float *middle = own->middle + first * d.C, *end = out == NULL ? NULL : out + first * d.C;
    void *gate_up = a->pass == PASS_FORWARD ? own->gate_up : offset(m, own->gate_up, first * 2 * d.F);
    const LinearCall o = linear_call(layer, LINEAR_O, first, rows),
                     in = linear_call(layer, LINEAR_GATE_UP, first, rows),
                     down = linear_call(layer, LINEAR_DOWN, first, rows);
    void *o_kept = own->attention_end == NULL ? NULL : offset(m, own->attention_end, first * d.C),
         *down_kept = own->mlp_end == NULL ? NULL : offset(m, own->mlp_end, first * d.C);
    if (add_product(m, &o, offset(m, own->attended, first * d.HD), w->attention_end_norm, a, o_kept, middle, error) !=
        0)
        return -1;
    norm_forward(m, rows, middle, end, w->mlp_norm, a->normed);
    if (linear_forward(m, &in, a->normed, gate_up, type, false, error) != 0) return -1;
    if (end == NULL && down_kept == NULL) return 0;
    glu_forward(m->options.kernels, glu_of(m), rows, d.F, type, gate_up, a->product);
    return add_product(m, &down, a->product, w->mlp_end_norm, a, down_kept, end, error);
}

int block_forward(Model *m, size_t layer, const BlockInput *input, Activations *a, float *out, Error *error) {
    const size_t T = input->rows;
    for (size_t t = 0; t < T; t += BLOCK_CHUNK)
        if (project(m, layer, input, a, t, chunk_at(t, T), error) != 0) return -1;
    attend(m, layer, input, a);
    for (size_t t = 0; t < T; t += BLOCK_CHUNK)
        if (feed_forward(m, layer, a, t, chunk_at(t, T), out, error) != 0) return -1;
    return 0;
}

static float *gradient_of(const Model *m, size_t index) { return parameters_at(&m->parameters, m->gradients, index); }

/* The norm behind a product: its weight, and what the product gave for all rows. */
typedef struct {
    const float *norm; // NULL: none
    size_t index;
    void *x;
} EndNorm;

/* The gradient of what a product gave for rows [first, first + rows), in the compute type: that of the stream, through
 * the norm behind the product. */
static const void *product_gradient(const Model *m, const EndNorm *n, Activations *a, size_t first, size_t rows) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    const float *dy = a->dx + first * C;
    if (n->norm != NULL) {
        float *x = a->branch;
        if (m->options.compute == DTYPE_F32)
            x = (float *)n->x + first * C;
        else
            k->to_f32(rows * C, (const bf16 *)n->x + first * C, x);
        rmsnorm_forward(k, rows, C, x, n->norm, (float)m->config.norm_eps, a->normed, m->options.compute,
                        a->inverse_rms); // for inverse_rms alone
        memset(a->dnormed, 0, rows * C * sizeof *a->dnormed);
        rmsnorm_backward(k, rows, C, x, n->norm, a->inverse_rms, dy, a->dnormed, gradient_of(m, n->index), a->norm);
        dy = a->dnormed;
    }
    if (a->dx_compute == NULL) return dy;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) k->to_bf16(C, dy + t * C, (bf16 *)a->dx_compute + t * C);
    return a->dx_compute;
}

/* A norm and the linear layer that reads it, with the rows that went in. */
typedef struct {
    LinearCall call;
    const float *x, *norm;
    size_t norm_index;
} NormedLinear;

/* dx += the gradient through y = norm(x) W^T of some rows; and the gradients of W and of the norm's weight. */
static int normed_linear_backward(Model *m, const NormedLinear *n, const void *dy, Activations *a, float *dx,
                                  Error *error) {
    const size_t C = m->dims.C, rows = n->call.rows;
    const KernelTable *k = m->options.kernels;
    rmsnorm_forward(k, rows, C, n->x, n->norm, (float)m->config.norm_eps, a->normed, m->options.compute,
                    a->inverse_rms);
    if (linear_data_gradient(m, &n->call, dy, a->dnormed, DTYPE_F32, error) != 0 ||
        linear_weight_gradient(m, &n->call, dy, a->normed, error) != 0)
        return -1;
    rmsnorm_backward(k, rows, C, n->x, n->norm, a->inverse_rms, a->dnormed, dx, gradient_of(m, n->norm_index), a->norm);
    return 0;
}

/* feed_forward of rows [first, first + rows) backward, down to the gradient of what attention gave. */
static int feed_backward(Model *m, size_t layer, Activations *a, size_t first, size_t rows, Error *error) {
    const Dims d = m->dims;
    const LayerActivations *own = &a->layer[layer];
    const DType type = m->options.compute;
    const LinearCall down = linear_call(layer, LINEAR_DOWN, first, rows), o = linear_call(layer, LINEAR_O, first, rows);
    const LayerWeights *w = &m->layer[layer];
    const LayerParameters *at = &m->parameters.layer[layer];
    const EndNorm mlp_end = {w->mlp_end_norm, at->mlp_end_norm, own->mlp_end},
                  attention_end = {w->attention_end_norm, at->attention_end_norm, own->attention_end};
    const NormedLinear gate_up = {linear_call(layer, LINEAR_GATE_UP, first, rows), own->middle + first * d.C,
                                  w->mlp_norm, at->mlp_norm};
    void *dgate_up = offset(m, own->gate_up, first * 2 * d.F);
    const void *dx = product_gradient(m, &mlp_end, a, first, rows);
    if (linear_data_gradient(m, &down, dx, a->dproduct, type, error) != 0) return -1;
    glu_backward(m->options.kernels, glu_of(m), rows, d.F, type, dgate_up, a->product, a->dproduct);
    if (linear_weight_gradient(m, &down, dx, a->product, error) != 0 ||
        normed_linear_backward(m, &gate_up, dgate_up, a, a->dx + first * d.C, error) != 0)
        return -1;
    dx = product_gradient(m, &attention_end, a, first, rows);
    if (linear_data_gradient(m, &o, dx, offset(m, a->dattended, first * d.HD), type, error) != 0) return -1;
    return linear_weight_gradient(m, &o, dx, offset(m, own->attended, first * d.HD), error);
}

/* project of rows [first, first + rows) backward. */
static int project_backward(Model *m, size_t layer, const BlockInput *input, Activations *a, size_t first, size_t rows,
                            Error *error) {
    const Dims d = m->dims;
    const LayerActivations *own = &a->layer[layer];
    const NormedLinear qkv = {linear_call(layer, LINEAR_QKV, first, rows), own->x + first * d.C,
                              m->layer[layer].attention_norm, m->parameters.layer[layer].attention_norm};
    void *dqkv = offset(m, a->dqkv, first * d.QKV);
    qkv_backward(m, layer, rows, input->position + first,
                 own->unnormed == NULL ? NULL : offset(m, own->unnormed, first * (d.HD + d.KD)), dqkv, a->vectors);
    return normed_linear_backward(m, &qkv, dqkv, a, a->dx + first * d.C, error);
}

int block_backward(Model *m, size_t layer, const BlockInput *input, Activations *a, Error *error) {
    const Dims d = m->dims;
    const size_t T = input->rows;
    const LayerActivations *own = &a->layer[layer];
    if (linear_begin_backward(m, layer, error) != 0) return -1;
    for (size_t t = 0; t < T; t += BLOCK_CHUNK)
        if (feed_backward(m, layer, a, t, chunk_at(t, T), error) != 0) return -1;
    AttentionShape shape = block_attention_shape(&m->config, layer, m->options.compute, false);
    attention_backward(m->options.kernels, &shape, input->segment, input->segments, own->qkv, offset(m, own->qkv, d.HD),
                       offset(m, own->qkv, d.HD + d.KD), own->attended, own->lse, a->dattended, a->dqkv,
                       offset(m, a->dqkv, d.HD), offset(m, a->dqkv, d.HD + d.KD), a->attention);
    for (size_t t = 0; t < T; t += BLOCK_CHUNK)
        if (project_backward(m, layer, input, a, t, chunk_at(t, T), error) != 0) return -1;
    return 0;
}
