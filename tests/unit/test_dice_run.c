#include "align/dice_run.h"
#include "run_cases.h"

/* A whole run on a tiny model, its variants, and stops at every safe point. What the numbers are is checked where they
 * are made; here it is checked that the stages fit together. */

/* Without a reference round 0 makes pi(0); its reference is pi(-1), the start model. */
static void a_run_without_a_reference_begins_with_round_0(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    char hash[3][40], text[40];
    run_cases_finished(&run, &recipe, "plain", NULL, 0);
    assert_true(dice_run_has_round0(&run) && dice_run_generates(&run));
    assert_true(run.validations == 2 && run.train_pairs == 9);
    for (int i = 0; i < 3; i++) run_cases_hash(&run, i - 1, hash[i]);
    assert_string_not_equal(hash[0], hash[1]);
    assert_string_not_equal(hash[1], hash[2]);
    run_cases_text(&run, 0, "train", "loss_reference", text);
    assert_string_equal(text, hash[0]);
    run_cases_text(&run, 0, "train", "model", text);
    assert_string_equal(text, hash[1]);
    run_cases_text(&run, 1, "score", "reward_reference", text); // pi(-1)
    assert_string_equal(text, hash[0]);
    run_cases_text(&run, 1, "train", "loss_reference", text); // pi(0)
    assert_string_equal(text, hash[1]);
    assert_true(run_cases_figure(&run, 0, "train", "pairs") == 9);
    double generated = run_cases_figure(&run, 1, "mix", "generated"),
           offline = run_cases_figure(&run, 1, "mix", "offline");
    assert_true(generated > 0 && run_cases_figure(&run, 1, "train", "pairs") == generated + offline);
    assert_true(run_cases_figure(&run, 1, "score", "audited") > 0 &&
                run_cases_figure(&run, 1, "score", "audit_max") < 1e-4);
    assert_true(run_cases_figure(&run, 1, "evaluate", "pairs") == 2 &&
                run_cases_figure(&run, 1, "evaluate", "samples") == 2);
    assert_true(run_cases_figure(&run, 0, "evaluate-start", "kl_nats") == 0);
    run_cases_close(&run, &recipe);
}

static void a_run_with_a_reference_begins_with_round_1(void **state) {
    (void)state;
    char set[128], hash[3][40], text[40];
    snprintf(set, sizeof set, "reference=%s", run_older.path);
    const char *const sets[] = {set, "rounds=2"};
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "referenced", sets, 2);
    assert_false(dice_run_has_round0(&run));
    for (int i = 0; i < 3; i++) run_cases_hash(&run, i - 1, hash[i]);
    run_cases_text(&run, 1, "score", "reward_reference", text);
    assert_string_equal(text, hash[0]);
    run_cases_text(&run, 2, "score", "reward_reference", text);
    assert_string_equal(text, hash[1]);
    run_cases_text(&run, 2, "train", "loss_reference", text);
    assert_string_equal(text, hash[2]);
    assert_int_equal(dice_run_is_done(&run, 0, "train", &run_error), 0);
    run_cases_close(&run, &recipe);
    const char *const initial[] = {set, "rounds=2", "reward.reference=initial"};
    run_cases_finished(&run, &recipe, "initial", initial, 3);
    run_cases_text(&run, 2, "score", "reward_reference", text);
    assert_string_equal(text, hash[0]); // always pi(-1)
    run_cases_close(&run, &recipe);
}

/* With LoRA every model of the run is an adapter on the start model: each round goes on from the last one's, and models
 * are exchanged on the same weights. */
