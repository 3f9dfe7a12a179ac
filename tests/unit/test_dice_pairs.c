#include "align/implicit_reward.h"
#include "align/response_filter.h"
#include "run_cases.h"

/* The stage that makes pairs of scored responses, and mixes them with offline pairs, on its own. Runs begin before it,
 * in the directory "before". */
static const char *const tables = "responses, scores, pairs, mix";

static int setup(void **state) {
    if (run_cases_create(state) != 0) return -1;
    run_cases_until(dice_pairs, "before", NULL, 0);
    return 0;
}

/* The rows of a file in the directory of round 1, a JSON array to be freed. */
static json_t *rows_of(const DiceRun *run, const char *name) {
    char *path = dice_run_path(run, 1, name);
    FileMap map;
    run_cases_ok(file_map(&map, path, &run_error));
    json_t *rows = json_array();
    for (size_t at = 0; at < map.size;) {
        const char *line = (const char *)map.data + at, *end = memchr(line, '\n', map.size - at);
        assert_non_null(end);
        json_t *row = json_parse(line, (size_t)(end - line), path, 1, &run_error);
        if (row == NULL) fail_msg("%s", run_error.message);
        json_array_append_new(rows, row);
        at += (size_t)(end - line) + 1;
    }
    file_unmap(&map);
    free(path);
    return rows;
}

static double reference_sum(const DiceRun *run, uint32_t prompt, uint32_t k) {
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT sum FROM scores WHERE source = 'response/float32' AND prompt = %u AND k = %u",
             prompt, k);
    return run_cases_number(run, sql);
}

/* Rewards, best and worst, computed again from the rows alone. */
static void pairs_are_the_best_and_the_worst(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    RoundTable t;
    StoredPair *pair;
    size_t pairs, at = 0, longer = 0;
    run_cases_copy("before", "paired");
    run_cases_open(&run, &recipe, "paired", NULL, 0);
    run_cases_ok(dice_pairs(&run, 1, &run_error));
    run_cases_ok(round_table_load(&t, &run, 1, &run_error));
    run_cases_ok(run_store_get_pairs(run.store, 1, &pair, &pairs, &run_error));
    double alpha = run_cases_figure(&run, 1, "pairs", "alpha_nats_per_char"), gap = 0;
    for (size_t n = 0; n < t.prompts; n++) {
        const StoredResponse *best = NULL, *worst = NULL;
        double high = -INFINITY, low = INFINITY, best_reward = 0, worst_reward = 0;
        for (size_t k = 0; k < 3; k++) {
            const StoredResponse *r = t.cell[3 * n + k];
            if (!t.kept[3 * n + k]) continue;
            double reward = implicit_reward_sum(r->logprob, r->length) - reference_sum(&run, r->prompt, r->k);
            double score = reward - alpha * (double)r->chars;
            if (score > high) high = score, best = r, best_reward = reward;
            if (score < low) low = score, worst = r, worst_reward = reward;
        }
        if (best == NULL || best == worst || strcmp(best->text, worst->text) == 0) continue;
        const StoredPair *p = &pair[at++];
        assert_true(at <= pairs && p->prompt == t.prompt[n] && p->round == 1 && p->rejected_age == 0 && p->doubt == 0);
        assert_true(p->chosen_k == best->k && p->rejected_k == worst->k);
        assert_true(p->chosen_reward == best_reward && p->rejected_reward == worst_reward);
        assert_true(fabs(p->chosen_score - high) < 1e-9 && fabs(p->rejected_score - low) < 1e-9);
        gap += (double)best->chars - (double)worst->chars;
        longer += best->chars > worst->chars;
    }
    assert_true(at == pairs && pairs > 2 && run_cases_figure(&run, 1, "pairs", "pairs") == (double)pairs);
    assert_true(fabs(run_cases_figure(&run, 1, "pairs", "pair_gap_chars") - gap / (double)pairs) < 1e-9);
    assert_true(fabs(run_cases_figure(&run, 1, "pairs", "gap_after_chars")) <=
                fabs(run_cases_figure(&run, 1, "pairs", "gap_before_chars")));
    assert_true(longer < pairs); // not all by length
    free(pair);
    round_table_free(&t);
    run_cases_close(&run, &recipe);
}

