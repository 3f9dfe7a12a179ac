#include "run_cases.h"

/* The stage that trains, on its own. Runs begin before it, in the directory "before"; in "adapted" with LoRA. */
static const char *const tables = "scores, checkpoints"; // of its end, a checkpoint has the hash of the weights
static const char *const adapted[] = {"lora.r=2", "lora.alpha=4", "train.learning_rate=1e-3"};

static int setup(void **state) {
    if (run_cases_create(state) != 0) return -1;
    run_cases_until(dice_train, "before", NULL, 0);
    run_cases_until(dice_train, "adapted", adapted, 3);
    return 0;
}

static void trained_hash(const char *output, const char *const *sets, size_t n, char hash[40]) {
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, output, sets, n);
    run_cases_hash(&run, 1, hash);
    run_cases_close(&run, &recipe);
}

static void a_model_is_trained_and_exported(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    char parent[40], hash[40], text[40], *lines, *card_path;
    StoredCheckpoint last;
    bool found;
    run_cases_copy("before", "trained");
    run_cases_open(&run, &recipe, "trained", NULL, 0);
    run_cases_hash(&run, 0, parent);
    run_cases_ok(dice_train(&run, 1, &run_error));
    run_cases_hash(&run, 1, hash);
    assert_string_not_equal(hash, parent);
    double pairs = run_cases_figure(&run, 1, "mix", "generated") + run_cases_figure(&run, 1, "mix", "offline"),
           steps = ceil(pairs / 3);
    assert_true(run_cases_figure(&run, 1, "train", "pairs") == pairs);
    assert_true(run_cases_figure(&run, 1, "train", "tokens_per_second") > 0);
    assert_true(run_cases_figure(&run, 1, "train", "flops_per_second") > 0);
    run_cases_text(&run, 1, "train", "model", text);
    assert_string_equal(text, hash);
    run_cases_text(&run, 1, "train", "loss_reference", text);
    assert_string_equal(text, parent);
    run_cases_ok(run_store_get_checkpoint(run.store, 1, &last, &found, &run_error));
    assert_true(found && last.step == UINT32_MAX);
    assert_string_equal(last.directory, "round-1/model");
    assert_string_equal(last.model, hash);
    assert_true(run_cases_number(&run, "SELECT count(*) FROM steps WHERE round = 1") == steps && steps >= 3);
    assert_true(
        run_cases_number(&run, "SELECT count(*) FROM evaluations WHERE round = 1 AND name LIKE 'validation-%'") ==
        floor(steps / 2) + ((int)steps % 2));
    run_cases_ok(run_store_get_steps(run.store, 1, &lines, &run_error));
    const char *const names[] = {
        "\"loss\":", "\"grad_norm\":", "\"rewards/margins\":", "\"num_tokens\":", "\"epoch\":"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_non_null(strstr(lines, names[i]));
    free(lines);
    const char *const files[] = {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[64];
        snprintf(name, sizeof name, "round-1/model/%s", files[i]);
        assert_true(run_cases_has_file("trained", name));
    }
    assert_false(run_cases_has_file("trained", "round-1/checkpoints"));
    card_path = dice_run_path(&run, 1, "model/dice_card.json");
    json_t *card = json_parse_file(card_path, &run_error);
    assert_string_equal(json_string_value(json_object_get(card, "parent")), parent);
    assert_true(json_integer_value(json_object_get(card, "round")) == 1);
    assert_true((double)json_integer_value(json_object_get(card, "pairs")) == pairs);
    json_decref(card);
    free(card_path);
    run_cases_close(&run, &recipe);
}

/* Log-probs recorded while sampling are the reference of generated pairs; offline ones are scored, and stored. */
static void a_log_prob_is_computed_once(void **state) {
    (void)state;
    static const char *const generated[] = {"mix.gamma=0"}, *const offline[] = {"mix.gamma=1"};
    DiceRun run;
    Recipe recipe;
    run_cases_until(dice_train, "generated", generated, 1);
    run_cases_open(&run, &recipe, "generated", generated, 1);
    char *before = run_cases_rows(&run, "scores");
    run_cases_ok(dice_train(&run, 1, &run_error));
    char *after = run_cases_rows(&run, "scores");
    assert_string_equal(before, after); // the validation's sums were there from the evaluation
    run_cases_close(&run, &recipe);
    free(before), free(after);
    run_cases_until(dice_train, "offline", offline, 1);
    run_cases_open(&run, &recipe, "offline", offline, 1);
    double there = run_cases_number(&run, "SELECT count(*) FROM scores");
    run_cases_ok(dice_train(&run, 1, &run_error));
    assert_true(run_cases_number(&run, "SELECT count(*) FROM scores") == there + 2 * 9);
    run_cases_close(&run, &recipe);
}

/* A stage that is done removes what a kill left of its checkpoints, and looks at nothing else. */
static void a_second_call_does_nothing(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_copy("before", "again");
    char *first = run_cases_continue(dice_train, 1, "again", NULL, 0, "scores, steps, stages, checkpoints");
    run_cases_copy("again/round-1/model", "again/round-1/checkpoints");
    run_cases_copy("pairs.jsonl", "again/round-1/model");
    run_cases_open(&run, &recipe, "again", NULL, 0);
    run_cases_ok(dice_train(&run, 1, &run_error));
    char *second = run_cases_rows(&run, "scores, steps, stages, checkpoints");
    assert_string_equal(first, second);
    assert_false(run_cases_has_file("again", "round-1/checkpoints"));
    run_cases_close(&run, &recipe);
    free(first), free(second);
}

static void killed_at_a_commit_it_goes_on(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, "fresh", NULL, 0);
    run_cases_close(&run, &recipe);
    assert_true(run_cases_kill(dice_train, 0, "fresh", NULL, 0, tables, 3) > 5);
    assert_true(run_cases_kill(dice_train, 1, "before", NULL, 0, tables, 3) > 3);
    assert_true(run_cases_kill(dice_train, 1, "adapted", adapted, 3, tables, 4) > 2);
}

