/* simd_rows.h - rows of a transformer block: rmsnorm, swiglu, geglu, rotary embedding; and the AdamW update.
 *
 * The last few elements go through the same arithmetic, padded with zeros, so that an element has the same bits
 * wherever it stands. Nothing is contracted: what has no sum over elements (rope, adamw) equals the reference to the
 * bit. */

#include "kernels/adamw.h"

// Sums over a row run in double, half as many lanes at a time.
enum { HALF_LANES = SIMD_LANES / 2 };
typedef double Doubles __attribute__((vector_size(8 * HALF_LANES)));
typedef float HalfFloats __attribute__((vector_size(4 * HALF_LANES)));
typedef float HalfFloatsAnywhere __attribute__((vector_size(4 * HALF_LANES), aligned(4), may_alias));

// Runs `part` for whole vectors with a constant number of elements, and once for those left over.
#define ROWS_EACH(n, part)                                                                                             \
    do {                                                                                                               \
        size_t i = 0;                                                                                                  \
        for (; i + SIMD_LANES <= (n); i += SIMD_LANES) {                                                               \
            const size_t left = SIMD_LANES;                                                                            \
            part;                                                                                                      \
        }                                                                                                              \
        if (i < (n)) {                                                                                                 \
            const size_t left = (n)-i;                                                                                 \
            part;                                                                                                      \
        }                                                                                                              \
    } while (0)

SIMD_INLINE Floats rows_load_f32(const float *x, size_t i, size_t left) {
    return left == SIMD_LANES ? simd_load(x + i) : simd_load_some(x + i, left);
}
SIMD_INLINE void rows_store_f32(float *x, size_t i, size_t left, Floats v) {
    if (left == SIMD_LANES)
        simd_store(x + i, v);
    else
        simd_store_some(x + i, left, v);
}
SIMD_INLINE Floats rows_load(const void *x, DType type, size_t i, size_t left) {
    if (type == DTYPE_F32) return rows_load_f32(x, i, left);
    const bf16 *h = (const bf16 *)x + i;
    return left == SIMD_LANES ? simd_load_bf16(h) : simd_load_bf16_some(h, left);
}
SIMD_INLINE void rows_store(void *x, DType type, size_t i, size_t left, Floats v) {
    if (type == DTYPE_F32)
        rows_store_f32(x, i, left, v);
    else {
        Halves h = simd_narrow(v);
        if (left == SIMD_LANES)
            *(HalvesAnywhere *)((bf16 *)x + i) = h;
        else
            memcpy((bf16 *)x + i, &h, left * sizeof(bf16));
    }
}

SIMD_INLINE HalfFloats rows_half(const float *x, size_t i, size_t n) {
    if (n - i >= HALF_LANES) return *(const HalfFloatsAnywhere *)(x + i);
    HalfFloats v = {0};
    memcpy(&v, x + i, (n - i) * sizeof *x);
    return v;
}

/* Sum of x_i^2, or of (w_i dy_i) x_i, in two interleaved sums. */
SIMD_INLINE double rows_sum(size_t n, const float *x, const float *w, const float *dy) {
    Doubles sum[2] = {{0}, {0}}, both;
    for (size_t i = 0; i < n; i += 2 * HALF_LANES)
#pragma GCC unroll 2
        for (size_t k = 0; k < 2; k++) {
            size_t at = i + k * HALF_LANES;
            if (at >= n) break;
            HalfFloats v = rows_half(x, at, n), other = w == NULL ? v : rows_half(w, at, n) * rows_half(dy, at, n);
            sum[k] += __builtin_convertvector(v, Doubles) * __builtin_convertvector(other, Doubles);
        }
    both = sum[0] + sum[1];
    double total = 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < HALF_LANES; i++) total += both[i];
    return total;
}

SIMD_INLINE void rmsnorm_part(DType type, size_t i, size_t left, const float *x, const float *weight, float inverse_rms,
                              void *y) {
    rows_store(y, type, i, left, rows_load_f32(x, i, left) * inverse_rms * rows_load_f32(weight, i, left));
}

