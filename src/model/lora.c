#include "model/lora.h"
#include "base/rng.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* What a fused product is made of. */
typedef struct {
    size_t in, members;
    PeftTarget first;
    size_t out[LORA_MEMBERS];
} Shape;

static Shape shape_of(const HfConfig *config, Linear linear) {
    const Dims d = dims_of(config);
    switch (linear) {
    case LINEAR_QKV:
        return (Shape){d.C, 3, PEFT_Q, {d.HD, d.KD, d.KD}};
    case LINEAR_O:
        return (Shape){d.HD, 1, PEFT_O, {d.C}};
    case LINEAR_GATE_UP:
        return (Shape){d.C, 2, PEFT_GATE, {d.F, d.F}};
    default:
        return (Shape){d.F, 1, PEFT_DOWN, {d.C}};
    }
}

static size_t width_of(const Shape *s) {
    size_t width = 0;
    for (size_t i = 0; i < s->members; i++) width += s->out[i];
    return width;
}

static bool is_target(const LoraSettings *settings, const Shape *s, size_t member) {
    return (settings->targets >> ((unsigned)s->first + member) & 1) != 0;
}

static size_t targets_of(const LoraSettings *settings, const Shape *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->members; i++) n += is_target(settings, s, i);
    return n;
}

/* --- the list of tensors --- */

static bool append(Lora *l, size_t layer, PeftTarget target, char matrix, size_t rows, size_t columns) {
    ModelTensor *t = &l->tensor[l->tensors++];
    *t = (ModelTensor){.rank = 2, .shape = {rows, columns}, .offset = l->elements, .is_matrix = true};
    peft_adapter_name(layer, target, matrix, t->name);
    size_t bytes;
    return size_multiply(rows, columns, &t->elements) && size_add(l->elements, t->elements, &l->elements) &&
           size_multiply(l->elements, sizeof(float), &bytes);
}

/* The A of a fused product are neighbours: one matrix. */
static bool append_linear(Lora *l, const HfConfig *config, size_t layer, Linear linear) {
    const Shape s = shape_of(config, linear);
    LoraLinear *own = &l->layer[layer].linear[linear];
    bool fits = true;
    *own = (LoraLinear){.members = targets_of(&l->settings, &s), .in = s.in, .out = width_of(&s)};
    own->a_tensor = l->tensors;
    for (size_t i = 0; i < s.members; i++)
        if (is_target(&l->settings, &s, i))
            fits = append(l, layer, (PeftTarget)(s.first + i), 'A', l->settings.r, s.in) && fits;
    for (size_t i = 0, n = 0, column = 0; i < s.members; column += s.out[i++]) {
        if (!is_target(&l->settings, &s, i)) continue;
        own->member[n++] = (LoraMember){.column = column, .out = s.out[i], .b_tensor = l->tensors};
        fits = append(l, layer, (PeftTarget)(s.first + i), 'B', s.out[i], l->settings.r) && fits;
    }
    return fits;
}

int lora_create(Lora *lora, const HfConfig *config, const ModelOptions *options, Error *error) {
    size_t L = config->layers;
    *lora = (Lora){.settings = options->lora,
                   .scale = (float)peft_adapter_scale(&options->lora),
                   .on = true,
                   .tensor = calloc(L * 2 * PEFT_TARGETS, sizeof *lora->tensor),
                   .layer = calloc(L, sizeof *lora->layer),
                   .layers = L};
    if (lora->tensor == NULL || lora->layer == NULL) {
        lora_free(lora);
        return error_set(error, ERROR_MEMORY, "no memory for the list of an adapter's tensors");
    }
    bool fits = true;
    for (size_t l = 0; l < L; l++)
        for (int i = 0; i < LINEARS; i++) fits = append_linear(lora, config, l, (Linear)i) && fits;
    if (fits) return 0;
    lora_free(lora);
    return error_set(error, ERROR_INPUT, "an adapter of rank %zu does not fit into an address space", options->lora.r);
}

