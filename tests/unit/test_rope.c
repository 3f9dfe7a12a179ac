#include "kernel_cases.h"
#include "kernels/rope.h"

#include <complex.h>
#include <math.h>
#include <string.h>

enum { T = 9, HEADS = 3, D = 24, STRIDE = HEADS * D + 5, POSITIONS = 300 };
static const RopeParameters plain = {.theta = 10000};
static const RopeParameters linear4 = {.theta = 10000, .scaling = ROPE_LINEAR, .factor = 4};
static const RopeParameters llama3 = {.theta = 10000,
                                      .scaling = ROPE_LLAMA3,
                                      .factor = 8,
                                      .low_frequency_factor = 1,
                                      .high_frequency_factor = 4,
                                      .original_positions = 32};
static float table[POSITIONS * D], x[T * STRIDE], y[T * STRIDE];
static const int32_t position[T] = {0, 1, 2, 3, 17, 299, 5, 5, 64};

static void apply(const KernelTable *k, DType type, void *rows, int inverse) {
    for (size_t t = 0; t < T; t++)
        rope_row(k, HEADS, D, table + (size_t)position[t] * D, type, (char *)rows + t * STRIDE * dtype_bytes(type),
                 inverse);
}

/* A pair (i, i + D/2) is a complex number that turns by position * theta^(-2i/D). */
static void check(const KernelTable *k) {
    memcpy(y, x, sizeof x);
    apply(k, DTYPE_F32, y, 0);
    for (size_t t = 0; t < T; t++) {
        for (size_t h = 0; h < HEADS; h++)
            for (size_t i = 0; i < D / 2; i++) {
                size_t a = t * STRIDE + h * D + i, b = a + D / 2;
                double complex turned = (x[a] + I * x[b]) * cexp(I * position[t] * pow(10000, -2. * (double)i / D));
                assert_true(fabs(creal(turned) - y[a]) < 1e-6 && fabs(cimag(turned) - y[b]) < 1e-6);
            }
        assert_memory_equal(y + t * STRIDE + HEADS * D, x + t * STRIDE + HEADS * D,
                            5 * sizeof *x); // what lies between rows is left alone
    }
    apply(k, DTYPE_F32, y, 1);
    for (size_t i = 0; i < T * STRIDE; i++) assert_true(fabsf(x[i] - y[i]) < 1e-6f);
}

static void turns_and_turns_back(void **state) {
    (void)state;
    rope_table(&plain, D, POSITIONS, table);
    kernel_cases_fill(T * STRIDE, x, 1);
    kernel_cases_each(check);
}

static void bfloat16_is_the_rounded_float32(void **state) {
    (void)state;
    KernelTable k;
    static bf16 h[T * STRIDE];
    rope_table(&plain, D, POSITIONS, table);
    kernel_cases_fill(T * STRIDE, x, 2);
    for (size_t i = 0; i < T * STRIDE; i++) h[i] = dtype_bf16_from_float(x[i]), x[i] = dtype_bf16_to_float(h[i]);
    assert_int_equal(kernel_table_create(&k, 2, NULL), 0);
    apply(&k, DTYPE_F32, x, 0);
    apply(&k, DTYPE_BF16, h, 0);
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < HEADS * D; i++)
            assert_int_equal(h[t * STRIDE + i], dtype_bf16_from_float(x[t * STRIDE + i]));
}

/* The three regions of llama3 scaling: short waves unchanged, long ones times the factor, monotone in between. */
static void scaling(void **state) {
    (void)state;
    static float scaled[POSITIONS * D], linear[POSITIONS * D];
    rope_table(&plain, D, POSITIONS, table);
    rope_table(&llama3, D, POSITIONS, scaled);
    rope_table(&linear4, D, POSITIONS, linear);
    assert_true(scaled[7 * D] == table[7 * D]); // wave length 2 pi < 32 / 4
    size_t last = D / 2 - 1;                    // wave length far above 32
    assert_true(scaled[8 * 9 * D + last] == table[9 * D + last]);
    for (size_t i = 0; i < D; i++) assert_true(fabsf(linear[4 * 11 * D + i] - table[11 * D + i]) < 1e-6f);
    /* i = 2 lies between: wave length 29.2, between 32 / 4 and 32. */
    double f = pow(10000, -4. / D), blend = (32 * f / (2 * M_PI) - 1) / 3;
    assert_true(blend > 0 && blend < 1);
    assert_true(fabs(scaled[3 * D + 2] - cos(3 * f * (blend + (1 - blend) / 8))) < 1e-7);
}

/* Frequencies from the formula of transformers 5.23 (modeling_rope_utils, _compute_yarn_parameters), evaluated with
 * numpy in float64. */
static void yarn(void **state) {
    (void)state;
    static const struct {
        RopeParameters rope;
        double frequency[D / 2];
    } cases[] = {{{10000, ROPE_YARN, 8, 0, 0, 32, 32, 1, 1.20794415416798, true},
                  {1, 0.328779209047572, 0.0897681120846618, 0.0125, 0.00580198604201598, 0.00269304336253985, 0.00125,
                   0.000580198604201597, 0.000269304336253986, 0.000125, 5.80198604201597e-05, 2.69304336253986e-05}},
                 {{1e6, ROPE_YARN, 4, 0, 0, 64, 8, 0.5, 1.25, false},
                  {1, 0.238408450442048, 0.044248295793256, 0.00790569415042095, 0.0025, 0.000790569415042095, 0.00025,
                   7.90569415042094e-05, 2.5e-05, 7.90569415042095e-06, 2.5e-06, 7.90569415042095e-07}},
                 {{10000, ROPE_YARN, 40, 0, 0, 4096, 32, 1, 0.919155995204444, true},
                  {1, 0.464158883361278, 0.215443469003188, 0.1, 0.038873306481507, 0.0145424341577152, 0.005125,
                   0.00162455609176447, 0.000403956504380978, 2.5e-05, 1.16039720840319e-05, 5.38608672507971e-06}}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        double worst = 0, planted = 0;
        rope_table(&cases[n].rope, D, POSITIONS, table);
        for (size_t t = 0; t < POSITIONS; t++)
            for (size_t i = 0; i < D / 2; i++) {
                double angle = (double)t * cases[n].frequency[i], size = cases[n].rope.attention_factor;
                worst = fmax(worst, fabs(table[t * D + i] - size * cos(angle)));
                worst = fmax(worst, fabs(table[t * D + D / 2 + i] - size * sin(angle)));
                planted = fmax(planted, fabs(table[t * D + i] - size * cos(angle * (i == 1 ? 1.001 : 1))));
            }
        assert_true(worst < 2e-7 && planted > 1e-3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(turns_and_turns_back),
                                       cmocka_unit_test(bfloat16_is_the_rounded_float32), cmocka_unit_test(scaling),
                                       cmocka_unit_test(yarn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