static float simd_rmsnorm_row(size_t C, const float *x, const float *weight, float eps, void *y, DType y_type) {
    float inverse_rms = (float)(1 / __builtin_sqrt(rows_sum(C, x, NULL, NULL) / (double)C + eps));
    if (y_type == DTYPE_F32)
        ROWS_EACH(C, rmsnorm_part(DTYPE_F32, i, left, x, weight, inverse_rms, y));
    else
        ROWS_EACH(C, rmsnorm_part(DTYPE_BF16, i, left, x, weight, inverse_rms, y));
    return inverse_rms;
}

SIMD_INLINE void rmsnorm_backward_part(size_t i, size_t left, const float *x, const float *weight, float inverse_rms,
                                       float along, const float *dy, float *dx, float *dweight) {
    Floats value = rows_load_f32(x, i, left), slope = rows_load_f32(dy, i, left);
    Floats inner = rows_load_f32(weight, i, left) * slope - value * along;
    rows_store_f32(dx, i, left, rows_load_f32(dx, i, left) + inverse_rms * inner);
    if (dweight != NULL)
        rows_store_f32(dweight, i, left, rows_load_f32(dweight, i, left) + slope * (value * inverse_rms));
}

static void simd_rmsnorm_row_backward(size_t C, const float *x, const float *weight, float inverse_rms, const float *dy,
                                      float *dx, float *dweight) {
    float along = (float)(rows_sum(C, x, weight, dy) / (double)C * inverse_rms * inverse_rms);
    ROWS_EACH(C, rmsnorm_backward_part(i, left, x, weight, inverse_rms, along, dy, dx, dweight));
}

SIMD_INLINE void swiglu_part(DType type, size_t i, size_t left, const void *gate, const void *up, void *out) {
    Floats g = rows_load(gate, type, i, left);
    rows_store(out, type, i, left, g / (1 + simd_exp(-g)) * rows_load(up, type, i, left));
}

static void simd_swiglu(size_t n, DType type, const void *gate, const void *up, void *out) {
    if (type == DTYPE_F32)
        ROWS_EACH(n, swiglu_part(DTYPE_F32, i, left, gate, up, out));
    else
        ROWS_EACH(n, swiglu_part(DTYPE_BF16, i, left, gate, up, out));
}

SIMD_INLINE void swiglu_backward_part(DType type, size_t i, size_t left, const void *gate, const void *up,
                                      const void *dout, void *dgate, void *dup) {
    Floats g = rows_load(gate, type, i, left), u = rows_load(up, type, i, left), d = rows_load(dout, type, i, left);
    Floats sigmoid = 1 / (1 + simd_exp(-g));
    rows_store(dgate, type, i, left, d * u * sigmoid * (1 + g * (1 - sigmoid)));
    rows_store(dup, type, i, left, d * g * sigmoid);
}

static void simd_swiglu_backward(size_t n, DType type, const void *gate, const void *up, const void *dout, void *dgate,
                                 void *dup) {
    if (type == DTYPE_F32)
        ROWS_EACH(n, swiglu_backward_part(DTYPE_F32, i, left, gate, up, dout, dgate, dup));
    else
        ROWS_EACH(n, swiglu_backward_part(DTYPE_BF16, i, left, gate, up, dout, dgate, dup));
}

/* As gelu_sigmoid of the reference; NaN passes. */
SIMD_INLINE Floats geglu_sigmoid(Floats g, Floats *fall) {
    Floats near = simd_min(simd_all(30.0f), simd_max(simd_all(-30.0f), g)), square = near * near;
    Floats e = simd_exp(-1.5957691216f * near * (1 + 0.044715f * square)), sigmoid = 1 / (1 + e);
    *fall = simd_select(g > 0, e * sigmoid, 1 - sigmoid) * (1.5957691216f * near * (1 + 3 * 0.044715f * square));
    return sigmoid;
}

