#include "tiny_cases.h"

static KernelTable kernels;

/* Relative errors against the goldens, as the oracle's README names them. */
typedef struct {
    double tensor_l2, element, total_l2, norm, loss;
} Errors;
static const Errors float32 = {4.8e-5, 5.9e-5, 2.7e-5, 9.6e-6, 8.2e-6}, bfloat16 = {0.25, 0.34, 0.17, 0.065, 0.068};

/* Mean over the prompts of -logsigmoid(0.1 (u_0 - u_1)), u = log-prob minus reference of branch 0 and 1. */
static double dpo_loss(const json_t *cases, const Batch *batch, const float *logprob, float *dlogprob) {
    double loss = 0;
    for (size_t p = 0; p < TINY_PROMPTS; p++) {
        double u[2] = {0};
        for (size_t b = 0; b < 2; b++) {
            const BatchBranch *branch = &batch->branch[2 * p + b];
            for (size_t i = 0; i < branch->length; i++) u[b] += logprob[branch->first_target + i];
            u[b] -= json_real_value(json_object_get(tiny_branch_of(cases, p, b), "ref_logp_sum"));
        }
        double z = 0.1 * (u[0] - u[1]), slope = 0.1 / (1 + exp(z)) / TINY_PROMPTS;
        loss += log1p(exp(-z)) / TINY_PROMPTS;
        for (size_t b = 0; b < 2; b++) {
            const BatchBranch *branch = &batch->branch[2 * p + b];
            for (size_t i = 0; i < branch->length; i++)
                dlogprob[branch->first_target + i] = (float)(b == 0 ? -slope : slope);
        }
    }
    return loss;
}

/* Forward and backward of all DPO pairs in one batch; gradients stay in the model. Returns the loss. */
static double run(Model *model, const json_t *cases) {
    Batch batch = {0};
    Error error = {0};
    Activations *activations = NULL;
    for (size_t p = 0; p < TINY_PROMPTS; p++) tiny_add(&batch, cases, p, 0, 2);
    assert_int_equal(batch_finish(&batch, &error), 0);
    float *logprob = calloc(batch.targets, sizeof *logprob), *dlogprob = calloc(batch.targets, sizeof *dlogprob);
    if (model_forward(model, &batch, &activations, logprob, NULL, &error) != 0) fail_msg("%s", error.message);
    double loss = dpo_loss(cases, &batch, logprob, dlogprob);
    if (model_backward(model, &batch, activations, dlogprob, &error) != 0) fail_msg("%s", error.message);
    activations_free(activations);
    batch_free(&batch);
    free(logprob), free(dlogprob);
    return loss;
}

static Errors compare(Model *model, const char *name) {
    Golden golden;
    char path[512];
    golden_open(&golden, tiny_path(name, "grads.safetensors", path, sizeof path));
    Errors e = {0};
    double error_all = 0, norm_all = 0, own_all = 0;
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const ModelTensor *t = &model_tensors(model)[i];
        double *expected = golden_read(&golden, t->name, NULL), error = 0, norm = 0, largest = 0, worst = 0;
        for (size_t k = 0; k < t->elements; k++) {
            double own = model_gradients(model)[t->offset + k], difference = own - expected[k];
            error += difference * difference, norm += expected[k] * expected[k], own_all += own * own;
            largest = fmax(largest, fabs(expected[k])), worst = fmax(worst, fabs(difference));
        }
        e.tensor_l2 = fmax(e.tensor_l2, sqrt(error / norm)), e.element = fmax(e.element, worst / largest);
        error_all += error, norm_all += norm;
        free(expected);
    }
    assert_int_equal(json_object_size(golden.header),
                     model_tensor_count(model) + (json_object_get(golden.header, "__metadata__") != NULL));
    golden_close(&golden);
    e.total_l2 = sqrt(error_all / norm_all), e.norm = fabs(sqrt(own_all / norm_all) - 1);
    return e;
}

static bool within(const Errors *e, const Errors *bound) {
    return e->tensor_l2 <= bound->tensor_l2 && e->element <= bound->element && e->total_l2 <= bound->total_l2 &&
           e->norm <= bound->norm && e->loss <= bound->loss;
}

static void check_golden(const char *name, DType compute) {
    char path[512];
    Error error = {0};
    json_t *cases = tiny_cases(name);
    if (tiny_path(name, "grads.json", path, sizeof path) == NULL) skip();
    json_t *golden = json_parse_file(path, &error);
    Model *model = tiny_load(name, &kernels, compute, true, false);
    double loss = run(model, cases);
    Errors e = compare(model, name);
    e.loss = fabs(loss - json_real_value(json_object_get(golden, "loss")));
    printf("%s %s: worst tensor %.1e, element %.1e, total %.1e, norm %.1e, loss %.1e\n", name, dtype_name(compute),
           e.tensor_l2, e.element, e.total_l2, e.norm, e.loss);
    assert_true(within(&e, compute == DTYPE_F32 ? &float32 : &bfloat16));
    if (compute == DTYPE_F32) { // planted: one element of the smallest vector is off by a hundredth
        model_gradients(model)[model_tensors(model)[1].offset] *= 1.01f;
        e = compare(model, name);
        assert_false(within(&e, &float32));
    }
    json_decref(cases), json_decref(golden);
    model_free(model);
}

static void gradients(void **state) { check_golden(*state, DTYPE_F32), check_golden(*state, DTYPE_BF16); }