static void adapters_chain(void **state) {
    (void)state;
    static const char *const sets[] = {"lora.r=2", "lora.alpha=4", "rounds=2", "train.learning_rate=1e-3"};
    DiceRun run;
    Recipe recipe;
    char hash[4][40], text[40], base[40];
    run_cases_finished(&run, &recipe, "adapted", sets, 4);
    for (int i = 0; i < 4; i++) run_cases_hash(&run, i - 1, hash[i]);
    for (int i = 1; i < 4; i++) assert_string_not_equal(hash[i - 1], hash[i]);
    run.lora.r = 0; // the start model as it is
    run_cases_hash(&run, -1, base);
    run.lora.r = 2;
    assert_string_equal(base, hash[0]);
    for (uint32_t round = 0; round < 3; round++) {
        run_cases_text(&run, round, "train", "loss_reference", text);
        assert_string_equal(text, hash[round]);
        run_cases_text(&run, round, "train", "model", text);
        assert_string_equal(text, hash[round + 1]);
    }
    run_cases_text(&run, 1, "score", "reward_reference", text);
    assert_string_equal(text, hash[0]);
    run_cases_text(&run, 2, "score", "reward_reference", text);
    assert_string_equal(text, hash[1]);
    assert_true(run_cases_figure(&run, 2, "score", "audit_max") < 1e-4);
    assert_true(run_cases_has_file("adapted", "round-2/adapter/adapter_model.safetensors"));
    assert_false(run_cases_has_file("adapted", "round-2/model"));
    Model *model = NULL, *first;
    Hash own;
    float *a[3];
    for (int i = 0; i < 3; i++) { // trainable, so that the values can be seen
        if (dice_run_load(&run, i, DTYPE_F32, true, &model, &own, &run_error) != 0) fail_msg("%s", run_error.message);
        if (i == 0) first = model;
        assert_ptr_equal(model, first);
        assert_string_equal(own.hex, hash[i + 1]);
        a[i] = malloc(model_weight_count(model) * sizeof *a[i]);
        memcpy(a[i], model_weights(model), model_weight_count(model) * sizeof *a[i]);
    }
    double moved[2] = {0}, size = 0;
    for (size_t i = 0; i < model_weight_count(model); i++) {
        size += fabs((double)a[0][i]);
        for (int k = 0; k < 2; k++) moved[k] += fabs((double)a[k + 1][i] - (double)a[k][i]);
    }
    for (int k = 0; k < 2; k++) assert_true(moved[k] > 0 && moved[k] < 0.2 * size); // a new start would move it all
    if (dice_run_load(&run, -1, DTYPE_F32, true, &model, &own, &run_error) != 0) fail_msg("%s", run_error.message);
    assert_ptr_equal(model, first);
    assert_string_equal(own.hex, base);
    if (dice_run_load(&run, -1, DTYPE_F32, false, &model, &own, &run_error) != 0) fail_msg("%s", run_error.message);
    assert_string_equal(own.hex, base);
    assert_null(model_weights(model)); // another model than before
    model_free(model);
    for (int i = 0; i < 3; i++) free(a[i]);
    run_cases_close(&run, &recipe);
}

/* `model` with an adapter that was DPO-trained elsewhere, and the model below it as the reference. */
static void a_run_may_begin_with_an_adapter(void **state) {
    (void)state;
    static const char *const made[] = {"lora.r=2", "rounds=0"};
    char reference[128], hash[2][40], before[40];
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "made", made, 2);
    run_cases_hash(&run, 0, before);
    run_cases_close(&run, &recipe);
    snprintf(reference, sizeof reference, "reference=%s", run_start.path);
    const char *const sets[] = {reference, "lora.adapter=made/round-0/adapter"};
    run_cases_finished(&run, &recipe, "begun", sets, 2);
    assert_true(run.lora.r == 2 && !dice_run_has_round0(&run));
    for (int i = 0; i < 2; i++) run_cases_hash(&run, i - 1, hash[i]);
    assert_string_equal(hash[1], before);
    assert_string_not_equal(hash[0], hash[1]);
    assert_true(run_cases_has_file("begun", "round-1/adapter/adapter_config.json"));
    assert_false(run_cases_has_file("begun", "round-0"));
    run_cases_close(&run, &recipe);
    checkpoint_put(&run_scratch, "made/round-0/adapter/adapter_config.json", "{}");
    recipe = run_cases_recipe("begun", sets, 2);
    assert_int_equal(run_cases_rounds(&recipe, NULL), -1);
    assert_true(run_error.code == ERROR_INPUT || run_error.code == ERROR_MISMATCH);
    recipe_free(&recipe);
}

