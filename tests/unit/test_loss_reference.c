#include "align/implicit_reward.h"
#include "align/loss_reference.h"
#include "training_cases.h"

static TrainingCases cases;
static EncodedPair pair[CASES_PAIRS];
static PreferenceData data = {.pair = pair, .pairs = CASES_PAIRS};
static double exact[CASES_PAIRS][2];
static Error error;

static int take(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *e) {
    (void)context, (void)e;
    exact[item][response] = scored->sum;
    return 0;
}

/* Pairs of which some bring their sums: 0 both, 1 one of them, 2 none, and so on. */
static int setup(void **state) {
    (void)state;
    ScoreItem item[CASES_PAIRS];
    training_cases_create(&cases, 8);
    for (size_t i = 0; i < CASES_PAIRS; i++) {
        TrainExample *e = &cases.pair[i];
        pair[i] = (EncodedPair){.prompt = cases.ids[i][0],
                                .prompt_length = e->prompt_length,
                                .response = {cases.ids[i][1], cases.ids[i][2]},
                                .length = {e->branch_length[0], e->branch_length[1]},
                                .reference = {i % 3 < 2 ? -100 : NAN, i % 3 < 1 ? -200 : NAN}};
        item[i] = (ScoreItem){e->prompt, e->prompt_length, e->branch, e->branch_length, 2};
    }
    return implicit_reward_score(cases.model, item, CASES_PAIRS, 1 << 20, &(ScoreSink){.take = take}, "", NULL, &error);
}

static int teardown(void **state) {
    (void)state;
    model_free(cases.model);
    return 0;
}

static void what_the_file_says_is_believed(void **state) {
    (void)state;
    ReferenceSums sums[CASES_PAIRS];
    assert_int_equal(loss_reference_sums(cases.model, &data, &cases.context.loss, false, 64, sums, NULL, &error), 0);
    for (size_t i = 0; i < CASES_PAIRS; i++) {
        bool known = i % 3 == 0; // a row that brings half of it brings nothing
        assert_true(sums[i].chosen == (known ? -100 : exact[i][0]));
        assert_true(sums[i].rejected == (known ? -200 : exact[i][1]));
    }
}

static void unless_another_model_is_the_reference(void **state) {
    (void)state;
    ReferenceSums sums[CASES_PAIRS];
    assert_int_equal(loss_reference_sums(cases.model, &data, &cases.context.loss, true, 64, sums, NULL, &error), 0);
    for (size_t i = 0; i < CASES_PAIRS; i++)
        assert_true(sums[i].chosen == exact[i][0] && sums[i].rejected == exact[i][1]);
}

static void nothing_to_do_needs_no_model(void **state) {
    (void)state;
    ReferenceSums sums[CASES_PAIRS];
    const PreferenceData known = {.pair = pair, .pairs = 1};
    assert_int_equal(loss_reference_sums(NULL, &known, &cases.context.loss, false, 64, sums, NULL, &error), 0);
    assert_true(sums[0].chosen == -100 && sums[0].rejected == -200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(what_the_file_says_is_believed),
                                       TEST(unless_another_model_is_the_reference), TEST(nothing_to_do_needs_no_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