/* An interruption leaves a checkpoint at its own step, so only the model is the same. */
static void interrupted_it_goes_on(void **state) {
    (void)state;
    char hash[2][40];
    for (int i = 0; i < 2; i++) {
        const char *const *sets = i == 0 ? NULL : adapted;
        assert_true(run_cases_interrupt(dice_train, 1, i == 0 ? "before" : "adapted", sets, i == 0 ? 0 : 3, "scores") >
                    2);
        trained_hash("whole", sets, i == 0 ? 0 : 3, hash[0]);
        trained_hash("parts", sets, i == 0 ? 0 : 3, hash[1]);
        assert_string_equal(hash[0], hash[1]);
    }
}

/* A part of the reference's sums may be there, from another processor with other bits: it stays as it is. */
static void known_sums_are_kept(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    char hash[40], plain[40];
    run_cases_copy("before", "plain");
    free(run_cases_continue(dice_train, 1, "plain", NULL, 0, "scores"));
    run_cases_copy("plain", "known");
    run_cases_open(&run, &recipe, "known", NULL, 0);
    run_cases_tamper(&run,
                     "DELETE FROM stages WHERE round = 1 AND stage = 'train'; DELETE FROM checkpoints WHERE round = 1;"
                     "DELETE FROM scores WHERE source = 'rejected/float32'; DELETE FROM scores WHERE source = "
                     "'validation/chosen/float32'; UPDATE scores SET sum = sum + 0.125 WHERE source = "
                     "'chosen/float32'");
    char *known = run_cases_rows(&run, "scores");
    run_cases_ok(dice_train(&run, 1, &run_error));
    run_cases_hash(&run, 1, hash);
    char *all = run_cases_rows(&run, "scores");
    assert_true(strlen(all) > strlen(known));
    run_cases_close(&run, &recipe);
    trained_hash("plain", NULL, 0, plain);
    assert_string_not_equal(hash, plain); // they were taken
    free(known), free(all);
}

/* A checkpoint that somebody removed costs its steps, not the run. */
static void a_removed_checkpoint_is_made_again(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe = run_cases_recipe("removed", NULL, 0);
    char hash[40], plain[40];
    int polls = 4; // the last validation
    const Log log = {.interrupted = run_cases_stop, .context = &polls};
    run_cases_copy("before", "removed");
    run_cases_ok(dice_run_open(&run, &recipe, &run_kernels, false, &log, &run_error));
    run_cases_failed(dice_train(&run, 1, &run_error), ERROR_INTERRUPTED, "interrupted");
    run_cases_close(&run, &recipe);
    assert_true(run_cases_has_file("removed", "round-1/checkpoints/step-000002"));
    run_cases_copy("pairs.jsonl", "removed/round-1/checkpoints");
    recipe = run_cases_recipe("removed", NULL, 0);
    run_cases_ok(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error));
    run_cases_failed(dice_train(&run, 1, &run_error), ERROR_IO, "checkpoints"); // a file in the way is another thing
    char *path = dice_run_path(&run, 1, "checkpoints");
    run_cases_ok(file_remove_tree(path, &run_error));
    run_cases_ok(dice_train(&run, 1, &run_error));
    run_cases_hash(&run, 1, hash);
    run_cases_close(&run, &recipe);
    free(path);
    trained_hash("plain", NULL, 0, plain);
    assert_string_equal(hash, plain);
}