void lora_free(Lora *lora) {
    for (size_t l = 0; lora->layer != NULL && l < lora->layers; l++)
        for (int i = 0; i < LINEARS; i++) {
            LoraLinear *own = &lora->layer[l].linear[i];
            gemm_weight_destroy(own->a);
            for (size_t n = 0; n < LORA_MEMBERS; n++) gemm_weight_destroy(own->member[n].b);
        }
    free(lora->base);
    free(lora->tensor);
    free(lora->layer);
    *lora = (Lora){0};
}

/* --- memory --- */

void lora_lay_out(Lora *l, Arena *arena, const HfConfig *config, const ModelOptions *options) {
    const size_t most = LORA_MEMBERS * l->settings.r, size = dtype_bytes(options->compute);
    bool half = options->compute != DTYPE_F32, train = options->trainable, drops = train && l->settings.dropout > 0;
    size_t widest_in = 0, widest = 0;
    for (int i = 0; i < LINEARS; i++) {
        const Shape s = shape_of(config, (Linear)i);
        size_t out = width_of(&s);
        if (s.in > widest_in) widest_in = s.in;
        if (out > widest) widest = out;
    }
    if (widest_in > widest) widest = widest_in;
    l->weights = arena_take(arena, l->elements, sizeof(float));
    l->gradients = train ? arena_take(arena, l->elements, sizeof(float)) : NULL;
    l->u = arena_take(arena, BLOCK_CHUNK * most, sizeof(float));
    l->du = train ? arena_take(arena, BLOCK_CHUNK * most, sizeof(float)) : NULL;
    l->u_half = half ? arena_take(arena, BLOCK_CHUNK * most, size) : NULL;
    l->du_half = half && train ? arena_take(arena, BLOCK_CHUNK * most, size) : NULL;
    l->wide = half ? arena_take(arena, BLOCK_CHUNK * widest, sizeof(float)) : NULL;
    l->dropped = drops ? arena_take(arena, BLOCK_CHUNK * widest_in, size) : NULL;
    l->dx_dropped = drops ? arena_take(arena, BLOCK_CHUNK * widest_in, sizeof(float)) : NULL;
}

static unsigned uses_of(const ModelOptions *options) {
    return options->trainable ? GEMM_FORWARD | GEMM_DATA_GRADIENT : GEMM_FORWARD;
}

size_t lora_packed_bytes(const HfConfig *config, const ModelOptions *options) {
    const LoraSettings *settings = &options->lora;
    const Isa isa = options->kernels->isa;
    const unsigned uses = uses_of(options);
    size_t bytes = 0;
    for (int i = 0; i < LINEARS; i++) {
        const Shape s = shape_of(config, (Linear)i);
        size_t n = targets_of(settings, &s);
        if (n > 0) bytes += gemm_weight_bytes(isa, n * settings->r, s.in, options->compute, uses);
        for (size_t k = 0; k < s.members; k++)
            if (is_target(settings, &s, k))
                bytes += gemm_weight_bytes(isa, s.out[k], settings->r, options->compute, uses);
    }
    return config->layers * bytes;
}

int lora_create_weights(Model *m, Error *error) {
    const size_t r = m->lora.settings.r;
    const DType type = m->options.compute;
    unsigned uses = uses_of(&m->options);
    for (size_t l = 0; l < m->lora.layers; l++)
        for (int i = 0; i < LINEARS; i++) {
            LoraLinear *own = &m->lora.layer[l].linear[i];
            if (own->members == 0) continue;
            if (gemm_weight_create(m->gemm, own->members * r, own->in, type, uses, &own->a, error) != 0) return -1;
            for (size_t n = 0; n < own->members; n++)
                if (gemm_weight_create(m->gemm, own->member[n].out, r, type, uses, &own->member[n].b, error) != 0)
                    return -1;
        }
    return 0;
}

