#include "kernels/kernel_table.h"

#include "base/rng.h"
#include "kernels/adamw.h"
#include "simd_wide.h"
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
    float alone = t->exp_sum(n, a, shift, NULL), got = t->exp_sum(n, a, shift, a),
          expected = ref->exp_sum(n, b, shift, b);
    int wrong = alone != got || !near(got, expected, expected * 1e-6);
    for (size_t i = 0; i < n; i++) wrong += !near(a[i], b[i], b[i] * 3e-7 + 2e-45);
    return wrong;
}

static float c[MOST + GUARD], d[MOST + GUARD];
static bf16 ch[MOST + GUARD], dh[MOST + GUARD];

static int far_apart(size_t n, const float *got, const float *expected, double relative, double absolute) {
    int wrong = 0;
    for (size_t i = 0; i < n; i++) wrong += !near(got[i], expected[i], relative * fabs(expected[i]) + absolute);
    return wrong + !same(got + n, expected + n, GUARD * sizeof *got);
}

/* Two bfloat16 results agree where they are neighbours: their float32 may lie on two sides of a border. */
static int bf16_apart(size_t n, const bf16 *got, const bf16 *expected) {
    int wrong = 0;
    for (size_t i = 0; i < n; i++) wrong += abs((int)(int16_t)got[i] - (int)(int16_t)expected[i]) > 1;
    return wrong + !same(got + n, expected + n, GUARD * sizeof *got);
}

/* Rotation and AdamW have no sum over elements: equal to the bit. */
static int rope_adamw_differ(const KernelTable *t, const KernelTable *ref, size_t n) {
    static const AdamwStep step = {1e-2f, 0.9, 0.999, 1e-8f, 0.01f, 0.37f, 0.1f, 0.001f};
    static float m[2][MOST], v[2][MOST];
    int wrong = 0;
    memcpy(a, x, sizeof a), memcpy(b, x, sizeof b), memcpy(ah, xh, sizeof ah), memcpy(bh, xh, sizeof bh);
    size_t half = n / 2 > 40 ? n / 6 : n / 2, heads = half == n / 2 ? 1 : 3; // heads 2 half <= n
    t->rope_row(heads, half, DTYPE_F32, y, y + half, -1, a), ref->rope_row(heads, half, DTYPE_F32, y, y + half, -1, b);
    wrong += !same(a, b, sizeof a);
    t->rope_row(heads, half, DTYPE_BF16, y, y + half, 1, ah),
        ref->rope_row(heads, half, DTYPE_BF16, y, y + half, 1, bh);
    wrong += !same(ah, bh, sizeof ah);
    for (size_t i = 0; i < n; i++)
        m[0][i] = m[1][i] = y[i], v[0][i] = v[1][i] = y[i] * y[i], c[i] = x[i] > 1e9f ? 1 : x[i];
    memcpy(a, x, sizeof a), memcpy(b, x, sizeof b);
    t->adamw(n, &step, a, m[0], v[0], c), ref->adamw(n, &step, b, m[1], v[1], c);
    return wrong + !same(a, b, sizeof a) + !same(m[0], m[1], n * sizeof(float)) + !same(v[0], v[1], n * sizeof(float));
}

static int rmsnorm_differs(const KernelTable *t, const KernelTable *ref, size_t n) {
    if (n == 0) return 0;
    for (size_t i = 0; i < n; i++) c[i] = fabsf(x[i]) > 1e9f ? 3 : x[i];
    memset(a, 0x5a, sizeof a), memset(b, 0x5a, sizeof b), memset(ah, 0x5a, sizeof ah), memset(bh, 0x5a, sizeof bh);
    float got = t->rmsnorm_row(n, c, y, 1e-5f, a, DTYPE_F32), expected = ref->rmsnorm_row(n, c, y, 1e-5f, b, DTYPE_F32);
    int wrong = !near(got, expected, 1e-7 * expected) + far_apart(n, a, b, 3e-7, 0);
    t->rmsnorm_row(n, c, y, 1e-5f, ah, DTYPE_BF16), ref->rmsnorm_row(n, c, y, 1e-5f, bh, DTYPE_BF16);
    wrong += bf16_apart(n, ah, bh);
    memcpy(a, y, sizeof a), memcpy(b, y, sizeof b), memcpy(d, y, sizeof d), memcpy(x, y, sizeof x);
    t->rmsnorm_row_backward(n, c, y, expected, c, a, d), ref->rmsnorm_row_backward(n, c, y, expected, c, b, x);
    double size = 0; // of what the sum over the row adds to an element
    for (size_t i = 0; i < n; i++) size += fabs((double)y[i] * c[i] * c[i]);
    for (size_t i = 0; i < n; i++)
        wrong += !near(a[i], b[i],
                       3e-7 * (fabs(b[i]) + fabs(y[i]) +
                               expected * (fabs(y[i] * c[i]) + fabs(c[i]) * size / (double)n * expected * expected)));
    wrong += far_apart(n, d, x, 3e-7, 0);
    memcpy(a, y, sizeof a), memcpy(b, a, sizeof b);
    t->rmsnorm_row_backward(n, c, y, expected, c, a, NULL), t->rmsnorm_row_backward(n, c, y, expected, c, b, d);
    return wrong + !same(a, b, sizeof a); // without dweight the same dx
}

