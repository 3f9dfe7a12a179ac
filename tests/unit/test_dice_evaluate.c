#include "align/implicit_reward.h"
#include "run_cases.h"

/* Evaluations on their own. In the directory "before" the start is not evaluated yet; in "trained" it is, and pi(0) is
 * trained. Held out are two pairs. */
static int start(DiceRun *run, uint32_t round, Error *error) {
    (void)round;
    return dice_evaluate(run, -1, error);
}

static int trained(DiceRun *run, uint32_t round, Error *error) { return dice_evaluate(run, (int)round, error); }

static int setup(void **state) {
    DiceRun run;
    Recipe recipe;
    if (run_cases_create(state) != 0) return -1;
    run_cases_open(&run, &recipe, "before", NULL, 0);
    run_cases_close(&run, &recipe);
    run_cases_open(&run, &recipe, "trained", NULL, 0);
    run_cases_ok(dice_evaluate(&run, -1, &run_error));
    run_cases_ok(dice_train(&run, 0, &run_error));
    run_cases_close(&run, &recipe);
    return 0;
}

/* The summaries of evaluations without what was measured by the clock; to be freed. */
static char *summary_of(const DiceRun *run, uint32_t round, const char *stage) {
    json_t *summary = dice_run_summary(run, round, stage, &run_error);
    if (summary == NULL) fail_msg("%s", run_error.message);
    assert_true(json_number_value(json_object_get(summary, "seconds")) > 0);
    json_object_del(summary, "seconds");
    char *text = json_dumps(summary, JSON_SORT_KEYS | JSON_INDENT(1));
    json_decref(summary);
    return text;
}

/* The sum of one response alone. */
static double sum_of(Model *model, const EncodedPair *pair, int response) {
    Batch batch = {0};
    size_t trunk;
    float logprob[128];
    run_cases_ok(batch_add_trunk(&batch, pair->prompt, pair->prompt_length, &trunk, &run_error));
    run_cases_ok(batch_add_branch(&batch, trunk, pair->response[response], pair->length[response], &run_error));
    run_cases_ok(batch_finish(&batch, &run_error));
    run_cases_ok(model_logprob(model, &batch, logprob, NULL, NULL, &run_error));
    batch_free(&batch);
    return implicit_reward_sum(logprob, pair->length[response]);
}

static void figures_are_those_of_the_held_out_pairs(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    double sum[2][2][2], right = 0, likelier = 0, margin = 0, plain = 0;
    char hash[2][40], text[40];
    run_cases_copy("trained", "figures");
    run_cases_open(&run, &recipe, "figures", NULL, 0);
    run_cases_ok(dice_evaluate(&run, 0, &run_error));
    for (int m = 0; m < 2; m++) {
        Model *model = NULL;
        Hash own;
        run_cases_ok(dice_run_load(&run, m - 1, DTYPE_F32, false, &model, &own, &run_error));
        snprintf(hash[m], sizeof hash[m], "%s", own.hex);
        for (int i = 0; i < 2; i++)
            for (int r = 0; r < 2; r++) sum[m][i][r] = sum_of(model, run.validation[i], r);
        model_free(model);
    }
    for (int i = 0; i < 2; i++) {
        double gap = sum[1][i][0] - sum[1][i][1], reward = gap - (sum[0][i][0] - sum[0][i][1]);
        right += reward > 0, likelier += gap > 0, margin += reward, plain += gap;
    }
    run_cases_text(&run, 0, "evaluate", "model", text);
    assert_string_equal(text, hash[1]);
    run_cases_text(&run, 0, "evaluate-start", "model", text);
    assert_string_equal(text, hash[0]);
    assert_true(run_cases_figure(&run, 0, "evaluate", "pairs") == 2);
    assert_true(run_cases_figure(&run, 0, "evaluate", "accuracy") == right / 2);
    assert_true(run_cases_figure(&run, 0, "evaluate", "likelier") == likelier / 2);
    assert_true(fabs(run_cases_figure(&run, 0, "evaluate", "margin") - 0.1 * margin / 2) < 1e-12 && margin != 0);
    assert_true(fabs(run_cases_figure(&run, 0, "evaluate", "logps_margin") - plain / 2) < 1e-12);
    double start_plain = (sum[0][0][0] - sum[0][0][1] + sum[0][1][0] - sum[0][1][1]) / 2;
    assert_true(fabs(run_cases_figure(&run, 0, "evaluate-start", "logps_margin") - start_plain) < 1e-12);
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "margin") == 0);
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "kl_nats") == 0);
    assert_true(run_cases_figure(&run, 0, "evaluate", "kl_nats") != 0);
    assert_true(run_cases_number(
                    &run, "SELECT count(*) FROM scores WHERE source LIKE 'validation/%/float32' AND round = 0") >= 8);
    json_t *summary = dice_run_summary(&run, 0, "evaluate", &run_error), *answers = json_object_get(summary, "answers");
    assert_int_equal(json_array_size(answers), 1); // report.show
    assert_true(json_is_string(json_object_get(json_array_get(answers, 0), "answer")));
    json_decref(summary);
    run_cases_close(&run, &recipe);
}

static void a_second_call_does_nothing(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_copy("trained", "again");
    char *first = run_cases_continue(trained, 0, "again", NULL, 0, "scores, stages");
    run_cases_copy("pairs.jsonl", "again/round-0");
    run_cases_open(&run, &recipe, "again", NULL, 0);
    run_cases_ok(dice_evaluate(&run, 0, &run_error));
    run_cases_ok(dice_evaluate(&run, -1, &run_error));
    char *second = run_cases_rows(&run, "scores, stages");
    assert_string_equal(first, second);
    run_cases_close(&run, &recipe);
    free(first), free(second);
}

