#include "align/implicit_reward.h"
#include "run_cases.h"

/* The stage that scores, on its own. Runs begin before it, in the directory "before". */
static const char *const tables = "responses, scores, pairs, mix";
static const char *const rescored[] = {"reward.precision=bfloat16", "reward.audit_share=0.2"}; // both models score all

static int setup(void **state) {
    if (run_cases_create(state) != 0) return -1;
    run_cases_until(dice_score, "before", NULL, 0);
    run_cases_until(dice_score, "rescored", rescored, 2);
    return 0;
}

static void kept_responses_get_their_sum_under_the_reference(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    RoundTable t;
    char hash[40], text[40];
    run_cases_copy("before", "scored");
    run_cases_open(&run, &recipe, "scored", NULL, 0);
    run_cases_ok(dice_score(&run, 1, &run_error));
    run_cases_ok(round_table_load(&t, &run, 1, &run_error));
    Model *model = NULL;
    Hash own;
    run_cases_ok(dice_run_load(&run, -1, DTYPE_F32, false, &model, &own, &run_error));
    StoredScore *score;
    size_t scores, at = 0;
    run_cases_ok(run_store_get_scores(run.store, "response/float32", 1, own.hex, &score, &scores, &run_error));
    size_t kept = 0;
    for (size_t cell = 0; cell < t.prompts * t.responses; cell++) kept += t.kept[cell];
    assert_true(kept > 3 && kept < t.count && scores == kept); // some are not kept, and have no score
    assert_true(run_cases_number(&run, "SELECT count(*) FROM scores WHERE source LIKE 'response%'") == (double)kept);
    for (size_t cell = 0; cell < t.prompts * t.responses; cell++) {
        if (!t.kept[cell]) continue;
        const StoredResponse *r = t.cell[cell];
        const EncodedPrompt *prompt = &run.data.prompt[r->prompt];
        Batch batch = {0};
        size_t trunk;
        float logprob[64];
        run_cases_ok(batch_add_trunk(&batch, prompt->ids, prompt->length, &trunk, &run_error));
        run_cases_ok(batch_add_branch(&batch, trunk, r->ids, r->length, &run_error));
        run_cases_ok(batch_finish(&batch, &run_error));
        run_cases_ok(model_logprob(model, &batch, logprob, NULL, NULL, &run_error));
        batch_free(&batch);
        assert_true(score[at].prompt == r->prompt && score[at].k == r->k && score[at].tokens == r->length);
        assert_true(score[at].sum == implicit_reward_sum(logprob, r->length)); // alone, as it was among others
        assert_true(fabs(score[at].sum - implicit_reward_sum(r->logprob, r->length)) > 1e-4); // planted: the policy's
        at++;
    }
    free(score);
    run_cases_text(&run, 1, "score", "reward_reference", text);
    assert_string_equal(text, own.hex);
    run_cases_text(&run, 1, "score", "policy", text);
    assert_string_equal(text, ""); // of no other model are there sums
    run_cases_hash(&run, 0, hash);
    assert_string_not_equal(hash, own.hex);
    double audited = run_cases_figure(&run, 1, "score", "audited");
    assert_true(audited > 0 && audited < (double)kept);
    assert_true(run_cases_figure(&run, 1, "score", "audit_max") >= run_cases_figure(&run, 1, "score", "noise_sd"));
    assert_true(run_cases_figure(&run, 1, "score", "noise_sd") >= run_cases_figure(&run, 1, "score", "audit_mean"));
    assert_false(run_cases_has_file("scored", "round-1/scores.jsonl")); // comes with the pairs
    model_free(model);
    round_table_free(&t);
    run_cases_close(&run, &recipe);
}

/* A stage that is done returns before it looks for a model. */
static void a_second_call_does_nothing(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_repeat(&run, &recipe, dice_score, "scores, stages", "round-0");
    run_cases_close(&run, &recipe);
}

