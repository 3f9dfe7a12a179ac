#include "base/file.h"
#include "base/rng.h"
#include "tiny_cases.h"

static KernelTable kernels;
static const LoraSettings all = {.r = 4, .alpha = 8, .targets = PEFT_ALL_LINEAR};

static const char *directory_of(const char *model, char path[512]) {
    if (tiny_path(model, "model/config.json", path, 512) == NULL) skip();
    path[strlen(path) - strlen("/config.json")] = 0;
    return path;
}

static Model *load(const char *name, ModelOptions options) {
    char path[512];
    Error error = {0};
    Model *model = NULL;
    if (options.kernels == NULL) options.kernels = &kernels;
    if (model_load(&model, directory_of(name, path), &options, &error) != 0) fail_msg("%s", error.message);
    return model;
}

/* A and B at random; the products B A are about as large as the weights. */
static void randomize(Model *model) {
    Error error = {0};
    const RngAddress at = {.seed = 5, .stream = RNG_TEST};
    for (size_t i = 0; i < model_weight_count(model); i++)
        model_weights(model)[i] = (float)(0.08 * rng_normal(&at, (uint32_t)i));
    if (model_pack(model, &error) != 0) fail_msg("%s", error.message);
}

static void fill(Batch *batch, const json_t *cases, size_t times) {
    Error error = {0};
    batch_clear(batch);
    for (size_t p = 0; p < times * TINY_PROMPTS; p++) tiny_add(batch, cases, p % TINY_PROMPTS, 0, TINY_BRANCHES);
    if (batch_finish(batch, &error) != 0) fail_msg("%s", error.message);
}

static float *logprobs(Model *model, const Batch *batch) {
    Error error = {0};
    float *out = calloc(batch->targets, sizeof *out);
    if (model_logprob(model, batch, out, NULL, NULL, &error) != 0) fail_msg("%s", error.message);
    return out;
}

/* Forward and backward of sum_t w_t log p_t with weights w of both signs; gradients are set anew. Returns the sum. */
static double run(Model *model, const Batch *batch) {
    Error error = {0};
    Activations *activations = NULL;
    float *logprob = calloc(batch->targets, sizeof *logprob), *dlogprob = calloc(batch->targets, sizeof *dlogprob);
    double sum = 0;
    memset(model_gradients(model), 0, model_weight_count(model) * sizeof(float));
    if (model_forward(model, batch, &activations, logprob, NULL, &error) != 0) fail_msg("%s", error.message);
    for (size_t i = 0; i < batch->targets; i++) {
        dlogprob[i] = ((float)(i % 7) - 2) / (float)batch->targets;
        sum += (double)dlogprob[i] * logprob[i];
    }
    if (model_backward(model, batch, activations, dlogprob, &error) != 0) fail_msg("%s", error.message);
    activations_free(activations);
    free(logprob), free(dlogprob);
    return sum;
}

/* --- goldens of PEFT --- */

static void check_peft(const char *name, DType compute) {
    char path[512], directory[600], base[128];
    Error error = {0};
    Golden golden;
    LoraSettings settings;
    json_t *cases = tiny_cases(name);
    snprintf(base, sizeof base, "oracle/tiny/dpo_lora/%s/final_logprobs.safetensors", name);
    if (test_shared(base, path, sizeof path) == NULL) skip();
    golden_open(&golden, path);
    Batch batch = {0};
    fill(&batch, cases, 1);
    const char *const which[] = {"init", "final"}, *const prefix[] = {"adapter_init", "adapter"};
    Model *model = NULL;
    for (int a = 0; a < 2; a++) {
        snprintf(directory, sizeof directory, "%.*s/adapter_%s", (int)(strrchr(path, '/') - path), path, which[a]);
        if (peft_adapter_settings(directory, &settings, &error) != 0) fail_msg("%s", error.message);
        if (model == NULL) model = load(name, (ModelOptions){.compute = compute, .lora = settings});
        if (model_adapter_load(model, directory, &error) != 0) fail_msg("%s", error.message);
        float *found = logprobs(model, &batch);
        Deviation d = {0}, off = {0};
        for (int on = 1; on >= 0; on--) {
            if (on == 0) {
                free(found);
                model_adapter_switch(model, false);
                found = logprobs(model, &batch);
                model_adapter_switch(model, true);
            }
            for (size_t p = 0, at = 0; p < TINY_PROMPTS; p++)
                for (size_t b = 0; b < TINY_BRANCHES; b++) {
                    char key[64];
                    size_t n;
                    snprintf(key, sizeof key, "%s.p%zu.b%zu.logp", prefix[a], p, b);
                    double *expected = golden_read(&golden, key, &n);
                    for (size_t t = 0; t < n; t++, at++) deviation_add(on ? &d : &off, found[at] - expected[t]);
                    free(expected);
                }
        }
        free(found);
        printf("%s %s, adapter_%s: max %.1e, rms %.1e; off: max %.1e\n", name, dtype_name(compute), which[a], d.max,
               deviation_rms(&d), off.max);
        assert_true(d.max <= (compute == DTYPE_F32 ? 1.3e-4 : 0.63) &&
                    deviation_rms(&d) <= (compute == DTYPE_F32 ? 1.2e-5 : 0.11));
        bool same_as_base = a == 0 && strcmp(name, "mistral_swa") == 0;         // its B are 0
        if (!same_as_base && compute == DTYPE_F32) assert_true(off.max > 1e-2); // planted: the adapter left off
    }
    model_free(model);
    golden_close(&golden);
    batch_free(&batch);
    json_decref(cases);
}

