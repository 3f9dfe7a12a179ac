#include "align/round_table.h"
#include "round_cases.h"
#include <math.h>

static RoundCases cases;
static Error error;

static int setup(void **state) {
    (void)state;
    round_cases_create(&cases);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    round_cases_free(&cases);
    return 0;
}

static void the_table_has_a_row_a_prompt(void **state) {
    (void)state;
    RoundTable t;
    if (round_table_load(&t, &cases.run, 1, &error) != 0) fail_msg("%s", error.message);
    assert_true(t.prompts == 3 && t.responses == 3 && t.count == 8);
    assert_true(t.prompt[0] == 0 && t.prompt[1] == 2 && t.prompt[2] == 5);
    static const char *const text[9] = {"", "aaaa", "bbbbbb", "one", NULL, "three", "same", "same", "other"};
    static const uint8_t kept[9] = {0, 1, 1, 0, 0, 0, 1, 1, 1}; // prompt 2 has one left, which is too few
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(t.kept[i], kept[i]);
        if (text[i] == NULL)
            assert_null(t.cell[i]);
        else
            assert_string_equal(t.cell[i]->text, text[i]);
    }
    assert_int_equal(t.usable, 2);
    json_t *s = round_table_summary(&t);
    assert_true(json_integer_value(json_object_get(s, "prompts")) == 3 &&
                json_integer_value(json_object_get(s, "usable_prompts")) == 2 &&
                json_integer_value(json_object_get(s, "responses")) == 8 &&
                json_integer_value(json_object_get(s, "kept")) == 5 &&
                json_integer_value(json_object_get(s, "tokens")) == 1 + 2 + 3 + 1 + 3 + 1 + 2 + 3);
    assert_true(json_number_value(json_object_get(s, "stop_rate")) == 7.0 / 8 &&
                json_number_value(json_object_get(s, "mean_chars")) == 31.0 / 8 &&
                json_number_value(json_object_get(s, "mean_tokens")) == 2);
    json_decref(s);
    round_table_free(&t);
}

static void an_empty_round_is_an_empty_table(void **state) {
    (void)state;
    RoundTable t;
    assert_int_equal(round_table_load(&t, &cases.run, 2, &error), 0);
    assert_true(t.prompts == 0 && t.count == 0 && t.usable == 0);
    json_t *s = round_table_summary(&t);
    assert_true(json_number_value(json_object_get(s, "stop_rate")) == 0);
    json_decref(s);
    round_table_free(&t);
}

/* Of one model and one precision, at the places of the responses; others, and other prompts, are left out. */
static void sums_stand_where_the_responses_do(void **state) {
    (void)state;
    static const char *const other = "ffffffffffffffffffffffffffffffff";
    static const struct {
        uint32_t prompt, k;
        double sum;
        const char *source, *model;
    } put[] = {{5, 2, -7, "response/float32", NULL},  {0, 1, -1.5, "response/float32", NULL},
               {0, 0, -9, "response/float32", other}, {2, 2, -8, "response/bfloat16", NULL},
               {3, 0, -6, "response/float32", NULL},  {5, 3, -5, "response/float32", NULL}};
    static const double expected[9] = {NAN, -1.5, NAN, NAN, NAN, NAN, NAN, NAN, -7};
    double sums[9] = {0};
    RoundTable t;
    cases.run.score_compute = DTYPE_F32;
    for (size_t i = 0; i < sizeof put / sizeof *put; i++) {
        StoredScore s = {.round = 1, .prompt = put[i].prompt, .k = put[i].k, .sum = put[i].sum, .tokens = 1};
        snprintf(s.source, sizeof s.source, "%s", put[i].source);
        memcpy(s.model, put[i].model == NULL ? round_hash : put[i].model, sizeof s.model);
        if (run_store_put_score(cases.run.store, &s, &error) != 0) fail_msg("%s", error.message);
    }
    assert_int_equal(round_table_load(&t, &cases.run, 1, &error), 0);
    assert_int_equal(round_table_sums(&t, &cases.run, 1, round_hash, sums, &error), 0);
    for (size_t i = 0; i < 9; i++) assert_true(sums[i] == expected[i] || (isnan(sums[i]) && isnan(expected[i])));
    round_table_free(&t);
}

/* With fewer responses a prompt than min_responses asks for, all of them are enough. */
static void the_least_number_is_capped(void **state) {
    (void)state;
    cases.recipe.filter.min_responses = 8;
    assert_int_equal(round_table_filter(&cases.run).min_responses, 3);
    RoundTable t;
    assert_int_equal(round_table_load(&t, &cases.run, 1, &error), 0);
    assert_int_equal(t.usable, 1); // prompt 5
    assert_true(t.kept[6] && !t.kept[1]);
    round_table_free(&t);
}

static void a_strangers_response_is_refused(void **state) {
    (void)state;
    RoundTable t;
    cases.recipe.sample.responses = 2; // k 2 is too much
    assert_int_equal(round_table_load(&t, &cases.run, 1, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "prompt 0, k 2"));
    cases.recipe.sample.responses = 3;
    cases.run.data.prompts = 5;
    assert_int_equal(round_table_load(&t, &cases.run, 1, &error), -1);
    assert_non_null(strstr(error.message, "prompt 5, k 0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(the_table_has_a_row_a_prompt), TEST(an_empty_round_is_an_empty_table),
                                       TEST(sums_stand_where_the_responses_do), TEST(the_least_number_is_capped),
                                       TEST(a_strangers_response_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
