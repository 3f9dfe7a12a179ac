/* Random configs of every family, forward, backward and decoding, against the formulas in double. */
#include "decode_cases.h"
#include "family_cases.h"

enum { PROMPT = 9, BRANCHES = 2, LENGTH = 14, CASES = 24, MOST_WORDS = 64 };
/* A float32 pass rounds more than once a weight: it may be off by so many times what one rounding error in every
 * weight moves the formulas. Over seeds 1 to 30 it is off by 7 times that at most. */
enum { TIMES = 16 };
static KernelTable kernels;
static char directory[64];

typedef struct {
    FamilyCase family;
    Model *model;
    double *weights;
    int32_t prompt[PROMPT], branch[BRANCHES][LENGTH];
    double slope[BRANCHES][LENGTH]; // the loss is the sum of slope times log-prob
} Case;

static Case case_create(uint64_t seed, uint32_t number, DType compute) {
    Case c = {.family = family_case(seed, number, directory)};
    Error error = {0};
    ModelOptions options = {
        .kernels = &kernels, .compute = compute, .trainable = true, .checkpoint_activations = number % 3 == 0};
    if (model_load(&c.model, directory, &options, &error) != 0)
        fail_msg("%.*s: %s", (int)c.family.text.size, (const char *)c.family.text.data, error.message);
    size_t n = model_weight_count(c.model);
    c.weights = malloc(n * sizeof *c.weights);
    assert_non_null(c.weights);
    for (size_t i = 0; i < n; i++) c.weights[i] = model_weights(c.model)[i];
    // id 0 is Gemma's padding, whose row gets no gradient as an input
    for (size_t t = 0; t < PROMPT; t++) c.prompt[t] = (int32_t)(1 + family_below(&c.family, c.family.V - 1));
    for (size_t b = 0; b < BRANCHES; b++)
        for (size_t t = 0; t < LENGTH; t++) {
            c.branch[b][t] = (int32_t)(1 + family_below(&c.family, c.family.V - 1));
            c.slope[b][t] = rng_normal(&c.family.address, c.family.at++);
        }
    return c;
}

static void case_free(Case *c) {
    model_free(c->model);
    free(c->weights);
    buffer_free(&c->family.text);
}

static double logsumexp(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(x[i]);
    return log(sum);
}

/* The loss of branch b by the formulas; logprob (LENGTH) and logits of the last row, or NULL. */
static double expected_loss(const Case *c, size_t b, double *logprob, double *last) {
    static double logits[(PROMPT + LENGTH) * MOST_WORDS];
    const FamilyWeights w = {c->model, c->weights};
    size_t V = c->family.V;
    int32_t ids[PROMPT + LENGTH];
    double loss = 0;
    memcpy(ids, c->prompt, sizeof c->prompt), memcpy(ids + PROMPT, c->branch[b], sizeof c->branch[b]);
    family_logits(&c->family, &w, PROMPT + LENGTH, ids, logits);
    for (size_t t = 0; t < LENGTH; t++) {
        const double *row = logits + (PROMPT - 1 + t) * V;
        double found = row[ids[PROMPT + t]] - logsumexp(row, V);
        if (logprob != NULL) logprob[t] = found;
        loss += c->slope[b][t] * found;
    }
    if (last != NULL) memcpy(last, logits + (PROMPT + LENGTH - 1) * V, V * sizeof *last);
    return loss;
}

static double expected_total(const Case *c) {
    double loss = 0;
    for (size_t b = 0; b < BRANCHES; b++) loss += expected_loss(c, b, NULL, NULL);
    return loss;
}

