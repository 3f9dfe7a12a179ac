#include "train/optimizer.h"
#include "training_cases.h"

static TrainingCases cases;
static Error error;
static double *w, *m, *v; // the same training in double

static void fill_gradients(uint32_t step, double size) {
    const RngAddress at = {.seed = 5, .stream = RNG_TEST, .item = step};
    float *g = model_gradients(cases.model);
    for (size_t i = 0; i < model_weight_count(cases.model); i++) g[i] = (float)(size * rng_normal(&at, (uint32_t)i));
}

static int setup(void **state) {
    (void)state;
    training_cases_create(&cases, 1);
    size_t n = model_weight_count(cases.model);
    w = malloc(n * sizeof *w), m = calloc(n, sizeof *m), v = calloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++) w[i] = (double)model_weights(cases.model)[i];
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(w), free(m), free(v);
    model_free(cases.model);
    return 0;
}

/* AdamW after Loshchilov and Hutter, clipping after torch.nn.utils.clip_grad_norm_, weight by weight in double.
 * decay_all is the planted fault: it spares no vector. */
static void follow(const OptimizerSettings *s, double rate, double t, bool decay_all) {
    const ModelTensor *tensor = model_tensors(cases.model);
    const float *g = model_gradients(cases.model);
    double squares = 0;
    for (size_t i = 0; i < model_weight_count(cases.model); i++) squares += (double)g[i] * (double)g[i];
    double scale = s->clip_norm > 0 ? fmin(1, s->clip_norm / (sqrt(squares) + 1e-6)) : 1;
    for (size_t k = 0; k < model_tensor_count(cases.model); k++) {
        double decay = tensor[k].is_matrix || decay_all ? s->weight_decay : 0;
        for (size_t i = tensor[k].offset; i < tensor[k].offset + tensor[k].elements; i++) {
            double d = scale * (double)g[i];
            m[i] = s->beta1 * m[i] + (1 - s->beta1) * d;
            v[i] = s->beta2 * v[i] + (1 - s->beta2) * d * d;
            w[i] -= rate * decay * w[i];
            w[i] -= rate * (m[i] / (1 - pow(s->beta1, t))) / (sqrt(v[i] / (1 - pow(s->beta2, t))) + s->eps);
        }
    }
}

/* Largest distance between masters and the double run. */
static double distance(void) {
    double most = 0;
    for (size_t i = 0; i < model_weight_count(cases.model); i++)
        most = fmax(most, fabs((double)model_weights(cases.model)[i] - w[i]));
    return most;
}

static void step(Optimizer *o, double rate) {
    double norm;
    if (optimizer_gradient_norm(cases.model, false, &norm, &error) != 0 ||
        optimizer_step(o, cases.model, rate, norm, &error) != 0)
        fail_msg("%s", error.message);
}

static void walks_with_the_double_loop(void **state) {
    (void)state;
    const OptimizerSettings s = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.05, .clip_norm = 1};
    static const double sizes[] = {1e-4, 1, 1e-5, 30, 1e-3}; // some are clipped, some are not
    Optimizer o;
    assert_int_equal(optimizer_create(&o, cases.model, &s, &error), 0);
    assert_int_equal(o.arena.size, optimizer_bytes(model_weight_count(cases.model)));
    for (uint32_t t = 1; t <= 10; t++) {
        fill_gradients(t, sizes[t % 5]);
        follow(&s, 1e-2, t, false);
        step(&o, 1e-2);
        assert_int_equal(o.steps, t);
        if (distance() > 2e-6 * t) fail_msg("step %u: %g", t, distance());
    }
    for (size_t i = 0; i < o.count; i++) {
        if (fabs((double)o.first[i] - m[i]) > 1e-6 * fabs(m[i]) + 1e-9) fail_msg("first moment %zu", i);
        if (fabs((double)o.second[i] - v[i]) > 1e-5 * v[i])
            fail_msg("second moment %zu: %g of %g", i, o.second[i], v[i]);
    }
    optimizer_destroy(&o);
}

static void decay_spares_vectors(void **state) {
    (void)state;
    const OptimizerSettings s = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.5};
    Optimizer o;
    assert_int_equal(optimizer_create(&o, cases.model, &s, &error), 0);
    fill_gradients(1, 1e-3);
    follow(&s, 1e-2, 1, true); // planted
    step(&o, 1e-2);
    assert_true(distance() > 1e-3);
    optimizer_destroy(&o);
}

static void without_a_limit_nothing_is_clipped(void **state) {
    (void)state;
    const OptimizerSettings s = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1};
    Optimizer o; // eps 1 makes the step depend on the gradient's size
    assert_int_equal(optimizer_create(&o, cases.model, &s, &error), 0);
    fill_gradients(1, 3);
    follow(&s, 1e-2, 1, false);
    step(&o, 1e-2);
    assert_true(distance() < 1e-6);
    optimizer_destroy(&o);
}

/* The first step of a warm-up has rate 0: the moments begin, the weights stay. */
static void rate_zero_fills_the_moments(void **state) {
    (void)state;
    const OptimizerSettings s = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip_norm = 1};
    Optimizer o;
    assert_int_equal(optimizer_create(&o, cases.model, &s, &error), 0);
    float *before = training_cases_weights(cases.model);
    fill_gradients(1, 1);
    follow(&s, 0, 1, false);
    step(&o, 0);
    assert_true(training_cases_equal(cases.model, before));
    assert_int_equal(o.steps, 1);
    assert_true(fabs((double)o.first[17] - m[17]) < 1e-9 && o.first[17] != 0);
    fill_gradients(2, 1);
    follow(&s, 1e-3, 2, false);
    step(&o, 1e-3);
    assert_true(distance() < 1e-6);
    optimizer_destroy(&o);
    free(before);
}

