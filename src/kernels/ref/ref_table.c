#include "kernels/ref/ref_table.h"

#include "kernels/adamw.h"
#include "kernels/ref/ref_attention.h"

#include <math.h>

/* Sums run in double, front to back: the reference is as exact as it is cheap to be. */

static void to_bf16(size_t n, const float *src, bf16 *dst) {
    for (size_t i = 0; i < n; i++) dst[i] = dtype_bf16_from_float(src[i]);
}

static void to_f32(size_t n, const bf16 *src, float *dst) {
    for (size_t i = 0; i < n; i++) dst[i] = dtype_bf16_to_float(src[i]);
}

static void add(size_t n, const float *x, float *y) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void scale(size_t n, float a, float *y) {
    for (size_t i = 0; i < n; i++) y[i] *= a;
}

static void axpy(size_t n, float a, const float *x, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static float dot(size_t n, const float *x, const float *y) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * y[i];
    return (float)sum;
}

static float dot_bf16(size_t n, const bf16 *x, const bf16 *y) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)dtype_bf16_to_float(x[i]) * dtype_bf16_to_float(y[i]);
    return (float)sum;
}

static void axpy_bf16(size_t n, float a, const bf16 *x, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a, dtype_bf16_to_float(x[i]), y[i]);
}

static float maximum(size_t n, const float *x) {
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > best) best = x[i];
    return best;
}

static float exp_sum(size_t n, const float *x, float shift, float *y) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float e = expf(x[i] - shift);
        sum += e;
        if (y != NULL) y[i] = e;
    }
    return (float)sum;
}

static double sum_squares(size_t n, const float *x) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sum;
}

static void store(void *y, DType type, size_t i, float value) {
    if (type == DTYPE_F32)
        ((float *)y)[i] = value;
    else
        ((bf16 *)y)[i] = dtype_bf16_from_float(value);
}

static float load(const void *x, DType type, size_t i) {
    return type == DTYPE_F32 ? ((const float *)x)[i] : dtype_bf16_to_float(((const bf16 *)x)[i]);
}

static float rmsnorm_row(size_t C, const float *x, const float *weight, float eps, void *y, DType y_type) {
    float inverse_rms = (float)(1 / sqrt(sum_squares(C, x) / (double)C + eps));
    for (size_t i = 0; i < C; i++) store(y, y_type, i, x[i] * inverse_rms * weight[i]);
    return inverse_rms;
}

/* With r = inverse_rms: dx_i += r (w_i dy_i - x_i r^2 / C sum_j w_j dy_j x_j). */
static void rmsnorm_row_backward(size_t C, const float *x, const float *weight, float inverse_rms, const float *dy,
                                 float *dx, float *dweight) {
    double sum = 0;
    for (size_t i = 0; i < C; i++) sum += (double)weight[i] * dy[i] * x[i];
    float along = (float)(sum / (double)C * inverse_rms * inverse_rms);
    for (size_t i = 0; i < C; i++) dx[i] += inverse_rms * (weight[i] * dy[i] - x[i] * along);
    if (dweight != NULL)
        for (size_t i = 0; i < C; i++) dweight[i] += dy[i] * (x[i] * inverse_rms);
}

static void swiglu(size_t n, DType type, const void *gate, const void *up, void *out) {
    for (size_t i = 0; i < n; i++) {
        float g = load(gate, type, i);
        store(out, type, i, g / (1 + expf(-g)) * load(up, type, i));
    }
}

/* dgate may be gate and dup may be up: both are read before either is written. */
static void swiglu_backward(size_t n, DType type, const void *gate, const void *up, const void *dout, void *dgate,
                            void *dup) {
    for (size_t i = 0; i < n; i++) {
        float g = load(gate, type, i), u = load(up, type, i), d = load(dout, type, i);
        float sigmoid = 1 / (1 + expf(-g));
        store(dgate, type, i, d * u * sigmoid * (1 + g * (1 - sigmoid)));
        store(dup, type, i, d * g * sigmoid);
    }
}

/* gelu(x) = x s with s = sigmoid(2 u(x)). Beyond 30 s is 0 or 1, and x^2 would overflow some time. fall: (1 - s) 2 x
 * du/dx, where 1 - s loses nothing near s = 1. */
static float gelu_sigmoid(float x, float *fall) {
    float near = isnan(x) ? x : fminf(30, fmaxf(-30, x)), square = near * near;
    float e = expf(-1.5957691216f * near * (1 + 0.044715f * square)), sigmoid = 1 / (1 + e);
    *fall = (x > 0 ? e * sigmoid : 1 - sigmoid) * (1.5957691216f * near * (1 + 3 * 0.044715f * square));
    return sigmoid;
}

static void geglu(size_t n, DType type, const void *gate, const void *up, void *out) {
    for (size_t i = 0; i < n; i++) {
        float g = load(gate, type, i), fall;
        store(out, type, i, g * gelu_sigmoid(g, &fall) * load(up, type, i));
    }
}

static void geglu_backward(size_t n, DType type, const void *gate, const void *up, const void *dout, void *dgate,
                           void *dup) {
    for (size_t i = 0; i < n; i++) {
        float g = load(gate, type, i), u = load(up, type, i), d = load(dout, type, i), fall;
        float sigmoid = gelu_sigmoid(g, &fall);
        store(dgate, type, i, d * u * sigmoid * (1 + fall));
        store(dup, type, i, d * g * sigmoid);
    }
}

static void rope_row(size_t heads, size_t half, DType type, const float *cosine, const float *sine, float sign,
                     void *x) {
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < half; i++) {
            size_t at = h * 2 * half + i;
            float a = load(x, type, at), b = load(x, type, at + half), s = sign * sine[i];
            store(x, type, at, a * cosine[i] - b * s);
            store(x, type, at + half, b * cosine[i] + a * s);
        }
}

static void adamw(size_t n, const AdamwStep *step, float *w, float *m, float *v, const float *g) {
    float keep = 1 - step->learning_rate * step->weight_decay, rate = step->learning_rate / step->correction1;
    float beta1 = (float)step->beta1, rest1 = (float)(1 - step->beta1);
    float beta2 = (float)step->beta2, rest2 = (float)(1 - step->beta2);
    for (size_t i = 0; i < n; i++) {
        float gradient = g[i] * step->gradient_scale;
        m[i] = beta1 * m[i] + rest1 * gradient;
        v[i] = beta2 * v[i] + rest2 * gradient * gradient;
        w[i] = w[i] * keep - rate * m[i] / (sqrtf(v[i] / step->correction2) + step->eps);
    }
}

void ref_table_fill(KernelTable *table) {
    table->to_bf16 = to_bf16;
    table->to_f32 = to_f32;
    table->add = add;
    table->scale = scale;
    table->axpy = axpy;
    table->dot = dot;
    table->dot_bf16 = dot_bf16;
    table->axpy_bf16 = axpy_bf16;
    table->maximum = maximum;
    table->exp_sum = exp_sum;
    table->sum_squares = sum_squares;
    table->rmsnorm_row = rmsnorm_row;
    table->rmsnorm_row_backward = rmsnorm_row_backward;
    table->swiglu = swiglu;
    table->swiglu_backward = swiglu_backward;
    table->geglu = geglu;
    table->geglu_backward = geglu_backward;
    table->rope_row = rope_row;
    table->adamw = adamw;
    ref_attention_fill(table);
}
