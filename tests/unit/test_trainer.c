#include "train/train_state.h"
#include "train/trainer.h"
#include "training_cases.h"

static char directory[512]; // for checkpoints

/* What the events of a training say. */
typedef struct {
    Model *model;
    TrainReport step[64];
    size_t steps, validated[64], validations, checkpointed[64], checkpoints;
    TrainReport validation;
    char last_checkpoint[512];
    float *weights_before; // after the second to last step; owned
    float *weights;        // after the last step; owned
} Heard;

static int on_step(void *context, const TrainReport *report, Error *error) {
    (void)error;
    Heard *h = context;
    h->step[h->steps++] = *report;
    free(h->weights_before);
    h->weights_before = h->weights;
    h->weights = training_cases_weights(h->model);
    return 0;
}

static int on_validated(void *context, const TrainReport *report, Error *error) {
    (void)error;
    Heard *h = context;
    h->validated[h->validations++] = report->step;
    h->validation = *report;
    return 0;
}

static int on_checkpoint(void *context, size_t step, const char *path, Error *error) {
    (void)error;
    Heard *h = context;
    h->checkpointed[h->checkpoints++] = step;
    snprintf(h->last_checkpoint, sizeof h->last_checkpoint, "%s", path);
    return 0;
}

static TrainEvents listen(Heard *h, Model *model) {
    *h = (Heard){.model = model};
    return (TrainEvents){.context = h, .step = on_step, .validated = on_validated, .checkpointed = on_checkpoint};
}

static void forget(Heard *h) {
    free(h->weights);
    free(h->weights_before);
}

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-trainer-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    return file_remove_tree(directory, NULL);
}

/* One training from the weights of the file. */
static int run(TrainingCases *c, const TrainSettings *settings, const char *resume, const char *to, Heard *heard,
               const Log *log, Error *error) {
    const TrainData data = {
        .example = c->pair, .examples = CASES_PAIRS - 2, .validation = c->pair + CASES_PAIRS - 2, .validations = 2};
    const TrainEvents events = listen(heard, c->model);
    return train(c->model, settings, &data, &c->objective, to, resume, &events, log, error);
}

static int32_t *ids_of(const json_t *row, const char *key, size_t *length) {
    return tiny_ids(json_object_get(row, key), length);
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("the golden has no number %s", key);
    return json_number_value(value);
}

static json_t *golden(const char *file, char path[512]) {
    char name[256];
    Error error = {0};
    snprintf(name, sizeof name, "oracle/tiny/dpo_full/llama_tied/%s", file);
    if (test_shared(name, path, 512) == NULL) skip();
    json_t *json = json_parse_file(path, &error);
    if (json == NULL) fail_msg("%s", error.message);
    return json;
}

/* Every logged number of a step against the same code of TRL run in double precision; bounds of the goldens' README. */
static void check_step(const TrainReport *r, const json_t *step) {
    static const char *const names[] = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                        "rewards/margins", "logps/chosen",     "logps/rejected"};
    static const double bounds[] = {1.4e-5, 1.4e-5, 1e-12, 1.4e-5, 1.2e-4, 1.2e-4};
    const json_t *exact = json_object_get(step, "float64");
    if (fabs(r->loss - number(exact, "loss")) > 5e-6) fail_msg("step %zu: loss %.9g", r->step, r->loss);
    if (fabs(r->grad_norm - number(exact, "grad_norm")) > 2e-5) fail_msg("step %zu: norm %.9g", r->step, r->grad_norm);
    if (fabs(r->learning_rate - number(step, "lr_used")) > 1e-18) fail_msg("step %zu: rate", r->step);
    for (size_t m = 0; m < 6; m++)
        if (fabs(r->metric[m] - number(exact, names[m])) > bounds[m])
            fail_msg("step %zu: %s is %.9g, not %.9g", r->step, names[m], r->metric[m], number(exact, names[m]));
}