static void killed_at_a_commit_it_goes_on(void **state) {
    (void)state;
    assert_true(run_cases_kill(dice_score, 1, "before", NULL, 0, tables, 3) > 3);
    assert_true(run_cases_kill(dice_score, 1, "rescored", rescored, 2, tables, 5) > 5);
}

static void interrupted_it_goes_on(void **state) {
    (void)state;
    assert_true(run_cases_interrupt(dice_score, 1, "before", NULL, 0, tables) > 1);
    assert_true(run_cases_interrupt(dice_score, 1, "rescored", rescored, 2, tables) > 2);
}

/* Whatever part of the scores is there, the others come out as they did: a sum does not depend on its batch. */
static void any_part_is_completed(void **state) {
    (void)state;
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    DiceRun run;
    Recipe recipe;
    run_cases_copy("rescored", "deleted");
    char *whole = run_cases_continue(dice_score, 1, "deleted", rescored, 2, tables);
    for (address.round = 0; address.round < 12; address.round++) {
        char sql[160];
        run_cases_open(&run, &recipe, "deleted", rescored, 2);
        for (uint32_t prompt = 0; prompt < run.data.prompts; prompt++)
            for (uint32_t k = 0; k < 3; k++) {
                snprintf(
                    sql, sizeof sql,
                    "DELETE FROM scores WHERE source = 'response/bfloat16' AND prompt = %u AND k = %u AND model %s "
                    "(SELECT model FROM responses)",
                    prompt, k, rng_below(&address, 100 + k, 2) ? "IN" : "NOT IN");
                if (rng_below(&address, 3 * prompt + k, 12) < address.round) run_cases_tamper(&run, sql);
            }
        run_cases_tamper(&run, "DELETE FROM stages WHERE stage = 'score'");
        recipe.train.micro_tokens = 100 + 40 * address.round; // other batches
        run_cases_ok(dice_score(&run, 1, &run_error));
        char *rows = run_cases_rows(&run, tables);
        assert_string_equal(rows, whole);
        run_cases_close(&run, &recipe);
        free(rows);
    }
    run_cases_open(&run, &recipe, "deleted", rescored, 2); // planted: under another model
    run_cases_tamper(&run, "DELETE FROM scores; DELETE FROM stages WHERE stage = 'score'");
    free(run.start_directory);
    run.start_directory = strdup(run_older.path);
    run_cases_ok(dice_score(&run, 1, &run_error));
    char *rows = run_cases_rows(&run, tables);
    assert_string_not_equal(rows, whole);
    run_cases_close(&run, &recipe);
    free(rows), free(whole);
}

static void nothing_kept_is_nothing_scored(void **state) {
    (void)state;
    const char *const sets[] = {"filter.above_chars=500"};
    DiceRun run;
    Recipe recipe;
    run_cases_until(dice_score, "filtered", sets, 1);
    run_cases_open(&run, &recipe, "filtered", sets, 1);
    run_cases_ok(dice_score(&run, 1, &run_error));
    assert_true(run_cases_number(&run, "SELECT count(*) FROM scores WHERE source LIKE 'response%'") == 0);
    assert_true(run_cases_figure(&run, 1, "score", "audited") == 0);
    run_cases_close(&run, &recipe);
}

/* A share of 0 audits nothing and does not need the policy; a tiny one still audits. */
static void the_audit_may_be_small_or_off(void **state) {
    (void)state;
    const char *const off[] = {"reward.audit_share=0"}, *const tiny[] = {"reward.audit_share=1e-9"},
                      *const offline[] = {"mix.gamma=1"};
    DiceRun run;
    Recipe recipe;
    run_cases_until(dice_score, "off", off, 1);
    run_cases_copy("pairs.jsonl", "off/round-0");
    run_cases_open(&run, &recipe, "off", off, 1);
    run_cases_ok(dice_score(&run, 1, &run_error));
    assert_true(run_cases_figure(&run, 1, "score", "audited") == 0);
    run_cases_close(&run, &recipe);
    run_cases_until(dice_score, "tiny", tiny, 1);
    run_cases_open(&run, &recipe, "tiny", tiny, 1);
    run_cases_ok(dice_score(&run, 1, &run_error));
    assert_true(run_cases_figure(&run, 1, "score", "audited") > 0);
    run_cases_close(&run, &recipe);
    run_cases_open(&run, &recipe, "offline", offline, 1); // no responses, no scores, no models
    run_cases_ok(dice_score(&run, 1, &run_error));
    assert_int_equal(dice_run_is_done(&run, 1, "score", &run_error), 0);
    run_cases_close(&run, &recipe);
}

