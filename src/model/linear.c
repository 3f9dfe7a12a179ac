#include "model/linear.h"
#include "model/lora.h"

typedef struct {
    const GemmWeight *weight;
    size_t index, out, in; // index: of the first tensor it is made of
} Product;

static Product product_of(const Model *m, const LinearCall *call) {
    const LayerWeights *w = &m->layer[call->layer];
    const LayerParameters *at = &m->parameters.layer[call->layer];
    const Dims d = m->dims;
    switch (call->linear) {
    case LINEAR_QKV:
        return (Product){w->qkv, at->q, d.QKV, d.C};
    case LINEAR_O:
        return (Product){w->o, at->o, d.C, d.HD};
    case LINEAR_GATE_UP:
        return (Product){w->gate_up, at->gate, 2 * d.F, d.C};
    default:
        return (Product){w->down, at->down, d.C, d.F};
    }
}

/* What an adapter adds is summed in float32; a result of the compute type is rounded once, after that. */
static void round_rows(const Model *m, size_t rows, size_t width, const float *src, void *dst) {
    const KernelTable *k = m->options.kernels;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) k->to_bf16(width, src + t * width, (bf16 *)dst + t * width);
}

int linear_forward(Model *m, const LinearCall *call, const void *x, void *y, DType y_type, bool accumulate,
                   Error *error) {
    const Product p = product_of(m, call);
    if (!lora_is_on(m, call))
        return gemm_forward(m->gemm, p.weight, call->rows, x, p.in, y, p.out, y_type, accumulate, error);
    float *wide = y_type == DTYPE_F32 ? y : m->lora.wide;
    if (gemm_forward(m->gemm, p.weight, call->rows, x, p.in, wide, p.out, DTYPE_F32, accumulate, error) != 0 ||
        lora_forward(m, call, x, wide, error) != 0)
        return -1;
    if (wide != y) round_rows(m, call->rows, p.out, wide, y);
    return 0;
}

int linear_data_gradient(Model *m, const LinearCall *call, const void *dy, void *dx, DType dx_type, Error *error) {
    const Product p = product_of(m, call);
    if (!lora_is_on(m, call))
        return gemm_data_gradient(m->gemm, p.weight, call->rows, dy, p.out, dx, p.in, dx_type, false, error);
    float *wide = dx_type == DTYPE_F32 ? dx : m->lora.wide;
    if (gemm_data_gradient(m->gemm, p.weight, call->rows, dy, p.out, wide, p.in, DTYPE_F32, false, error) != 0 ||
        lora_data_gradient(m, call, dy, wide, error) != 0)
        return -1;
    if (wide != dx) round_rows(m, call->rows, p.in, wide, dx);
    return 0;
}

int linear_weight_gradient(Model *m, const LinearCall *call, const void *dy, const void *x, Error *error) {
    const Product p = product_of(m, call);
    if (lora_is_on(m, call)) return lora_weight_gradient(m, call, dy, x, error);
    if (m->gradients == NULL) return 0;
    return gemm_weight_gradient(m->gemm, call->rows, p.out, p.in, m->options.compute, dy, p.out, x, p.in,
                                parameters_at(&m->parameters, m->gradients, p.index), error);
}
