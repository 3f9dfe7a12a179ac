#include "align/dpo_loss.h"
#include "base/rng.h"
#include "test.h"

#include <math.h>

/* u_chosen 1.2, u_rejected -0.7, beta 0.1: TRL's formulas evaluated in double. */
static void matches_golden_values(void **state) {
    (void)state;
    const PairLogprobs p = {-8.8, -20.7, -10, -20};
    assert_true(fabs(dpo_loss(&(DpoSettings){0.1, 0}, &p).loss - 0.602652909) < 1e-9);
    assert_true(fabs(dpo_loss(&(DpoSettings){0.1, 0.1}, &p).loss - 0.621652909) < 1e-9);
}

/* Gradient against central differences; a slope without smoothing (the planted fault) must be seen. */
static void gradient_is_the_slope(void **state) {
    (void)state;
    RngAddress a = {.seed = test_seed(), .stream = RNG_TEST};
    size_t caught = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        PairLogprobs p = {-100 + 20 * rng_normal(&a, 4 * i), -120 + 20 * rng_normal(&a, 4 * i + 1), -100, -120}, up = p,
                     down = p;
        DpoSettings s = {0.05 + rng_uniform(&a, 4 * i + 2), 0.4 * rng_uniform(&a, 4 * i + 3)}, plain = {s.beta, 0};
        const double h = 1e-5;
        up.chosen += h, down.chosen -= h;
        double slope = (dpo_loss(&s, &up).loss - dpo_loss(&s, &down).loss) / (2 * h);
        PairLoss loss = dpo_loss(&s, &p);
        assert_true(fabs(slope - loss.d_chosen) < 1e-6);
        assert_true(loss.d_rejected == -loss.d_chosen);
        caught += fabs(slope - dpo_loss(&plain, &p).d_chosen) > 1e-6;
    }
    assert_true(caught > 900);
}

static void stays_finite_far_out(void **state) {
    (void)state;
    const DpoSettings s = {1, 0};
    PairLoss bad = dpo_loss(&s, &(PairLogprobs){-1e6, 0, 0, 0}), good = dpo_loss(&s, &(PairLogprobs){0, -1e6, 0, 0});
    assert_true(bad.loss == 1e6 && bad.d_chosen == -1);
    assert_true(good.loss == 0 && good.d_chosen == 0);
}

static void accuracy_is_strict(void **state) {
    (void)state;
    const PairLogprobs p[3] = {{-1, -1, -1, -1}, {-1, -2, -2, -1}, {-3, -1, -1, -1}};
    DpoMetrics m = dpo_loss_metrics(&(DpoSettings){0.5, 0}, p, 3);
    assert_true(fabs(m.rewards_accuracies - 1. / 3) < 1e-15);
    assert_true(fabs(m.rewards_chosen - 0.5 * (0 + 1 - 2) / 3) < 1e-15);
    assert_true(fabs(m.rewards_margins - (m.rewards_chosen - m.rewards_rejected)) < 1e-15);
    assert_true(fabs(m.logps_chosen + 5. / 3) < 1e-15);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches_golden_values), cmocka_unit_test(gradient_is_the_slope),
                                       cmocka_unit_test(stays_finite_far_out), cmocka_unit_test(accuracy_is_strict)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