static void as_peft(void **state) { check_peft(*state, DTYPE_F32), check_peft(*state, DTYPE_BF16); }

/* --- the adapter and the model below --- */

/* A new adapter, and one that is switched off, change no bit; the hash is the base's then. Every module matters. */
static void switches(void **state) {
    (void)state;
    json_t *cases = tiny_cases("llama_tied");
    Error error = {0};
    Batch batch = {0};
    Hash plain, hash[PEFT_TARGETS + 2];
    fill(&batch, cases, 1);
    Model *model = load("llama_tied", (ModelOptions){.compute = DTYPE_F32});
    float *expected = logprobs(model, &batch);
    size_t bytes = batch.targets * sizeof(float);
    assert_int_equal(model_hash(model, &plain, &error), 0);
    model_free(model);
    for (unsigned t = 0; t <= PEFT_TARGETS; t++) {
        LoraSettings settings = all;
        if (t < PEFT_TARGETS) settings.targets = 1u << t;
        model = load("llama_tied", (ModelOptions){.compute = DTYPE_F32, .trainable = true, .lora = settings});
        assert_int_equal(model_adapter_initialize(model, 3, &error), 0);
        float *found = logprobs(model, &batch);
        assert_memory_equal(found, expected, bytes);
        free(found);
        randomize(model);
        found = logprobs(model, &batch);
        assert_int_equal(model_hash(model, &hash[t], &error), 0);
        assert_int_not_equal(memcmp(found, expected, bytes), 0);
        for (unsigned s = 0; s < t; s++) assert_string_not_equal(hash[t].hex, hash[s].hex);
        free(found);
        model_adapter_switch(model, false);
        found = logprobs(model, &batch);
        assert_memory_equal(found, expected, bytes);
        assert_int_equal(model_hash(model, &hash[PEFT_TARGETS + 1], &error), 0);
        assert_string_equal(hash[PEFT_TARGETS + 1].hex, plain.hex);
        free(found);
        model_free(model);
    }
    free(expected);
    batch_free(&batch);
    json_decref(cases);
}

static void starts_as_peft_does(void **state) {
    (void)state;
    Error error = {0};
    Model *model = load("llama_tied", (ModelOptions){.compute = DTYPE_F32, .trainable = true, .lora = all});
    size_t per_layer = 14, layers = model_config(model)->layers;
    assert_int_equal(model_tensor_count(model), per_layer * layers);
    assert_int_equal(model_weight_count(model), model_planned_weights(model_config(model), model_options(model)));
    assert_int_equal(model_adapter_initialize(model, 3, &error), 0);
    float *first = malloc(model_weight_count(model) * sizeof *first);
    memcpy(first, model_weights(model), model_weight_count(model) * sizeof *first);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const ModelTensor *t = &model_tensors(model)[i];
        double squares = kernels.sum_squares(t->elements, first + t->offset), bound = 1 / sqrt((double)t->shape[1]);
        bool is_a = strstr(t->name, ".lora_A.weight") != NULL;
        assert_true(t->is_matrix && t->shape[is_a ? 0 : 1] == all.r);
        assert_true(is_a ? fabs(squares / (double)t->elements / (bound * bound / 3) - 1) < 0.3 : squares == 0);
        for (size_t k = 0; k < t->elements; k++) assert_true(fabs((double)first[t->offset + k]) <= bound);
    }
    assert_int_equal(model_adapter_initialize(model, 4, &error), 0);
    assert_int_not_equal(memcmp(first, model_weights(model), model_weight_count(model) * sizeof *first), 0);
    free(first);
    model_free(model);
}

