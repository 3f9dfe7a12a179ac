/* simd_rows.h - rows of a transformer block: rmsnorm, swiglu, rotary embedding; and the AdamW update.
 *
 * The last few elements go through the same arithmetic, padded with zeros, so that an element has the same bits
 * wherever it stands. Nothing is contracted: what has no sum over elements (rope, adamw) equals the reference to the
 * bit. */

#include "kernels/adamw.h"

typedef double Doubles __attribute__((vector_size(8 * SIMD_LANES)));

SIMD_INLINE size_t rows_left(size_t n, size_t i) { return n - i < SIMD_LANES ? n - i : SIMD_LANES; }

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
        memcpy((bf16 *)x + i, &h, left * sizeof(bf16));
    }
}

SIMD_INLINE double rows_total(Doubles sum) {
    double total = 0;
    for (size_t i = 0; i < SIMD_LANES; i++) total += sum[i];
    return total;
}

SIMD_INLINE float rmsnorm_as(DType type, size_t C, const float *x, const float *weight, float eps, void *y) {
    Doubles sum = {0};
    for (size_t i = 0; i < C; i += SIMD_LANES) {
        Doubles v = __builtin_convertvector(rows_load_f32(x, i, rows_left(C, i)), Doubles);
        sum += v * v;
    }
    float inverse_rms = (float)(1 / __builtin_sqrt(rows_total(sum) / (double)C + eps));
    for (size_t i = 0; i < C; i += SIMD_LANES) {
        size_t left = rows_left(C, i);
        rows_store(y, type, i, left, rows_load_f32(x, i, left) * inverse_rms * rows_load_f32(weight, i, left));
    }
    return inverse_rms;
}

static float simd_rmsnorm_row(size_t C, const float *x, const float *weight, float eps, void *y, DType y_type) {
    return y_type == DTYPE_F32 ? rmsnorm_as(DTYPE_F32, C, x, weight, eps, y)
                               : rmsnorm_as(DTYPE_BF16, C, x, weight, eps, y);
}

static void simd_rmsnorm_row_backward(size_t C, const float *x, const float *weight, float inverse_rms, const float *dy,
                                      float *dx, float *dweight) {
    Doubles sum = {0};
    for (size_t i = 0; i < C; i += SIMD_LANES) {
        size_t left = rows_left(C, i);
        Floats slope = rows_load_f32(weight, i, left) * rows_load_f32(dy, i, left);
        sum += __builtin_convertvector(slope, Doubles) * __builtin_convertvector(rows_load_f32(x, i, left), Doubles);
    }
    float along = (float)(rows_total(sum) / (double)C * inverse_rms * inverse_rms);
    for (size_t i = 0; i < C; i += SIMD_LANES) {
        size_t left = rows_left(C, i);
        Floats value = rows_load_f32(x, i, left), slope = rows_load_f32(dy, i, left);
        Floats inner = rows_load_f32(weight, i, left) * slope - value * along;
        rows_store_f32(dx, i, left, rows_load_f32(dx, i, left) + inverse_rms * inner);
        if (dweight != NULL)
            rows_store_f32(dweight, i, left, rows_load_f32(dweight, i, left) + slope * (value * inverse_rms));
    }
}

SIMD_INLINE void swiglu_as(DType type, size_t n, const void *gate, const void *up, void *out) {
    for (size_t i = 0; i < n; i += SIMD_LANES) {
        size_t left = rows_left(n, i);
        Floats g = rows_load(gate, type, i, left);
        rows_store(out, type, i, left, g / (1 + simd_exp(-g)) * rows_load(up, type, i, left));
    }
}

static void simd_swiglu(size_t n, DType type, const void *gate, const void *up, void *out) {
    if (type == DTYPE_F32)
        swiglu_as(DTYPE_F32, n, gate, up, out);
    else
        swiglu_as(DTYPE_BF16, n, gate, up, out);
}

SIMD_INLINE void swiglu_backward_as(DType type, size_t n, const void *gate, const void *up, const void *dout,
                                    void *dgate, void *dup) {
    for (size_t i = 0; i < n; i += SIMD_LANES) {
        size_t left = rows_left(n, i);
        Floats g = rows_load(gate, type, i, left), u = rows_load(up, type, i, left), d = rows_load(dout, type, i, left);
        Floats sigmoid = 1 / (1 + simd_exp(-g));
        rows_store(dgate, type, i, left, d * u * sigmoid * (1 + g * (1 - sigmoid)));
        rows_store(dup, type, i, left, d * g * sigmoid);
    }
}

static void simd_swiglu_backward(size_t n, DType type, const void *gate, const void *up, const void *dout, void *dgate,
                                 void *dup) {
    if (type == DTYPE_F32)
        swiglu_backward_as(DTYPE_F32, n, gate, up, dout, dgate, dup);
    else
        swiglu_backward_as(DTYPE_BF16, n, gate, up, dout, dgate, dup);
}

SIMD_INLINE void rope_as(DType type, size_t heads, size_t half, const float *cosine, const float *sine, float sign,
                         void *x) {
    for (size_t i = 0; i < half; i += SIMD_LANES) {
        size_t left = rows_left(half, i);
        Floats c = rows_load_f32(cosine, i, left), s = sign * rows_load_f32(sine, i, left);
        for (size_t at = i; at < heads * 2 * half; at += 2 * half) {
            Floats a = rows_load(x, type, at, left), b = rows_load(x, type, at + half, left);
            rows_store(x, type, at, left, a * c - b * s);
            rows_store(x, type, at + half, left, b * c + a * s);
        }
    }
}

static void simd_rope_row(size_t heads, size_t half, DType type, const float *cosine, const float *sine, float sign,
                          void *x) {
    if (type == DTYPE_F32)
        rope_as(DTYPE_F32, heads, half, cosine, sine, sign, x);
    else
        rope_as(DTYPE_BF16, heads, half, cosine, sine, sign, x);
}

static void simd_adamw(size_t n, const AdamwStep *step, float *w, float *m, float *v, const float *g) {
    float keep = 1 - step->learning_rate * step->weight_decay, rate = step->learning_rate / step->correction1;
    float beta1 = (float)step->beta1, rest1 = (float)(1 - step->beta1);
    float beta2 = (float)step->beta2, rest2 = (float)(1 - step->beta2);
    for (size_t i = 0; i < n; i += SIMD_LANES) {
        size_t left = rows_left(n, i);
        Floats slope = rows_load_f32(g, i, left) * step->gradient_scale;
        Floats first = beta1 * rows_load_f32(m, i, left) + rest1 * slope;
        Floats second = beta2 * rows_load_f32(v, i, left) + rest2 * slope * slope;
        Floats size = simd_sqrt(second / step->correction2) + step->eps;
        rows_store_f32(m, i, left, first), rows_store_f32(v, i, left, second);
        rows_store_f32(w, i, left, rows_load_f32(w, i, left) * keep - rate * first / size);
    }
}
