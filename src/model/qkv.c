#include "model/qkv.h"
#include "base/size.h"

#include <string.h>

static float norm_eps(const Model *m) { return (float)m->config.norm_eps; }

void qkv_forward(const Model *m, const LayerWeights *w, size_t rows, const int32_t *position, float *projected,
                 void *qkv, void *unnormed) {
    const Dims d = m->dims;
    const KernelTable *k = m->options.kernels;
    bool half = m->options.compute == DTYPE_BF16;
    size_t turned = d.HD + d.KD, size = dtype_bytes(m->options.compute);
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) {
        float *row = projected + t * d.QKV;
        if (w->qkv_bias != NULL) k->add(d.QKV, w->qkv_bias, row);
        if (unnormed != NULL) {
            char *kept = (char *)unnormed + t * turned * size;
            if (half)
                k->to_bf16(turned, row, (bf16 *)kept);
            else
                memcpy(kept, row, turned * size);
        }
        for (size_t h = 0; w->q_norm != NULL && h < d.H + d.Hkv; h++)
            k->rmsnorm_row(d.D, row + h * d.D, h < d.H ? w->q_norm : w->k_norm, norm_eps(m), row + h * d.D, DTYPE_F32);
        rope_row(k, d.H + d.Hkv, d.D, w->rope + (size_t)position[t] * d.D, DTYPE_F32, row, 0);
        if (half) k->to_bf16(d.QKV, row, (bf16 *)qkv + t * d.QKV);
    }
}

/* Rows of one partial sum. Fixed, so that the order of the sums does not depend on the threads. */
enum { BLOCK = 64 };

/* What one block of rows works on. The three sums are neighbours. */
typedef struct {
    float *dbias, *dq_norm, *dk_norm; // (QKV), (D), (D)
    float *x, *dx, *dy;               // (HD + KD), (HD + KD), (QKV): one row
} Block;

static size_t sums_of(Dims d) { return d.QKV + 2 * d.D; }
static size_t block_floats(Dims d) { return size_round_up(sums_of(d) + 3 * d.QKV, 16); }

size_t qkv_scratch_bytes(Dims d, size_t rows) { return (rows + BLOCK - 1) / BLOCK * block_floats(d) * sizeof(float); }

static Block block_at(Dims d, float *scratch, size_t number) {
    float *base = scratch + number * block_floats(d), *row = base + sums_of(d);
    return (Block){.dbias = base,
                   .dq_norm = base + d.QKV,
                   .dk_norm = base + d.QKV + d.D,
                   .x = row,
                   .dx = row + d.QKV,
                   .dy = row + 2 * d.QKV};
}

/* dy: gradient of the normed heads of one row; becomes the gradient of the heads before their norm. */
static void norm_backward(const Model *m, const LayerWeights *w, const Block *b, const float *x, float *dy) {
    const Dims d = m->dims;
    const KernelTable *k = m->options.kernels;
    for (size_t h = 0; h < d.H + d.Hkv; h++) {
        size_t at = h * d.D;
        const float *weight = h < d.H ? w->q_norm : w->k_norm;
        float inverse = k->rmsnorm_row(d.D, x + at, weight, norm_eps(m), b->dx + at, DTYPE_F32); // for `inverse` alone
        memset(b->dx + at, 0, d.D * sizeof(float));
        k->rmsnorm_row_backward(d.D, x + at, weight, inverse, dy + at, b->dx + at, h < d.H ? b->dq_norm : b->dk_norm);
    }
    memcpy(dy, b->dx, (d.HD + d.KD) * sizeof(float));
}

static void row_backward(const Model *m, const LayerWeights *w, const Block *b, const void *unnormed, void *drow) {
    const Dims d = m->dims;
    const KernelTable *k = m->options.kernels;
    bool half = m->options.compute == DTYPE_BF16;
    size_t turned = d.HD + d.KD;
    float *dy = half ? b->dy : drow;
    if (half) k->to_f32(d.QKV, drow, dy);
    if (w->q_norm != NULL) {
        if (half) k->to_f32(turned, unnormed, b->x);
        norm_backward(m, w, b, half ? b->x : unnormed, dy);
    }
    if (w->qkv_bias != NULL) k->add(d.QKV, dy, b->dbias);
    if (half) k->to_bf16(d.QKV, dy, drow);
}

void qkv_backward(Model *m, size_t layer, size_t rows, const int32_t *position, const void *unnormed, void *dqkv,
                  float *scratch) {
    const Dims d = m->dims;
    const KernelTable *k = m->options.kernels;
    const LayerWeights *w = &m->layer[layer];
    const LayerParameters *at = &m->parameters.layer[layer];
    bool vectors = w->qkv_bias != NULL || w->q_norm != NULL;
    size_t size = dtype_bytes(m->options.compute), turned_bytes = (d.HD + d.KD) * size;
    size_t blocks = (rows + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t n = 0; n < blocks; n++) {
        Block block = {0};
        if (vectors) {
            block = block_at(d, scratch, n);
            memset(block.dbias, 0, sums_of(d) * sizeof(float));
        }
        for (size_t t = n * BLOCK; t < rows && t < (n + 1) * BLOCK; t++) {
            void *row = (char *)dqkv + t * d.QKV * size;
            rope_row(k, d.H + d.Hkv, d.D, w->rope + (size_t)position[t] * d.D, m->options.compute, row, 1);
            const char *kept = unnormed == NULL ? NULL : (const char *)unnormed + t * turned_bytes;
            if (vectors) row_backward(m, w, &block, kept, row);
        }
    }
    for (size_t n = 0; vectors && m->gradients != NULL && n < blocks; n++) {
        Block b = block_at(d, scratch, n);
        if (w->qkv_bias != NULL) k->add(d.QKV, b.dbias, parameters_at(&m->parameters, m->gradients, at->q_bias));
        if (w->q_norm == NULL) continue;
        k->add(d.D, b.dq_norm, parameters_at(&m->parameters, m->gradients, at->q_norm));
        k->add(d.D, b.dk_norm, parameters_at(&m->parameters, m->gradients, at->k_norm));
    }
}
