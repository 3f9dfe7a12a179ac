#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "formats/gguf_config.h"
#include "formats/gguf_import.h"
#include "formats/safetensors.h"
#include "gguf_build.h"
#include "json_torture.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

enum { C = 12, H = 3, HKV = 1, D = 8, F = 10, V = 7, L = 2, LARGEST = H * D * C };
static char directory[64], gguf_path[96], target[96];

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-test-XXXXXX");
    if (mkdtemp(directory) == NULL) return -1;
    snprintf(gguf_path, sizeof gguf_path, "%s/m.gguf", directory);
    snprintf(target, sizeof target, "%s/hf", directory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return file_remove_tree(directory, NULL);
}

/* The values of a tensor of the checkpoint: random, but the same each time. */
static void values_of(const char *hf_name, size_t count, float *out) {
    uint32_t item = 0;
    for (const char *p = hf_name; *p != 0; p++) item = item * 31 + (unsigned char)*p;
    RngAddress a = {.seed = 5, .stream = RNG_TEST, .item = item};
    bool coarse = strstr(hf_name, "norm.weight") != NULL; // so that adding 1 rounds nothing
    for (size_t i = 0; i < count; i++) {
        double value = rng_normal(&a, (uint32_t)i);
        out[i] = (float)(coarse ? rint(256 * value) / 256 : value);
    }
}

/* Adds a tensor, with offset added to all of it. heads > 0: rows as llama.cpp's conversion orders them, which is
 * reshape(heads, 2, D/2) with the last two swapped. */
static void add(GgufBuild *b, const char *gguf_name, const char *hf_name, size_t rows, size_t columns, size_t heads,
                float offset) {
    float values[LARGEST], stored[LARGEST];
    size_t n = (rows == 0 ? 1 : rows) * columns;
    values_of(hf_name, n, values);
    memcpy(stored, values, n * sizeof(float));
    for (size_t h = 0; h < heads; h++)
        for (size_t s = 0; s < 2; s++)
            for (size_t i = 0; i < D / 2; i++)
                memcpy(stored + (h * D + i * 2 + s) * columns, values + (h * D + s * (D / 2) + i) * columns,
                       columns * sizeof(float));
    for (size_t i = 0; i < n; i++) stored[i] += offset;
    gguf_build_tensor(b, gguf_name, GGUF_F32, columns, rows, stored, n * sizeof(float));
}

static void add_metadata(GgufBuild *b, const char *arch) {
    const char *const tokens[] = {"a", "b", "ab", "c", "d", "<s>", "</s>"}, *const merges[] = {"a b"};
    const int32_t types[] = {1, 1, 1, 1, 1, 3, 3};
    static const struct {
        const char *name;
        uint32_t value;
    } sizes[] = {{"block_count", L},          {"context_length", 64},       {"embedding_length", C},
                 {"feed_forward_length", F},  {"attention.head_count", H},  {"attention.head_count_kv", HKV},
                 {"attention.key_length", D}, {"attention.value_length", D}};
    char key[64];
    gguf_build_string(b, "general.architecture", arch);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, sizes[i].name);
        gguf_build_integer(b, key, sizes[i].value);
    }
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    gguf_build_float(b, key, 500000);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    gguf_build_float(b, key, 1e-6f);
    gguf_build_string(b, "tokenizer.ggml.model", "gpt2");
    gguf_build_string(b, "tokenizer.ggml.pre", "gpt-2");
    gguf_build_strings(b, "tokenizer.ggml.tokens", tokens, 7);
    gguf_build_strings(b, "tokenizer.ggml.merges", merges, 1);
    gguf_build_numbers(b, "tokenizer.ggml.token_type", 5, types, 7);
    gguf_build_integer(b, "tokenizer.ggml.bos_token_id", 5);
    gguf_build_integer(b, "tokenizer.ggml.eos_token_id", 6);
}

