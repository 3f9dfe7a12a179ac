#include "model/block.h"
#include "kernels/rmsnorm.h"
#include "kernels/swiglu.h"
#include "model/qkv.h"

#include <math.h>
#include <string.h>

AttentionShape block_attention_shape(const HfConfig *config, DType compute, bool cache) {
    const Dims d = dims_of(config);
    size_t kv_stride = cache ? d.KD : d.QKV;
    return (AttentionShape){.heads = d.H,
                            .kv_heads = d.Hkv,
                            .head_dim = d.D,
                            .q_stride = d.QKV,
                            .k_stride = kv_stride,
                            .v_stride = kv_stride,
                            .o_stride = d.HD,
                            .window = config->window,
                            .scale = (float)(1 / sqrt((double)d.D)),
                            .type = compute};
}

/* Element `at` of an array of the compute type. */
static void *offset(const Model *m, void *array, size_t at) {
    return (char *)array + at * dtype_bytes(m->options.compute);
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
    if (gemm_forward(m->gemm, w->qkv, rows, a->normed, d.C, projected, d.QKV, DTYPE_F32, false, error) != 0) return -1;
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
    AttentionShape shape = block_attention_shape(&m->config, m->options.compute, input->cache != NULL);
    attention_forward(m->options.kernels, &shape, input->segment, input->segments, own->qkv, key, value, own->attended,
                      own->lse, a->attention);
}

/* Of rows [first, first + rows): the output projection and the feed-forward. out NULL: up to gate and up. */
static int feed_forward(Model *m, size_t layer, Activations *a, size_t first, size_t rows, float *out, Error *error) {
    const Dims d = m->dims;
    const LayerWeights *w = &m->layer[layer];
    const LayerActivations *own = &a->layer[layer];
    const DType type = m->options.compute;
    float *middle = own->middle + first * d.C, *end = out == NULL ? NULL : out + first * d.C;
    void *gate_up = a->pass == PASS_FORWARD ? own->gate_up : offset(m, own->gate_up, first * 2 * d.F);
    if (gemm_forward(m->gemm, w->o, rows, offset(m, own->attended, first * d.HD), d.HD, middle, d.C, DTYPE_F32, true,
                     error) != 0)
        return -1;
    norm_forward(m, rows, middle, end, w->mlp_norm, a->normed);
    if (gemm_forward(m->gemm, w->gate_up, rows, a->normed, d.C, gate_up, 2 * d.F, type, false, error) != 0) return -1;
    if (end == NULL) return 0;
    swiglu_forward(m->options.kernels, rows, d.F, type, gate_up, a->product);
    return gemm_forward(m->gemm, w->down, rows, a->product, d.F, end, d.C, DTYPE_F32, true, error);
}

int block_forward(Model *m, size_t layer, const BlockInput *input, Activations *a, float *out, Error *error) {
    const size_t T = input->rows;
    for (size_t t = 0; t < T; t += BLOCK_CHUNK)
        if (project(m, layer, input, a, t, T - t < BLOCK_CHUNK ? T - t : BLOCK_CHUNK, error) != 0) return -1;
    attend(m, layer, input, a);
    for (size_t t = 0; t < T; t += BLOCK_CHUNK)
        if (feed_forward(m, layer, a, t, T - t < BLOCK_CHUNK ? T - t : BLOCK_CHUNK, out, error) != 0) return -1;
    return 0;
}

/* dx in the compute type, as the products read it. */
static const void *dx_for_products(const Model *m, size_t rows, Activations *a) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    if (a->dx_compute == a->dx) return a->dx;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) k->to_bf16(C, a->dx + t * C, (bf16 *)a->dx_compute + t * C);
    return a->dx_compute;
}

/* product = swiglu(gate, up) again, and gate_up becomes its gradient, while a row is in the cache. */
static void swiglu_both(const Model *m, size_t rows, void *gate_up, void *product, const void *dproduct) {
    const size_t F = m->dims.F;
    const KernelTable *k = m->options.kernels;
    const DType type = m->options.compute;
    size_t bytes = F * dtype_bytes(type);
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) {
        char *gate = (char *)gate_up + 2 * t * bytes;
        k->swiglu(F, type, gate, gate + bytes, (char *)product + t * bytes);
        k->swiglu_backward(F, type, gate, gate + bytes, (const char *)dproduct + t * bytes, gate, gate + bytes);
    }
}

/* dx += the gradient through y = norm(x) W, whose output has the gradient dy; and the gradients of W and the norm. */
static int norm_product_backward(Model *m, size_t rows, Activations *a, const float *x, const float *norm,
                                 size_t norm_index, const GemmWeight *weight, size_t weight_index, size_t out,
                                 const void *dy, Error *error) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    const DType type = m->options.compute;
    const Parameters *p = &m->parameters;
    rmsnorm_forward(k, rows, C, x, norm, (float)m->config.norm_eps, a->normed, type, a->inverse_rms);
    if (gemm_weight_gradient(m->gemm, rows, out, C, type, dy, out, a->normed, C,
                             parameters_at(p, m->gradients, weight_index), error) != 0 ||
        gemm_data_gradient(m->gemm, weight, rows, dy, out, a->dnormed, C, DTYPE_F32, false, error) != 0)
        return -1;
    rmsnorm_backward(k, rows, C, x, norm, a->inverse_rms, a->dnormed, a->dx, parameters_at(p, m->gradients, norm_index),
                     a->norm);
    return 0;
}

int block_backward(Model *m, size_t layer, const BlockInput *input, Activations *a, Error *error) {
    const Dims d = m->dims;
    const size_t T = input->rows;
    const LayerWeights *w = &m->layer[layer];
    const LayerParameters *at = &m->parameters.layer[layer];
    const LayerActivations *own = &a->layer[layer];
    const DType type = m->options.compute;
    const void *dx = dx_for_products(m, T, a);
    if (gemm_data_gradient(m->gemm, w->down, T, dx, d.C, a->dproduct, d.F, type, false, error) != 0) return -1;
    swiglu_both(m, T, own->gate_up, a->product, a->dproduct);
    if (gemm_weight_gradient(m->gemm, T, d.C, d.F, type, dx, d.C, a->product, d.F,
                             parameters_at(&m->parameters, m->gradients, at->down), error) != 0 ||
        norm_product_backward(m, T, a, own->middle, w->mlp_norm, at->mlp_norm, w->gate_up, at->gate, 2 * d.F,
                              own->gate_up, error) != 0)
        return -1;
    dx = dx_for_products(m, T, a);
    if (gemm_weight_gradient(m->gemm, T, d.C, d.HD, type, dx, d.C, own->attended, d.HD,
                             parameters_at(&m->parameters, m->gradients, at->o), error) != 0 ||
        gemm_data_gradient(m->gemm, w->o, T, dx, d.C, a->dattended, d.HD, type, false, error) != 0)
        return -1;
    AttentionShape shape = block_attention_shape(&m->config, type, false);
    attention_backward(m->options.kernels, &shape, input->segment, input->segments, own->qkv, offset(m, own->qkv, d.HD),
                       offset(m, own->qkv, d.HD + d.KD), own->attended, own->lse, a->dattended, a->dqkv,
                       offset(m, a->dqkv, d.HD), offset(m, a->dqkv, d.HD + d.KD), a->attention);
    qkv_backward(m, layer, T, input->position, own, a->dqkv, a->vectors);
    return norm_product_backward(m, T, a, own->x, w->attention_norm, at->attention_norm, w->qkv, at->q, d.QKV, a->dqkv,
                                 error);
}