SIMD_INLINE void geglu_part(DType type, size_t i, size_t left, const void *gate, const void *up, void *out) {
    Floats g = rows_load(gate, type, i, left), fall;
    rows_store(out, type, i, left, g * geglu_sigmoid(g, &fall) * rows_load(up, type, i, left));
}

static void simd_geglu(size_t n, DType type, const void *gate, const void *up, void *out) {
    if (type == DTYPE_F32)
        ROWS_EACH(n, geglu_part(DTYPE_F32, i, left, gate, up, out));
    else
        ROWS_EACH(n, geglu_part(DTYPE_BF16, i, left, gate, up, out));
}

SIMD_INLINE void geglu_backward_part(DType type, size_t i, size_t left, const void *gate, const void *up,
                                     const void *dout, void *dgate, void *dup) {
    Floats g = rows_load(gate, type, i, left), u = rows_load(up, type, i, left), d = rows_load(dout, type, i, left);
    Floats fall, sigmoid = geglu_sigmoid(g, &fall);
    rows_store(dgate, type, i, left, d * u * sigmoid * (1 + fall));
    rows_store(dup, type, i, left, d * g * sigmoid);
}

static void simd_geglu_backward(size_t n, DType type, const void *gate, const void *up, const void *dout, void *dgate,
                                void *dup) {
    if (type == DTYPE_F32)
        ROWS_EACH(n, geglu_backward_part(DTYPE_F32, i, left, gate, up, dout, dgate, dup));
    else
        ROWS_EACH(n, geglu_backward_part(DTYPE_BF16, i, left, gate, up, dout, dgate, dup));
}

/* The angles are loaded once for all heads. */
SIMD_INLINE void rope_part(DType type, size_t i, size_t left, size_t heads, size_t half, const float *cosine,
                           const float *sine, float sign, void *x) {
    Floats c = rows_load_f32(cosine, i, left), s = sign * rows_load_f32(sine, i, left);
    for (size_t at = i; at < heads * 2 * half; at += 2 * half) {
        Floats a = rows_load(x, type, at, left), b = rows_load(x, type, at + half, left);
        rows_store(x, type, at, left, a * c - b * s);
        rows_store(x, type, at + half, left, b * c + a * s);
    }
}

static void simd_rope_row(size_t heads, size_t half, DType type, const float *cosine, const float *sine, float sign,
                          void *x) {
    if (type == DTYPE_F32)
        ROWS_EACH(half, rope_part(DTYPE_F32, i, left, heads, half, cosine, sine, sign, x));
    else
        ROWS_EACH(half, rope_part(DTYPE_BF16, i, left, heads, half, cosine, sine, sign, x));
}

typedef struct {
    float keep, rate, beta1, rest1, beta2, rest2;
} AdamwRates;

SIMD_INLINE void adamw_part(size_t i, size_t left, const AdamwStep *step, AdamwRates r, float *w, float *m, float *v,
                            const float *g) {
    Floats slope = rows_load_f32(g, i, left) * step->gradient_scale;
    Floats first = r.beta1 * rows_load_f32(m, i, left) + r.rest1 * slope;
    Floats second = r.beta2 * rows_load_f32(v, i, left) + r.rest2 * slope * slope;
    Floats size = simd_sqrt(second / step->correction2) + step->eps;
    rows_store_f32(m, i, left, first), rows_store_f32(v, i, left, second);
    rows_store_f32(w, i, left, rows_load_f32(w, i, left) * r.keep - r.rate * first / size);
}

static void simd_adamw(size_t n, const AdamwStep *step, float *w, float *m, float *v, const float *g) {
    const AdamwRates rates = {.keep = 1 - step->learning_rate * step->weight_decay,
                              .rate = step->learning_rate / step->correction1,
                              .beta1 = (float)step->beta1,
                              .rest1 = (float)(1 - step->beta1),
                              .beta2 = (float)step->beta2,
                              .rest2 = (float)(1 - step->beta2)};
    ROWS_EACH(n, adamw_part(i, left, step, rates, w, m, v, g));
}
