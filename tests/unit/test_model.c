#include "base/rng.h"
#include "formats/safetensors_writer.h"
#include "model/parameters.h"
#include "tiny_cases.h"

static KernelTable kernels;
static char directory[512];

static const char *const config =
    "{\"model_type\": \"%s\", \"hidden_size\": 16, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
    "\"num_key_value_heads\": 2, \"intermediate_size\": 24, \"vocab_size\": 40, \"max_position_embeddings\": 64, "
    "\"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": %s, \"pad_token_id\": 7%s}";

/* Writes a small random model into `directory`; `edit` may change its list of tensors before it is written. */
static void write_model(const char *family, bool tied, const char *more, size_t (*edit)(TensorSource *, size_t)) {
    char text[1024], *path = file_join(directory, "config.json");
    Error error = {0};
    HfConfig c;
    Parameters p;
    snprintf(text, sizeof text, config, family, tied ? "true" : "false", more);
    if (file_write(path, text, strlen(text), &error) != 0 || hf_config_read(&c, directory, &error) != 0 ||
        parameters_create(&p, &c, &error) != 0)
        fail_msg("%s", error.message);
    float *values = malloc(p.elements * sizeof *values);
    RngAddress address = {.seed = 1, .stream = RNG_TEST};
    for (size_t i = 0; i < p.elements; i++)
        values[i] = (float)(rng_normal(&address, (uint32_t)i) * 0.3 + (i < p.vectors));
    TensorSource source[64] = {0};
    for (size_t i = 0; i < p.tensors; i++) source[i] = model_tensor_source(&p.tensor[i], DTYPE_F32, values);
    size_t count = edit == NULL ? p.tensors : edit(source, p.tensors);
    if (safetensors_write(directory, source, count, 0, &error) != 0) fail_msg("%s", error.message);
    free(values), free(path);
    parameters_free(&p);
}

static Model *load(const char *from, DType compute, bool trainable) {
    Model *model = NULL;
    Error error = {0};
    ModelOptions options = {.kernels = &kernels, .compute = compute, .trainable = trainable};
    if (model_load(&model, from, &options, &error) != 0) fail_msg("%s", error.message);
    return model;
}

/* One name for the weights, whatever the compute type, trainable or not, saved and read again; another for others. */
static void hash_names_the_values(void **state) {
    (void)state;
    write_model("qwen2", false, "", NULL);
    char *copy = file_join(directory, "copy"), *from = file_join(directory, "config.json"),
         *to = file_join(copy, "config.json");
    Hash hash[4], changed;
    Error error = {0};
    Model *model[4] = {load(directory, DTYPE_F32, false), load(directory, DTYPE_BF16, false),
                       load(directory, DTYPE_F32, true)};
    if (file_make_directory(copy, &error) != 0 || file_copy(from, to, &error) != 0 ||
        model_save(model[2], copy, DTYPE_F32, 4000, &error) != 0)
        fail_msg("%s", error.message);
    model[3] = load(copy, DTYPE_BF16, true);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(model_hash(model[i], &hash[i], &error), 0);
        assert_string_equal(hash[i].hex, hash[0].hex);
    }
    assert_null(model_weights(model[0]));
    assert_int_equal(model_save(model[0], copy, DTYPE_F32, 0, &error), -1);
    model_weights(model[2])[model_weight_count(model[2]) - 1] += 0.5f; // planted
    assert_int_equal(model_hash(model[2], &changed, &error), 0);
    assert_string_not_equal(changed.hex, hash[0].hex);
    model_weights(model[2])[0] = NAN;
    assert_int_equal(model_save(model[2], copy, DTYPE_F32, 0, &error), -1);
    assert_true(error.code == ERROR_NUMERIC && strstr(error.message, "model.norm.weight") != NULL);
    for (int i = 0; i < 4; i++) model_free(model[i]);
    free(copy), free(from), free(to);
}

static size_t drop_last(TensorSource *t, size_t n) {
    (void)t;
    return n - 1;
}
static size_t shorten(TensorSource *t, size_t n) {
    t[n - 1].shape[0]--;
    return n;
}
static size_t flatten(TensorSource *t, size_t n) {
    t[n - 1].rank = 1;
    return n;
}
static size_t add_bias(TensorSource *t, size_t n) {
    t[n] = t[0];
    t[n].name = "model.layers.0.self_attn.o_proj.bias";
    return n + 1;
}
static size_t spoil(TensorSource *t, size_t n) {
    ((float *)(uintptr_t)t[n - 3].values)[5] = INFINITY;
    return n;
}
/* What a model may carry without a place: the head beside a tied embedding, rotary tables of old checkpoints. */
static size_t add_harmless(TensorSource *t, size_t n) {
    t[n] = t[0], t[n + 1] = t[0];
    t[n].name = "lm_head.weight", t[n + 1].name = "model.layers.1.self_attn.rotary_emb.inv_freq";
    return n + 2;
}

