#include "align/implicit_reward.h"
#include "align/response_filter.h"
#include "run_cases.h"

/* The stage that samples, on its own. Runs begin before it, in the directory "before". */
static const char *const tables = "prompts, responses, scores, pairs, mix";

static int setup(void **state) {
    if (run_cases_create(state) != 0) return -1;
    run_cases_until(dice_sample, "before", NULL, 0);
    return 0;
}

static int compare(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    (void)error;
    const StoredResponse *const *list = context;
    assert_int_equal(response, 0);
    for (size_t t = 0; t < list[item]->length; t++)
        assert_true(fabsf(scored->logprob[t] - list[item]->logprob[t]) < 1e-4f);
    return 0;
}

/* The log-probs that were recorded are those of a pass over the whole response. */
static void check_logprobs(const DiceRun *run, const RoundTable *table) {
    Model *model = NULL;
    Hash hash;
    run_cases_ok(dice_run_load(run, 0, DTYPE_F32, false, &model, &hash, &run_error));
    ScoreItem *item = calloc(table->count, sizeof *item);
    const StoredResponse **list = calloc(table->count, sizeof *list);
    for (size_t i = 0; i < table->count; i++) {
        const StoredResponse *r = &table->response[i];
        list[i] = r;
        item[i] = (ScoreItem){.prompt = run->data.prompt[r->prompt].ids,
                              .prompt_length = run->data.prompt[r->prompt].length,
                              .response = (const int32_t *const *)&r->ids,
                              .length = &r->length,
                              .responses = 1};
        assert_string_equal(r->model, hash.hex);
    }
    const ScoreSink sink = {.take = compare, .context = list};
    run_cases_ok(implicit_reward_score(model, item, table->count, 300, &sink, "test", NULL, &run_error));
    free(item), free(list);
    model_free(model);
}

static void every_prompt_gets_k_responses_of_the_policy(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    RoundTable t;
    const char *const all[] = {"sample.all=true"};
    run_cases_until(dice_sample, "all", all, 1);
    run_cases_open(&run, &recipe, "all", all, 1);
    run_cases_ok(dice_sample(&run, 1, &run_error));
    run_cases_ok(round_table_load(&t, &run, 1, &run_error));
    assert_true(t.prompts == run.prompts && t.count == 3 * run.prompts);
    size_t stopped = 0;
    for (size_t i = 0; i < t.count; i++) {
        const StoredResponse *r = &t.response[i];
        Buffer text = {0};
        assert_true(r->length >= 1 && r->length <= 40);
        run_cases_ok(chat_decode_response(&run.chat, r->ids, r->length, &text, &run_error));
        buffer_append_text(&text, "");
        assert_string_equal(r->text, text.data == NULL ? "" : text.data);
        assert_int_equal(r->chars, response_filter_length(r->text, strlen(r->text)));
        assert_int_equal(r->stopped, chat_is_stop(&run.chat, r->ids[r->length - 1]));
        assert_true(r->stopped || r->length == 40);
        for (size_t k = 0; k + 1 < r->length; k++) assert_false(chat_is_stop(&run.chat, r->ids[k]));
        stopped += r->stopped;
        buffer_free(&text);
    }
    assert_true(stopped > 0 && stopped < t.count); // both kinds were there
    check_logprobs(&run, &t);
    json_t *own = round_table_summary(&t), *there = dice_run_summary(&run, 1, "sample", &run_error);
    assert_true(json_number_value(json_object_get(there, "tokens_per_second")) > 0);
    assert_true(json_number_value(json_object_get(there, "flops_per_second")) > 0);
    json_object_update(own, there); // the rates
    assert_true(json_equal(own, there) && json_object_size(there) == 10);
    json_decref(own), json_decref(there);
    round_table_free(&t);
    run_cases_close(&run, &recipe);
}

/* A stage that is done returns before it looks for the model. */
static void a_second_call_does_nothing(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_repeat(&run, &recipe, dice_sample, "responses, stages", "round-0");
    assert_int_equal(dice_sample(&run, 2, &run_error), -1); // planted: a round that is not done
    run_cases_close(&run, &recipe);
}

static void killed_at_a_commit_it_goes_on(void **state) {
    (void)state;
    assert_true(run_cases_kill(dice_sample, 1, "before", NULL, 0, tables, 3) > 5);
}

static void interrupted_it_goes_on(void **state) {
    (void)state;
    const char *const sets[] = {"sample.branches=2"};
    assert_true(run_cases_interrupt(dice_sample, 1, "before", sets, 1, tables) > 5);
}

