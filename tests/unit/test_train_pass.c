#include "train/train_pass.h"
#include "training_cases.h"

static TrainingCases cases;
static Error error;
static const TrainExample *all[CASES_PAIRS];
static const size_t micro[] = {1, 90, 1 << 20};

static int setup(void **state) {
    (void)state;
    training_cases_create(&cases, test_seed());
    for (size_t i = 0; i < CASES_PAIRS; i++) all[i] = &cases.pair[i];
    return 0;
}

static int teardown(void **state) {
    (void)state;
    model_free(cases.model);
    return 0;
}

static TrainLoss run(const TrainObjective *objective, size_t micro_tokens, size_t n, bool gradient, size_t *tokens) {
    TrainPass pass = train_pass(cases.model, objective, micro_tokens);
    TrainLoss mean;
    size_t count = 0;
    if (gradient) memset(model_gradients(cases.model), 0, model_weight_count(cases.model) * sizeof(float));
    if (train_pass_run(&pass, all, n, gradient, &mean, &count, &error) != 0) fail_msg("%s", error.message);
    if (tokens != NULL) *tokens = count;
    train_pass_free(&pass);
    return mean;
}

/* Summed log-prob of one answer, by a pass of its own. */
static double sum_of(size_t i, size_t branch) {
    Batch batch = {0};
    size_t trunk;
    float logprob[CASES_LONGEST];
    const TrainExample *e = all[i];
    if (batch_add_trunk(&batch, e->prompt, e->prompt_length, &trunk, &error) != 0 ||
        batch_add_branch(&batch, trunk, e->branch[branch], e->branch_length[branch], &error) != 0 ||
        batch_finish(&batch, &error) != 0 || model_logprob(cases.model, &batch, logprob, NULL, NULL, &error) != 0)
        fail_msg("%s", error.message);
    double sum = 0;
    for (size_t t = 0; t < e->branch_length[branch]; t++) sum += (double)logprob[t];
    batch_free(&batch);
    return sum;
}

static void a_pass_is_the_mean_over_its_examples(void **state) {
    (void)state;
    size_t rows = 0, tokens;
    double loss = 0, margin = 0;
    for (size_t i = 0; i < CASES_PAIRS; i++) {
        rows += train_pass_example_rows(all[i]);
        double d = 0.1 * (sum_of(i, 0) - cases.reference[i].chosen - sum_of(i, 1) + cases.reference[i].rejected);
        loss += log1p(exp(-d)) / CASES_PAIRS;
        margin += d / CASES_PAIRS;
    }
    for (size_t k = 0; k < 3; k++) {
        TrainLoss mean = run(&cases.objective, micro[k], CASES_PAIRS, false, &tokens);
        assert_int_equal(tokens, rows);
        assert_true(fabs(mean.loss - loss) < 1e-12 && fabs(mean.metric[3] - margin) < 1e-12);
        mean = run(&cases.objective, micro[k], CASES_PAIRS, true, &tokens); // the same bits with a gradient
        assert_int_equal(tokens, rows);
        assert_true(fabs(mean.loss - loss) < 1e-12 && fabs(mean.metric[3] - margin) < 1e-12);
    }
}

/* SFT: the mean over tokens, not over rows (planted). */
static void shares_weigh_the_mean(void **state) {
    (void)state;
    double sum = 0, tokens = 0, planted = 0;
    for (size_t i = 0; i < CASES_PAIRS; i++) {
        cases.pair[i].branches = 1;
        double nats = -sum_of(i, 0), n = (double)all[i]->branch_length[0];
        sum += nats, tokens += n, planted += nats / n / CASES_PAIRS;
    }
    const TrainObjective sft = sft_objective();
    for (size_t k = 0; k < 3; k++) {
        TrainLoss mean = run(&sft, micro[k], CASES_PAIRS, true, NULL);
        assert_true(fabs(mean.loss - sum / tokens) < 1e-10);
        assert_true(fabs(mean.loss - planted) > 1e-4);
    }
}

