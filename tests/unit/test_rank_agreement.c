#include "align/rank_agreement.h"
#include "base/rng.h"
#include "test.h"
#include <math.h>

enum { K = 5 };
static const int32_t no_chars[2 * K];
static const uint8_t all[2 * K] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static double agree(const double *a, const double *b, const uint8_t *kept) {
    const ScoredResponses first = {a, no_chars, kept, 1, K}, second = {b, no_chars, kept, 1, K};
    return rank_agreement(&first, 0, &second, 0, 0);
}

static void counts_pairs_that_are_ordered_alike(void **state) {
    (void)state;
    const double up[K] = {1, 2, 3, 4, 5}, far[K] = {-9, 0, 10, 11, 1000}, down[K] = {5, 4, 3, 2, 1}, flat[K] = {0};
    const double swapped[K] = {1, 2, 4, 3, 5}, level[K] = {1, 2, 3, 3, 5};
    assert_true(agree(up, far, all) == 1 && agree(up, down, all) == 0 && agree(up, flat, all) == 0.5);
    assert_true(agree(up, swapped, all) == 0.9); // one of ten pairs
    assert_true(agree(up, level, all) == 0.95);  // one of ten is level
    const uint8_t two[K] = {0, 0, 1, 1, 0}, one[K] = {0, 0, 1, 0, 0};
    assert_true(agree(up, swapped, two) == 0 && isnan(agree(up, up, one)));
}

/* (tau + 1) / 2 with tau from signs, as its definition has it; each table with its own charge for length. */
static void is_kendalls_tau(void **state) {
    (void)state;
    double a[2 * K], b[2 * K];
    int32_t chars[2 * K];
    const RngAddress at = {.seed = test_seed(), .stream = RNG_TEST};
    for (uint32_t i = 0; i < 2 * K; i++)
        a[i] = rng_normal(&at, 3 * i), b[i] = rng_normal(&at, 3 * i + 1),
        chars[i] = (int32_t)rng_below(&at, 3 * i + 2, 50);
    const ScoredResponses first = {a, chars, all, 2, K}, second = {b, chars, all, 2, K};
    double mean = 0, planted = 0;
    for (size_t n = 0; n < 2; n++) {
        double tau = 0;
        for (size_t i = n * K; i < (n + 1) * K; i++)
            for (size_t j = n * K; j < i; j++) {
                double x = (a[i] - 0.1 * chars[i]) - (a[j] - 0.1 * chars[j]);
                double y = (b[i] - 0.03 * chars[i]) - (b[j] - 0.03 * chars[j]);
                tau += (x > 0) == (y > 0) ? 1 : -1;
            }
        double found = rank_agreement(&first, 0.1, &second, 0.03, n);
        assert_true(fabs(found - (tau / 10 + 1) / 2) < 1e-12);
        mean += found / 2;
        planted += rank_agreement(&first, 0.1, &first, 0.1, n) / 2;
    }
    assert_true(fabs(rank_agreement_mean(&first, 0.1, &second, 0.03) - mean) < 1e-12);
    assert_true(planted == 1 && mean < 1); // the same table twice
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_pairs_that_are_ordered_alike),
                                       cmocka_unit_test(is_kendalls_tau)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