/* Forward and backward; the largest error of a log-prob. */
static double forward_and_backward(Case *c) {
    Batch batch = {0};
    Activations *activations = NULL;
    Error error = {0};
    size_t trunk;
    float logprob[BRANCHES * LENGTH], slope[BRANCHES * LENGTH];
    double worst = 0, expected[LENGTH];
    assert_int_equal(batch_add_trunk(&batch, c->prompt, PROMPT, &trunk, &error), 0);
    for (size_t b = 0; b < BRANCHES; b++)
        assert_int_equal(batch_add_branch(&batch, trunk, c->branch[b], LENGTH, &error), 0);
    assert_int_equal(batch_finish(&batch, &error), 0);
    if (model_forward(c->model, &batch, &activations, logprob, NULL, &error) != 0) fail_msg("%s", error.message);
    for (size_t b = 0; b < BRANCHES; b++) {
        expected_loss(c, b, expected, NULL);
        for (size_t t = 0; t < LENGTH; t++) {
            slope[b * LENGTH + t] = (float)c->slope[b][t];
            worst = fmax(worst, fabs(logprob[b * LENGTH + t] - expected[t]));
        }
    }
    if (model_backward(c->model, &batch, activations, slope, &error) != 0) fail_msg("%s", error.message);
    activations_free(activations);
    batch_free(&batch);
    return worst;
}

/* The prompt at once, the response token by token: the largest error of the last row of logits. */
static double decode(Case *c) {
    static float logits[(PROMPT + LENGTH) * MOST_WORDS];
    double worst = 0, expected[MOST_WORDS];
    int32_t ids[PROMPT + LENGTH];
    KvArrays cache = cache_create(c->model);
    memcpy(ids, c->prompt, sizeof c->prompt), memcpy(ids + PROMPT, c->branch[1], sizeof c->branch[1]);
    step(c->model, &cache, ids, 0, PROMPT, PROMPT, logits);
    for (size_t t = 0; t < LENGTH; t++) step(c->model, &cache, ids, PROMPT + t, 1, PROMPT, logits);
    expected_loss(c, 1, NULL, expected);
    for (size_t v = 0; v < c->family.V; v++) worst = fmax(worst, fabs(logits[v] - expected[v]));
    cache_free(c->model, &cache);
    return worst;
}

/* Every weight moved by a rounding error of float32; draw 0: put back. */
static void move_weights(Case *c, uint32_t draw) {
    RngAddress a = c->family.address;
    a.item += 2000000 + draw;
    for (size_t i = 0; i < model_weight_count(c->model); i++)
        c->weights[i] = model_weights(c->model)[i] * (draw == 0 ? 1 : 1 + ldexp(rng_normal(&a, (uint32_t)i), -24));
}

/* How far a rounding error in every weight moves a log-prob: what float32 can be expected to be off by. */
static double logprob_condition(Case *c) {
    double worst = 0, logprob[LENGTH], moved[LENGTH];
    for (size_t b = 0; b < BRANCHES; b++) {
        expected_loss(c, b, logprob, NULL);
        for (uint32_t draw = 1; draw <= 4; draw++) {
            move_weights(c, draw);
            expected_loss(c, b, moved, NULL);
            for (size_t t = 0; t < LENGTH; t++) worst = fmax(worst, fabs(moved[t] - logprob[t]));
        }
        move_weights(c, 0);
    }
    return worst;
}

/* The slope along a random direction in a tensor, by central differences in double: the step's own error goes with its
 * square times the third derivative, the rounding error with one over it. Leaves the weights for move_weights
 * to put back. */
static double expected_slope(Case *c, const ModelTensor *t, const RngAddress *direction) {
    double loss[2], step = 1e-6, *w = c->weights + t->offset;
    for (int side = 0; side < 2; side++) {
        for (size_t k = 0; k < t->elements; k++)
            w[k] += (side == 0 ? step : -2 * step) * rng_normal(direction, (uint32_t)k);
        loss[side] = expected_total(c);
    }
    return (loss[0] - loss[1]) / (2 * step);
}

/* Relative errors: of the gradient, and how far a rounding error in every weight moves that of the formulas. */
typedef struct {
    double off, condition;
    const char *tensor; // which is off the most
} SlopeError;