/* The gradient is the slope of the loss along a random direction, whatever the objective and the cut. */
static void check_slope(const TrainObjective *objective, size_t micro_tokens) {
    size_t n = model_weight_count(cases.model);
    const RngAddress at = {.seed = 9, .stream = RNG_TEST};
    float *start = training_cases_weights(cases.model), *weights = model_weights(cases.model);
    double loss[2], slope = 0, h = 2e-4;
    run(objective, micro_tokens, CASES_PAIRS, true, NULL);
    for (size_t i = 0; i < n; i++) slope += (double)model_gradients(cases.model)[i] * rng_normal(&at, (uint32_t)i);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++)
            weights[i] = (float)((double)start[i] + (side == 0 ? h : -h) * rng_normal(&at, (uint32_t)i));
        assert_int_equal(model_pack(cases.model, &error), 0);
        loss[side] = run(objective, micro_tokens, CASES_PAIRS, false, NULL).loss;
    }
    memcpy(weights, start, n * sizeof(float));
    assert_int_equal(model_pack(cases.model, &error), 0);
    double measured = (loss[0] - loss[1]) / (2 * h);
    if (fabs(measured - slope) > 2e-3 * fabs(slope) + 2e-4) fail_msg("slope %g, measured %g", slope, measured);
    free(start);
}

static void the_gradient_is_the_slope(void **state) {
    (void)state;
    check_slope(&cases.objective, 1 << 20);
    check_slope(&cases.objective, 70);
    cases.context.loss.knobs.label_smoothing = 0.3;
    check_slope(&cases.objective, 70);
    for (size_t i = 0; i < CASES_PAIRS; i++) cases.pair[i].branches = 1;
    const TrainObjective sft = sft_objective();
    check_slope(&sft, 70);
}

/* A loss whose examples depend on each other: half the square of the batch's mean sum of log-probs. Only whole batches
 * may come, of `batch` examples or what is left. */
typedef struct {
    size_t batch, calls, examples;
} Square;

static int square_loss(const void *context, const TrainPart *part, TrainLoss *mean, Error *e) {
    (void)e;
    Square *square = (Square *)(uintptr_t)context;
    double x = 0, N = (double)part->batch_examples;
    size_t tokens = 0, first_tokens = 0;
    assert_int_equal(part->examples, part->batch_examples);
    assert_true(part->examples <= square->batch && part->figures != NULL);
    for (size_t i = 0; i < part->examples; i++) {
        tokens += part->example[i]->branch_length[0] + part->example[i]->branch_length[1];
        first_tokens += part->example[i]->branch_length[0];
    }
    assert_int_equal(first_tokens, part->batch_tokens[0]);
    assert_int_equal(tokens - first_tokens, part->batch_tokens[1]);
    for (size_t t = 0; t < tokens; t++) x += (double)part->logprob[t] / N;
    for (size_t t = 0; t < tokens; t++) // the chance that two draws agree is between 1 and that of even words
        assert_true(part->figures[t].log_sum_square < 0 && -part->figures[t].log_sum_square < part->figures[t].entropy);
    for (size_t t = 0; part->dlogprob != NULL && t < tokens; t++) part->dlogprob[t] = (float)(0.01 * x / N);
    mean->loss += 0.005 * x * x;
    square->calls++;
    square->examples += part->examples;
    return 0;
}

/* Batches that do not fit into a micro-batch go forward twice: same loss to the bit, same gradient. The mean of the
 * squares is not the square of the mean (planted: another batch size). */
