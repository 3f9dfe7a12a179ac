#include "kernels/kernel_table.h"

#include "base/rng.h"
#include "test.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST = 1100, GUARD = 8 };
static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 331, 576, 1000, MOST};
enum { SIZES = sizeof sizes / sizeof *sizes };

static float x[MOST + GUARD], y[MOST + GUARD], a[MOST + GUARD], b[MOST + GUARD];
static bf16 xh[MOST + GUARD], yh[MOST + GUARD], ah[MOST + GUARD], bh[MOST + GUARD];

/* Random values of many magnitudes; every few one that is special: -0, subnormal, large. */
static void fill(size_t n, uint32_t item, uint64_t seed) {
    static const float special[] = {-0.0f, 0.0f, 1e-40f, -3e-45f, 1e18f, -1e18f, FLT_MIN, 1.00390625f, 1.01171875f};
    RngAddress address = {.seed = seed, .stream = RNG_TEST, .item = item};
    for (size_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)i * 4;
        x[i] = (float)(rng_normal(&address, at) * exp2(10 * rng_uniform(&address, at + 1) - 5));
        y[i] = (float)rng_normal(&address, at + 2);
        if (rng_below(&address, at + 3, 7) == 0) x[i] = special[rng_below(&address, at + 3, 63) / 7];
        xh[i] = dtype_bf16_from_float(x[i]), yh[i] = dtype_bf16_from_float(y[i]);
    }
}

static int same(const void *p, const void *q, size_t bytes) { return bytes == 0 || memcmp(p, q, bytes) == 0; }
static int near(double got, double expected, double bound) { return fabs(got - expected) <= bound; }

/* Elementwise entries are rounded once, so they must agree to the bit, and must not write beyond n. */
static int elementwise_differs(const KernelTable *t, const KernelTable *ref, size_t n) {
    int wrong = 0;
    memset(ah, 0x5a, sizeof ah), memset(bh, 0x5a, sizeof bh);
    t->to_bf16(n, x, ah), ref->to_bf16(n, x, bh), wrong += !same(ah, bh, sizeof ah);
    memset(a, 0x5a, sizeof a), memset(b, 0x5a, sizeof b);
    t->to_f32(n, xh, a), ref->to_f32(n, xh, b), wrong += !same(a, b, sizeof a);
    memcpy(a, y, sizeof a), memcpy(b, y, sizeof b);
    t->add(n, x, a), ref->add(n, x, b), wrong += !same(a, b, sizeof a);
    t->scale(n, 0.37f, a), ref->scale(n, 0.37f, b), wrong += !same(a, b, sizeof a);
    t->axpy(n, -1.7f, x, a), ref->axpy(n, -1.7f, x, b), wrong += !same(a, b, sizeof a);
    t->axpy_bf16(n, 0.3f, xh, a), ref->axpy_bf16(n, 0.3f, xh, b), wrong += !same(a, b, sizeof a);
    wrong += n > 0 && t->maximum(n, x) != ref->maximum(n, x);
    return wrong;
}

/* Sums differ by the rounding of at most n additions of the absolute values. */
static int reductions_differ(const KernelTable *t, const KernelTable *ref, size_t n) {
    double products = 0, bf16_products = 0;
    for (size_t i = 0; i < n; i++) {
        products += fabs((double)x[i] * y[i]);
        bf16_products += fabs((double)dtype_bf16_to_float(xh[i]) * dtype_bf16_to_float(yh[i]));
    }
    double unit = FLT_EPSILON * (double)(n / 32 + 6);
    int wrong = !near(t->dot(n, x, y), ref->dot(n, x, y), products * unit);
    wrong += !near(t->dot_bf16(n, xh, yh), ref->dot_bf16(n, xh, yh), bf16_products * unit);
    double squares = ref->sum_squares(n, x);
    return wrong + !near(t->sum_squares(n, x), squares, squares * 1e-13);
}

static int exp_sum_differs(const KernelTable *t, const KernelTable *ref, size_t n) {
    for (size_t i = 0; i < n; i++) b[i] = a[i] = x[i] > 88 ? 88 : x[i] < -120 ? -120 : x[i] * 20;
    float shift = n > 0 ? ref->maximum(n, a) : 0;
    float alone = t->exp_sum(n, a, shift, NULL), got = t->exp_sum(n, a, shift, a), expected = ref->exp_sum(n, b, shift, b);
    int wrong = alone != got || !near(got, expected, expected * 1e-6);
    for (size_t i = 0; i < n; i++) wrong += !near(a[i], b[i], b[i] * 3e-7 + 2e-45);
    return wrong;
}