/* Threads, and computing each layer again, change no bit of the gradients [MO-1]; a second pass adds as much again. */
static void check_same_bits(const char *name) {
    json_t *cases = tiny_cases(name);
    float *first = NULL;
    for (int variant = 0; variant < 4; variant++) {
        KernelTable table = kernels;
        table.threads = 1 + variant % 3;
        Model *model = tiny_load(name, &table, DTYPE_F32, true, variant == 3);
        size_t bytes = model_weight_count(model) * sizeof(float);
        run(model, cases);
        if (first == NULL) {
            first = malloc(bytes);
            memcpy(first, model_gradients(model), bytes);
        }
        assert_memory_equal(first, model_gradients(model), bytes);
        model_free(model);
    }
    free(first);
    json_decref(cases);
}

static void same_bits(void **state) {
    (void)state;
    check_same_bits("llama_tied"), check_same_bits("gemma3_text");
}

/* One batch that is longer than the chunks of a layer, against its prompts one by one; gradients add up. */
static void long_batches_add_up(void **state) {
    (void)state;
    json_t *cases = tiny_cases("llama_tied");
    Model *model[2];
    Activations *activations = NULL;
    Error error = {0};
    for (int i = 0; i < 2; i++) model[i] = tiny_load("llama_tied", &kernels, DTYPE_F32, true, false);
    Batch batch = {0};
    for (size_t p = 0; p < 3 * TINY_PROMPTS; p++) tiny_add(&batch, cases, p % TINY_PROMPTS, 0, TINY_BRANCHES);
    assert_int_equal(batch_finish(&batch, &error), 0);
    assert_true(batch.rows > 1000);
    float *logprob = calloc(batch.targets, sizeof *logprob), *dlogprob = calloc(batch.targets, sizeof *dlogprob);
    for (size_t i = 0; i < batch.targets; i++) dlogprob[i] = (float)(i % 7) - 2;
    for (size_t p = 0, at = 0; p < 3 * TINY_PROMPTS; p++, at += batch.targets) {
        batch_clear(&batch);
        tiny_add(&batch, cases, p % TINY_PROMPTS, 0, TINY_BRANCHES);
        assert_int_equal(batch_finish(&batch, &error), 0);
        assert_int_equal(model_forward(model[0], &batch, &activations, logprob, NULL, &error), 0);
        assert_int_equal(model_backward(model[0], &batch, activations, dlogprob + at, &error), 0);
    }
    batch_clear(&batch);
    for (size_t p = 0; p < 3 * TINY_PROMPTS; p++) tiny_add(&batch, cases, p % TINY_PROMPTS, 0, TINY_BRANCHES);
    assert_int_equal(batch_finish(&batch, &error), 0);
    assert_int_equal(model_forward(model[1], &batch, &activations, logprob, NULL, &error), 0);
    assert_int_equal(model_backward(model[1], &batch, activations, dlogprob, &error), 0);
    for (size_t i = 0; i < model_tensor_count(model[0]); i++) {
        const ModelTensor *t = &model_tensors(model[0])[i];
        const float *a = model_gradients(model[0]) + t->offset, *b = model_gradients(model[1]) + t->offset;
        double off = 0, norm = kernels.sum_squares(t->elements, a);
        for (size_t k = 0; k < t->elements; k++) off += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
        if (sqrt(off / norm) > 2e-6) fail_msg("%s: off by %.1e", t->name, sqrt(off / norm));
    }
    for (int i = 0; i < 2; i++) model_free(model[i]);
    free(logprob), free(dlogprob);
    batch_free(&batch);
    activations_free(activations);
    json_decref(cases);
}

/* The slope of the loss along each tensor's own gradient, by central differences of the float32 forward pass. */
static void central_differences(void **state) {
    (void)state;
    json_t *cases = tiny_cases("llama_tied");
    Model *model = tiny_load("llama_tied", &kernels, DTYPE_F32, true, false);
    Error error = {0};
    size_t n = model_weight_count(model);
    run(model, cases);
    float *gradient = malloc(n * sizeof *gradient), *kept = malloc(n * sizeof *kept);
    memcpy(gradient, model_gradients(model), n * sizeof *gradient);
    memcpy(kept, model_weights(model), n * sizeof *kept);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const ModelTensor *t = &model_tensors(model)[i];
        double norm = sqrt(kernels.sum_squares(t->elements, gradient + t->offset)), loss[2], step = 2e-2;
        for (int side = 0; side < 2; side++) {
            for (size_t k = t->offset; k < t->offset + t->elements; k++)
                model_weights(model)[k] = kept[k] + (float)((side == 0 ? step : -step) * gradient[k] / norm);
            if (model_pack(model, &error) != 0) fail_msg("%s", error.message);
            loss[side] = run(model, cases);
        }
        memcpy(model_weights(model) + t->offset, kept + t->offset, t->elements * sizeof *kept);
        double slope = (loss[0] - loss[1]) / (2 * step), off = fabs(slope - norm) / (norm + 1e-3);
        if (off > 2e-2) fail_msg("%s: gradient %.6f, differences %.6f", t->name, norm, slope);
    }
    free(gradient), free(kept);
    json_decref(cases);
    model_free(model);
}

static int set_up(void **state) {
    (void)state;
    return kernel_table_create(&kernels, 2, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TINY_TEST(gradients, llama_tied), TINY_TEST(gradients, llama_rope3),     TINY_TEST(gradients, mistral_swa),
        TINY_TEST(gradients, qwen2_tied), TINY_TEST(gradients, qwen3_hd),        TINY_TEST(gradients, gemma3_text),
        cmocka_unit_test(same_bits),      cmocka_unit_test(long_batches_add_up), cmocka_unit_test(central_differences)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
