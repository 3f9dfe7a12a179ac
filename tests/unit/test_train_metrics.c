#include "align/dpo_objective.h"
#include "align/train_metrics.h"
#include "test.h"

static const TrainReport report = {.step = 7,
                                   .steps = 9,
                                   .epoch = 0.5,
                                   .learning_rate = 5e-7,
                                   .grad_norm = 1.25,
                                   .loss = 0.69,
                                   .metric = {1, 2, 3, 4, 5, 6},
                                   .tokens = 1234567890123,
                                   .step_tokens = 99,
                                   .seconds = 0.125};

static const DpoContext sigmoid = {.loss = {.terms = 0}}; // one term has no value of its own either

static double number(const json_t *o, const char *key) {
    if (!json_is_number(json_object_get(o, key))) fail_msg("%s is missing", key);
    return json_number_value(json_object_get(o, key));
}

/* The names that users of TRL plot. */
static void a_step_has_the_names_of_trl(void **state) {
    (void)state;
    const TrainObjective dpo = dpo_objective(&sigmoid);
    json_t *m = train_metrics_step(&report, &dpo);
    static const char *const names[] = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                        "rewards/margins", "logps/chosen",     "logps/rejected"};
    for (size_t i = 0; i < 6; i++) assert_true(number(m, names[i]) == (double)(i + 1));
    assert_true(number(m, "loss") == 0.69 && number(m, "grad_norm") == 1.25 && number(m, "epoch") == 0.5);
    assert_true(number(m, "learning_rate") == 5e-7 && number(m, "seconds") == 0.125 && number(m, "step") == 7);
    assert_true(json_integer_value(json_object_get(m, "num_tokens")) == 1234567890123);
    assert_int_equal(json_object_size(m), 13);
    json_decref(m);
}

static void a_validation_has_them_with_a_prefix(void **state) {
    (void)state;
    const TrainObjective dpo = dpo_objective(&sigmoid), sft = sft_objective();
    json_t *m = train_metrics_validation(&report, &dpo);
    assert_true(number(m, "eval_loss") == 0.69 && number(m, "eval_rewards/margins") == 4 && number(m, "step") == 7);
    assert_int_equal(json_object_size(m), 8);
    json_decref(m);
    m = train_metrics_validation(&report, &sft);
    assert_int_equal(json_object_size(m), 2);
    json_decref(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_has_the_names_of_trl),
                                       cmocka_unit_test(a_validation_has_them_with_a_prefix)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
