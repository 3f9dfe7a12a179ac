#include "align/model_export.h"
#include "checkpoint_cases.h"
#include <math.h>

static KernelTable kernels;
static CheckpointDirectory parent, scratch;
static Model *model;
static Error error;
static char *to;

static int setup(void **state) {
    (void)state;
    const ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true};
    checkpoint_create(&parent, checkpoint_template);
    checkpoint_weights(&parent, 1);
    checkpoint_put(&parent, "README.md", "not a part of a model");
    snprintf(scratch.path, sizeof scratch.path, "/tmp/dice-export-XXXXXX");
    if (mkdtemp(scratch.path) == NULL || kernel_table_create(&kernels, 1, &error) != 0 ||
        model_load(&model, parent.path, &options, &error) != 0)
        return -1;
    to = file_join(scratch.path, "out");
    model_weights(model)[3] += 0.123456789f; // it was trained
    return model_pack(model, &error);
}

static int teardown(void **state) {
    (void)state;
    model_free(model);
    checkpoint_remove(&parent), checkpoint_remove(&scratch);
    free(to);
    return 0;
}

static int export(DType type, const Recipe *recipe, Hash *hash) {
    return model_export(model, parent.path, to, type, 0, recipe, json_pack("{s:i}", "round", 2), hash, &error);
}

static char *text_of(const char *directory, const char *name) {
    char *path = file_join(directory, name);
    FileMap map;
    if (file_map(&map, path, &error) != 0) fail_msg("%s", error.message);
    char *text = strndup((const char *)map.data, map.size);
    file_unmap(&map);
    free(path);
    return text;
}

static void same_file(const char *name) {
    char *a = text_of(parent.path, name), *b = text_of(to, name);
    assert_string_equal(a, b);
    free(a), free(b);
}

static bool is_there(const char *name) {
    char *path = file_join(scratch.path, name);
    bool there = file_exists(path);
    free(path);
    return there;
}

/* Read again it is the model, with the hash that was promised and its parent's words. */
static void a_checkpoint_is_complete(void **state) {
    (void)state;
    const ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true};
    const char *text = "model: m\noutput: o\ndata: {offline: p}\n";
    Recipe recipe;
    Hash hash, own, read;
    Model *copy;
    assert_int_equal(recipe_parse(&recipe, text, strlen(text), "r.yaml", ".", NULL, 0, &error), 0);
    if (export(DTYPE_F32, &recipe, &hash) != 0) fail_msg("%s", error.message);
    assert_int_equal(model_load(&copy, to, &options, &error), 0);
    assert_memory_equal(model_weights(copy), model_weights(model), model_weight_count(model) * sizeof(float));
    assert_int_equal(model_hash(model, &own, &error), 0);
    assert_int_equal(model_hash(copy, &read, &error), 0);
    assert_string_equal(hash.hex, own.hex);
    assert_string_equal(hash.hex, read.hex);
    same_file("tokenizer.json"), same_file("tokenizer_config.json"), same_file("generation_config.json");
    same_file("config.json");
    assert_false(is_there("out/README.md") || is_there("out.partial"));
    char *json = text_of(to, "dice_card.json");
    json_t *card = json_loads(json, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(card, "weights")), hash.hex);
    assert_string_equal(json_string_value(json_object_get(card, "program")), "dice");
    assert_int_equal(json_integer_value(json_object_get(card, "round")), 2);
    assert_non_null(strstr(json_string_value(json_object_get(card, "recipe")), "train.beta: 0.1"));
    assert_int_equal(json_string_length(json_object_get(card, "written")), 20);
    json_decref(card);
    free(json);
    model_free(copy);
    recipe_free(&recipe);
}

/* In bfloat16 the hash is that of the rounded weights, and the configuration says so. */
static void half_precision_has_its_own_hash(void **state) {
    (void)state;
    const ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true};
    Hash whole, half, read;
    Model *copy;
    assert_int_equal(export(DTYPE_F32, NULL, &whole), 0);
    assert_int_equal(export(DTYPE_BF16, NULL, &half), 0); // over what is there
    assert_string_not_equal(whole.hex, half.hex);
    assert_int_equal(model_load(&copy, to, &options, &error), 0);
    assert_int_equal(model_hash(copy, &read, &error), 0);
    assert_string_equal(half.hex, read.hex);
    for (size_t i = 0; i < model_weight_count(model); i++)
        assert_true(model_weights(copy)[i] == dtype_bf16_to_float(dtype_bf16_from_float(model_weights(model)[i])));
    char *config = text_of(to, "config.json");
    assert_non_null(strstr(config, "\"torch_dtype\": \"bfloat16\""));
    free(config);
    model_free(copy);
}

/* A failure leaves the old checkpoint, and nothing beside it. */
static void a_failure_leaves_what_was_there(void **state) {
    (void)state;
    Hash hash;
    model_weights(model)[7] = NAN;
    assert_int_equal(export(DTYPE_F32, NULL, &hash), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    assert_false(is_there("out") || is_there("out.partial"));
    model_weights(model)[7] = 1;
    assert_int_equal(export(DTYPE_F32, NULL, &hash), 0);
    char *before = text_of(to, "dice_card.json");
    model_weights(model)[7] = INFINITY;
    assert_int_equal(export(DTYPE_F32, NULL, &hash), -1);
    char *after = text_of(to, "dice_card.json");
    assert_string_equal(before, after);
    assert_false(is_there("out.partial"));
    free(before), free(after);
    model_weights(model)[7] = 1;
    assert_int_equal(model_export(model, "/nowhere", to, DTYPE_F32, 0, NULL, json_object(), &hash, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_false(is_there("out.partial"));
    assert_int_equal(model_export(model, parent.path, to, DTYPE_F32, 0, NULL, NULL, &hash, &error), -1);
    assert_int_equal(error.code, ERROR_MEMORY); // a card that could not be made
}

/* `export.dtype`, and for auto the model's own type. */
static void the_recipe_names_the_type(void **state) {
    (void)state;
    Recipe recipe = {0};
    const HfConfig whole = {.dtype = DTYPE_F32}, half = {.dtype = DTYPE_BF16};
    recipe.export.dtype = RECIPE_DTYPE_AUTO;
    assert_true(model_export_type(&recipe, &whole) == DTYPE_F32 && model_export_type(&recipe, &half) == DTYPE_BF16);
    recipe.export.dtype = RECIPE_DTYPE_FLOAT32;
    assert_int_equal(model_export_type(&recipe, &half), DTYPE_F32);
    recipe.export.dtype = RECIPE_DTYPE_BFLOAT16;
    assert_int_equal(model_export_type(&recipe, &whole), DTYPE_BF16);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(a_checkpoint_is_complete), TEST(half_precision_has_its_own_hash),
                                       TEST(a_failure_leaves_what_was_there),
                                       cmocka_unit_test(the_recipe_names_the_type)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