/* A store may not name a directory that is then loaded or removed. */
static void a_store_cannot_lead_elsewhere(void **state) {
    (void)state;
    static const char *const rows[] = {
        "INSERT INTO checkpoints VALUES (1, 1, '../victim', '')",
        "INSERT INTO checkpoints VALUES (1, 1, 'round-1/checkpoints/../../../victim', '')",
        "INSERT INTO checkpoints VALUES (1, 1, 'round-0/model', '')",
        "INSERT INTO checkpoints VALUES (1, 4294967295, 'round-1/model', '')",
    };
    run_cases_copy("before", "victim");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        DiceRun run;
        Recipe recipe;
        run_cases_changed(&run, &recipe, rows[i]);
        run_cases_failed(dice_train(&run, 1, &run_error), ERROR_INPUT,
                         "but dice keeps it at \"round-1/checkpoints/step-");
        run_cases_close(&run, &recipe);
        assert_true(run_cases_has_file("victim", "run.db"));
        assert_true(run_cases_has_file("changed", "round-0/model"));
    }
}

/* A step that overflows ends the stage with the step's number, and nothing is exported. */
static void broken_training_is_told(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_changed(&run, &recipe, "SELECT 1");
    recipe.train.learning_rate = 1e30;
    run_cases_failed(dice_train(&run, 1, &run_error), ERROR_NUMERIC, "step 2");
    assert_int_equal(dice_run_is_done(&run, 1, "train", &run_error), 0);
    assert_false(run_cases_has_file("changed", "round-1/model"));
    run_cases_close(&run, &recipe);
}

static void without_validation_pairs_nothing_is_validated(void **state) {
    (void)state;
    static const char *const sets[] = {"data.validation_pairs=0"};
    DiceRun run;
    Recipe recipe;
    run_cases_until(dice_train, "unheld", sets, 1);
    run_cases_open(&run, &recipe, "unheld", sets, 1);
    run_cases_ok(dice_train(&run, 1, &run_error));
    assert_true(run_cases_number(&run, "SELECT count(*) FROM evaluations") == 0);
    run_cases_close(&run, &recipe);
}

/* Stages out of order and rows that a stranger has changed: each with its sentence, none with a crash. */
static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *sql, *message;
    } cases[] = {
        {"DELETE FROM stages WHERE stage = 'mix'", "round 1 has no finished stage mix"},
        {"DELETE FROM stages WHERE stage = 'train'", "round 0 has no finished stage train"},
        {"DELETE FROM stages WHERE stage = 'score'", "round 1 has no finished stage score"},
        {"DELETE FROM mix", "there is no example to train on"},
        {"UPDATE mix SET row = 4000000000", "row 0 of round 1's mix names no pair"},
        {"UPDATE mix SET offline = 1, row = 9", "row 0 of round 1's mix names no pair"},
        {"UPDATE mix SET offline = 2", "impossible value in column offline"},
        {"DELETE FROM pairs", "row 0 of round 1's mix names no pair"},
        {"UPDATE pairs SET chosen_k = 77", "names a response that is not there"},
        {"UPDATE pairs SET prompt = prompt + 4000000; UPDATE mix SET row = row + 4000000 WHERE offline = 0",
         "names a response that is not there"},
        {"UPDATE pairs SET doubt = 9e999", "impossible value in column doubt"},
        {"UPDATE pairs SET doubt = 7.0", "impossible value in column doubt"},
        {"UPDATE pairs SET rejected_round = 2", "impossible value in column"},
        {"UPDATE responses SET ids = x'', logprob = x''", "has no tokens"},
        {"UPDATE responses SET ids = CAST(x'ffffff7f' || substr(ids, 5) AS BLOB)", "outside the model's vocabulary"},
        {"UPDATE responses SET ids = zeroblob(4000), logprob = zeroblob(4000)", "outside the model's context"},
        {"INSERT INTO checkpoints VALUES (1, 1, printf('%0300d', 0), '')", "impossible value in column directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        DiceRun run;
        Recipe recipe;
        run_cases_changed(&run, &recipe, cases[i].sql);
        run_cases_failed(dice_train(&run, 1, &run_error), ERROR_INPUT, cases[i].message);
        assert_int_equal(dice_run_is_done(&run, 1, "train", &run_error), 0);
        assert_false(run_cases_has_file("changed", "round-1/model"));
        run_cases_close(&run, &recipe);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_trained_and_exported),
        cmocka_unit_test(a_log_prob_is_computed_once),
        cmocka_unit_test(a_second_call_does_nothing),
        cmocka_unit_test(killed_at_a_commit_it_goes_on),
        cmocka_unit_test(interrupted_it_goes_on),
        cmocka_unit_test(known_sums_are_kept),
        cmocka_unit_test(a_removed_checkpoint_is_made_again),
        cmocka_unit_test(a_store_cannot_lead_elsewhere),
        cmocka_unit_test(broken_training_is_told),
        cmocka_unit_test(without_validation_pairs_nothing_is_validated),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, run_cases_remove);
}