static void gamma_decides_what_is_sampled(void **state) {
    (void)state;
    static const char *const all_offline[] = {"mix.gamma=1"}, *const none[] = {"mix.gamma=0"};
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "offline", all_offline, 1);
    assert_false(dice_run_generates(&run));
    assert_int_equal(dice_run_is_done(&run, 1, "sample", &run_error), 0);
    assert_true(run_cases_figure(&run, 1, "mix", "generated") == 0 && run_cases_figure(&run, 1, "mix", "offline") == 9);
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "generated", none, 1);
    assert_true(run_cases_figure(&run, 1, "mix", "offline") == 0);
    assert_true(run_cases_figure(&run, 1, "mix", "generated") == run_cases_figure(&run, 1, "pairs", "pairs"));
    run_cases_close(&run, &recipe);
}

/* Prompts alone are enough for a model that has a reference. */
static void prompts_may_come_without_pairs(void **state) {
    (void)state;
    char set[128];
    snprintf(set, sizeof set, "reference=%s", run_older.path);
    const char *const sets[] = {set,
                                "data.offline=",
                                "data.prompts=more.jsonl",
                                "data.validation=pairs.jsonl",
                                "data.validation_pairs=0",
                                "mix.gamma=0"};
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "prompts", sets, 6);
    assert_true(run.train_pairs == 0 && run.validations == 11 && run.prompts > 3);
    assert_true(run_cases_figure(&run, 1, "evaluate", "pairs") == 11);
    run_cases_close(&run, &recipe);
}

/* Rescored, because the audit's threshold is 0 or the precision another one, the rewards are nearly the same. */
static void policy_sums_may_be_computed_again(void **state) {
    (void)state;
    static const char *const audit[] = {"reward.audit_threshold=0"}, *const half[] = {"reward.precision=bfloat16"};
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "plain", NULL, 0); // finished already
    double spread = run_cases_figure(&run, 1, "pairs", "reward_spread_nats"),
           pairs = run_cases_figure(&run, 1, "pairs", "pairs");
    assert_true(run_cases_figure(&run, 1, "score", "rescored") == 0);
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "rescored", audit, 1);
    assert_true(run_cases_figure(&run, 1, "score", "rescored") == 1);
    double again = run_cases_figure(&run, 1, "pairs", "reward_spread_nats");
    assert_true(again - spread < 1e-4 && spread - again < 1e-4 && run_cases_figure(&run, 1, "pairs", "pairs") == pairs);
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "half", half, 1);
    assert_true(run_cases_figure(&run, 1, "score", "rescored") == 1 &&
                run_cases_figure(&run, 1, "score", "audit_mean") > 1e-6);
    run_cases_close(&run, &recipe);
}

/* A figure of the first training step of a round: the policy is still its own reference. */
static double first_step(const DiceRun *run, uint32_t round, const char *name) {
    char *lines = NULL;
    if (run_store_get_steps(run->store, round, &lines, &run_error) != 0) fail_msg("%s", run_error.message);
    json_t *step = json_parse(lines, strcspn(lines, "\n"), "step", 1, &run_error);
    const json_t *value = json_object_get(step, name);
    if (!json_is_number(value)) fail_msg("a step has no %s: %s", name, lines);
    double number = json_number_value(value);
    json_decref(step);
    free(lines);
    return number;
}

/* Whatever the loss: sums that ld_alpha weighs are stored apart from others, those of generated pairs come from their
 * recorded tokens, and both are the policy's own before it moves. */
static void losses_find_the_policy_at_its_reference(void **state) {
    (void)state;
    static const char *const batches[] = {"train.loss=aot + 0.1 sft", "train.ld_alpha=0.5", "train.loss_pairs=2"};
    static const char *const weights[] = {"train.use_weighting=true"};
    static const char *const offline[] = {"train.use_weighting=true", "train.weighted_pairs=offline", "mix.gamma=0"};
    static const char *const nothing[] = {"train.loss=simpo", "train.beta=2"};
    const double most[] = {0, 1e-6}; // the sampler's log-probs are summed in another order
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "aot", batches, 3);
    for (uint32_t round = 0; round < 2; round++) {
        assert_true(fabs(first_step(&run, round, "rewards/chosen")) <= most[round]);
        assert_true(fabs(first_step(&run, round, "rewards/rejected")) <= most[round]);
        assert_true(fabs(first_step(&run, round, "loss/aot") - log(2)) <= 1e-15 + most[round]);
        double parts = first_step(&run, round, "loss/aot") + 0.1 * first_step(&run, round, "loss/sft");
        assert_true(fabs(first_step(&run, round, "loss") - parts) < 1e-14);
    }
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "weighted", weights, 1);
    for (uint32_t round = 0; round < 2; round++) {
        assert_true(fabs(first_step(&run, round, "rewards/margins")) <= most[round]);
        assert_true(fabs(first_step(&run, round, "loss") - log(2)) > 1e-3);
    }
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "weighted-offline", offline, 3);
    double generated = run_cases_figure(&run, 1, "mix", "generated");
    assert_true(generated >= 1 && run_cases_figure(&run, 1, "mix", "offline") == 0);
    assert_true(fabs(first_step(&run, 1, "loss") - log(2)) < 1e-6); // all are its own: none is weighed
    assert_true(fabs(first_step(&run, 0, "loss") - log(2)) > 1e-3);
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "simpo", nothing, 2);
    assert_true(first_step(&run, 0, "rewards/chosen") < -1); // beta times the mean log-prob of a token
    run_cases_close(&run, &recipe);
}

