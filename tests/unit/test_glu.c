#include "kernel_cases.h"
#include "kernels/glu.h"

#include <math.h>
#include <string.h>

enum { T = 5, F = 83 };
static float in[T * 2 * F], dout[T * F], out[T * F], again[T * F], din[T * 2 * F];
static bf16 in_half[T * 2 * F], out_half[T * F];
static Glu glu;

/* As the papers have them. */
static double value(double gate, double up) {
    if (glu == GLU_SILU) return gate / (1 + exp(-gate)) * up;
    return gate / 2 * (1 + tanh(sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate))) * up;
}

static void check(const KernelTable *k) {
    memcpy(din, in, sizeof in);
    glu_forward(k, glu, T, F, DTYPE_F32, in, out);
    glu_backward(k, glu, T, F, DTYPE_F32, din, again, dout);
    assert_memory_equal(out, again, sizeof out);
    glu_forward(k, glu, T, F, DTYPE_BF16, in_half, out_half);
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < F; i++) {
            size_t g = t * 2 * F + i, u = g + F, o = t * F + i;
            const double h = 1e-5;
            double gate = in[g], up = in[u], expected = value(gate, up);
            assert_true(fabs(expected - out[o]) < 2e-6 * (1 + fabs(expected)));
            assert_true(fabs(dout[o] * (value(gate + h, up) - value(gate - h, up)) / (2 * h) - din[g]) < 1e-5);
            assert_true(fabs(dout[o] * (value(gate, up + h) - value(gate, up - h)) / (2 * h) - din[u]) < 1e-5);
            double half = value(dtype_bf16_to_float(in_half[g]), dtype_bf16_to_float(in_half[u]));
            assert_true(fabs(half - dtype_bf16_to_float(out_half[o])) <= 0x1p-8 * fabs(half) + 1e-6);
        }
}

static void values_and_gradients(void **state) {
    (void)state;
    kernel_cases_fill(T * 2 * F, in, 1), kernel_cases_fill(T * F, dout, 2);
    for (size_t i = 0; i < T * 2 * F; i++) in[i] *= 3, in_half[i] = dtype_bf16_from_float(in[i]);
    for (glu = GLU_SILU; glu <= GLU_GELU; glu++) kernel_cases_each(check);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_and_gradients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