static void check_final(Model *model) {
    char path[512];
    Golden g;
    json_t *cases = tiny_cases("llama_tied");
    if (test_shared("oracle/tiny/dpo_full/llama_tied/final_logprobs.safetensors", path, sizeof path) == NULL) skip();
    golden_open(&g, path);
    for (size_t p = 0; p < TINY_PROMPTS; p++) {
        Batch batch = {0};
        Error error = {0};
        float logprob[512];
        tiny_add(&batch, cases, p, 0, TINY_BRANCHES);
        if (batch_finish(&batch, &error) != 0 || model_logprob(model, &batch, logprob, NULL, NULL, &error) != 0)
            fail_msg("%s", error.message);
        for (size_t b = 0; b < TINY_BRANCHES; b++) {
            char name[64];
            size_t count;
            snprintf(name, sizeof name, "float64.p%zu.b%zu.logp", p, b);
            double *exact = golden_read(&g, name, &count);
            assert_int_equal(count, batch.branch[b].length);
            for (size_t t = 0; t < count; t++)
                if (fabs((double)logprob[batch.branch[b].first_target + t] - exact[t]) > 1.1e-4)
                    fail_msg("%s, token %zu: %.9g, not %.9g", name, t,
                             (double)logprob[batch.branch[b].first_target + t], exact[t]);
            free(exact);
        }
        batch_free(&batch);
    }
    golden_close(&g);
    json_decref(cases);
}

/* Twenty steps of DPO as TRL takes them. */
static void repeats_a_training_of_trl(void **state) {
    (void)state;
    char path[512];
    json_t *trajectory = golden("trajectory.json", path), *data = golden("data.json", path);
    const json_t *pairs = json_object_get(data, "pairs"), *steps = json_object_get(trajectory, "steps");
    size_t n = json_array_size(pairs), count;
    TrainingCases c;
    training_cases_create(&c, 1);
    TrainExample *example = calloc(n, sizeof *example);
    ReferenceSums *reference = calloc(n, sizeof *reference);
    for (size_t i = 0; i < n; i++) {
        TrainExample *e = &example[i];
        const json_t *row = json_array_get(pairs, i);
        *e = (TrainExample){.id = i, .branches = 2};
        e->prompt = ids_of(row, "prompt_ids", &e->prompt_length);
        e->branch[0] = ids_of(row, "chosen_ids", &e->branch_length[0]);
        e->branch[1] = ids_of(row, "rejected_ids", &e->branch_length[1]);
    }
    /* the reference is the start model: its sums are what a measurement with references 0 reports */
    Error error = {0};
    TrainReport report;
    const DpoContext zero = {.loss = preference_loss_sigmoid(0.1, 0), .reference = reference};
    const TrainObjective plain = dpo_objective(&zero);
    for (size_t i = 0; i < n; i++) {
        if (train_measure(c.model, &example[i], 1, 4096, &plain, "reference", &report, NULL, &error) != 0)
            fail_msg("%s", error.message);
        reference[i] = (ReferenceSums){.chosen = report.metric[4], .rejected = report.metric[5]};
    }
    int32_t *order32 = tiny_ids(json_object_get(data, "order"), &count);
    size_t *order = malloc(count * sizeof *order);
    for (size_t i = 0; i < count; i++) order[i] = (size_t)order32[i];
    TrainSettings s = training_cases_settings(20);
    s.schedule.warmup = 3, s.examples_per_step = 8, s.micro_tokens = 200, s.order = order, s.order_count = count;
    Heard heard;
    const TrainEvents events = listen(&heard, c.model);
    const TrainData set = {.example = example, .examples = n};
    if (train(c.model, &s, &set, &plain, NULL, NULL, &events, NULL, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(heard.steps, 20);
    for (size_t i = 0; i < 20; i++) check_step(&heard.step[i], json_array_get(steps, i));
    check_final(c.model);
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)example[i].prompt), free((void *)(uintptr_t)example[i].branch[0]),
            free((void *)(uintptr_t)example[i].branch[1]);
    free(example), free(reference), free(order), free(order32);
    forget(&heard);
    model_free(c.model);
    json_decref(trajectory), json_decref(data);
}

static void same_figures(const TrainReport *a, const TrainReport *b) {
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->tokens, b->tokens);
    assert_true(a->loss == b->loss && a->grad_norm == b->grad_norm && a->epoch == b->epoch);
    assert_memory_equal(a->metric, b->metric, sizeof a->metric);
}