/* What other programs read says the same as the store. */
static void the_round_is_exported(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_copy("before", "exported");
    run_cases_open(&run, &recipe, "exported", NULL, 0);
    run_cases_ok(dice_pairs(&run, 1, &run_error));
    json_t *responses = rows_of(&run, "responses.jsonl"), *scores = rows_of(&run, "scores.jsonl"),
           *pairs = rows_of(&run, "pairs.jsonl"), *mixed = rows_of(&run, "train.jsonl"), *row;
    assert_true((double)json_array_size(responses) == run_cases_figure(&run, 1, "sample", "prompts"));
    double kept = run_cases_figure(&run, 1, "sample", "kept"), rewards = 0, nulls = 0;
    size_t i, k;
    json_array_foreach(responses, i, row) {
        json_t *reward;
        json_array_foreach(json_object_get(row, "rewards"), k, reward) {
            rewards += json_is_real(reward);
            nulls += json_is_null(reward);
        }
    }
    assert_true(rewards == kept && nulls == run_cases_figure(&run, 1, "sample", "responses") - kept && nulls > 0);
    assert_true((double)json_array_size(scores) >= kept);
    assert_true((double)json_array_size(pairs) == run_cases_figure(&run, 1, "pairs", "pairs"));
    double generated = run_cases_figure(&run, 1, "mix", "generated");
    assert_true((double)json_array_size(mixed) == generated + run_cases_figure(&run, 1, "mix", "offline"));
    json_t *prompts[2] = {json_object(), json_object()}; // by source: the share that is generated stands first
    json_array_foreach(mixed, i, row) {
        bool offline = strcmp(json_string_value(json_object_get(row, "source")), "offline") == 0;
        assert_int_equal(offline, (double)i >= generated);
        char *prompt = json_dumps(json_object_get(row, "prompt"), JSON_COMPACT | JSON_ENCODE_ANY);
        json_object_set_new(prompts[offline], prompt, json_true());
        free(prompt);
        if (offline) continue;
        size_t found = 0;
        json_t *pair;
        json_array_foreach(pairs, k, pair) found +=
            json_equal(json_object_get(row, "prompt"), json_object_get(pair, "prompt")) &&
            json_equal(json_object_get(row, "chosen"), json_object_get(pair, "chosen")) &&
            json_equal(json_object_get(row, "rejected"), json_object_get(pair, "rejected"));
        assert_int_equal(found, 1);
    }
    const char *prompt;
    json_object_foreach(prompts[0], prompt, row) assert_null(json_object_get(prompts[1], prompt));
    assert_true(json_object_size(prompts[0]) > 0 && json_object_size(prompts[1]) > 0);
    json_decref(prompts[0]), json_decref(prompts[1]);
    json_decref(responses), json_decref(scores), json_decref(pairs), json_decref(mixed);
    run_cases_close(&run, &recipe);
}

static void a_second_call_does_nothing(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_repeat(&run, &recipe, dice_pairs, "pairs, mix, stages", "round-1");
    run_cases_tamper(&run, "DELETE FROM stages WHERE stage = 'pairs'"); // planted: then there is no place for files
    assert_int_equal(dice_pairs(&run, 1, &run_error), -1);
    run_cases_close(&run, &recipe);
}

static void killed_at_a_commit_it_goes_on(void **state) {
    (void)state;
    assert_true(run_cases_kill(dice_pairs, 1, "before", NULL, 0, tables, 1) >= 1);
}

/* Whatever part of the rows is there, the others come out as they did. */
static void any_part_is_completed(void **state) {
    (void)state;
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    DiceRun run;
    Recipe recipe;
    run_cases_copy("before", "deleted");
    char *whole = run_cases_continue(dice_pairs, 1, "deleted", NULL, 0, tables);
    for (address.round = 0; address.round < 16; address.round++) {
        char sql[128];
        run_cases_open(&run, &recipe, "deleted", NULL, 0);
        bool both = rng_below(&address, 0, 2); // only the mix, otherwise
        run_cases_tamper(&run, both ? "DELETE FROM stages WHERE stage IN ('pairs', 'mix')"
                                    : "DELETE FROM stages WHERE stage = 'mix'");
        snprintf(sql, sizeof sql, "DELETE FROM mix WHERE position %% 4 = %u", (unsigned)rng_below(&address, 1, 4));
        run_cases_tamper(&run, sql);
        snprintf(sql, sizeof sql, "DELETE FROM pairs WHERE prompt %% 4 = %u", (unsigned)rng_below(&address, 2, 4));
        if (both) run_cases_tamper(&run, sql);
        run_cases_close(&run, &recipe);
        char *rows = run_cases_continue(dice_pairs, 1, "deleted", NULL, 0, tables);
        assert_string_equal(rows, whole);
        free(rows);
    }
    free(whole);
}