int lora_pack(Model *m, Error *error) {
    const Lora *lora = &m->lora;
    for (size_t l = 0; l < lora->layers; l++)
        for (int i = 0; i < LINEARS; i++) {
            const LoraLinear *own = &lora->layer[l].linear[i];
            if (own->members == 0) continue;
            if (gemm_weight_pack(m->gemm, own->a, lora->weights + lora->tensor[own->a_tensor].offset, DTYPE_F32,
                                 error) != 0)
                return -1;
            for (size_t n = 0; n < own->members; n++)
                if (gemm_weight_pack(m->gemm, own->member[n].b,
                                     lora->weights + lora->tensor[own->member[n].b_tensor].offset, DTYPE_F32,
                                     error) != 0)
                    return -1;
        }
    return 0;
}

/* --- forward and backward --- */

static const LoraLinear *linear_of(const Model *m, const LinearCall *call) {
    return &m->lora.layer[call->layer].linear[call->linear];
}

bool lora_is_on(const Model *m, const LinearCall *call) {
    return m->lora.on && m->lora.layer != NULL && linear_of(m, call)->members > 0;
}

static bool drops(const Model *m) { return m->lora.dropout_key != 0 && m->lora.dropped != NULL; }

/* Eight elements of a row's mask, from a column that is a multiple of 8: 0, or 1 / (1 - p). Sixteen bits decide one. */
static void mask_of(const Model *m, const LinearCall *call, size_t row, size_t column, float keep[8]) {
    const double p = m->lora.settings.dropout;
    const uint32_t key[2] = {(uint32_t)m->lora.dropout_key, (uint32_t)(m->lora.dropout_key >> 32)};
    const uint32_t counter[4] = {(uint32_t)(column / 8), (uint32_t)(call->first + row), (uint32_t)call->linear,
                                 (uint32_t)call->layer};
    const uint32_t below = (uint32_t)(p * 65536 + 0.5);
    const float scale = (float)(1 / (1 - p));
    uint32_t bits[4];
    rng_philox(counter, key, bits);
    for (size_t k = 0; k < 8; k++) keep[k] = (bits[k / 2] >> 16 * (k % 2) & 0xffff) < below ? 0 : scale;
}

/* x as A sees it: x itself, or masked. */
static const void *seen_by_a(Model *m, const LinearCall *call, const void *x) {
    const size_t in = linear_of(m, call)->in;
    if (!drops(m)) return x;
#pragma omp parallel for num_threads(m->options.kernels->threads) schedule(static)
    for (size_t t = 0; t < call->rows; t++)
        for (size_t i = 0; i < in; i += 8) {
            const size_t at = t * in + i, n = in - i < 8 ? in - i : 8;
            float keep[8];
            mask_of(m, call, t, i, keep);
            for (size_t k = 0; k < n; k++)
                if (m->options.compute == DTYPE_F32)
                    ((float *)m->lora.dropped)[at + k] = keep[k] * ((const float *)x)[at + k];
                else
                    ((bf16 *)m->lora.dropped)[at + k] =
                        dtype_bf16_from_float(keep[k] * dtype_bf16_to_float(((const bf16 *)x)[at + k]));
        }
    return m->lora.dropped;
}

/* Rows of u or du: times s, and as the products read them. */
static const void *scaled(const Model *m, size_t count, float *u, void *half) {
    const KernelTable *k = m->options.kernels;
    k->scale(count, m->lora.scale, u);
    if (half == NULL) return u;
    k->to_bf16(count, u, half);
    return half;
}

/* u (rows, members r) = s A x. */
static int project_down(Model *m, const LinearCall *call, const void *x, const void **u, Error *error) {
    const LoraLinear *own = linear_of(m, call);
    const size_t width = own->members * m->lora.settings.r;
    if (gemm_forward(m->gemm, own->a, call->rows, x, own->in, m->lora.u, width, DTYPE_F32, false, error) != 0)
        return -1;
    *u = scaled(m, call->rows * width, m->lora.u, m->lora.u_half);
    return 0;
}