/* [TR-1] From every checkpoint, with shuffled epochs and with an order of the caller's; a moment that is one ulp off
 * (planted) is noticed. */
static void a_continued_training_ends_bit_equal(void **state) {
    (void)state;
    static const size_t own_order[] = {4, 2, 9, 0, 7, 1, 1, 3};
    for (int ordered = 0; ordered < 2; ordered++) {
        TrainSettings s = training_cases_settings(11);
        s.checkpoint_every = 3;
        if (ordered) s.order = own_order, s.order_count = 8;
        TrainingCases c;
        Heard whole, part;
        Error error = {0};
        training_cases_create(&c, 2);
        if (run(&c, &s, NULL, directory, &whole, NULL, &error) != 0) fail_msg("%s", error.message);
        assert_int_equal(whole.checkpoints, 3); // 3, 6, 9
        float *end = training_cases_weights(c.model);
        model_free(c.model);
        for (size_t i = 0; i < whole.checkpoints; i++) {
            char from[600];
            snprintf(from, sizeof from, "%s/step-%06zu", directory, whole.checkpointed[i]);
            training_cases_create(&c, 2);
            if (run(&c, &s, from, NULL, &part, NULL, &error) != 0) fail_msg("%s", error.message);
            assert_int_equal(part.steps, 11 - whole.checkpointed[i]);
            for (size_t k = 0; k < part.steps; k++) same_figures(&part.step[k], &whole.step[whole.checkpointed[i] + k]);
            assert_true(training_cases_equal(c.model, end));
            forget(&part);
            model_free(c.model);
        }
        training_cases_create(&c, 2);
        Optimizer optimizer;
        TrainState at;
        char from[600], spoilt[600];
        snprintf(from, sizeof from, "%s/step-%06d", directory, 6);
        snprintf(spoilt, sizeof spoilt, "%s/spoilt", directory);
        assert_int_equal(optimizer_create(&optimizer, c.model, &s.optimizer, &error), 0);
        assert_int_equal(train_state_load(from, c.model, &optimizer, &at, &error), 0);
        size_t middle = optimizer.count / 2;
        optimizer.first[middle] *= 1.01f;
        assert_int_equal(train_state_save(spoilt, c.model, &optimizer, &at, &error), 0);
        optimizer_destroy(&optimizer);
        assert_int_equal(run(&c, &s, spoilt, NULL, &part, NULL, &error), 0);
        assert_false(training_cases_equal(c.model, end));
        forget(&part);
        model_free(c.model);
        forget(&whole);
        free(end);
    }
}

/* How a step is cut into micro-batches changes rounding only; a mean over micro-batches instead of over examples
 * (planted: examples_per_step differs) is far outside. */
static void micro_batches_do_not_matter(void **state) {
    (void)state;
    static const size_t micro[] = {1 << 20, 128, 64, 1};
    Heard first, other;
    float *end = NULL;
    for (size_t i = 0; i < sizeof micro / sizeof *micro; i++) {
        TrainingCases c;
        Error error = {0};
        TrainSettings s = training_cases_settings(4);
        s.micro_tokens = micro[i];
        training_cases_create(&c, 3);
        if (run(&c, &s, NULL, NULL, i == 0 ? &first : &other, NULL, &error) != 0) fail_msg("%s", error.message);
        if (i == 0) end = training_cases_weights(c.model);
        for (size_t k = 0; i > 0 && k < other.steps; k++) {
            assert_true(fabs(other.step[k].loss - first.step[k].loss) < 1e-5);
            assert_true(fabs(other.step[k].grad_norm / first.step[k].grad_norm - 1) < 1e-5);
            assert_int_equal(other.step[k].tokens, first.step[k].tokens);
        }
        assert_true(training_cases_distance(c.model, end) < 1e-4);
        if (i > 0) forget(&other);
        model_free(c.model);
    }
    TrainingCases c;
    Error error = {0};
    TrainSettings s = training_cases_settings(4);
    s.examples_per_step = 4;
    training_cases_create(&c, 3);
    assert_int_equal(run(&c, &s, NULL, NULL, &other, NULL, &error), 0);
    assert_true(fabs(other.step[1].grad_norm / first.step[1].grad_norm - 1) > 1e-3);
    forget(&other), forget(&first);
    model_free(c.model);
    free(end);
}

