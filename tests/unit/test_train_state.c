#include "train/train_state.h"
#include "training_cases.h"

static char directory[64], at[128]; // a scratch directory, and the checkpoint in it
static TrainingCases cases;
static Optimizer optimizer;
static Error error;
static const TrainState saved = {.step = 1234567, .tokens = 9876543210u};

static const OptimizerSettings settings = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};

/* A model and an optimizer whose numbers are not those of the file. */
static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-state-XXXXXX");
    if (mkdtemp(directory) == NULL) return -1;
    snprintf(at, sizeof at, "%s/step-1", directory);
    training_cases_create(&cases, 1);
    if (optimizer_create(&optimizer, cases.model, &settings, &error) != 0) return -1;
    const RngAddress address = {.seed = 1, .stream = RNG_TEST};
    for (size_t i = 0; i < optimizer.count; i++) {
        model_weights(cases.model)[i] += (float)(0.01 * rng_normal(&address, (uint32_t)(3 * i)));
        optimizer.first[i] = (float)rng_normal(&address, (uint32_t)(3 * i + 1)) * 1e-4f;
        optimizer.second[i] = (float)rng_uniform(&address, (uint32_t)(3 * i + 2)) * 1e-20f;
    }
    return model_pack(cases.model, &error);
}

static int teardown(void **state) {
    (void)state;
    optimizer_destroy(&optimizer);
    model_free(cases.model);
    return file_remove_tree(directory, NULL);
}

static void save(void) {
    if (train_state_save(at, cases.model, &optimizer, &saved, &error) != 0) fail_msg("%s", error.message);
}

/* Loads into a fresh model of the same file. */
static int load(const char *from, Model **model, Optimizer *other, TrainState *state) {
    *model = tiny_load("llama_tied", &cases.kernels, DTYPE_F32, true, false);
    assert_int_equal(optimizer_create(other, *model, &settings, &error), 0);
    return train_state_load(from, *model, other, state, &error);
}

static void refuses(ErrorCode code, const char *words, const char *more) {
    Model *model;
    Optimizer other;
    TrainState state;
    error = (Error){0};
    assert_int_equal(load(at, &model, &other, &state), -1);
    if (error.code != code || strstr(error.message, words) == NULL || strstr(error.message, more) == NULL)
        fail_msg("code %d: %s", (int)error.code, error.message);
    optimizer_destroy(&other);
    model_free(model);
}

static void comes_back_to_the_bit(void **unused) {
    (void)unused;
    Model *model;
    Optimizer other;
    TrainState state;
    save();
    save(); // over what is there
    if (load(at, &model, &other, &state) != 0) fail_msg("%s", error.message);
    size_t bytes = optimizer.count * sizeof(float);
    assert_memory_equal(model_weights(model), model_weights(cases.model), bytes);
    assert_memory_equal(other.first, optimizer.first, bytes);
    assert_memory_equal(other.second, optimizer.second, bytes);
    assert_true(state.step == saved.step && state.tokens == saved.tokens && other.steps == saved.step);
    TrainReport here, there; // the matmuls see the loaded weights
    assert_int_equal(train_measure(cases.model, cases.pair, 3, 99, &cases.objective, "m", &here, NULL, &error), 0);
    assert_int_equal(train_measure(model, cases.pair, 3, 99, &cases.objective, "m", &there, NULL, &error), 0);
    assert_true(here.loss == there.loss);
    char partial[160];
    snprintf(partial, sizeof partial, "%s.partial", at);
    assert_false(file_exists(partial));
    optimizer_destroy(&other);
    model_free(model);
}

static char *file_in(const char *name) { return file_join(at, name); }

/* Changes one byte from the end of a file. */
static void spoil(const char *name, size_t from_end) {
    char *path = file_in(name);
    FileMap map;
    assert_int_equal(file_map(&map, path, &error), 0);
    uint8_t *copy = malloc(map.size);
    size_t size = map.size;
    memcpy(copy, map.data, size);
    file_unmap(&map);
    copy[size - from_end] ^= 1;
    assert_int_equal(file_write(path, copy, size, &error), 0);
    free(copy), free(path);
}