/* Noise times a multiple drops pairs; all of them is an error that says what to do. */
static void small_gaps_may_be_dropped(void **state) {
    (void)state;
    static const char *const sets[] = {"reward.min_gap_noise=1000000", "mix.gamma=0", "reward.precision=bfloat16"};
    const Recipe recipe = run_cases_recipe("noisy", sets, 3);
    assert_int_equal(run_cases_rounds(&recipe, NULL), -1);
    assert_int_equal(run_error.code, ERROR_INPUT);
    assert_non_null(strstr(run_error.message, "a gap below reward.min_gap_noise"));
    recipe_free((Recipe *)(uintptr_t)&recipe);
}

static size_t anchored_pairs(const DiceRun *run, uint32_t round) {
    StoredPair *pair;
    size_t pairs, found = 0;
    assert_int_equal(run_store_get_pairs(run->store, round, &pair, &pairs, &run_error), 0);
    for (size_t i = 0; i < pairs; i++) {
        assert_true(pair[i].rejected_age == 0 || pair[i].rejected_age == round - 1);
        assert_true(pair[i].doubt >= 0 && pair[i].doubt <= 1 && (round > 1 || pair[i].doubt == 0));
        found += pair[i].rejected_age > 0;
    }
    free(pair);
    return found;
}

/* From round 2 on pairs may be anchored in round 1 and doubted; a run that is stopped there makes the same model. */
static void pairs_may_be_anchored_and_doubted(void **state) {
    (void)state;
    static const char *const sets[] = {"rounds=2", "pairs.select=anchored", "pairs.soft_label=round", "sample.all=true",
                                       "reward.reference=initial"};
    static const char *const previous[] = {"rounds=2", "pairs.soft_label=prompt", "pairs.band_low=0.5",
                                           "pairs.select=random", "mix.gamma=0"};
    char hash[40], plain[40];
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "anchored", sets, 5);
    assert_true(anchored_pairs(&run, 1) == 0 && anchored_pairs(&run, 2) > 0);
    assert_true(run_cases_figure(&run, 2, "pairs", "anchored") == (double)anchored_pairs(&run, 2));
    double agreement = run_cases_figure(&run, 2, "pairs", "rank_agreement");
    assert_true(agreement > 0 && agreement < 1);
    run_cases_hash(&run, 2, hash);
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "unanchored",
                       (const char *const[]){"rounds=2", "sample.all=true", "reward.reference=initial"}, 3);
    run_cases_hash(&run, 2, plain);
    assert_string_not_equal(hash, plain); // planted: without the options
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "banded", previous, 5);
    assert_true(run_cases_figure(&run, 1, "pairs", "dropped_band") > 0 &&
                run_cases_figure(&run, 2, "pairs", "rank_agreement") < 1);
    assert_int_equal(anchored_pairs(&run, 2), 0);
    run_cases_close(&run, &recipe);
}

