#include "align/train_recipe.h"
#include "test.h"

static Recipe recipe(void) {
    Recipe r = {.seed = 7};
    r.train.learning_rate = 1e-6, r.train.epochs = 2, r.train.pairs_per_step = 4, r.train.warmup_steps = 3;
    r.train.schedule = RECIPE_SCHEDULE_COSINE;
    r.train.clip_norm = 0.5, r.train.adam_beta2 = 0.99, r.train.checkpoint_every = 9, r.train.micro_tokens = 100;
    return r;
}

static void keys_arrive(void **state) {
    (void)state;
    const Recipe r = recipe();
    const TrainSettings s = train_recipe_settings(&r, 3, 20);
    assert_true(s.schedule.peak == 1e-6 && s.optimizer.clip_norm == 0.5 && s.optimizer.beta2 == 0.99);
    assert_int_equal(s.schedule.kind, LR_COSINE);
    assert_int_equal(s.schedule.warmup, 3);
    assert_int_equal(s.schedule.steps, 10); // 2 epochs of 20 examples, 4 a step
    assert_int_equal(s.examples_per_step, 4);
    assert_int_equal(s.round, 3);
    assert_int_equal(s.seed, 7);
    assert_int_equal(s.checkpoint_every, 9);
    assert_int_equal(s.micro_tokens, 100);
    assert_null(s.order);
    assert_false(s.optimizer.float32_norm);
}

static void round_0_has_its_own_where_they_are_set(void **state) {
    (void)state;
    Recipe r = recipe();
    r.train.steps = 50;
    assert_int_equal(train_recipe_settings(&r, 0, 20).schedule.steps, 50);
    r.round0.learning_rate = 1e-5, r.round0.epochs = 1, r.round0.pairs_per_step = 5;
    TrainSettings zero = train_recipe_settings(&r, 0, 20), one = train_recipe_settings(&r, 1, 20);
    assert_true(zero.schedule.peak == 1e-5 && one.schedule.peak == 1e-6);
    assert_int_equal(zero.schedule.steps, 4); // its epochs win over train.steps
    assert_int_equal(one.schedule.steps, 50);
    assert_int_equal(zero.examples_per_step, 5);
    assert_int_equal(one.examples_per_step, 4);
    r.round0.steps = 6;
    assert_int_equal(train_recipe_settings(&r, 0, 20).schedule.steps, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_arrive),
        cmocka_unit_test(round_0_has_its_own_where_they_are_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