static void base_takes_no_training_memory(void **state) {
    (void)state;
    const ModelOptions frozen = {.kernels = &kernels, .compute = DTYPE_F32},
                       trained = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true},
                       adapted = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true, .lora = all};
    Model *model = load("llama_rope3", frozen);
    const HfConfig *c = model_config(model);
    size_t weights = model_planned_weights(c, &trained);
    assert_true(model_bytes(c, &adapted) + 4 * weights < model_bytes(c, &trained) + (1 << 20));
    assert_true(model_planned_weights(c, &adapted) < weights / 4);
    assert_true(model_bytes(c, &adapted) > model_bytes(c, &frozen));
    model_free(model);
}

/* --- gradients --- */

/* The slope along each tensor's own gradient, by central differences of the float32 forward pass. */
static void check_differences(const char *name, LoraSettings settings, const RngAddress *dropout) {
    json_t *cases = tiny_cases(name);
    Error error = {0};
    Batch batch = {0};
    tiny_add(&batch, cases, 0, 0, 2), tiny_add(&batch, cases, 1, 0, 2);
    assert_int_equal(batch_finish(&batch, &error), 0);
    Model *model = load(name, (ModelOptions){.compute = DTYPE_F32, .trainable = true, .lora = settings});
    model_adapter_dropout(model, dropout);
    randomize(model);
    size_t n = model_weight_count(model);
    float *gradient = malloc(n * sizeof *gradient), *kept = malloc(n * sizeof *kept);
    run(model, &batch);
    memcpy(gradient, model_gradients(model), n * sizeof *gradient);
    memcpy(kept, model_weights(model), n * sizeof *kept);
    double worst = 0;
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const ModelTensor *t = &model_tensors(model)[i];
        double norm = sqrt(kernels.sum_squares(t->elements, gradient + t->offset)), sum[2], step = 2e-3;
        assert_true(norm > 1e-4);
        for (int side = 0; side < 2; side++) {
            for (size_t k = t->offset; k < t->offset + t->elements; k++)
                model_weights(model)[k] = kept[k] + (float)((side == 0 ? step : -step) * gradient[k] / norm);
            if (model_pack(model, &error) != 0) fail_msg("%s", error.message);
            sum[side] = run(model, &batch);
        }
        memcpy(model_weights(model) + t->offset, kept + t->offset, t->elements * sizeof *kept);
        double slope = (sum[0] - sum[1]) / (2 * step), off = fabs(slope - norm) / norm;
        worst = fmax(worst, off);
        if (off > 1e-2) fail_msg("%s: gradient %.6f, differences %.6f", t->name, norm, slope);
    }
    printf("%s, dropout %g: gradients and differences agree to %.1e\n", name, settings.dropout, worst);
    free(gradient), free(kept);
    batch_free(&batch);
    json_decref(cases);
    model_free(model);
}

static void central_differences(void **state) {
    (void)state;
    const RngAddress pass = {.seed = 9, .stream = RNG_DROPOUT, .item = 4};
    LoraSettings settings = all;
    check_differences("llama_tied", settings, NULL);
    settings.dropout = 0.3, settings.rslora = true, settings.alpha = 3;
    check_differences("llama_tied", settings, &pass);
}

static void central_differences_of_every_family(void **state) {
    (void)state;
    char path[512];
    for (size_t i = 0; i < TINY_MODELS; i++) {
        if (tiny_path(tiny_models[i], "cases.json", path, sizeof path) == NULL) skip();
        check_differences(tiny_models[i], all, NULL);
    }
}

/* Threads, checkpointing and where a batch is cut change no bit of the gradients. */
static void same_bits(void **state) {
    (void)state;
    json_t *cases = tiny_cases("llama_tied");
    Batch batch = {0};
    fill(&batch, cases, 3);
    assert_true(batch.rows > 1000); // longer than a chunk
    for (int drop = 0; drop < 2; drop++)
        for (int half = 0; half < 2; half++) {
            float *first = NULL;
            LoraSettings settings = all;
            settings.dropout = drop * 0.2;
            for (int variant = 0; variant < 4; variant += 1 + half) {
                const RngAddress pass = {.seed = 9, .stream = RNG_DROPOUT};
                KernelTable table = kernels;
                table.threads = 1 + variant % 3;
                Model *model = load("llama_tied", (ModelOptions){.kernels = &table,
                                                                 .compute = half ? DTYPE_BF16 : DTYPE_F32,
                                                                 .trainable = true,
                                                                 .checkpoint_activations = variant == 3,
                                                                 .lora = settings});
                randomize(model);
                model_adapter_dropout(model, &pass);
                size_t bytes = model_weight_count(model) * sizeof(float);
                run(model, &batch);
                if (first == NULL) {
                    first = malloc(bytes);
                    memcpy(first, model_gradients(model), bytes);
                }
                assert_memory_equal(first, model_gradients(model), bytes);
                model_free(model);
            }
            free(first);
        }
    batch_free(&batch);
    json_decref(cases);
}