/* A whole model; `without`: a tensor to leave out. */
static void add_model(GgufBuild *b, const char *arch, bool tied, const char *without) {
    bool llama = strcmp(arch, "llama") == 0, gemma3 = strcmp(arch, "gemma3") == 0;
    static const struct {
        const char *gguf, *hf;
        size_t rows, columns, heads;
        const char *only;
    } inner[] = {{"attn_norm.weight", "input_layernorm.weight", 0, C, 0, ""},
                 {"attn_q.weight", "self_attn.q_proj.weight", H * D, C, H, ""},
                 {"attn_k.weight", "self_attn.k_proj.weight", HKV * D, C, HKV, ""},
                 {"attn_v.weight", "self_attn.v_proj.weight", HKV * D, C, 0, ""},
                 {"attn_q.bias", "self_attn.q_proj.bias", 0, H * D, 0, "qwen2"},
                 {"attn_k.bias", "self_attn.k_proj.bias", 0, HKV * D, 0, "qwen2"},
                 {"attn_v.bias", "self_attn.v_proj.bias", 0, HKV * D, 0, "qwen2"},
                 {"attn_q_norm.weight", "self_attn.q_norm.weight", 0, D, 0, "qwen3 gemma3"},
                 {"attn_k_norm.weight", "self_attn.k_norm.weight", 0, D, 0, "qwen3 gemma3"},
                 {"attn_output.weight", "self_attn.o_proj.weight", C, H * D, 0, ""},
                 {"post_attention_norm.weight", "post_attention_layernorm.weight", 0, C, 0, "gemma3"},
                 {"ffn_norm.weight", "post_attention_layernorm.weight", 0, C, 0, "llama qwen2 qwen3"},
                 {"ffn_norm.weight", "pre_feedforward_layernorm.weight", 0, C, 0, "gemma3"},
                 {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", 0, C, 0, "gemma3"},
                 {"ffn_gate.weight", "mlp.gate_proj.weight", F, C, 0, ""},
                 {"ffn_up.weight", "mlp.up_proj.weight", F, C, 0, ""},
                 {"ffn_down.weight", "mlp.down_proj.weight", C, F, 0, ""}};
    add_metadata(b, arch);
    add(b, "token_embd.weight", "model.embed_tokens.weight", V, C, 0, 0);
    add(b, "output_norm.weight", "model.norm.weight", 0, C, 0, gemma3);
    if (!tied) add(b, "output.weight", "lm_head.weight", V, C, 0, 0);
    for (size_t l = 0; l < L; l++)
        for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
            char gguf_name[64], hf_name[96];
            snprintf(gguf_name, sizeof gguf_name, "blk.%zu.%s", l, inner[i].gguf);
            snprintf(hf_name, sizeof hf_name, "model.layers.%zu.%s", l, inner[i].hf);
            if (*inner[i].only != 0 && strstr(inner[i].only, arch) == NULL) continue;
            if (strcmp(gguf_name, without) != 0)
                add(b, gguf_name, hf_name, inner[i].rows, inner[i].columns, llama ? inner[i].heads : 0,
                    gemma3 && strstr(hf_name, "norm.weight") != NULL);
        }
}

static int import(GgufBuild *b, DType dtype, Error *error) {
    Buffer file = gguf_build_finish(b);
    assert_int_equal(file_write(gguf_path, file.data, file.size, error), 0);
    buffer_free(&file);
    return gguf_import(gguf_path, target, dtype, NULL, error);
}