/* An objective without a gradient that notes which examples it was asked about. */
typedef struct {
    size_t id[256], count, bad; // bad: the id whose loss is not a number
    size_t bad_after;           // from this call on
} Notes;

static int note(const void *context, const TrainPart *part, TrainLoss *mean, Error *error) {
    Notes *notes = (Notes *)(uintptr_t)context;
    for (size_t i = 0, at = 0; i < part->examples; i++) {
        const TrainExample *e = part->example[i];
        notes->id[notes->count++] = e->id;
        if (e->id == notes->bad && notes->count > notes->bad_after)
            return error_set(error, ERROR_NUMERIC, "the loss of example %zu is not finite", e->id);
        mean->loss += (double)part->logprob[at] / (double)part->batch_examples;
        for (size_t b = 0; b < 2; b++)
            for (size_t t = 0; t < e->branch_length[b]; t++, at++)
                if (part->dlogprob != NULL)
                    part->dlogprob[at] = (b == 0 ? -0.01f : 0.01f) / (float)part->batch_examples;
    }
    return 0;
}

static void follow(TrainingCases *c, const TrainSettings *s, Notes *notes) {
    Error error = {0};
    Heard heard;
    *notes = (Notes){.bad = SIZE_MAX};
    training_cases_create(c, 4);
    c->objective = (TrainObjective){.context = notes, .loss = note};
    if (run(c, s, NULL, NULL, &heard, NULL, &error) != 0) fail_msg("%s", error.message);
    forget(&heard);
    model_free(c->model);
}

static void an_epoch_is_a_permutation(void **state) {
    (void)state;
    enum { N = CASES_PAIRS - 2, STEPS = 8 };
    TrainingCases c;
    Notes notes, again;
    TrainSettings s = training_cases_settings(STEPS); // 8 steps of 5 are 4 epochs of 10
    follow(&c, &s, &notes);
    const size_t validation = 2; // measured at the end
    assert_int_equal(notes.count, STEPS * 5 + validation);
    for (size_t epoch = 0; epoch < 4; epoch++) {
        bool seen[N] = {false};
        for (size_t i = 0; i < N; i++) seen[notes.id[epoch * N + i]] = true;
        for (size_t i = 0; i < N; i++) assert_true(seen[i]);
        if (epoch > 0) assert_memory_not_equal(notes.id + epoch * N, notes.id, N * sizeof *notes.id);
    }
    for (size_t steps = 0; steps <= 3; steps++) { // and what a shorter training takes of them is known before it
        bool taken[N] = {false}, wanted[N] = {false};
        s.schedule.steps = steps;
        assert_int_equal(train_taken(&s, N, taken, NULL), 0);
        for (size_t p = 0; p < steps * 5; p++) wanted[notes.id[p]] = true;
        assert_memory_equal(taken, wanted, sizeof taken);
    }
    s.schedule.steps = STEPS;
    s.micro_tokens = 1, s.schedule.peak = 1e-4; // what does not decide the order
    follow(&c, &s, &again);
    assert_memory_equal(again.id, notes.id, STEPS * 5 * sizeof *notes.id);
    s.seed++;
    follow(&c, &s, &again);
    assert_memory_not_equal(again.id, notes.id, STEPS * 5 * sizeof *notes.id);
    s.seed--, s.round++;
    follow(&c, &s, &again);
    assert_memory_not_equal(again.id, notes.id, STEPS * 5 * sizeof *notes.id);
}