static void refuses_broken_checkpoints(void **state) {
    (void)state;
    static const struct {
        size_t (*edit)(TensorSource *, size_t);
        ErrorCode code;
        const char *words;
    } cases[] = {{drop_last, ERROR_INPUT, "model.layers.1.mlp.down_proj.weight\" that config.json asks for is missing"},
                 {shorten, ERROR_INPUT, "has shape (15, 24), but config.json asks for (16, 24)"},
                 {flatten, ERROR_INPUT, "has shape (16), but config.json asks for (16, 24)"},
                 {add_bias, ERROR_UNSUPPORTED, "o_proj.bias\" has no place"},
                 {spoil, ERROR_NUMERIC, "gate_proj.weight\", element 5 is infinite"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int trainable = 0; trainable < 2; trainable++) {
            Model *model = NULL;
            Error error = {0};
            ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = trainable};
            write_model("llama", true, "", cases[i].edit);
            assert_int_equal(model_load(&model, directory, &options, &error), -1);
            if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL)
                fail_msg("case %zu: code %d, \"%s\"", i, error.code, error.message);
            assert_null(model);
        }
    write_model("llama", true, "", add_harmless);
    model_free(load(directory, DTYPE_F32, false));
}

static void refuses_broken_input(void **state) {
    (void)state;
    write_model("mistral", true, "", NULL);
    Model *model = load(directory, DTYPE_F32, true);
    int32_t ids[65] = {1, 2, 40};
    float logprob[64];
    Error error = {0};
    Batch batch = {0};
    size_t trunk;
    assert_int_equal(model_logprob(model, &batch, NULL, NULL, NULL, &error), 0); // nothing to do
    batch_add_trunk(&batch, ids, 2, &trunk, NULL), batch_add_branch(&batch, trunk, ids + 2, 1, NULL),
        batch_finish(&batch, NULL);
    assert_int_equal(model_logprob(model, &batch, logprob, NULL, NULL, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "token 40 at position 2") != NULL);
    ids[2] = 0;
    batch_clear(&batch);
    batch_add_trunk(&batch, ids, 1, &trunk, NULL), batch_add_branch(&batch, trunk, ids + 1, 64, NULL),
        batch_finish(&batch, NULL);
    assert_int_equal(model_logprob(model, &batch, logprob, NULL, NULL, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "position 64") != NULL);
    batch_clear(&batch);
    batch_add_trunk(&batch, ids, 3, &trunk, NULL), batch_add_branch(&batch, trunk, ids, 2, NULL),
        batch_finish(&batch, NULL);
    model_weights(model)[model_tensors(model)[0].offset + 3] = NAN;
    assert_int_equal(model_pack(model, &error), 0);
    assert_int_equal(model_logprob(model, &batch, logprob, NULL, NULL, &error), -1);
    assert_true(error.code == ERROR_NUMERIC && strstr(error.message, "token 0 of response 0") != NULL);
    batch_free(&batch);
    model_free(model);
}

/* The padding token's row of the embedding gets no gradient as an input; as a token to be predicted it does. */
static void padding_row_has_no_input_gradient(void **state) {
    (void)state;
    write_model("llama", false, "", NULL);
    Model *model = load(directory, DTYPE_F32, true);
    Batch batch = {0};
    Activations *activations = NULL;
    float logprob[3], dlogprob[3] = {1, 1, 1};
    const int32_t ids[] = {7, 1, 2, 7, 3};
    size_t trunk;
    batch_add_trunk(&batch, ids, 2, &trunk, NULL), batch_add_branch(&batch, trunk, ids + 2, 3, NULL),
        batch_finish(&batch, NULL);
    assert_int_equal(model_forward(model, &batch, &activations, logprob, NULL, NULL), 0);
    assert_int_equal(model_backward(model, &batch, activations, dlogprob, NULL), 0);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const ModelTensor *t = &model_tensors(model)[i];
        if (strcmp(t->name, "model.embed_tokens.weight") == 0) {
            assert_true(kernels.sum_squares(16, model_gradients(model) + t->offset + 7 * 16) == 0);
            assert_true(kernels.sum_squares(16, model_gradients(model) + t->offset + 1 * 16) > 0);
        }
        if (strcmp(t->name, "lm_head.weight") == 0)
            assert_true(kernels.sum_squares(16, model_gradients(model) + t->offset + 7 * 16) > 0);
    }
    activations_free(activations);
    batch_free(&batch);
    model_free(model);
}

