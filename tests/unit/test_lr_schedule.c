#include "test.h"
#include "train/lr_schedule.h"
#include <math.h>

/* Values of transformers 5.23 get_*_schedule_with_warmup, by hand: they are short fractions. */
static void schedules_have_the_known_values(void **state) {
    (void)state;
    LrSchedule s = {.kind = LR_LINEAR, .peak = 1e-3, .warmup = 3, .steps = 20};
    assert_true(lr_schedule_rate(&s, 0) == 0);
    assert_true(fabs(lr_schedule_rate(&s, 1) - 1e-3 / 3) < 1e-18);
    assert_true(lr_schedule_rate(&s, 3) == 1e-3);
    assert_true(fabs(lr_schedule_rate(&s, 4) - 1e-3 * 16 / 17) < 1e-18);
    assert_true(fabs(lr_schedule_rate(&s, 19) - 1e-3 / 17) < 1e-18);
    assert_true(lr_schedule_rate(&s, 20) == 0);
    s.kind = LR_COSINE;
    assert_true(lr_schedule_rate(&s, 3) == 1e-3);
    assert_true(fabs(lr_schedule_rate(&s, 20 - 17 / 2) - 1e-3 * 0.5 * (1 + cos(3.14159265358979323846 * 9 / 17))) <
                1e-18);
    s.kind = LR_CONSTANT;
    assert_true(fabs(lr_schedule_rate(&s, 2) - 2e-3 / 3) < 1e-18); // the warm-up works with this one too
    assert_true(lr_schedule_rate(&s, 19) == 1e-3);
    s.warmup = 0;
    assert_true(lr_schedule_rate(&s, 0) == 1e-3);
}

/* Planted fault: a warm-up that counts from 1 has another first rate. */
static double planted(const LrSchedule *s, size_t step) { return s->peak * (double)(step + 1) / (double)s->warmup; }

static void a_warmup_from_one_is_noticed(void **state) {
    (void)state;
    const LrSchedule s = {.kind = LR_LINEAR, .peak = 1, .warmup = 4, .steps = 8};
    assert_true(planted(&s, 0) != lr_schedule_rate(&s, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(schedules_have_the_known_values),
                                       cmocka_unit_test(a_warmup_from_one_is_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
