#include "model/linear.h"
#include "model/lora.h"

typedef struct {
    const GemmWeight *weight;
    size_t index, out, in; // index: of the first tensor it is made of
    const float *bias;     // (out); NULL: none, or that of q, k and v, which comes with their norms and positions
    size_t bias_index;
} Product;

static Product product_of(const Model *m, const LinearCall *call) {
    const LayerWeights *w = &m->layer[call->layer];
    const LayerParameters *at = &m->parameters.layer[call->layer];
    const Dims d = m->dims;
    switch (call->linear) {
    case LINEAR_QKV:
        return (Product){w->qkv, at->q, d.QKV, d.C, NULL, PARAMETERS_NONE};
    case LINEAR_O:
        return (Product){w->o, at->o, d.C, d.HD, w->o_bias, at->o_bias};
    case LINEAR_GATE_UP:
        return (Product){w->gate_up, at->gate, 2 * d.F, d.C, w->gate_up_bias, at->gate_bias};
    default:
        return (Product){w->down, at->down, d.C, d.F, w->down_bias, at->down_bias};
    }
}

/* What an adapter adds is summed in float32; a result of the compute type is rounded once, after that. */
static void round_rows(const Model *m, size_t rows, size_t width, const float *src, void *dst) {
    const KernelTable *k = m->options.kernels;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) k->to_bf16(width, src + t * width, (bf16 *)dst + t * width);
}

/* Columns that one thread works on at a time. */
enum { COLUMNS = 64 };

/* y (rows, width) += bias, in float32. */
static void add_bias(const Model *m, size_t rows, size_t width, const float *bias, void *y, DType type) {
    const KernelTable *k = m->options.kernels;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) {
        if (type == DTYPE_F32) {
            k->add(width, bias, (float *)y + t * width);
            continue;
        }
        for (size_t first = 0; first < width; first += COLUMNS) {
            size_t count = width - first < COLUMNS ? width - first : COLUMNS;
            bf16 *row = (bf16 *)y + t * width + first;
            float sum[COLUMNS];
            k->to_f32(count, row, sum);
            k->add(count, bias + first, sum);
            k->to_bf16(count, sum, row);
        }
    }
}

/* gradient (width) += the sums of the columns of dy, each from the first row to the last. */
static void sum_columns(const Model *m, size_t rows, size_t width, const void *dy, float *gradient) {
    const KernelTable *k = m->options.kernels;
    bool half = m->options.compute == DTYPE_BF16;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t first = 0; first < width; first += COLUMNS) {
        size_t count = width - first < COLUMNS ? width - first : COLUMNS;
        for (size_t t = 0; t < rows; t++) {
            float row[COLUMNS];
            if (half) k->to_f32(count, (const bf16 *)dy + t * width + first, row);
            k->add(count, half ? row : (const float *)dy + t * width + first, gradient + first);
        }
    }
}

int linear_forward(Model *m, const LinearCall *call, const void *x, void *y, DType y_type, bool accumulate,
                   Error *error) {
    const Product p = product_of(m, call);
    bool adapted = lora_is_on(m, call), rounds = adapted && y_type != DTYPE_F32;
    void *sum = rounds ? m->lora.wide : y;
    DType type = rounds ? DTYPE_F32 : y_type;
    if (gemm_forward(m->gemm, p.weight, call->rows, x, p.in, sum, p.out, type, accumulate, error) != 0) return -1;
    if (adapted && lora_forward(m, call, x, sum, error) != 0) return -1;
    if (p.bias != NULL) add_bias(m, call->rows, p.out, p.bias, sum, type);
    if (rounds) round_rows(m, call->rows, p.out, sum, y);
    return 0;
}

int linear_begin_backward(Model *m, size_t layer, Error *error) {
    for (int i = 0; i < LINEARS && m->turned[i] != NULL; i++) {
        const LinearCall call = {.layer = layer, .linear = (Linear)i};
        if (gemm_weight_turn(m->gemm, product_of(m, &call).weight, 0, m->turned[i], error) != 0) return -1;
    }
    return 0;
}

int linear_data_gradient(Model *m, const LinearCall *call, const void *dy, void *dx, DType dx_type, Error *error) {
    const Product p = product_of(m, call);
    const GemmWeight *weight = m->turned[call->linear] != NULL ? m->turned[call->linear] : p.weight;
    if (!lora_is_on(m, call))
        return gemm_data_gradient(m->gemm, weight, call->rows, dy, p.out, dx, p.in, dx_type, false, error);
    float *wide = dx_type == DTYPE_F32 ? dx : m->lora.wide;
    if (gemm_data_gradient(m->gemm, weight, call->rows, dy, p.out, wide, p.in, DTYPE_F32, false, error) != 0 ||
        lora_data_gradient(m, call, dy, wide, error) != 0)
        return -1;
    if (wide != dx) round_rows(m, call->rows, p.in, wide, dx);
    return 0;
}

int linear_weight_gradient(Model *m, const LinearCall *call, const void *dy, const void *x, Error *error) {
    const Product p = product_of(m, call);
    if (lora_is_on(m, call)) return lora_weight_gradient(m, call, dy, x, error);
    if (m->gradients == NULL) return 0;
    if (p.bias != NULL)
        sum_columns(m, call->rows, p.out, dy, parameters_at(&m->parameters, m->gradients, p.bias_index));
    return gemm_weight_gradient(m->gemm, call->rows, p.out, p.in, m->options.compute, dy, p.out, x, p.in,
                                parameters_at(&m->parameters, m->gradients, p.index), error);
}