/* Parity with the paper's scripts: stripped texts are encoded again, everything is rescored, alpha is on the grid. */
static void the_papers_scripts_may_be_followed(void **state) {
    (void)state;
    static const char *const sets[] = {"parity=dice"};
    DiceRun run;
    Recipe recipe;
    RoundTable table;
    run_cases_finished(&run, &recipe, "parity", sets, 1);
    assert_true(run_cases_figure(&run, 1, "score", "rescored") == 1 &&
                run_cases_figure(&run, 1, "score", "audited") == 0);
    double alpha = run_cases_figure(&run, 1, "pairs", "alpha_nats_per_char");
    assert_true(fabs(alpha * 1000 - round(alpha * 1000)) < 1e-9);
    assert_int_equal(run_cases_figure(&run, 1, "sample", "prompts"), run.prompts);
    assert_int_equal(round_table_load(&table, &run, 1, &run_error), 0);
    StoredResponse *sampled;
    size_t count, changed = 0;
    assert_int_equal(run_store_get_responses(run.store, 1, &sampled, &count, &run_error), 0);
    assert_true(table.encoded_again && count == table.count);
    for (size_t i = 0; i < count; i++) {
        const StoredResponse *r = &table.response[i];
        Buffer text = {0};
        size_t begin, end;
        response_filter_strip(sampled[i].text, strlen(sampled[i].text), &begin, &end);
        assert_int_equal(chat_decode_response(&run.chat, r->ids, r->length, &text, &run_error), 0);
        assert_int_equal(text.size, end - begin);
        if (text.size > 0) assert_memory_equal(text.data, sampled[i].text + begin, text.size);
        if (r->stopped) assert_int_equal(r->ids[r->length - 1], sampled[i].ids[sampled[i].length - 1]);
        changed += r->length != sampled[i].length || memcmp(r->ids, sampled[i].ids, r->length * sizeof *r->ids) != 0;
        buffer_free(&text);
    }
    assert_true(changed > 0); // planted: the sampled ids as they are
    run_store_free_responses(sampled, count);
    round_table_free(&table);
    run_cases_close(&run, &recipe);
}

/* Of a file with weight 2 every pair is trained on twice, of one with weight 0.5 some; a later change is seen. */
static void offline_pairs_may_come_from_several_files(void **state) {
    (void)state;
    static const char *const sets[] = {
        "data.offline=[{path: pairs.jsonl, weight: 2}, {path: more.jsonl, weight: 0.5}]"};
    DiceRun run;
    Recipe recipe = run_cases_recipe("several", sets, 1);
    run_cases_pairs("more.jsonl", 6, 20);
    assert_int_equal(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error), 0);
    size_t count[2] = {0}, held[2] = {0};
    for (size_t i = 0; i < run.train_pairs; i++) count[run.train_pair[i]->file]++;
    for (size_t i = 0; i < run.validations; i++) held[run.validation[i]->file]++;
    assert_true(run.data.pairs == 17 && run.validations == 2);
    assert_int_equal(count[0], 2 * (11 - held[0]));
    assert_true(count[1] > 0 && count[1] < 6 - held[1]);
    dice_run_close(&run);
    run_cases_pairs("more.jsonl", 7, 20);
    assert_int_equal(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error), -1);
    assert_true(run_error.code == ERROR_MISMATCH && strstr(run_error.message, "more.jsonl") != NULL);
    run_cases_pairs("more.jsonl", 6, 20);
    recipe_free(&recipe);
}

/* A finished run goes on when it is given more rounds, and its first rounds stay. */
static void rounds_may_be_added(void **state) {
    (void)state;
    static const char *const more[] = {"rounds=2"};
    char before[40], after[40], straight[40];
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "grows", NULL, 0);
    run_cases_hash(&run, 1, before);
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "grows", more, 1);
    run_cases_hash(&run, 1, after);
    assert_string_equal(before, after);
    run_cases_hash(&run, 2, after);
    run_cases_close(&run, &recipe);
    run_cases_finished(&run, &recipe, "grown", more, 1);
    run_cases_hash(&run, 2, straight);
    assert_string_equal(after, straight);
    run_cases_close(&run, &recipe);
}

static int stop_after(void *context) { return (*(int *)context)-- <= 0; }

/* Interrupted at every safe point, one after another, a run ends with the same model. */
static void every_safe_point_can_be_left(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    char whole[40], parts[40];
    run_cases_finished(&run, &recipe, "plain", NULL, 0);
    run_cases_hash(&run, 1, whole);
    run_cases_close(&run, &recipe);
    recipe = run_cases_recipe("stopped", NULL, 0);
    int stops = 0;
    for (int polls = 0;; polls = 3 * stops) { // ever later: an evaluation is done in one piece
        const Log log = {.interrupted = stop_after, .context = &polls};
        if (run_cases_rounds(&recipe, &log) == 0) break;
        if (run_error.code != ERROR_INTERRUPTED) fail_msg("stop %d: %s", stops, run_error.message);
        if (++stops > 400) fail_msg("there is no progress");
    }
    assert_true(stops > 5);
    assert_int_equal(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error), 0);
    run_cases_hash(&run, 1, parts);
    assert_string_equal(parts, whole);
    run_cases_close(&run, &recipe);
}