static int table_differs(const KernelTable *t, const KernelTable *ref, uint64_t seed) {
    int wrong = 0;
    for (uint32_t s = 0; s < SIZES; s++) {
        fill(MOST + GUARD, s, seed);
        wrong += elementwise_differs(t, ref, sizes[s]);
        wrong += reductions_differ(t, ref, sizes[s]);
        wrong += exp_sum_differs(t, ref, sizes[s]);
    }
    return wrong;
}

static void every_table_agrees_with_reference(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    KernelTable ref, t;
    Error error;
    assert_int_equal(kernel_table_create_capped(&ref, 1, ISA_REFERENCE, &error), 0);
    for (int isa = ISA_REFERENCE; isa <= (int)isa_of_cpu(); isa++) {
        assert_int_equal(kernel_table_create_capped(&t, 1, (Isa)isa, &error), 0);
        assert_int_equal(t.isa, isa);
        assert_int_equal(table_differs(&t, &ref, seed), 0);
    }
    printf("checked up to %s\n", isa_name(isa_of_cpu()));
}

/* Rounds another number. */
static void planted_to_bf16(size_t n, const float *src, bf16 *dst) {
    for (size_t i = 0; i < n; i++) dst[i] = dtype_bf16_from_float(src[i] * 0.99609375f);
}
/* Forgets the tail. */
static void planted_add(size_t n, const float *src, float *dst) {
    for (size_t i = 0; i < n / 8 * 8; i++) dst[i] += src[i];
}
static float planted_dot(size_t n, const float *p, const float *q) {
    float sum = 0;
    for (size_t i = 1; i < n; i++) sum += p[i] * q[i];
    return sum;
}

static void planted_faults_are_found(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    KernelTable ref, wrong;
    assert_int_equal(kernel_table_create_capped(&ref, 1, ISA_REFERENCE, NULL), 0);
    assert_int_equal(table_differs(&ref, &ref, seed), 0);
    wrong = ref, wrong.to_bf16 = planted_to_bf16;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
    wrong = ref, wrong.add = planted_add;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
    wrong = ref, wrong.dot = planted_dot;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
}

static void not_a_number_stays_visible(void **state) {
    (void)state;
    for (int isa = ISA_REFERENCE; isa <= (int)isa_of_cpu(); isa++) {
        KernelTable t;
        assert_int_equal(kernel_table_create_capped(&t, 1, (Isa)isa, NULL), 0);
        for (size_t at = 0; at < 37; at++) {
            for (size_t i = 0; i < 37; i++) a[i] = (float)i;
            a[at] = NAN;
            t.to_bf16(37, a, ah);
            assert_true(isnan(dtype_bf16_to_float(ah[at])));
            assert_true(isnan(t.dot(37, a, a)) && isnan(t.sum_squares(37, a)) && isnan(t.exp_sum(37, a, 0, NULL)));
            assert_true(t.maximum(37, a) == (at == 36 ? 35.0f : 36.0f));
            a[at] = -INFINITY;
            assert_true(t.exp_sum(37, a, 40, b) > 0 && b[at] == 0);
            assert_true(isinf(t.sum_squares(37, a)));
            a[at] = INFINITY;
            assert_true(isinf(t.exp_sum(37, a, 40, b)) && isinf(b[at]) && isnan(t.exp_sum(37, a, INFINITY, NULL)));
        }
    }
}

static void isa_cap_is_obeyed_or_refused(void **state) {
    (void)state;
    KernelTable t;
    Error error;
    setenv("DICE_ISA", "reference", 1);
    assert_int_equal(kernel_table_create(&t, 3, &error), 0);
    assert_int_equal(t.isa, ISA_REFERENCE);
    assert_int_equal(t.threads, 3);
    setenv("DICE_ISA", "sse9", 1);
    assert_int_equal(kernel_table_create(&t, 1, &error), -1);
    assert_int_equal(error.code, ERROR_USAGE);
    assert_non_null(strstr(error.message, "sse9"));
    if (isa_of_cpu() < ISA_AMX) {
        setenv("DICE_ISA", "amx", 1);
        assert_int_equal(kernel_table_create(&t, 1, &error), -1);
        assert_int_equal(error.code, ERROR_USAGE);
        assert_non_null(strstr(error.message, isa_name(isa_of_cpu())));
    }
    unsetenv("DICE_ISA");
    assert_int_equal(kernel_table_create(&t, 0, &error), 0);
    assert_true(t.threads >= 1);
    assert_int_equal(t.isa, isa_of_cpu());
    assert_true(!isa_has_bf16(ISA_AVX512) && isa_has_bf16(ISA_AVX512_BF16) && isa_has_bf16(ISA_AMX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_agrees_with_reference), cmocka_unit_test(planted_faults_are_found),
        cmocka_unit_test(not_a_number_stays_visible), cmocka_unit_test(isa_cap_is_obeyed_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