/* Whatever part of the responses is there, the others come out as they did. */
static void any_part_is_completed(void **state) {
    (void)state;
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    DiceRun run;
    Recipe recipe;
    const char *const sets[] = {"mix.gamma=0.3"};
    run_cases_until(dice_sample, "deleted", sets, 1);
    char *whole = run_cases_continue(dice_sample, 1, "deleted", sets, 1, tables);
    for (address.round = 0; address.round < 12; address.round++) {
        char sql[128];
        run_cases_open(&run, &recipe, "deleted", sets, 1);
        double there = run_cases_number(&run, "SELECT count(*) FROM responses");
        for (uint32_t prompt = 0; prompt < run.data.prompts; prompt++)
            for (uint32_t k = 0; k < 3; k++) {
                snprintf(sql, sizeof sql, "DELETE FROM responses WHERE prompt = %u AND k = %u", prompt, k);
                if (rng_below(&address, 3 * prompt + k, 12) < address.round) run_cases_tamper(&run, sql);
            }
        run_cases_tamper(&run, "DELETE FROM stages WHERE stage = 'sample'");
        if (address.round > 3) assert_true(run_cases_number(&run, "SELECT count(*) FROM responses") < there);
        run_cases_close(&run, &recipe);
        char *rows = run_cases_continue(dice_sample, 1, "deleted", sets, 1, tables);
        assert_string_equal(rows, whole);
        free(rows);
    }
    run_cases_open(&run, &recipe, "deleted", sets, 1); // planted: of another seed
    run_cases_tamper(&run, "DELETE FROM responses; DELETE FROM stages WHERE stage = 'sample'");
    recipe.seed++;
    run_cases_ok(dice_sample(&run, 1, &run_error));
    char *other = run_cases_rows(&run, tables);
    assert_string_not_equal(other, whole);
    run_cases_close(&run, &recipe);
    free(other), free(whole);
}

static double sampled_prompts(const char *output, const char *const *sets, size_t n, size_t *prompts) {
    DiceRun run;
    Recipe recipe;
    run_cases_until(dice_sample, output, sets, n);
    run_cases_open(&run, &recipe, output, sets, n);
    run_cases_ok(dice_sample(&run, 1, &run_error));
    double sampled = run_cases_number(&run, "SELECT count(DISTINCT prompt) FROM responses WHERE round = 1");
    *prompts = run.prompts;
    if (dice_run_generates(&run)) {
        assert_true(run_cases_number(&run, "SELECT count(*) FROM responses") == 3 * sampled);
        assert_true(run_cases_figure(&run, 1, "sample", "prompts") == sampled);
    }
    run_cases_close(&run, &recipe);
    return sampled;
}

/* As many prompts as the mix needs and the spare ones; more where filters leave too few, all where nothing passes. */
static void only_needed_prompts_are_sampled(void **state) {
    (void)state;
    size_t prompts;
    const char *const nothing_passes[] = {"mix.gamma=0.8", "filter.above_chars=500"};
    const char *const few[] = {"mix.gamma=0.8", "sample.spare=0", "filter.min_responses=2",
                               "sample.max_new_tokens=100"};
    const char *const none[] = {"mix.gamma=0"}, *const offline[] = {"mix.gamma=1"},
                      *const all[] = {"mix.gamma=1", "sample.all=true"};
    double sampled = sampled_prompts("few", few, 4, &prompts);
    assert_true(sampled >= 1 && sampled < (double)prompts);
    assert_true(sampled_prompts("nothing", nothing_passes, 2, &prompts) == (double)prompts);
    assert_true(sampled_prompts("none", none, 1, &prompts) == (double)prompts);
    assert_true(sampled_prompts("offline", offline, 1, &prompts) == 0);
    assert_true(sampled_prompts("looked-at", all, 2, &prompts) == (double)prompts);
}

/* A share of offline pairs that leaves no room for a generated one is told before anything is trained. */
static void a_mix_without_generated_pairs_is_refused(void **state) {
    (void)state;
    const char *const sets[] = {"mix.gamma=0.95"};
    Recipe recipe = run_cases_recipe("share", sets, 1);
    DiceRun run;
    run_cases_failed(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error), ERROR_USAGE,
                     "mix.gamma 0.95 of 9 offline pairs leaves no room for a generated one");
    run_cases_failed(dice_run_open(&run, &recipe, &run_kernels, true, NULL, &run_error), ERROR_USAGE, "mix.gamma");
    recipe.rounds = 0; // nothing is mixed
    run_cases_ok(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error));
    run_cases_close(&run, &recipe);
}

/* Prompts of one token less than the context have room for one token; longer ones are not sampled for. */
static void prompts_may_fill_the_context(void **state) {
    (void)state;
    char word[200], reference[128];
    Buffer text = {0};
    snprintf(reference, sizeof reference, "reference=%s", run_older.path);
    const char *const sets[] = {reference,        "data.offline=",           "data.prompts=long.jsonl",
                                "mix.gamma=0",    "data.validation_pairs=0", "data.chat=never",
                                "sample.all=true"};
    for (int letters = 100; letters <= 140; letters++) {
        memset(word, 0, sizeof word), memset(word, 'z', (size_t)letters);
        for (int i = 0; i < letters; i += 2) word[i] = 'q';
        buffer_format(&text, "{\"prompt\": \"%s\"}\n", word);
    }
    checkpoint_put(&run_scratch, "long.jsonl", text.data);
    buffer_free(&text);
    DiceRun run;
    Recipe recipe;
    StoredResponse *r;
    size_t count, full = 0;
    run_cases_open(&run, &recipe, "long", sets, 7);
    run_cases_ok(dice_sample(&run, 1, &run_error));
    run_cases_ok(run_store_get_responses(run.store, 1, &r, &count, &run_error));
    assert_true(run.data.overlong_prompts > 0 && count == 3 * run.prompts);
    for (size_t i = 0; i < count; i++) {
        size_t prompt = run.data.prompt[r[i].prompt].length;
        assert_true(prompt < 128 && r[i].length <= 128 - prompt);
        full += prompt == 127 && r[i].length == 1;
    }
    assert_int_equal(full, 3);
    run_store_free_responses(r, count);
    run_cases_close(&run, &recipe);
}