/* Of an adapter the checkpoint is one that PEFT loads, too. */
static void adapters_come_back_to_the_bit(void **unused) {
    (void)unused;
    const ModelOptions options = {.kernels = &cases.kernels,
                                  .compute = DTYPE_F32,
                                  .trainable = true,
                                  .lora = {.r = 3, .alpha = 6, .targets = PEFT_ALL_LINEAR}};
    const char *base = "tests/data/tiny/llama_tied/model";
    Model *model[2];
    Optimizer own[2];
    TrainState state;
    LoraSettings read;
    for (int i = 0; i < 2; i++) {
        if (model_load(&model[i], base, &options, &error) != 0) fail_msg("%s", error.message);
        if (model_adapter_initialize(model[i], (uint64_t)i, &error) != 0) fail_msg("%s", error.message);
        assert_int_equal(optimizer_create(&own[i], model[i], &settings, &error), 0);
    }
    size_t n = model_weight_count(model[0]), bytes = n * sizeof(float);
    assert_int_equal(own[0].count, n);
    for (size_t i = 0; i < n; i++) own[0].first[i] = (float)i, own[0].second[i] = 1 / (float)(i + 1);
    if (train_state_save(at, model[0], &own[0], &saved, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(peft_adapter_settings(at, &read, &error), 0);
    assert_true(read.r == 3 && read.alpha == 6);
    if (train_state_load(at, model[1], &own[1], &state, &error) != 0) fail_msg("%s", error.message);
    assert_memory_equal(model_weights(model[0]), model_weights(model[1]), bytes);
    assert_memory_equal(own[0].first, own[1].first, bytes);
    assert_memory_equal(own[0].second, own[1].second, bytes);
    spoil("adapter_model.safetensors", 2);
    assert_int_equal(train_state_load(at, model[1], &own[1], &state, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "adapter_model.safetensors") != NULL);
    for (int i = 0; i < 2; i++) optimizer_destroy(&own[i]), model_free(model[i]);
}

static void shorten(const char *name, size_t by) {
    char *path = file_in(name);
    FileMap map;
    assert_int_equal(file_map(&map, path, &error), 0);
    uint8_t *copy = malloc(map.size);
    size_t size = map.size - by;
    memcpy(copy, map.data, size);
    file_unmap(&map);
    assert_int_equal(file_write(path, copy, size, &error), 0);
    free(copy), free(path);
}

static void a_changed_number_is_noticed(void **state) {
    (void)state;
    save();
    spoil("model.safetensors", 4);
    refuses(ERROR_INPUT, "model.safetensors", "damaged; remove it");
    save();
    spoil("optimizer.safetensors", 4);
    refuses(ERROR_INPUT, "optimizer.safetensors", "damaged; remove it");
}

static void a_cut_file_is_noticed(void **state) {
    (void)state;
    save();
    shorten("optimizer.safetensors", 3);
    refuses(ERROR_INPUT, "optimizer.safetensors", "truncated");
    save();
    shorten("model.safetensors", 1000);
    refuses(ERROR_INPUT, "model.safetensors", "truncated");
}

static void a_missing_file_is_named(void **state) {
    (void)state;
    static const char *const names[] = {"state.json", "model.safetensors", "optimizer.safetensors"};
    for (size_t i = 0; i < 3; i++) {
        save();
        char *path = file_in(names[i]);
        assert_int_equal(remove(path), 0);
        refuses(ERROR_IO, names[i], at);
        free(path);
    }
}

static void a_broken_state_is_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases_of[] = {
        {"{\"step\": 1, \"tokens\": 2, ", "state.json:1"},
        {"[]", "state.json"},
        {"{\"step\": 1, \"tokens\": 2, \"model\": 3, \"optimizer\": \"\"}", "model"},
        {"{\"step\": 1, \"tokens\": 2, \"model\": \"\"}", "optimizer"},
        {"{\"step\": -1, \"tokens\": 2, \"model\": \"\", \"optimizer\": \"\"}", "step"},
        {"{\"step\": 1, \"model\": \"\", \"optimizer\": \"\"}", "tokens"},
        {"{\"step\": 1, \"tokens\": 2, \"model\": \"\", \"optimizer\": \"\"}", "damaged"},
    };
    save();
    char *path = file_in("state.json");
    for (size_t i = 0; i < sizeof cases_of / sizeof *cases_of; i++) {
        assert_int_equal(file_write(path, cases_of[i].text, strlen(cases_of[i].text), &error), 0);
        refuses(ERROR_INPUT, cases_of[i].words, at);
    }
    free(path);
}

static void another_models_checkpoint_is_refused(void **state) {
    (void)state;
    Model *model = tiny_load("llama_rope3", &cases.kernels, DTYPE_F32, true, false);
    Optimizer other;
    assert_int_equal(optimizer_create(&other, model, &settings, &error), 0);
    assert_int_equal(train_state_save(at, model, &other, &saved, &error), 0);
    refuses(ERROR_MISMATCH, at, "another model");
    optimizer_destroy(&other);
    model_free(model);
}

/* What cannot be written leaves what was there, and nothing half-made beside it. */
static void a_failed_save_leaves_the_old_one(void **unused) {
    (void)unused;
    Model *model;
    Optimizer other;
    TrainState state;
    save();
    model_weights(cases.model)[5] = NAN;
    assert_int_equal(train_state_save(at, cases.model, &optimizer, &(TrainState){.step = 2}, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    char partial[160];
    snprintf(partial, sizeof partial, "%s.partial", at);
    assert_false(file_exists(partial));
    if (load(at, &model, &other, &state) != 0) fail_msg("%s", error.message);
    assert_int_equal(state.step, saved.step);
    optimizer_destroy(&other);
    model_free(model);
    snprintf(at, sizeof at, "%s/step-1/state.json/step-2", directory);
    model_weights(cases.model)[5] = 0;
    assert_int_equal(train_state_save(at, cases.model, &optimizer, &saved, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(comes_back_to_the_bit),
        TEST(adapters_come_back_to_the_bit),
        TEST(a_changed_number_is_noticed),
        TEST(a_cut_file_is_noticed),
        TEST(a_missing_file_is_named),
        TEST(a_broken_state_is_named),
        TEST(another_models_checkpoint_is_refused),
        TEST(a_failed_save_leaves_the_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