static void a_plan_writes_nothing(void **state) {
    (void)state;
    Recipe recipe = run_cases_recipe("planned", NULL, 0);
    DiceRun run;
    if (dice_run_open(&run, &recipe, &run_kernels, true, NULL, &run_error) != 0) fail_msg("%s", run_error.message);
    RunPlan plan;
    assert_int_equal(dice_run_plan(&run, &plan, &run_error), 0);
    const DataSize size = plan.data;
    assert_true(size.offline_pairs == 9 && size.prompts == run.prompts && size.longest_prompt > 5);
    assert_true(size.mean_prompt <= (double)size.longest_prompt && size.mean_response > 1);
    assert_null(run.store);
    assert_false(file_exists(recipe.output));
    run_cases_close(&run, &recipe);
}

static void what_does_not_belong_is_refused(void **state) {
    (void)state;
    static const char *const other[] = {"train.beta=0.2"}, *const held[] = {"data.validation_pairs=11"};
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "plain", NULL, 0);
    run_cases_close(&run, &recipe);
    recipe = run_cases_recipe("plain", other, 1);
    assert_int_equal(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error), -1);
    assert_int_equal(run_error.code, ERROR_MISMATCH);
    if (strstr(run_error.message, "train.beta: 0.1 -> 0.2") == NULL) fail_msg("%s", run_error.message);
    recipe_free(&recipe);
    recipe = run_cases_recipe("held", held, 1);
    assert_int_equal(dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error), -1);
    assert_int_equal(run_error.code, ERROR_USAGE);
    assert_non_null(strstr(run_error.message, "only 11 usable pairs"));
    recipe_free(&recipe);
    recipe = run_cases_recipe("held", NULL, 0); // corrected, the same directory is fine
    if (dice_run_open(&run, &recipe, &run_kernels, false, NULL, &run_error) != 0) fail_msg("%s", run_error.message);
    run_cases_close(&run, &recipe);
}

/* A run on a store that is not as it was ends, or says what is wrong, with a documented code. */
static void check_end(const char *output, uint32_t number, size_t *refused) {
    Recipe recipe = run_cases_recipe(output, NULL, 0);
    run_error = (Error){0};
    if (run_cases_rounds(&recipe, NULL) != 0) {
        bool told = run_error.code == ERROR_INPUT || run_error.code == ERROR_MISMATCH || run_error.code == ERROR_IO ||
                    run_error.code == ERROR_NUMERIC;
        if (!told) fail_msg("damage %u: code %d: %s", number, (int)run_error.code, run_error.message);
        ++*refused;
    }
    recipe_free(&recipe);
}

/* Some bits, or a piece of the file, become others, or its end is missing. */
static void a_damaged_store_is_survived(void **state) {
    (void)state;
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    enum { DAMAGES = 40 };
    size_t refused = 0;
    char path[128];
    FileMap map;
    run_cases_until(dice_train, "sound", NULL, 0);
    snprintf(path, sizeof path, "%s/sound/run.db", run_scratch.path);
    run_cases_ok(file_map(&map, path, &run_error));
    uint8_t *bytes = malloc(map.size);
    assert_non_null(bytes);
    for (address.item = 0; address.item < DAMAGES; address.item++) {
        size_t size = map.size, at = rng_below(&address, 0, size), flips = address.item % 5;
        memcpy(bytes, map.data, size);
        for (uint32_t i = 0; i < 3 * flips; i++)
            bytes[rng_below(&address, 10 + i, size)] ^= (uint8_t)(1 << rng_below(&address, 100 + i, 8));
        size_t piece = rng_below(&address, 1, 300), room = size - at;
        if (flips == 0 && address.item % 2 == 0)
            memset(bytes + at, (int)rng_below(&address, 2, 256), piece < room ? piece : room);
        if (flips == 0 && address.item % 2 != 0) size = at;
        run_cases_copy("sound", "damaged");
        snprintf(path, sizeof path, "%s/damaged/run.db", run_scratch.path);
        run_cases_ok(file_write(path, bytes, size, &run_error));
        check_end("damaged", address.item, &refused);
    }
    file_unmap(&map);
    free(bytes);
    printf("%zu of %d refused\n", refused, DAMAGES);
    assert_true(refused > DAMAGES / 4);
}