/* Columns of member n in rows of u or du. */
static const void *member_of(const Model *m, const void *u, size_t n) {
    return (const char *)u + n * m->lora.settings.r * dtype_bytes(m->options.compute);
}

static const void *columns_of(const Model *m, const void *dy, const LoraMember *member) {
    return (const char *)dy + member->column * dtype_bytes(m->options.compute);
}

int lora_forward(Model *m, const LinearCall *call, const void *x, float *y, Error *error) {
    const LoraLinear *own = linear_of(m, call);
    const size_t width = own->members * m->lora.settings.r;
    const void *u;
    if (project_down(m, call, seen_by_a(m, call, x), &u, error) != 0) return -1;
    for (size_t n = 0; n < own->members; n++) {
        const LoraMember *member = &own->member[n];
        if (gemm_forward(m->gemm, member->b, call->rows, member_of(m, u, n), width, y + member->column, own->out,
                         DTYPE_F32, true, error) != 0)
            return -1;
    }
    return 0;
}

/* dx += mask * (A^T du). */
static int add_masked(Model *m, const LinearCall *call, const void *du, float *dx, Error *error) {
    const LoraLinear *own = linear_of(m, call);
    const size_t in = own->in, width = own->members * m->lora.settings.r;
    float *masked = m->lora.dx_dropped;
    if (gemm_data_gradient(m->gemm, own->a, call->rows, du, width, masked, in, DTYPE_F32, false, error) != 0) return -1;
#pragma omp parallel for num_threads(m->options.kernels->threads) schedule(static)
    for (size_t t = 0; t < call->rows; t++)
        for (size_t i = 0; i < in; i += 8) {
            float keep[8];
            mask_of(m, call, t, i, keep);
            for (size_t k = 0; k < 8 && i + k < in; k++) dx[t * in + i + k] += keep[k] * masked[t * in + i + k];
        }
    return 0;
}

int lora_data_gradient(Model *m, const LinearCall *call, const void *dy, float *dx, Error *error) {
    const LoraLinear *own = linear_of(m, call);
    const size_t r = m->lora.settings.r, width = own->members * r;
    for (size_t n = 0; n < own->members; n++) {
        const LoraMember *member = &own->member[n];
        if (gemm_data_gradient(m->gemm, member->b, call->rows, columns_of(m, dy, member), own->out, m->lora.du + n * r,
                               width, DTYPE_F32, false, error) != 0)
            return -1;
    }
    const void *du = scaled(m, call->rows * width, m->lora.du, m->lora.du_half);
    if (drops(m)) return add_masked(m, call, du, dx, error);
    return gemm_data_gradient(m->gemm, own->a, call->rows, du, width, dx, own->in, DTYPE_F32, true, error);
}

int lora_weight_gradient(Model *m, const LinearCall *call, const void *dy, const void *x, Error *error) {
    const LoraLinear *own = linear_of(m, call);
    const size_t r = m->lora.settings.r, width = own->members * r, rows = call->rows;
    const DType type = m->options.compute;
    const void *u, *seen = seen_by_a(m, call, x), *du = m->lora.du_half != NULL ? m->lora.du_half : m->lora.du;
    if (project_down(m, call, seen, &u, error) != 0) return -1;
    for (size_t n = 0; n < own->members; n++) {
        const LoraMember *member = &own->member[n];
        if (gemm_weight_gradient(m->gemm, rows, member->out, r, type, columns_of(m, dy, member), own->out,
                                 member_of(m, u, n), width, m->lora.gradients + m->lora.tensor[member->b_tensor].offset,
                                 error) != 0)
            return -1;
    }
    return gemm_weight_gradient(m->gemm, rows, width, own->in, type, du, width, seen, own->in,
                                m->lora.gradients + m->lora.tensor[own->a_tensor].offset, error);
}