/* The gradients stay, and the matmuls read the new weights: the model gives what its saved and loaded copy gives. */
static void packs_what_it_changed(void **state) {
    (void)state;
    const OptimizerSettings s = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    char directory[] = "/tmp/dice-optimizer-XXXXXX", path[600], *to;
    assert_non_null(mkdtemp(directory));
    Optimizer o;
    assert_int_equal(optimizer_create(&o, cases.model, &s, &error), 0);
    fill_gradients(1, 1e-2);
    size_t bytes = model_weight_count(cases.model) * sizeof(float);
    float *gradients = malloc(bytes);
    memcpy(gradients, model_gradients(cases.model), bytes);
    TrainReport old, new, read;
    assert_int_equal(train_measure(cases.model, cases.pair, 3, 99, &cases.objective, "m", &old, NULL, &error), 0);
    step(&o, 1e-2);
    assert_memory_equal(gradients, model_gradients(cases.model), bytes);
    assert_int_equal(train_measure(cases.model, cases.pair, 3, 99, &cases.objective, "m", &new, NULL, &error), 0);
    assert_true(old.loss != new.loss);
    to = file_join(directory, "config.json");
    assert_non_null(tiny_path("llama_tied", "model/config.json", path, sizeof path));
    const ModelOptions options = {.kernels = &cases.kernels, .compute = DTYPE_F32};
    Model *copy = NULL;
    if (file_copy(path, to, &error) != 0 || model_save(cases.model, directory, DTYPE_F32, 0, &error) != 0 ||
        model_load(&copy, directory, &options, &error) != 0)
        fail_msg("%s", error.message);
    assert_int_equal(train_measure(copy, cases.pair, 3, 99, &cases.objective, "m", &read, NULL, &error), 0);
    assert_true(new.loss == read.loss);
    model_free(copy);
    optimizer_destroy(&o);
    file_remove_tree(directory, NULL);
    free(to), free(gradients);
}

static void a_norm_that_is_no_number_is_refused(void **state) {
    (void)state;
    double norm, exact = 0;
    fill_gradients(1, 2);
    for (size_t i = 0; i < model_weight_count(cases.model); i++)
        exact += (double)model_gradients(cases.model)[i] * (double)model_gradients(cases.model)[i];
    assert_int_equal(optimizer_gradient_norm(cases.model, false, &norm, &error), 0);
    assert_true(fabs(norm / sqrt(exact) - 1) < 1e-12);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        model_gradients(cases.model)[1000 * i + 7] = bad[i];
        assert_int_equal(optimizer_gradient_norm(cases.model, false, &norm, &error), -1);
        assert_int_equal(error.code, ERROR_NUMERIC);
        assert_non_null(strstr(error.message, "lower the learning rate"));
        model_gradients(cases.model)[1000 * i + 7] = 0;
    }
    for (size_t i = 0; i < 100; i++) model_gradients(cases.model)[i] = 1e30f; // squares that float32 does not hold
    assert_int_equal(optimizer_gradient_norm(cases.model, false, &norm, &error), 0);
    assert_true(fabs(norm / 1e31 - 1) < 1e-6);
}

/* Small squares behind a large one in the same of eight sums are lost to float32, and only there. */
static void a_float32_norm_loses_what_torch_loses(void **state) {
    (void)state;
    double exact, rounded;
    fill_gradients(1, 2);
    assert_int_equal(optimizer_gradient_norm(cases.model, false, &exact, &error), 0);
    assert_int_equal(optimizer_gradient_norm(cases.model, true, &rounded, &error), 0);
    assert_true(exact != rounded && fabs(rounded / exact - 1) < 1e-5);
    const ModelTensor *tensor = model_tensors(cases.model);
    while (tensor->elements < 800) tensor++;
    float *g = model_gradients(cases.model);
    for (size_t lane = 0; lane < 2; lane++) {
        memset(g, 0, model_weight_count(cases.model) * sizeof *g);
        g[tensor->offset] = 1;
        for (size_t i = 1; i < 100; i++) g[tensor->offset + 8 * i + lane] = 1e-4f;
        assert_int_equal(optimizer_gradient_norm(cases.model, false, &exact, &error), 0);
        assert_int_equal(optimizer_gradient_norm(cases.model, true, &rounded, &error), 0);
        assert_true(fabs(exact * exact - 1 - 99e-8) < 1e-11);
        assert_true(lane == 0 ? rounded == 1 : fabs(rounded - exact) < 1e-7);
    }
    g[tensor->offset] = NAN;
    assert_int_equal(optimizer_gradient_norm(cases.model, true, &rounded, &error), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(walks_with_the_double_loop),
        TEST(decay_spares_vectors),
        TEST(without_a_limit_nothing_is_clipped),
        TEST(rate_zero_fills_the_moments),
        TEST(packs_what_it_changed),
        TEST(a_norm_that_is_no_number_is_refused),
        TEST(a_float32_norm_loses_what_torch_loses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