/* What can leave no pair: each is told with its number. */
static void no_pair_is_told_with_its_reason(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_changed(&run, &recipe, "UPDATE responses SET text = 'same'");
    run_cases_failed(dice_pairs(&run, 1, &run_error), ERROR_INPUT, "0 have scores that tie");
    if (strstr(run_error.message, " 0 equal texts") != NULL) fail_msg("%s", run_error.message);
    assert_int_equal(dice_run_is_done(&run, 1, "pairs", &run_error), 0);
    assert_true(run_cases_number(&run, "SELECT count(*) FROM pairs") == 0);
    assert_true(run_cases_has_file("changed", "round-1/responses.jsonl"));
    run_cases_close(&run, &recipe);
    run_cases_changed(&run, &recipe,
                      "UPDATE responses SET logprob = zeroblob(length(logprob)); UPDATE scores SET sum = 0.0");
    recipe.reward.alpha = RECIPE_ALPHA_FIXED; // 0: all scores are equal
    run_cases_failed(dice_pairs(&run, 1, &run_error), ERROR_INPUT, "round 1: no pair is left of ");
    if (strstr(run_error.message, " 0 have scores that tie") != NULL) fail_msg("%s", run_error.message);
    run_cases_close(&run, &recipe);
    run_cases_changed(&run, &recipe, "UPDATE responses SET stopped = 0");
    run_cases_failed(dice_pairs(&run, 1, &run_error), ERROR_INPUT, "has 2 responses that pass the filters");
    assert_true(run_cases_has_file("changed", "round-1/responses.jsonl"));
    run_cases_close(&run, &recipe);
}

/* Where all training is offline, responses are sampled to be looked at: that none is kept is no obstacle. */
static void offline_training_needs_no_pair(void **state) {
    (void)state;
    static const char *const looked[] = {"mix.gamma=1", "sample.all=true", "filter.above_chars=500"},
                             *const offline[] = {"mix.gamma=1"};
    DiceRun run;
    Recipe recipe;
    run_cases_until(dice_pairs, "looked", looked, 3);
    run_cases_open(&run, &recipe, "looked", looked, 3);
    run_cases_ok(dice_pairs(&run, 1, &run_error));
    assert_true(run_cases_figure(&run, 1, "pairs", "pairs") == 0 && run_cases_figure(&run, 1, "mix", "offline") == 9);
    assert_true(run_cases_has_file("looked", "round-1/responses.jsonl"));
    run_cases_close(&run, &recipe);
    run_cases_until(dice_pairs, "offline", offline, 1);
    run_cases_open(&run, &recipe, "offline", offline, 1);
    run_cases_ok(dice_pairs(&run, 1, &run_error));
    assert_true(run_cases_figure(&run, 1, "mix", "generated") == 0 && run_cases_figure(&run, 1, "mix", "offline") == 9);
    json_t *rows = rows_of(&run, "train.jsonl");
    assert_int_equal(json_array_size(rows), 9);
    json_decref(rows);
    run_cases_close(&run, &recipe);
}

/* Stages out of order and rows that a stranger has changed: each with its sentence, none with a crash. */
static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static const RunChange changes[] = {
        {"DELETE FROM stages WHERE stage = 'score'", "round 1 has no finished stage score", ERROR_INPUT},
        {"DELETE FROM scores WHERE prompt = (SELECT max(prompt) FROM scores WHERE round = 1) AND round = 1",
         "has no finite log-prob under model", ERROR_NUMERIC},
        {"UPDATE stages SET summary = '[]' WHERE stage = 'score'", "has no finite log-prob under model", ERROR_NUMERIC},
        {"UPDATE stages SET summary = '{\"a\"' WHERE stage = 'score'", "run.db, round 1, stage score", ERROR_INPUT},
        {"UPDATE scores SET sum = 9e999", "impossible value in column sum", ERROR_INPUT},
        {"INSERT INTO pairs SELECT DISTINCT 1, prompt, 0, 1, 1.0, 0.0, 1.0, 0.0, 1, 0.0 FROM responses",
         "is there already with another content", ERROR_MISMATCH},
        {"INSERT INTO pairs VALUES (1, 4000000000, 0, 1, 1.0, 0.0, 1.0, 0.0, 1, 0.0); INSERT INTO stages VALUES (1, "
         "'pairs', '{}')",
         "a pair of prompt 4000000000, which this run does not have", ERROR_INPUT},
        {"INSERT INTO pairs VALUES (1, 0, 0, 1, 1.0, 0.0, 1.0, 0.0, 7, 0.0); INSERT INTO stages VALUES (1, 'pairs', "
         "'{}')",
         "impossible value in column", ERROR_INPUT},
        {"INSERT INTO mix VALUES (1, 0, 1, 4000000000)", "training row 0 of round 1 is there already", ERROR_MISMATCH},
        {"UPDATE prompts SET messages = '\"a\x01'", "prompt", ERROR_INPUT},
    };
    run_cases_refuses(dice_pairs, "mix", changes, sizeof changes / sizeof *changes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_the_best_and_the_worst),
        cmocka_unit_test(the_round_is_exported),
        cmocka_unit_test(a_second_call_does_nothing),
        cmocka_unit_test(killed_at_a_commit_it_goes_on),
        cmocka_unit_test(any_part_is_completed),
        cmocka_unit_test(no_pair_is_told_with_its_reason),
        cmocka_unit_test(offline_training_needs_no_pair),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, run_cases_remove);
}