static void killed_at_a_commit_it_goes_on(void **state) {
    (void)state;
    assert_true(run_cases_kill(start, 0, "before", NULL, 0, "scores", 1) >= 3);
    assert_true(run_cases_kill(trained, 0, "trained", NULL, 0, "scores", 1) >= 3);
}

static void interrupted_it_goes_on(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    char *text[2];
    const char *const names[] = {"whole", "parts"};
    assert_true(run_cases_interrupt(trained, 0, "trained", NULL, 0, "scores") > 3);
    for (int i = 0; i < 2; i++) {
        run_cases_open(&run, &recipe, names[i], NULL, 0);
        text[i] = summary_of(&run, 0, "evaluate");
        run_cases_close(&run, &recipe);
    }
    assert_string_equal(text[0], text[1]);
    free(text[0]), free(text[1]);
}

/* Sums that are there are taken: those of another processor may have other last bits. */
static void known_sums_are_kept(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_copy("trained", "known");
    run_cases_open(&run, &recipe, "known", NULL, 0);
    run_cases_ok(dice_evaluate(&run, 0, &run_error));
    double plain = run_cases_figure(&run, 0, "evaluate", "logps_margin");
    run_cases_tamper(&run,
                     "DELETE FROM stages WHERE stage = 'evaluate'; UPDATE scores SET sum = sum + 0.5 WHERE source = "
                     "'validation/chosen/float32' AND prompt = 0; DELETE FROM scores WHERE source = "
                     "'validation/rejected/float32' AND model NOT IN (SELECT json_extract(summary, '$.model') FROM "
                     "stages WHERE stage = 'evaluate-start')");
    run_cases_ok(dice_evaluate(&run, 0, &run_error));
    assert_true(fabs(run_cases_figure(&run, 0, "evaluate", "logps_margin") - plain - 0.25) < 1e-12);
    run_cases_close(&run, &recipe);
}

/* Neither pairs nor prompts are needed; a single prompt, one that leaves room for a token only, is. */
static void little_may_be_held_out(void **state) {
    (void)state;
    static const char *const nothing[] = {"data.validation_pairs=0", "report.prompts=0", "report.show=0"},
                             *const one[] = {"report.prompts=1", "report.show=0"},
                             *const shown[] = {"report.prompts=0", "report.show=9"};
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, "nothing", nothing, 3);
    run_cases_ok(dice_evaluate(&run, -1, &run_error));
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "pairs") == 0);
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "samples") == 0);
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "stop_rate") == 0);
    run_cases_close(&run, &recipe);
    run_cases_open(&run, &recipe, "one", one, 2);
    run_cases_ok(dice_evaluate(&run, -1, &run_error));
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "samples") == 1);
    run_cases_close(&run, &recipe);
    run_cases_open(&run, &recipe, "shown", shown, 2);
    run_cases_ok(dice_evaluate(&run, -1, &run_error));
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "samples") == 0);
    json_t *summary = dice_run_summary(&run, 0, "evaluate-start", &run_error);
    assert_int_equal(json_array_size(json_object_get(summary, "answers")), 2); // all held-out prompts
    json_decref(summary);
    run_cases_close(&run, &recipe);
}

static void broken_weights_are_told(void **state) {
    (void)state;
    char model[128];
    CheckpointDirectory vast;
    checkpoint_create(&vast, checkpoint_template), checkpoint_weights_ending(&vast, 2, 3e38f);
    snprintf(model, sizeof model, "model=%s", vast.path);
    const char *const sets[] = {model};
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, "vast", sets, 1);
    run_cases_failed(dice_evaluate(&run, -1, &run_error), ERROR_NUMERIC, "the weights are broken or overflow");
    assert_int_equal(dice_run_is_done(&run, 0, "evaluate-start", &run_error), 0);
    assert_true(run_cases_number(&run, "SELECT count(*) FROM scores") == 0);
    run_cases_close(&run, &recipe);
    checkpoint_remove(&vast);
}

/* Stages out of order and rows that a stranger has changed: each with its sentence, none with a crash. */
static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *sql, *message;
    } cases[] = {
        {"DELETE FROM stages WHERE stage = 'evaluate-start'", "round 0 has no finished stage evaluate-start"},
        {"DELETE FROM stages WHERE stage = 'train'", "round 0 has no finished stage train"},
        {"DELETE FROM scores WHERE prompt = 1", "held-out pair 1 has no log-prob under the start model"},
        {"UPDATE stages SET summary = '{\"model\": 5}' WHERE stage = 'evaluate-start'",
         "held-out pair 0 has no log-prob"},
        {"UPDATE stages SET summary = '[' WHERE stage = 'evaluate-start'", "run.db, round 0, stage evaluate-start"},
        {"UPDATE scores SET sum = -9e999", "impossible value in column sum"},
        {"UPDATE scores SET tokens = -1", "impossible value in column tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        DiceRun run;
        Recipe recipe;
        run_cases_copy("trained", "strange");
        run_cases_open(&run, &recipe, "strange", NULL, 0);
        run_cases_tamper(&run, cases[i].sql);
        run_cases_failed(dice_evaluate(&run, 0, &run_error), ERROR_INPUT, cases[i].message);
        assert_int_equal(dice_run_is_done(&run, 0, "evaluate", &run_error), 0);
        run_cases_close(&run, &recipe);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_the_held_out_pairs),
        cmocka_unit_test(a_second_call_does_nothing),
        cmocka_unit_test(killed_at_a_commit_it_goes_on),
        cmocka_unit_test(interrupted_it_goes_on),
        cmocka_unit_test(known_sums_are_kept),
        cmocka_unit_test(little_may_be_held_out),
        cmocka_unit_test(broken_weights_are_told),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, run_cases_remove);
}