static void fill(Batch *batch, const RngAddress *a, uint32_t from, size_t length, size_t trunk, size_t *made) {
    int32_t ids[64];
    for (uint32_t i = 0; i < length; i++) ids[i] = (int32_t)rng_below(a, from + i, 40);
    if (made != NULL)
        batch_add_trunk(batch, ids, length, made, NULL);
    else
        batch_add_branch(batch, trunk, ids, length, NULL);
}

/* [MO-1] Each branch alone on its trunk, and all trunks and branches together, on 1 to 3 threads, in every family. */
static void company_changes_no_bit(void **state) {
    (void)state;
    RngAddress a = {.seed = test_seed(), .stream = RNG_TEST};
    static const struct {
        const char *family, *more;
    } cases[] = {{"llama", ""}, {"mistral", ", \"sliding_window\": 5"}, {"qwen2", ""}, {"qwen3", ", \"head_dim\": 6"}};
    for (uint32_t n = 0; n < 8; n++) {
        write_model(cases[n / 2].family, true, cases[n / 2].more, NULL);
        a.item = n;
        float together[3][512], alone[64];
        Batch batch = {0};
        for (uint32_t p = 0; p < 3; p++) {
            size_t trunk;
            fill(&batch, &a, 1000 * p, 1 + rng_below(&a, 9000 + p, 30), 0, &trunk);
            for (uint32_t b = 0; b < 4; b++)
                fill(&batch, &a, 1000 * p + 100 * (b + 1), 1 + rng_below(&a, 9100 + 4 * p + b, 30), trunk, NULL);
        }
        batch_finish(&batch, NULL);
        for (int threads = 1; threads <= 3; threads++) {
            kernels.threads = threads;
            Model *model = load(directory, n % 2 == 0 ? DTYPE_F32 : DTYPE_BF16, false);
            assert_int_equal(model_logprob(model, &batch, together[threads - 1], NULL, NULL, NULL), 0);
            assert_memory_equal(together[threads - 1], together[0], batch.targets * sizeof(float));
            for (size_t b = 0; threads == 2 && b < batch.branches; b++) {
                const AttentionSegment *own = &batch.segment[batch.branch[b].segment],
                                       *parent = &batch.segment[own->parent];
                Batch pair = {0};
                size_t trunk;
                batch_add_trunk(&pair, batch.token + parent->query_row, parent->query_length, &trunk, NULL);
                batch_add_branch(&pair, trunk, batch.token + own->query_row, own->query_length, NULL);
                batch_finish(&pair, NULL);
                assert_int_equal(model_logprob(model, &pair, alone, NULL, NULL, NULL), 0);
                assert_memory_equal(alone, together[0] + batch.branch[b].first_target,
                                    own->query_length * sizeof(float));
                batch_free(&pair);
            }
            model_free(model);
        }
        kernels.threads = 2;
        batch_free(&batch);
    }
}

/* Plans tell what is used. */
static void plans_are_kept(void **state) {
    (void)state;
    HfConfig c;
    write_model("qwen3", true, "", NULL);
    assert_int_equal(hf_config_read(&c, directory, NULL), 0);
    ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32};
    size_t inference = model_bytes(&c, &options), scoring = activations_bytes(&c, &options, 60, 40);
    options.trainable = true;
    size_t trainable = model_bytes(&c, &options), both = activations_bytes(&c, &options, 60, 40);
    options.checkpoint_activations = true;
    size_t checkpointed = activations_bytes(&c, &options, 60, 40);
    assert_true(inference < trainable && scoring < checkpointed && checkpointed < both);
    assert_true(activations_bytes(&c, &options, 120, 80) > checkpointed);
    assert_true(model_decode_bytes(&c, &options, 60, 40) > 0);
    c.layers = SIZE_MAX / 1024;
    assert_int_equal(model_kv_bytes(&c, &options, SIZE_MAX), SIZE_MAX);
}

static int set_up(void **state) {
    (void)state;
    const char *build = getenv("DICE_BUILD");
    snprintf(directory, sizeof directory, "%s/tests/model.tmp", build != NULL ? build : "build");
    return kernel_table_create(&kernels, 2, NULL) != 0 || file_make_directory(directory, NULL) != 0;
}

static int tear_down(void **state) {
    (void)state;
    return file_remove_tree(directory, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_names_the_values),  cmocka_unit_test(refuses_broken_checkpoints),
        cmocka_unit_test(refuses_broken_input),   cmocka_unit_test(padding_row_has_no_input_gradient),
        cmocka_unit_test(company_changes_no_bit), cmocka_unit_test(plans_are_kept)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