typedef void (*Gate)(size_t, DType, const void *, const void *, void *);
typedef void (*GateBackward)(size_t, DType, const void *, const void *, const void *, void *, void *);

static int gate_differs(Gate own, Gate ref, GateBackward own_back, GateBackward ref_back, size_t n) {
    for (size_t i = 0; i < n; i++)
        c[i] = x[i] > 1e9f ? 90 : x[i] < -1e9f ? -90 : x[i], ch[i] = dtype_bf16_from_float(c[i]);
    memset(a, 0x5a, sizeof a), memset(b, 0x5a, sizeof b), memset(ah, 0x5a, sizeof ah), memset(bh, 0x5a, sizeof bh);
    own(n, DTYPE_F32, c, y, a), ref(n, DTYPE_F32, c, y, b);
    int wrong = far_apart(n, a, b, 1e-6, 1e-37);
    own(n, DTYPE_BF16, ch, yh, ah), ref(n, DTYPE_BF16, ch, yh, bh);
    wrong += bf16_apart(n, ah, bh);
    memcpy(a, c, sizeof a), memcpy(b, c, sizeof b), memcpy(d, y, sizeof d), memcpy(c, y, sizeof c); // in place
    own_back(n, DTYPE_F32, a, d, y, a, d), ref_back(n, DTYPE_F32, b, c, y, b, c);
    wrong += far_apart(n, a, b, 3e-6, 1e-5) + far_apart(n, d, c, 1e-6, 1e-37);
    memcpy(ah, ch, sizeof ah), memcpy(bh, ch, sizeof bh), memcpy(dh, yh, sizeof dh), memcpy(ch, yh, sizeof ch);
    own_back(n, DTYPE_BF16, ah, dh, yh, ah, dh), ref_back(n, DTYPE_BF16, bh, ch, yh, bh, ch);
    for (size_t i = 0; i < n; i++)
        wrong += !near(dtype_bf16_to_float(ah[i]), dtype_bf16_to_float(bh[i]),
                       1e-2 * fabs(dtype_bf16_to_float(bh[i])) + 1e-5);
    return wrong + bf16_apart(n, dh, ch);
}

/* Tiles as attention cuts them, with rows that have gaps; n sizes them. */
static int tiles_differ(const KernelTable *t, const KernelTable *ref, size_t n) {
    size_t columns = n % 33 + 1, rows = n % 29 + 1, wide = (columns + 15) / 16 * 16;
    int wrong = 0;
    memset(a, 0x5a, sizeof a), memset(b, 0x5a, sizeof b);
    for (int type = DTYPE_F32; type <= DTYPE_BF16; type++) {
        const void *src = type == DTYPE_F32 ? (const void *)x : xh;
        size_t some = columns < 20 ? columns : 20; // rows some <= MOST / 2
        t->tile_load(some, columns, (DType)type, src, columns + 3, a, wide),
            ref->tile_load(some, columns, (DType)type, src, columns + 3, b, wide);
        wrong += !same(a, b, sizeof a);
        t->tile_transpose(some, columns, (DType)type, src, columns + 2, a, some + 1),
            ref->tile_transpose(some, columns, (DType)type, src, columns + 2, b, some + 1);
        wrong += !same(a, b, sizeof a);
    }
    memcpy(a, y, sizeof a), memcpy(b, y, sizeof b);
    for (size_t i = 0; i < MOST; i++) c[i] = fabsf(x[i]) > 1e9f ? 2 : x[i];
    size_t K = 1 + n % 17;
    const float *keep = n % 2 ? y + 5 : NULL;
    t->tile_product(rows, wide, K, c, 1, rows, y, wide, keep, a, wide + (rows * (wide + 1) <= MOST));
    ref->tile_product(rows, wide, K, c, 1, rows, y, wide, keep, b, wide + (rows * (wide + 1) <= MOST));
    return wrong + far_apart(MOST, a, b, 2e-7, 1e-4 * FLT_EPSILON * (double)K + 4e-4);
}