static void whole_batches_may_be_larger_than_a_micro_batch(void **state) {
    (void)state;
    size_t n = model_weight_count(cases.model), tokens, rows = 0;
    float *g = model_gradients(cases.model), *at_once = malloc(n * sizeof(float));
    double expected = 0, loss = 0;
    Square square = {.batch = 5}, other = {.batch = 4};
    for (size_t i = 0; i < CASES_PAIRS; i++) rows += train_pass_example_rows(all[i]);
    for (size_t first = 0; first < CASES_PAIRS; first += 5) {
        size_t count = CASES_PAIRS - first < 5 ? CASES_PAIRS - first : 5;
        double x = 0;
        for (size_t i = first; i < first + count; i++) x += (sum_of(i, 0) + sum_of(i, 1)) / (double)count;
        expected += 0.005 * x * x * (double)count / CASES_PAIRS;
    }
    const TrainObjective objective = {
        .context = &square, .batch_examples = 5, .whole_batches = true, .figures = true, .loss = square_loss};
    for (size_t k = 0; k < 3; k++) {
        square.calls = square.examples = 0;
        TrainLoss mean = run(&objective, micro[2 - k], CASES_PAIRS, true, &tokens);
        assert_true(square.calls == 3 && square.examples == CASES_PAIRS);
        assert_int_equal(tokens, rows);
        if (k == 0) memcpy(at_once, g, n * sizeof(float)), loss = mean.loss;
        double most = 0, difference = 0;
        for (size_t i = 0; i < n; i++) {
            most = fmax(most, fabs((double)at_once[i]));
            difference = fmax(difference, fabs((double)g[i] - (double)at_once[i]));
        }
        assert_true(mean.loss == loss && fabs(loss - expected) < 1e-9 * expected && difference < 1e-5 * most);
        assert_true(run(&objective, micro[2 - k], CASES_PAIRS, false, NULL).loss == loss);
    }
    free(at_once);
    check_slope(&objective, 70);
    TrainObjective planted = objective;
    planted.context = &other, planted.batch_examples = 4;
    assert_true(fabs(run(&planted, 70, CASES_PAIRS, false, NULL).loss - expected) > 1e-4 * expected);
}

/* Gradients add up over calls; a pass without one leaves them alone. */
static void gradients_are_added(void **state) {
    (void)state;
    TrainPass pass = train_pass(cases.model, &cases.objective, 1 << 20);
    TrainLoss mean;
    size_t tokens = 0, n = model_weight_count(cases.model);
    run(&cases.objective, 1 << 20, 4, true, NULL);
    float *once = malloc(n * sizeof(float)), *g = model_gradients(cases.model);
    memcpy(once, g, n * sizeof(float));
    assert_int_equal(train_pass_run(&pass, all, 4, false, &mean, &tokens, &error), 0);
    assert_memory_equal(once, g, n * sizeof(float));
    assert_int_equal(train_pass_run(&pass, all, 4, true, &mean, &tokens, &error), 0);
    double most = 0, difference = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)once[i]));
        difference = fmax(difference, fabs((double)g[i] - 2 * (double)once[i]));
    }
    assert_true(difference < 1e-5 * most);
    train_pass_free(&pass);
    free(once);
}

static void names_the_example(void **state) {
    (void)state;
    TrainPass pass = train_pass(cases.model, &cases.objective, 1 << 20);
    TrainLoss mean;
    size_t tokens = 0;
    cases.pair[3].branch_length[1] = 0;
    assert_int_equal(train_pass_run(&pass, all, CASES_PAIRS, true, &mean, &tokens, &error), -1);
    if (strstr(error.message, "example 3") == NULL) fail_msg("%s", error.message);
    cases.pair[3].branch_length[1] = 2;
    cases.ids[5][1][0] = CASES_VOCABULARY;
    assert_int_equal(train_pass_run(&pass, all + 5, 1, true, &mean, &tokens, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    if (strstr(error.message, "example 5") == NULL) fail_msg("%s", error.message);
    cases.reference[6].chosen = INFINITY;
    assert_int_equal(train_pass_run(&pass, all + 6, 2, true, &mean, &tokens, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    if (strstr(error.message, "example 6") == NULL) fail_msg("%s", error.message);
    train_pass_free(&pass);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_pass_is_the_mean_over_its_examples),
        TEST(shares_weigh_the_mean),
        TEST(the_gradient_is_the_slope),
        TEST(whole_batches_may_be_larger_than_a_micro_batch),
        TEST(gradients_are_added),
        TEST(names_the_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