/* Whole rows are there, with a value that nobody put: in one column of one table, before scoring or before training. */
static void changed_values_are_survived(void **state) {
    (void)state;
    static const struct {
        const char *type, *value;
    } values[] = {{"INTEGER", "-1"},
                  {"INTEGER", "0"},
                  {"INTEGER", "1"},
                  {"INTEGER", "4294967295"},
                  {"INTEGER", "4294967296"},
                  {"INTEGER", "1 << 62"},
                  {"TEXT", "''"},
                  {"TEXT", "'{}'"},
                  {"TEXT", "'[1]'"},
                  {"TEXT", "char(1, 0, 7)"},
                  {"TEXT", "'../..'"},
                  {"BLOB", "x''"},
                  {"BLOB", "x'000000ff'"},
                  {"BLOB", "x'00'"},
                  {"BLOB", "zeroblob(4096)"},
                  {"REAL", "0.5"},
                  {"REAL", "-9e999"},
                  {"REAL", "1e300"}};
    enum { CHANGES = 80, VALUES = sizeof values / sizeof *values };
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST, .round = 1};
    size_t refused = 0;
    run_cases_until(dice_score, "sampled", NULL, 0);
    for (address.item = 0; address.item < CHANGES; address.item++) {
        DiceRun run;
        Recipe recipe;
        char sql[256];
        sqlite3_stmt *statement;
        const char *table = schema_tables[rng_below(&address, 0, schema_table_count)].name;
        run_cases_copy(address.item % 2 == 0 ? "sound" : "sampled", "changed");
        run_cases_open(&run, &recipe, "changed", NULL, 0);
        snprintf(sql, sizeof sql, "SELECT * FROM %s", table);
        assert_int_equal(sqlite3_prepare_v2(run_store_database(run.store)->handle, sql, -1, &statement, NULL),
                         SQLITE_OK);
        int column = (int)rng_below(&address, 1, (uint64_t)sqlite3_column_count(statement));
        size_t value = rng_below(&address, 2, VALUES);
        while (strcmp(values[value].type, sqlite3_column_decltype(statement, column)) != 0)
            value = (value + 1) % VALUES;
        snprintf(sql, sizeof sql, "UPDATE OR IGNORE %s SET %s = %s", table, sqlite3_column_name(statement, column),
                 values[value].value);
        sqlite3_finalize(statement);
        run_cases_tamper(&run, sql);
        run_cases_close(&run, &recipe);
        check_end("changed", address.item, &refused);
    }
    printf("%zu of %d refused\n", refused, CHANGES);
    assert_true(refused > CHANGES / 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_without_a_reference_begins_with_round_0),
        cmocka_unit_test(a_run_with_a_reference_begins_with_round_1),
        cmocka_unit_test(adapters_chain),
        cmocka_unit_test(a_run_may_begin_with_an_adapter),
        cmocka_unit_test(gamma_decides_what_is_sampled),
        cmocka_unit_test(prompts_may_come_without_pairs),
        cmocka_unit_test(policy_sums_may_be_computed_again),
        cmocka_unit_test(losses_find_the_policy_at_its_reference),
        cmocka_unit_test(small_gaps_may_be_dropped),
        cmocka_unit_test(pairs_may_be_anchored_and_doubted),
        cmocka_unit_test(the_papers_scripts_may_be_followed),
        cmocka_unit_test(offline_pairs_may_come_from_several_files),
        cmocka_unit_test(rounds_may_be_added),
        cmocka_unit_test(every_safe_point_can_be_left),
        cmocka_unit_test(a_plan_writes_nothing),
        cmocka_unit_test(what_does_not_belong_is_refused),
        cmocka_unit_test(a_damaged_store_is_survived),
        cmocka_unit_test(changed_values_are_survived),
    };
    return cmocka_run_group_tests(tests, run_cases_create, run_cases_remove);
}