/* What A reads is dropped while a pass is named, the same in every call; another pass drops other values. */
static void drops_by_pass(void **state) {
    (void)state;
    json_t *cases = tiny_cases("llama_tied");
    Batch batch = {0};
    fill(&batch, cases, 1);
    LoraSettings settings = all;
    settings.dropout = 0.5;
    Model *model = load("llama_tied", (ModelOptions){.compute = DTYPE_F32, .trainable = true, .lora = settings});
    randomize(model);
    float *before = logprobs(model, &batch);
    double none = run(model, &batch), sum[2], again;
    for (uint32_t i = 0; i < 2; i++) {
        const RngAddress pass = {.seed = 9, .stream = RNG_DROPOUT, .item = i};
        model_adapter_dropout(model, &pass);
        sum[i] = run(model, &batch);
        again = run(model, &batch);
        assert_true(sum[i] == again);
    }
    assert_true(sum[0] != sum[1] && sum[0] != none && sum[1] != none);
    float *after = logprobs(model, &batch);
    assert_memory_not_equal(before, after, batch.targets * sizeof *before);
    free(after);
    model_adapter_dropout(model, NULL);
    after = logprobs(model, &batch);
    assert_memory_equal(before, after, batch.targets * sizeof *before);
    free(before), free(after);
    model_free(model);
    batch_free(&batch);
    json_decref(cases);
}

/* --- directories --- */

static void comes_back_from_its_directory(void **state) {
    (void)state;
    char directory[] = "/tmp/dice-lora-XXXXXX";
    Error error = {0};
    LoraSettings read, settings = {.r = 3, .alpha = 5.5, .dropout = 0.25, .rslora = true, .targets = 0x25};
    assert_non_null(mkdtemp(directory));
    Model *model = load("llama_tied", (ModelOptions){.compute = DTYPE_F32, .trainable = true, .lora = settings});
    randomize(model);
    if (model_adapter_save(model, directory, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(peft_adapter_settings(directory, &read, &error), 0);
    assert_true(read.r == 3 && read.alpha == 5.5 && read.dropout == 0.25 && read.rslora && read.targets == 0x25);
    Model *other = load("llama_tied", (ModelOptions){.compute = DTYPE_F32, .trainable = true, .lora = read});
    if (model_adapter_load(other, directory, &error) != 0) fail_msg("%s", error.message);
    assert_memory_equal(model_weights(model), model_weights(other), model_weight_count(model) * sizeof(float));
    model_free(other);
    settings.targets = 0x35;
    other = load("llama_tied", (ModelOptions){.compute = DTYPE_F32, .lora = settings});
    assert_int_equal(model_adapter_load(other, directory, &error), -1);
    assert_true(error.code == ERROR_MISMATCH && strstr(error.message, "target modules") != NULL);
    model_free(other);
    settings.targets = 0x25;
    other = load("llama_rope3", (ModelOptions){.compute = DTYPE_F32, .lora = settings});
    assert_int_equal(model_adapter_load(other, directory, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "was expected: the adapter belongs to") != NULL);
    model_free(other);
    model_weights(model)[7] = NAN;
    assert_int_equal(model_adapter_save(model, directory, &error), -1);
    assert_true(error.code == ERROR_NUMERIC);
    model_free(model);
    file_remove_tree(directory, NULL);
}

static int set_up(void **state) {
    (void)state;
    return kernel_table_create(&kernels, 2, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {TINY_TEST(as_peft, mistral_swa),
                                       TINY_TEST(as_peft, qwen2_tied),
                                       cmocka_unit_test(switches),
                                       cmocka_unit_test(starts_as_peft_does),
                                       cmocka_unit_test(base_takes_no_training_memory),
                                       cmocka_unit_test(central_differences),
                                       cmocka_unit_test(central_differences_of_every_family),
                                       cmocka_unit_test(same_bits),
                                       cmocka_unit_test(drops_by_pass),
                                       cmocka_unit_test(comes_back_from_its_directory)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
