#include "base/rng.h"
#include "test.h"

#include <math.h>

/* [RNG-1] Random123 1.09, kat_vectors, "philox4x32 10": counter, key, result. */
static void matches_published_vectors(void **state) {
    (void)state;
    static const uint32_t vectors[3][10] = {{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                            {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
                                             0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                            {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
                                             0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        rng_philox(vectors[i], vectors[i] + 4, out);
        assert_memory_equal(out, vectors[i] + 6, sizeof out);
    }
}

/* [RNG-2] Mean 1/2, variance 1/12, never 1; neighbouring addresses are uncorrelated. */
static void uniform_is_uniform(void **state) {
    (void)state;
    RngAddress a = {.seed = test_seed(), .stream = RNG_TEST}, b = a;
    b.k = 1;
    enum { N = 100000 };
    double sum = 0, squares = 0, product = 0;
    for (uint32_t i = 0; i < N; i++) {
        double x = rng_uniform(&a, i), y = rng_uniform(&b, i);
        assert_true(x >= 0 && x < 1);
        sum += x, squares += x * x, product += (x - .5) * (y - .5);
    }
    assert_true(fabs(sum / N - .5) < 5 * sqrt(1. / 12 / N));
    assert_true(fabs(squares / N - 1. / 3) < 5 * sqrt(4. / 45 / N));
    assert_true(fabs(product / N) < 5 * (1. / 12) / sqrt(N));
}

/* [RNG-3] Each of the 24 orders of four items turns up equally often. */
static void permutation_is_uniform(void **state) {
    (void)state;
    RngAddress a = {.seed = test_seed(), .stream = RNG_TEST};
    enum { N = 24000 };
    unsigned count[256] = {0};
    for (uint32_t i = 0; i < N; i++) {
        size_t p[4];
        a.item = i;
        rng_permutation(&a, 4, p);
        assert_int_equal(1u << p[0] | 1u << p[1] | 1u << p[2] | 1u << p[3], 15);
        count[p[0] | p[1] << 2 | p[2] << 4 | p[3] << 6]++;
    }
    double chi = 0;
    int seen = 0;
    for (int i = 0; i < 256; i++)
        if (count[i] > 0) seen++, chi += pow(count[i] - N / 24., 2) / (N / 24.);
    assert_int_equal(seen, 24);
    assert_true(chi < 60); // 23 degrees of freedom: p < 1e-4
}

/* No two purposes share numbers. */
static void streams_differ(void **state) {
    (void)state;
    static const RngStream stream[] = {RNG_SAMPLE, RNG_SHUFFLE, RNG_REPLAY, RNG_AUDIT,  RNG_SPLIT,
                                       RNG_INIT,   RNG_TEST,    RNG_PAIRS,  RNG_DROPOUT};
    for (size_t i = 0; i < sizeof stream / sizeof *stream; i++) {
        RngAddress a = {.seed = 1, .stream = stream[i]};
        assert_true(rng_u64(&a, 0) != rng_u64(&a, 1));
        for (size_t k = 0; k < i; k++) {
            RngAddress b = {.seed = 1, .stream = stream[k]};
            assert_true(rng_u64(&a, 0) != rng_u64(&b, 0));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches_published_vectors),
                                       cmocka_unit_test(uniform_is_uniform), cmocka_unit_test(permutation_is_uniform),
                                       cmocka_unit_test(streams_differ)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