/* The worst over the tensors. Where terms cancel, as in the gradient of keys in a window of 1, which is nothing, a
 * rounding error is one of the terms: so much of the whole gradient is granted to each, and none is held against less
 * than a hundredth of it. */
static SlopeError slope_error(Case *c) {
    SlopeError worst = {0};
    double whole = sqrt(kernels.sum_squares(model_weight_count(c->model), model_gradients(c->model)));
    for (size_t i = 0; i < model_tensor_count(c->model); i++) {
        const ModelTensor *t = &model_tensors(c->model)[i];
        const float *gradient = model_gradients(c->model) + t->offset;
        double along = 0, norm = 0;
        RngAddress direction = c->family.address;
        direction.item += 1000000 + (uint32_t)i;
        for (size_t k = 0; k < t->elements; k++) {
            along += gradient[k] * rng_normal(&direction, (uint32_t)k);
            norm += (double)gradient[k] * gradient[k];
        }
        double slope = expected_slope(c, t, &direction), size = sqrt(norm) + 1e-2 * whole;
        move_weights(c, 1);
        double moved = expected_slope(c, t, &direction);
        move_weights(c, 0);
        double off = fmax(0, fabs(slope - along) - TIMES * ldexp(whole, -24)) / size;
        if (off >= worst.off) worst.off = off, worst.tensor = t->name;
        worst.condition = fmax(worst.condition, fabs(moved - slope) / size);
    }
    return worst;
}

static void check(uint64_t seed, uint32_t number) {
    Case c = case_create(seed, number, DTYPE_F32);
    double forward = forward_and_backward(&c), decoded = decode(&c), bound = TIMES * logprob_condition(&c);
    SlopeError slope = slope_error(&c);
    if (!(forward < bound && decoded < bound && slope.off < TIMES * slope.condition))
        fail_msg("case %u: log-probs off by %.1e, decoded logits by %.1e, bound %.1e; slope of %s by %.1e, bound %.1e: "
                 "%.*s",
                 number, forward, decoded, bound, slope.tensor, slope.off, TIMES * slope.condition,
                 (int)c.family.text.size, (const char *)c.family.text.data);
    case_free(&c);
}

static void agree_with_the_formulas(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint32_t number = 0; number < CASES; number++) check(seed, number);
}

/* What must be seen: a window one longer and another base in nearly every case that has them, and a wrong slope. */
static void planted_faults_are_found(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    size_t planted = 0, found = 0;
    for (uint32_t number = 0; planted < 10; number++) {
        Case c = case_create(seed, number, DTYPE_F32);
        FamilyCase right = c.family;
        double bound = TIMES * logprob_condition(&c);
        for (size_t l = 0; l < c.family.L; l++) {
            if (right.window[l] < 2 || right.D < 4) continue;
            c.family.window[l]++;
            found += forward_and_backward(&c) > bound, c.family = right;
            c.family.rope[l].theta *= 1.5;
            found += forward_and_backward(&c) > bound, c.family = right;
            planted += 2;
        }
        if (number < 2) {
            memset(model_gradients(c.model), 0, model_weight_count(c.model) * sizeof(float));
            forward_and_backward(&c);
            const ModelTensor *t = &model_tensors(c.model)[1];
            for (size_t k = 0; k < t->elements; k++) model_gradients(c.model)[t->offset + k] *= 1.02f;
            SlopeError slope = slope_error(&c);
            assert_true(slope.off > TIMES * slope.condition && strcmp(slope.tensor, t->name) == 0);
        }
        case_free(&c);
    }
    printf("%zu of %zu planted faults found\n", found, planted);
    assert_true(found * 10 >= planted * 8);
}

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-test-XXXXXX");
    return mkdtemp(directory) == NULL || kernel_table_create(&kernels, 2, NULL) != 0;
}

static int tear_down(void **state) {
    (void)state;
    return file_remove_tree(directory, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(agree_with_the_formulas),
                                       cmocka_unit_test(planted_faults_are_found)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