static void expect_values(DType dtype, size_t tensors) {
    Checkpoint *c = NULL;
    Error error = {0};
    if (checkpoint_open(&c, target, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(checkpoint_count(c), tensors);
    for (size_t i = 0; i < tensors; i++) {
        const TensorView *t = checkpoint_at(c, i);
        float want[LARGEST], found[LARGEST];
        values_of(t->name, t->elements, want);
        if (dtype == DTYPE_BF16)
            for (size_t k = 0; k < t->elements; k++) want[k] = dtype_bf16_to_float(dtype_bf16_from_float(want[k]));
        assert_int_equal(tensor_read_f32(t, 0, t->elements, found, &error), 0);
        if (memcmp(found, want, t->elements * sizeof(float)) != 0) fail_msg("%s differs", t->name);
        want[0] += 1; // the comparison can fail
        assert_memory_not_equal(found, want, t->elements * sizeof(float));
    }
    checkpoint_close(c);
}

/* [GI-1] [GI-2] */
static void imports_each_architecture(void **state) {
    (void)state;
    static const struct {
        const char *arch;
        ModelFamily family;
        bool tied;
        DType dtype;
        size_t tensors;
    } cases[] = {{"llama", FAMILY_LLAMA, true, DTYPE_F32, 2 + 9 * L},
                 {"llama", FAMILY_LLAMA, false, DTYPE_BF16, 3 + 9 * L},
                 {"qwen2", FAMILY_QWEN2, false, DTYPE_F32, 3 + 12 * L},
                 {"qwen3", FAMILY_QWEN3, true, DTYPE_F32, 2 + 11 * L}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufBuild b = {0};
        Error error = {0};
        HfConfig c;
        add_model(&b, cases[i].arch, cases[i].tied, "");
        if (import(&b, cases[i].dtype, &error) != 0) fail_msg("%s", error.message);
        expect_values(cases[i].dtype, cases[i].tensors);
        if (hf_config_read(&c, target, &error) != 0) fail_msg("%s", error.message);
        assert_true(c.family == cases[i].family && c.tied_head == cases[i].tied && c.dtype == cases[i].dtype);
        assert_true(c.layers == L && c.channels == C && c.heads == H && c.kv_heads == HKV && c.head_dim == D &&
                    c.feed_forward == F && c.vocabulary == V);
        assert_true(c.rope[0].theta == 500000 && c.norm_eps == 1e-6 && c.rope[0].scaling == HF_ROPE_PLAIN &&
                    c.max_positions == 64 && c.window == 0);
        assert_true(c.bos_token == 5 && c.eos_count == 1 && c.eos_token[0] == 6);
        assert_int_equal(file_remove_tree(target, &error), 0);
    }
}

static void keeps_windows_scalings_and_turn_ends(void **state) {
    (void)state;
    GgufBuild b = {0};
    Error error = {0};
    HfConfig c;
    add_model(&b, "llama", true, "");
    gguf_build_integer(&b, "llama.attention.sliding_window", 32);
    gguf_build_string(&b, "llama.rope.scaling.type", "linear");
    gguf_build_float(&b, "llama.rope.scaling.factor", 4);
    gguf_build_integer(&b, "tokenizer.ggml.eot_token_id", 3);
    if (import(&b, DTYPE_F32, &error) != 0 || hf_config_read(&c, target, &error) != 0) fail_msg("%s", error.message);
    assert_true(c.family == FAMILY_MISTRAL && c.window == 32 && c.rope[0].scaling == HF_ROPE_LINEAR &&
                c.rope[0].factor == 4);
    assert_true(c.eos_count == 2 && c.eos_token[1] == 3);
    expect_values(DTYPE_F32, 2 + 9 * L);
}

/* [GI-4] and what only Gemma 3 has in its config. */
static void imports_gemma3(void **state) {
    (void)state;
    for (int linear = 0; linear < 2; linear++) {
        GgufBuild b = {0};
        Error error = {0};
        HfConfig c;
        add_model(&b, "gemma3", true, "");
        gguf_build_integer(&b, "gemma3.attention.sliding_window", 16);
        if (linear) {
            gguf_build_string(&b, "gemma3.rope.scaling.type", "linear");
            gguf_build_float(&b, "gemma3.rope.scaling.factor", 8);
        }
        if (import(&b, DTYPE_F32, &error) != 0 || hf_config_read(&c, target, &error) != 0)
            fail_msg("%s", error.message);
        assert_true(c.family == FAMILY_GEMMA3 && c.window == 16 && hf_config_slides(&c, 0) && hf_config_slides(&c, 1));
        assert_true(c.rope[0].theta == 500000 && c.rope[1].theta == 10000 && c.tied_head);
        assert_true(c.rope[0].scaling == (linear ? HF_ROPE_LINEAR : HF_ROPE_PLAIN) &&
                    c.rope[1].scaling == HF_ROPE_PLAIN && c.rope[0].factor == (linear ? 8 : 0));
        assert_true(fabs(c.attention_scale - 1 / sqrt(D)) < 1e-15 && c.activation == HF_GELU_TANH);
        expect_values(DTYPE_F32, 2 + 13 * L);
        assert_int_equal(file_remove_tree(target, &error), 0);
    }
    GgufBuild b = {0};
    Error error = {0};
    add_model(&b, "gemma3", true, "");
    gguf_build_integer(&b, "gemma3.attention.sliding_window", 16);
    gguf_build_float(&b, "gemma3.final_logit_softcapping", 30);
    assert_int_equal(import(&b, DTYPE_F32, &error), -1);
    assert_true(error.code == ERROR_UNSUPPORTED && strstr(error.message, "final_logit_softcapping") != NULL);
}

/* [GC-1] The factors of Llama 3.2 (theta 500000, factor 32) for the four frequencies of a head of 8. */
static void recognises_the_scaling_of_llama_3(void **state) {
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        GgufBuild b = {0};
        Error error = {0};
        HfConfig c;
        float factors[D / 2] = {1, 1, 0, 32};
        double turns = 8192 / (2 * M_PI * pow(500000, 0.5)),
               smooth = (turns - 1) / 3; // of frequency 2: between the two ends
        factors[2] = (float)(1 / ((1 - smooth) / 32 + smooth)) * (wrong ? 1.01f : 1);
        add_model(&b, "llama", true, "");
        gguf_build_tensor(&b, "rope_freqs.weight", GGUF_F32, D / 2, 0, factors, sizeof factors);
        int result = import(&b, DTYPE_F32, &error);
        assert_int_equal(result, wrong ? -1 : 0);
        if (wrong) {
            assert_int_equal(error.code, ERROR_UNSUPPORTED);
            assert_non_null(strstr(error.message, "rope_freqs.weight[2]"));
            continue;
        }
        assert_int_equal(hf_config_read(&c, target, &error), 0);
        assert_true(c.rope[0].scaling == HF_ROPE_LLAMA3 && c.rope[0].factor == 32 &&
                    c.rope[0].low_frequency_factor == 1 && c.rope[0].high_frequency_factor == 4);
        assert_true(c.rope[0].original_positions == 8192);
        file_remove_tree(target, &error);
    }
}

static void says_when_memory_is_out(void **state) {
    (void)state;
    GgufBuild b = {0};
    Gguf *g = NULL;
    Error error = {0};
    HfConfig parsed;
    json_t *whole[2], *found[2];
    add_model(&b, "llama", true, "");
    gguf_build_integer(&b, "llama.attention.sliding_window", 32);
    gguf_build_float(&b, "llama.rope.scale_linear", 4);
    gguf_build_integer(&b, "tokenizer.ggml.eot_token_id", 3);
    Buffer file = gguf_build_finish(&b);
    assert_int_equal(gguf_from_memory(&g, file.data, file.size, "m.gguf", &error), 0);
    assert_int_equal(gguf_config_json(g, DTYPE_F32, &whole[0], &whole[1], &parsed, &error), 0);
    assert_true(parsed.rope[0].factor == 4);
    size_t failures = 0;
    for (int struck = 1; struck; failures++) {
        error = (Error){0};
        torture_begin(failures);
        int result = gguf_config_json(g, DTYPE_F32, &found[0], &found[1], &parsed, &error);
        struck = torture_end();
        if (result != 0) {
            assert_true(struck && error.code != ERROR_NONE);
            continue;
        }
        assert_true(json_equal(found[0], whole[0]) && json_equal(found[1], whole[1]));
        json_decref(found[0]);
        json_decref(found[1]);
    }
    assert_true(failures > 20);
    json_decref(whole[0]);
    json_decref(whole[1]);
    gguf_close(g);
    buffer_free(&file);
}

/* [GI-3] Each failure names its reason and leaves neither the directory nor a partial one. */
static void refuses_and_leaves_nothing(void **state) {
    (void)state;
    static const struct {
        const char *arch, *without, *extra, *words;
        ErrorCode code;
    } cases[] = {
        {"gemma2", "", "", "general.architecture \"gemma2\" is not supported; supported are llama", ERROR_UNSUPPORTED},
        {"llama", "blk.1.ffn_up.weight", "", "the tensor \"blk.1.ffn_up.weight\" is missing", ERROR_INPUT},
        {"llama", "", "blk.0.attn_q.bias", "the tensor \"blk.0.attn_q.bias\" has no place", ERROR_UNSUPPORTED},
        {"llama", "blk.0.ffn_up.weight", "blk.0.ffn_up.weight", "has the shape (1, 12) where (10, 12) was expected",
         ERROR_INPUT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufBuild b = {0};
        Error error = {0};
        char partial[128];
        add_model(&b, cases[i].arch, true, cases[i].without);
        if (*cases[i].extra != 0) add(&b, cases[i].extra, "x", 0, C, 0, 0);
        assert_int_equal(import(&b, DTYPE_F32, &error), -1);
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL)
            fail_msg("case %zu: \"%s\"", i, error.message);
        snprintf(partial, sizeof partial, "%s.partial", target);
        assert_false(file_exists(target) || file_exists(partial));
    }
    static const struct {
        const char *key;
        uint32_t value;
        const char *words;
    } keys[] = {{"llama.expert_count", 8, "has 8 experts a layer"},
                {"llama.rope.dimension_count", 4, "turns 4 of 8 channels"}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        GgufBuild b = {0};
        Error error = {0};
        add_model(&b, "llama", true, "");
        gguf_build_integer(&b, keys[i].key, keys[i].value);
        assert_int_equal(import(&b, DTYPE_F32, &error), -1);
        assert_int_equal(error.code, ERROR_UNSUPPORTED);
        assert_non_null(strstr(error.message, keys[i].words));
    }
}

static void never_overwrites(void **state) {
    (void)state;
    GgufBuild b = {0};
    Error error = {0};
    char file[128], slash[128];
    snprintf(file, sizeof file, "%s/precious", target);
    snprintf(slash, sizeof slash, "%s/", target);
    assert_int_equal(file_make_directory(target, &error), 0);
    add_model(&b, "llama", true, "");
    assert_int_equal(import(&b, DTYPE_F32, &error), 0); // an empty directory is replaced
    assert_int_equal(file_write(file, "x", 1, &error), 0);
    assert_int_equal(gguf_import(gguf_path, slash, DTYPE_F32, NULL, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_true(file_exists(file));
    assert_int_equal(gguf_import(gguf_path, "x", DTYPE_F16, NULL, &error), -1);
    assert_int_equal(error.code, ERROR_UNSUPPORTED);
}

/* A file size limit stands in for a full disk. */
static void a_full_disk_leaves_nothing(void **state) {
    (void)state;
    GgufBuild b = {0};
    Error error = {0};
    char partial[128];
    struct rlimit old, small;
    snprintf(partial, sizeof partial, "%s.partial", target);
    add_model(&b, "llama", true, "");
    Buffer file = gguf_build_finish(&b);
    assert_int_equal(file_write(gguf_path, file.data, file.size, &error), 0);
    buffer_free(&file);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 5000; // the documents fit, the weights do not
    setrlimit(RLIMIT_FSIZE, &small);
    int result = gguf_import(gguf_path, target, DTYPE_F32, NULL, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(result, -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_false(file_exists(target) || file_exists(partial));
}

/* A real model, where its tool has fetched it: its config, and that nothing is lost. */
static void import_real(const char *file, const char *tool, size_t tensors, HfConfig *c) {
    char path[512];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    snprintf(path, sizeof path, "%s%s/dice/%s",
             cache != NULL  ? cache
             : home != NULL ? home
                            : "",
             cache != NULL ? "" : "/.cache", file);
    if (!file_exists(path)) {
        printf("skipped: %s is not there; run %s\n", path, tool);
        skip();
    }
    Error error = {0};
    if (gguf_import(path, target, DTYPE_BF16, NULL, &error) != 0 || hf_config_read(c, target, &error) != 0)
        fail_msg("%s", error.message);
    Checkpoint *checkpoint = NULL;
    assert_int_equal(checkpoint_open(&checkpoint, target, &error), 0);
    assert_int_equal(checkpoint_count(checkpoint), tensors);
    checkpoint_close(checkpoint);
}

static void imports_smollm2(void **state) {
    (void)state;
    HfConfig c;
    import_real("SmolLM2-135M-Instruct.Q4_1.gguf", "tools/fetch_smollm2", 272, &c);
    assert_true(c.family == FAMILY_LLAMA && c.layers == 30 && c.channels == 576 && c.heads == 9 && c.kv_heads == 3 &&
                c.vocabulary == 49152 && c.tied_head);
    assert_true(c.rope[0].theta == 100000 && c.norm_eps == 1e-5 && c.eos_token[0] == 2);
}

static void imports_gemma3_270m(void **state) {
    (void)state;
    HfConfig c;
    import_real("gemma-3-270m-q4_k_m.gguf", "tools/fetch_gemma3", 236, &c);
    assert_true(c.family == FAMILY_GEMMA3 && c.layers == 18 && c.channels == 640 && c.heads == 4 && c.kv_heads == 1 &&
                c.head_dim == 256 && c.vocabulary == 262144 && c.tied_head);
    assert_true(c.rope[0].theta == 1e6 && c.rope[1].theta == 1e4 && c.norm_eps == 1e-6 && c.window == 512);
    for (size_t l = 0; l < 18; l++) assert_int_equal(hf_config_slides(&c, l), l % 6 != 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(imports_each_architecture, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_windows_scalings_and_turn_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(recognises_the_scaling_of_llama_3, setup, teardown),
        cmocka_unit_test(says_when_memory_is_out),
        cmocka_unit_test_setup_teardown(refuses_and_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(never_overwrites, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(imports_gemma3, setup, teardown),
        cmocka_unit_test_setup_teardown(imports_smollm2, setup, teardown),
        cmocka_unit_test_setup_teardown(imports_gemma3_270m, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