static int table_differs(const KernelTable *t, const KernelTable *ref, uint64_t seed) {
    int wrong = 0;
    for (uint32_t s = 0; s < SIZES; s++) {
        fill(MOST + GUARD, s, seed);
        wrong += elementwise_differs(t, ref, sizes[s]);
        wrong += reductions_differ(t, ref, sizes[s]);
        wrong += exp_sum_differs(t, ref, sizes[s]);
        wrong += rope_adamw_differ(t, ref, sizes[s]);
        wrong += gate_differs(t->swiglu, ref->swiglu, t->swiglu_backward, ref->swiglu_backward, sizes[s]);
        wrong += gate_differs(t->geglu, ref->geglu, t->geglu_backward, ref->geglu_backward, sizes[s]);
        wrong += tiles_differ(t, ref, sizes[s]);
        wrong += rmsnorm_differs(t, ref, sizes[s]); // last: overwrites x
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
    t = simd_wide_table(1);
    assert_int_equal(table_differs(&t, &ref, seed), 0);
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

/* Halves the decay. */
static void planted_adamw(size_t n, const AdamwStep *step, float *w, float *m, float *v, const float *g) {
    AdamwStep wrong = *step;
    wrong.weight_decay /= 2;
    for (size_t i = 0; i < n; i++) w[i] *= 1 + wrong.learning_rate * wrong.weight_decay;
    (void)m, (void)v, (void)g;
}
static void planted_swiglu(size_t n, DType type, const void *gate, const void *up, void *out) {
    if (type == DTYPE_F32)
        for (size_t i = 0; i < n; i++) ((float *)out)[i] = ((const float *)gate)[i] * ((const float *)up)[i];
}
/* Turns the other way. */
static void planted_rope(size_t heads, size_t half, DType type, const float *cosine, const float *sine, float sign,
                         void *p) {
    KernelTable ref;
    if (kernel_table_create_capped(&ref, 1, ISA_REFERENCE, NULL) == 0)
        ref.rope_row(heads, half, type, cosine, sine, -sign, p);
}
/* Forgets the projection along the row. */
static void planted_rmsnorm_backward(size_t n, const float *p, const float *weight, float inverse, const float *dy,
                                     float *dx, float *dweight) {
    for (size_t i = 0; i < n; i++) dx[i] += inverse * weight[i] * dy[i];
    for (size_t i = 0; i < n && dweight != NULL; i++) dweight[i] += dy[i] * p[i] * inverse;
}
static float planted_rmsnorm(size_t n, const float *p, const float *weight, float eps, void *out, DType type) {
    KernelTable ref;
    return kernel_table_create_capped(&ref, 1, ISA_REFERENCE, NULL) == 0
               ? ref.rmsnorm_row(n, p, weight, 30 * eps, out, type)
               : 0;
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
    wrong = ref, wrong.adamw = planted_adamw;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
    wrong = ref, wrong.swiglu = planted_swiglu;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
    wrong = ref, wrong.geglu_backward = ref.swiglu_backward;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
    wrong = ref, wrong.rope_row = planted_rope;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
    wrong = ref, wrong.rmsnorm_row = planted_rmsnorm;
    assert_true(table_differs(&wrong, &ref, seed) > 0);
    wrong = ref, wrong.rmsnorm_row_backward = planted_rmsnorm_backward;
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
            for (size_t i = 0; i < 37; i++) b[i] = 1;
            a[at] = NAN;
            t.geglu(37, DTYPE_F32, a, b, c);
            assert_true(isnan(c[at]) && !isnan(c[(at + 1) % 37]));
            t.geglu_backward(37, DTYPE_F32, a, b, b, c, d);
            assert_true(isnan(c[at]) && isnan(d[at]));
            a[at] = at % 2 ? -3e38f : 3e38f; // squares overflow
            t.geglu_backward(37, DTYPE_F32, a, b, b, c, d);
            assert_true(c[at] == (at % 2 ? 0 : 1));
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
    assert_int_equal(t.isa, isa_preferred());
    assert_true(isa_preferred() == isa_of_cpu() || (isa_preferred() == ISA_AVX512 && isa_of_cpu() == ISA_AVX512_BF16));
    assert_true(!isa_has_bf16(ISA_AVX512) && isa_has_bf16(ISA_AVX512_BF16) && isa_has_bf16(ISA_AMX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_agrees_with_reference), cmocka_unit_test(planted_faults_are_found),
        cmocka_unit_test(not_a_number_stays_visible), cmocka_unit_test(isa_cap_is_obeyed_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