static void sampling_comes_first(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_changed(&run, &recipe, "DELETE FROM stages WHERE stage = 'sample'");
    run_cases_failed(dice_score(&run, 1, &run_error), ERROR_INPUT, "round 1 has no finished stage sample");
    assert_int_equal(dice_run_is_done(&run, 1, "score", &run_error), 0);
    run_cases_close(&run, &recipe);
}

/* Models that overflow give no score. */
static void what_is_not_finite_is_told(void **state) {
    (void)state;
    char reference[128];
    CheckpointDirectory vast;
    checkpoint_create(&vast, checkpoint_template), checkpoint_weights_ending(&vast, 2, 3e38f);
    snprintf(reference, sizeof reference, "reference=%s", vast.path);
    const char *const sets[] = {reference, "data.validation_pairs=0"};
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, "vast", sets, 2);
    run_cases_ok(dice_sample(&run, 1, &run_error));
    run_cases_failed(dice_score(&run, 1, &run_error), ERROR_NUMERIC, "the weights are broken or overflow");
    assert_true(run_cases_number(&run, "SELECT count(*) FROM scores") == 0);
    assert_int_equal(dice_run_is_done(&run, 1, "score", &run_error), 0);
    free(run.start_directory);
    run.start_directory = strdup(vast.path); // the audit comes first
    run_cases_failed(dice_score(&run, 1, &run_error), ERROR_NUMERIC, "the weights are broken or overflow");
    run_cases_close(&run, &recipe);
    checkpoint_remove(&vast);
}

/* Rows that a stranger, or a bad disk, has changed: each with its sentence, none with a crash. */
static void changed_responses_are_refused(void **state) {
    (void)state;
    static const RunChange changes[] = {
        {"UPDATE responses SET ids = CAST(x'ffffff7f' || substr(ids, 5) AS BLOB)", "outside the model's vocabulary",
         ERROR_INPUT},
        {"UPDATE responses SET ids = CAST(x'ffffffff' || substr(ids, 5) AS BLOB)", "outside the model's vocabulary",
         ERROR_INPUT},
        {"UPDATE responses SET ids = x'', logprob = x''", "a response has no tokens", ERROR_INPUT},
        {"UPDATE responses SET ids = zeroblob(4000), logprob = zeroblob(4000)", "outside the model's context",
         ERROR_INPUT},
        {"UPDATE responses SET logprob = CAST(x'0000c07f' || substr(logprob, 5) AS BLOB)", "a log-prob is not finite",
         ERROR_INPUT},
        {"UPDATE responses SET prompt = 4000000 WHERE rowid = 1", "prompt 4000000, k ", ERROR_INPUT},
        {"UPDATE responses SET k = k + 100", "k 100", ERROR_INPUT},
        {"UPDATE stages SET summary = '{' WHERE stage = 'sample'", "round 1, stage sample", ERROR_INPUT},
    };
    run_cases_refuses(dice_score, "score", changes, sizeof changes / sizeof *changes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_responses_get_their_sum_under_the_reference),
        cmocka_unit_test(a_second_call_does_nothing),
        cmocka_unit_test(killed_at_a_commit_it_goes_on),
        cmocka_unit_test(interrupted_it_goes_on),
        cmocka_unit_test(any_part_is_completed),
        cmocka_unit_test(nothing_kept_is_nothing_scored),
        cmocka_unit_test(the_audit_may_be_small_or_off),
        cmocka_unit_test(sampling_comes_first),
        cmocka_unit_test(what_is_not_finite_is_told),
        cmocka_unit_test(changed_responses_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, run_cases_remove);
}
