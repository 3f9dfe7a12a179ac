#include "align/adapter_merge.h"
#include "align/model_export.h"
#include "checkpoint_cases.h"

#include <math.h>

static KernelTable kernels;
static CheckpointDirectory base, scratch;
static Error error;
static char adapter[96], merged[96];
static const LoraSettings settings = {.r = 3, .alpha = 5, .rslora = true, .targets = 1u << PEFT_K | 1u << PEFT_DOWN};

static Model *load(const char *directory, LoraSettings lora) {
    const ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true, .lora = lora};
    Model *model;
    if (model_load(&model, directory, &options, &error) != 0) fail_msg("%s", error.message);
    return model;
}

/* A random adapter, and the directories around it. */
static int setup(void **state) {
    (void)state;
    checkpoint_create(&base, checkpoint_template), checkpoint_weights(&base, 1);
    snprintf(scratch.path, sizeof scratch.path, "/tmp/dice-merge-XXXXXX");
    if (mkdtemp(scratch.path) == NULL || kernel_table_create(&kernels, 1, &error) != 0) return -1;
    snprintf(adapter, sizeof adapter, "%s/adapter", scratch.path);
    snprintf(merged, sizeof merged, "%s/merged", scratch.path);
    Model *model = load(base.path, settings);
    const RngAddress at = {.seed = 4, .stream = RNG_TEST};
    for (size_t i = 0; i < model_weight_count(model); i++)
        model_weights(model)[i] = (float)(0.3 * rng_normal(&at, (uint32_t)i));
    int result = file_make_directory(adapter, &error) == 0 ? model_adapter_save(model, adapter, &error) : -1;
    model_free(model);
    return result;
}

static int teardown(void **state) {
    (void)state;
    checkpoint_remove(&base), checkpoint_remove(&scratch);
    return 0;
}

static int merge(const char *from, DType type, Hash *hash) {
    return model_export_merged(&kernels, from, adapter, merged, type, 0, json_pack("{s:s}", "parent", from), hash,
                               &error);
}

/* Every weight is W + s B A in double, rounded; those without an adapter are the same to the bit. */
static void adds_the_product(void **state) {
    (void)state;
    Hash hash, read;
    if (merge(base.path, DTYPE_F32, &hash) != 0) fail_msg("%s", error.message);
    Model *before = load(base.path, (LoraSettings){0}), *after = load(merged, (LoraSettings){0}),
          *low = load(base.path, settings);
    if (model_adapter_load(low, adapter, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(model_hash(after, &read, &error), 0);
    assert_string_equal(read.hex, hash.hex);
    size_t changed = 0;
    for (size_t i = 0; i < model_tensor_count(before); i++) {
        const ModelTensor *t = &model_tensors(before)[i], *a = NULL, *b = NULL;
        const float *w = model_weights(before) + t->offset, *m = model_weights(after) + t->offset;
        size_t stem = strlen(t->name) - strlen(".weight");
        for (size_t k = 0; k < model_tensor_count(low); k++) {
            const ModelTensor *own = &model_tensors(low)[k];
            if (strncmp(own->name + strlen("base_model.model."), t->name, stem) != 0) continue;
            *(strstr(own->name, "lora_A") != NULL ? &a : &b) = own;
        }
        if (a == NULL) assert_memory_equal(w, m, t->elements * sizeof *w);
        changed += a != NULL;
        for (size_t e = 0; a != NULL && e < t->elements; e++) {
            double sum = 0, size = fabs((double)w[e]);
            for (size_t k = 0; k < settings.r; k++) {
                double product = peft_adapter_scale(&settings) *
                                 (double)model_weights(low)[b->offset + e / t->shape[1] * settings.r + k] *
                                 (double)model_weights(low)[a->offset + k * t->shape[1] + e % t->shape[1]];
                sum += product, size += fabs(product);
            }
            if (fabs((double)m[e] - ((double)w[e] + sum)) > 3e-7 * size) fail_msg("%s, element %zu", t->name, e);
            if (e == 0) assert_true(fabs((double)m[e] - (double)w[e] - 1.01 * sum) > 3e-7 * size); // planted
        }
    }
    assert_int_equal(changed, 4);
    model_free(before), model_free(after), model_free(low);
    char *words = file_join(merged, "tokenizer.json"), *peft = file_join(merged, "adapter_config.json");
    assert_true(file_exists(words) && !file_exists(peft));
    free(words), free(peft);
}

/* The merged model computes what the adapter computes. */
static void computes_the_same(void **state) {
    (void)state;
    Hash hash;
    Batch batch = {0};
    const int32_t ids[] = {5, 17, 300, 42, 8, 99, 1, 250};
    float logprob[2][8];
    size_t trunk;
    if (merge(base.path, DTYPE_F32, &hash) != 0) fail_msg("%s", error.message);
    assert_int_equal(batch_add_trunk(&batch, ids, 3, &trunk, &error), 0);
    assert_int_equal(batch_add_branch(&batch, trunk, ids, 8, &error), 0);
    assert_int_equal(batch_finish(&batch, &error), 0);
    Model *low = load(base.path, settings), *whole = load(merged, (LoraSettings){0});
    if (model_adapter_load(low, adapter, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(model_logprob(low, &batch, logprob[0], NULL, NULL, &error), 0);
    assert_int_equal(model_logprob(whole, &batch, logprob[1], NULL, NULL, &error), 0);
    for (int i = 0; i < 8; i++) assert_true(fabs((double)logprob[0][i] - (double)logprob[1][i]) < 2e-5);
    model_free(low), model_free(whole);
    batch_free(&batch);
}

static void rounds_once(void **state) {
    (void)state;
    Hash hash;
    if (merge(base.path, DTYPE_F32, &hash) != 0) fail_msg("%s", error.message);
    Model *exact = load(merged, (LoraSettings){0});
    if (merge(base.path, DTYPE_BF16, &hash) != 0) fail_msg("%s", error.message);
    Model *half = load(merged, (LoraSettings){0});
    for (size_t i = 0; i < model_weight_count(exact); i++)
        assert_true(model_weights(half)[i] == dtype_bf16_to_float(dtype_bf16_from_float(model_weights(exact)[i])));
    model_free(exact), model_free(half);
}

static void refuses(const char *from, ErrorCode code, const char *words) {
    Hash hash;
    file_remove_tree(merged, NULL);
    assert_int_equal(merge(from, DTYPE_F32, &hash), -1);
    if (error.code != code || strstr(error.message, words) == NULL) fail_msg("%d: %s", (int)error.code, error.message);
    char partial[112];
    snprintf(partial, sizeof partial, "%s.partial", merged);
    assert_false(file_exists(merged) || file_exists(partial));
}

static void refuses_what_does_not_belong(void **state) {
    (void)state;
    Error ignored;
    refuses("/tmp/dice-is-not-there", ERROR_IO, "dice-is-not-there");
    LoraSettings more = settings;
    more.targets = PEFT_ALL_LINEAR;
    assert_int_equal(peft_adapter_write_config(adapter, &more, "b", &ignored), 0);
    refuses(base.path, ERROR_INPUT, "4 of the 14 linear layers");
    more.r = 4, more.targets = settings.targets;
    assert_int_equal(peft_adapter_write_config(adapter, &more, "b", &ignored), 0);
    refuses(base.path, ERROR_INPUT, "was expected: the adapter belongs to");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(adds_the_product), TEST(computes_the_same), TEST(rounds_once),
                                       TEST(refuses_what_does_not_belong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