/* Weights that end every response at once: all are empty, none is kept, and the stage is done. */
static void empty_responses_are_stored(void **state) {
    (void)state;

    char reference[128];
    CheckpointDirectory silent;
    checkpoint_create(&silent, checkpoint_template), checkpoint_weights_ending(&silent, 1, 1000);
    snprintf(reference, sizeof reference, "reference=%s", run_older.path);
    char model[128];
    snprintf(model, sizeof model, "model=%s", silent.path);
    const char *const all[] = {"sample.top_k=1", reference, model};
    DiceRun run;
    Recipe recipe;
    RoundTable t;
    run_cases_open(&run, &recipe, "silent", all, 3);
    run_cases_ok(dice_sample(&run, 1, &run_error));
    run_cases_ok(round_table_load(&t, &run, 1, &run_error));
    assert_true(t.count == 3 * run.prompts && t.usable == 0);
    for (size_t i = 0; i < t.count; i++)
        assert_true(t.response[i].length == 1 && t.response[i].stopped && t.response[i].text[0] == 0 &&
                    t.response[i].chars == 0);
    round_table_free(&t);
    run_cases_ok(dice_score(&run, 1, &run_error));
    assert_true(run_cases_number(&run, "SELECT count(*) FROM scores") == 0);
    run_cases_failed(dice_pairs(&run, 1, &run_error), ERROR_INPUT,
                     "round 1: none of 9 prompts has 2 responses that pass the filters");
    run_cases_close(&run, &recipe);
    checkpoint_remove(&silent);
}

static void broken_weights_are_told(void **state) {
    (void)state;
    char reference[128], model[128];
    CheckpointDirectory broken;
    checkpoint_create(&broken, checkpoint_template), checkpoint_weights_ending(&broken, 1, NAN);
    snprintf(reference, sizeof reference, "reference=%s", run_older.path);
    snprintf(model, sizeof model, "model=%s", broken.path);
    const char *const sets[] = {reference, model};
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, "broken", sets, 2);
    run_cases_failed(dice_sample(&run, 1, &run_error), ERROR_NUMERIC, "lm_head.weight");
    assert_true(run_cases_number(&run, "SELECT count(*) FROM responses") == 0);
    assert_int_equal(dice_run_is_done(&run, 1, "sample", &run_error), 0);
    run_cases_close(&run, &recipe);
    checkpoint_remove(&broken);
}

/* What is not of this run, or cannot be: each with its sentence, none with a crash. */
static void a_store_that_does_not_fit_is_refused(void **state) {
    (void)state;
    static const RunChange changes[] = {
        {"INSERT INTO responses VALUES (1, 0, 3, x'', x'', '', 0, 1, 'm')", "has response 3 to prompt 0",
         ERROR_MISMATCH},
        {"INSERT INTO responses VALUES (1, 4000000000, 0, x'', x'', '', 0, 1, 'm')", "to prompt 4000000000",
         ERROR_MISMATCH},
        {"INSERT INTO responses VALUES (1, -1, 0, x'', x'', '', 0, 1, 'm')", "impossible value in column prompt",
         ERROR_INPUT},
        {"INSERT INTO responses VALUES (1, 0, 0, x'01', x'', '', 0, 1, 'm')", "no multiple of 4", ERROR_INPUT},
    };
    run_cases_refuses(dice_sample, "sample", changes, sizeof changes / sizeof *changes);
}

static void the_policy_must_be_there(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, "early", NULL, 0);
    run_cases_failed(dice_sample(&run, 1, &run_error), ERROR_INPUT, "round 0 has no finished stage train");
    assert_int_equal(dice_run_is_done(&run, 1, "sample", &run_error), 0);
    run_cases_close(&run, &recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prompt_gets_k_responses_of_the_policy),
        cmocka_unit_test(a_second_call_does_nothing),
        cmocka_unit_test(killed_at_a_commit_it_goes_on),
        cmocka_unit_test(interrupted_it_goes_on),
        cmocka_unit_test(any_part_is_completed),
        cmocka_unit_test(only_needed_prompts_are_sampled),
        cmocka_unit_test(a_mix_without_generated_pairs_is_refused),
        cmocka_unit_test(prompts_may_fill_the_context),
        cmocka_unit_test(empty_responses_are_stored),
        cmocka_unit_test(broken_weights_are_told),
        cmocka_unit_test(a_store_that_does_not_fit_is_refused),
        cmocka_unit_test(the_policy_must_be_there),
    };
    return cmocka_run_group_tests(tests, setup, run_cases_remove);
}