static void a_given_order_is_followed_round_and_round(void **state) {
    (void)state;
    static const size_t order[] = {3, 1, 4, 1, 5, 9, 2};
    TrainingCases c;
    Notes notes;
    TrainSettings s = training_cases_settings(5);
    s.order = order, s.order_count = 7;
    follow(&c, &s, &notes);
    for (size_t i = 0; i < 25; i++) assert_int_equal(notes.id[i], order[i % 7]);
    bool taken[CASES_PAIRS - 2] = {false};
    assert_int_equal(train_taken(&s, CASES_PAIRS - 2, taken, NULL), 0);
    for (size_t i = 0; i < CASES_PAIRS - 2; i++) assert_int_equal(taken[i], i != 0 && i != 6 && i != 7 && i != 8);
}

static void a_loss_that_is_no_number_changes_nothing(void **state) {
    (void)state;
    static const size_t order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    TrainingCases c;
    Heard heard;
    Error error = {0};
    Notes notes = {.bad = 7, .bad_after = 10}; // of the second epoch: step 4
    TrainSettings s = training_cases_settings(8);
    s.order = order, s.order_count = 10;
    training_cases_create(&c, 5);
    c.objective = (TrainObjective){.context = &notes, .loss = note};
    assert_int_equal(run(&c, &s, NULL, NULL, &heard, NULL, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    if (strstr(error.message, "step 4") == NULL || strstr(error.message, "example 7") == NULL)
        fail_msg("%s", error.message);
    assert_int_equal(heard.steps, 3);
    assert_true(training_cases_equal(c.model, heard.weights));
    assert_false(training_cases_equal(c.model, heard.weights_before)); // the check can fail
    forget(&heard);
    model_free(c.model);
}

/* Weights that have become infinite show in the forward pass: the message names step and examples. */
static void broken_weights_are_named(void **state) {
    (void)state;
    TrainingCases c;
    Heard heard;
    Error error = {0};
    TrainSettings s = training_cases_settings(8);
    training_cases_create(&c, 5);
    model_weights(c.model)[c.pair[0].prompt[0] * 64] = INFINITY;
    assert_int_equal(model_pack(c.model, &error), 0);
    assert_int_equal(run(&c, &s, NULL, NULL, &heard, NULL, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    if (strstr(error.message, "step 1") == NULL || strstr(error.message, "example ") == NULL)
        fail_msg("%s", error.message);
    forget(&heard);
    model_free(c.model);
}

static int stop_after(void *context) {
    int *left = context;
    return (*left)-- <= 0;
}

/* The checkpoint that an interruption leaves continues as if nothing had been. */
static void an_interruption_leaves_a_checkpoint(void **state) {
    (void)state;
    TrainingCases c;
    Heard whole, part;
    Error error = {0};
    const TrainSettings s = training_cases_settings(7);
    training_cases_create(&c, 6);
    assert_int_equal(run(&c, &s, NULL, NULL, &whole, NULL, &error), 0);
    float *end = training_cases_weights(c.model);
    model_free(c.model);
    int steps = 3;
    const Log log = {.interrupted = stop_after, .context = &steps};
    training_cases_create(&c, 6);
    assert_int_equal(run(&c, &s, NULL, directory, &part, &log, &error), -1);
    assert_int_equal(error.code, ERROR_INTERRUPTED);
    assert_non_null(strstr(error.message, "step 4 of 7"));
    assert_int_equal(part.checkpoints, 1);
    assert_int_equal(part.checkpointed[0], 4);
    assert_int_equal(part.validations, 0);
    char from[512];
    snprintf(from, sizeof from, "%s", part.last_checkpoint);
    forget(&part);
    model_free(c.model);
    training_cases_create(&c, 6);
    assert_int_equal(run(&c, &s, from, NULL, &part, NULL, &error), 0);
    assert_true(training_cases_equal(c.model, end));
    assert_int_equal(part.steps, 3);
    same_figures(&part.validation, &whole.validation);
    forget(&part), forget(&whole);
    model_free(c.model);
    free(end);
}

static void validates_and_saves_when_it_shall(void **state) {
    (void)state;
    TrainingCases c;
    Heard heard;
    Error error = {0};
    TrainSettings s = training_cases_settings(7);
    s.validate_every = 3, s.checkpoint_every = 2;
    training_cases_create(&c, 6);
    assert_int_equal(run(&c, &s, NULL, directory, &heard, NULL, &error), 0);
    assert_int_equal(heard.validations, 3);
    assert_true(heard.validated[0] == 3 && heard.validated[1] == 6 && heard.validated[2] == 7);
    assert_int_equal(heard.checkpoints, 3);
    assert_true(heard.checkpointed[0] == 2 && heard.checkpointed[1] == 4 && heard.checkpointed[2] == 6);
    const TrainReport *last = &heard.step[6];
    assert_true(last->step == 7 && last->steps == 7 && last->epoch == 3.5);
    size_t tokens = 0;
    for (size_t i = 0; i < 7; i++) tokens += heard.step[i].step_tokens;
    assert_int_equal(last->tokens, tokens);
    forget(&heard);
    /* an event that fails ends the training with its error */
    const TrainData none = {.example = c.pair, .examples = 0};
    assert_int_equal(train(c.model, &s, &none, &c.objective, NULL, NULL, NULL, NULL, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    model_free(c.model);
}

static void counts_steps(void **state) {
    (void)state;
    assert_int_equal(train_step_count(64, 1, 32), 2);
    assert_int_equal(train_step_count(65, 1, 32), 3);
    assert_int_equal(train_step_count(64, 0.5, 32), 1);
    assert_int_equal(train_step_count(64, 2.5, 32), 5);
    assert_int_equal(train_step_count(1, 0.01, 32), 1);
    assert_int_equal(train_step_count(3, 1, 1), 3);
}

/* A measurement is the weighted mean over its examples, however it is cut, and changes no weight; the gradient of all
 * examples has the norm that the first step of a training on them reports. */
static void measures_without_training(void **state) {
    (void)state;
    TrainingCases c;
    Error error = {0};
    TrainReport whole, cut, gradient;
    training_cases_create(&c, 7);
    float *before = training_cases_weights(c.model);
    assert_int_equal(train_measure(c.model, c.pair, CASES_PAIRS, 1 << 20, &c.objective, "m", &whole, NULL, &error), 0);
    assert_int_equal(train_measure(c.model, c.pair, CASES_PAIRS, 1, &c.objective, "m", &cut, NULL, &error), 0);
    assert_true(fabs(whole.loss - cut.loss) < 1e-12);
    for (size_t m = 0; m < DPO_METRICS; m++) assert_true(fabs(whole.metric[m] - cut.metric[m]) < 1e-10);
    assert_int_equal(whole.tokens, cut.tokens);
    double sum = 0;
    for (size_t i = 0; i < CASES_PAIRS; i++) {
        assert_int_equal(train_measure(c.model, &c.pair[i], 1, 99, &c.objective, "m", &cut, NULL, &error), 0);
        sum += cut.loss;
    }
    assert_true(fabs(whole.loss - sum / CASES_PAIRS) < 1e-12);
    assert_int_equal(train_gradient(c.model, c.pair, CASES_PAIRS - 2, 100, &c.objective, &gradient, &error), 0);
    assert_true(training_cases_equal(c.model, before));
    TrainSettings s = training_cases_settings(1);
    s.examples_per_step = CASES_PAIRS - 2;
    Heard heard;
    assert_int_equal(run(&c, &s, NULL, NULL, &heard, NULL, &error), 0);
    assert_true(fabs(heard.step[0].grad_norm / gradient.grad_norm - 1) < 1e-5);
    assert_true(fabs(heard.step[0].loss - gradient.loss) < 1e-12);
    forget(&heard);
    free(before);
    model_free(c.model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeats_a_training_of_trl),
        cmocka_unit_test_setup_teardown(a_continued_training_ends_bit_equal, setup, teardown),
        cmocka_unit_test(micro_batches_do_not_matter),
        cmocka_unit_test(an_epoch_is_a_permutation),
        cmocka_unit_test(a_given_order_is_followed_round_and_round),
        cmocka_unit_test(a_loss_that_is_no_number_changes_nothing),
        cmocka_unit_test(broken_weights_are_named),
        cmocka_unit_test_setup_teardown(an_interruption_leaves_a_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(validates_and_saves_when_it_shall, setup, teardown),
        cmocka_unit_test(counts_steps),
        cmocka_unit_test(measures_without_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
