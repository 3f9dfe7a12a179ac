#include "base/rng.h"
#include "formats/hf_config.h"
#include "test.h"

#include <string.h>

#define BASE                                                                                                           \
    "\"hidden_size\": 64, \"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"intermediate_size\": 150, "          \
    "\"vocab_size\": 331"

static int parse(HfConfig *c, const char *text, const char *generation, Error *error) {
    return hf_config_parse(c, text, strlen(text), generation, generation == NULL ? 0 : strlen(generation),
                           "config.json", error);
}

static void parse_ok(HfConfig *c, const char *text, const char *generation) {
    Error error = {0};
    if (parse(c, text, generation, &error) != 0) fail_msg("%s: %s", text, error.message);
}

/* [HC-1] What transformers 5 assumes for each family. */
static void has_the_defaults_of_the_family(void **state) {
    (void)state;
    HfConfig c;
    parse_ok(&c, "{\"model_type\": \"llama\", " BASE "}", NULL);
    assert_int_equal(c.family, FAMILY_LLAMA);
    assert_true(c.layers == 3 && c.channels == 64 && c.heads == 4 && c.kv_heads == 4 && c.head_dim == 16);
    assert_true(c.feed_forward == 150 && c.vocabulary == 331 && c.max_positions == 2048 && c.window == 0);
    assert_true(c.norm_eps == 1e-6 && c.rope[0].theta == 10000 && c.rope[0].scaling == HF_ROPE_PLAIN);
    assert_true(!c.tied_head && !c.qkv_bias && !c.qk_norm && c.dtype == DTYPE_F32);
    assert_true(c.bos_token == 1 && c.pad_token == -1 && c.eos_count == 1 && c.eos_token[0] == 2);
    parse_ok(&c, "{\"model_type\": \"mistral\", \"num_key_value_heads\": 2, " BASE "}", NULL);
    assert_true(c.family == FAMILY_MISTRAL && c.window == 4096 && c.max_positions == 131072 && c.kv_heads == 2);
    parse_ok(&c, "{\"model_type\": \"qwen2\", \"num_key_value_heads\": null, " BASE "}", NULL);
    assert_true(c.family == FAMILY_QWEN2 && c.window == 0 && c.qkv_bias && c.kv_heads == 4);
    assert_true(c.bos_token == -1 && c.eos_count == 0 && c.max_positions == 32768);
    parse_ok(&c, "{\"model_type\": \"qwen3\", \"num_key_value_heads\": 2, " BASE "}", NULL);
    assert_true(c.family == FAMILY_QWEN3 && c.qk_norm && !c.qkv_bias && c.head_dim == 128);
}

static void reads_both_rope_styles(void **state) {
    (void)state;
    HfConfig c;
    parse_ok(&c,
             "{\"model_type\": \"llama\", \"rope_theta\": 5e5, \"rope_scaling\": {\"type\": \"linear\", \"factor\": "
             "4}, " BASE "}",
             NULL);
    assert_true(c.rope[0].theta == 5e5 && c.rope[0].scaling == HF_ROPE_LINEAR && c.rope[0].factor == 4);
    parse_ok(&c,
             "{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
             "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192, "
             "\"rope_theta\": 500000.0}, \"dtype\": \"bfloat16\", " BASE "}",
             NULL);
    assert_true(c.rope[0].theta == 5e5 && c.rope[0].scaling == HF_ROPE_LLAMA3 && c.rope[0].factor == 8);
    assert_true(c.rope[0].low_frequency_factor == 1 && c.rope[0].high_frequency_factor == 4);
    assert_true(c.rope[0].original_positions == 8192 && c.dtype == DTYPE_BF16);
}

/* [HC-3] Layers that slide as a string of digits, first layer first. */
static void slides_by_the_rule_of_the_family(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t window;
        const char *slides;
    } cases[] = {
        {"\"model_type\": \"mistral\", \"sliding_window\": null", 0, "000"},
        {"\"model_type\": \"mistral\", \"sliding_window\": 8", 8, "111"},
        {"\"model_type\": \"mistral\", \"sliding_window\": 8, \"use_sliding_window\": false, \"max_window_layers\": 2",
         8, "111"},
        {"\"model_type\": \"llama\", \"sliding_window\": 8", 0, "000"},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 8", 0, "000"},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": false, \"max_window_layers\": 0", 0,
         "000"},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 0", 8,
         "111"},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 1", 8,
         "011"},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 3", 0,
         "000"},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": true", 0, "000"},
        {"\"model_type\": \"qwen3\", \"sliding_window\": null, \"use_sliding_window\": true, \"max_window_layers\": 0",
         0, "000"},
        {"\"model_type\": \"qwen3\", \"sliding_window\": 9, \"use_sliding_window\": true, \"max_window_layers\": 0, "
         "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\"]",
         9, "101"},
        {"\"model_type\": \"gemma3_text\"", 4096, "111"},
        {"\"model_type\": \"gemma3_text\", \"sliding_window\": 5, \"sliding_window_pattern\": 2", 5, "101"},
        {"\"model_type\": \"gemma3_text\", \"sliding_window\": 5, \"sliding_window_pattern\": 1", 0, "000"},
        {"\"model_type\": \"gemma3_text\", \"sliding_window\": 5, \"_sliding_window_pattern\": 2, \"layer_types\": "
         "[\"full_attention\", \"sliding_attention\", \"full_attention\"]",
         5, "010"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        HfConfig c;
        snprintf(text, sizeof text, "{%s, \"num_key_value_heads\": 2, " BASE "}", cases[i].text);
        parse_ok(&c, text, NULL);
        bool same = c.window == cases[i].window;
        for (size_t l = 0; l < 3; l++) same = same && hf_config_slides(&c, l) == (cases[i].slides[l] == '1');
        if (!same) fail_msg("%s: window %zu", cases[i].text, c.window);
    }
}

static void reads_what_gemma3_has(void **state) {
    (void)state;
    HfConfig c;
    parse_ok(&c, "{\"model_type\": \"gemma3_text\", " BASE "}", NULL);
    assert_true(c.family == FAMILY_GEMMA3 && c.kv_heads == 4 && c.head_dim == 256 && c.tied_head && c.ropes == 2);
    assert_true(c.qk_norm && c.sandwich_norms && c.norm_offset == 1 && c.activation == HF_GELU_TANH);
    assert_true(c.embedding_scale == 8 && c.attention_scale == 1. / 16 && !c.qkv_bias && !c.output_bias);
    assert_true(c.rope[0].theta == 1e6 && c.rope[1].theta == 1e4 && c.max_positions == 131072 && c.norm_eps == 1e-6);
    assert_true(c.bos_token == 2 && c.pad_token == 0 && c.eos_count == 1 && c.eos_token[0] == 1);
    assert_string_equal(hf_config_family(&c), "gemma3_text");
    parse_ok(&c,
             "{\"model_type\": \"gemma3_text\", \"query_pre_attn_scalar\": 100, \"attention_bias\": true, "
             "\"tie_word_embeddings\": false, \"hidden_act\": \"silu\", " BASE "}",
             NULL);
    assert_true(c.attention_scale == 0.1 && c.qkv_bias && c.output_bias && !c.tied_head);
    assert_int_equal(c.activation, HF_GELU_TANH); // its key is hidden_activation
    parse_ok(&c, "{\"model_type\": \"llama\", \"hidden_act\": \"gelu_pytorch_tanh\", " BASE "}", NULL);
    assert_true(c.activation == HF_GELU_TANH && c.attention_scale == 0.25 && c.embedding_scale == 1);
}

/* Which biases a switch means depends on the family. */
static void reads_biases(void **state) {
    (void)state;
    static const struct {
        const char *family;
        bool qkv, output, mlp;
    } cases[] = {{"llama", true, true, true},
                 {"mistral", false, false, false},
                 {"qwen2", true, false, false},
                 {"qwen3", true, true, false},
                 {"gemma3_text", true, true, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        HfConfig c;
        snprintf(
            text, sizeof text,
            "{\"model_type\": \"%s\", \"num_key_value_heads\": 2, \"attention_bias\": true, \"mlp_bias\": true, " BASE
            "}",
            cases[i].family);
        parse_ok(&c, text, NULL);
        assert_true(c.qkv_bias == cases[i].qkv && c.output_bias == cases[i].output && c.mlp_bias == cases[i].mlp);
    }
}

static void takes_the_end_tokens_of_generation_config(void **state) {
    (void)state;
    HfConfig c;
    const char *text =
        "{\"model_type\": \"llama\", \"eos_token_id\": 5, \"bos_token_id\": null, \"pad_token_id\": -1, " BASE "}";
    parse_ok(&c, text, NULL);
    assert_true(c.eos_count == 1 && c.eos_token[0] == 5 && c.bos_token == -1 && c.pad_token == -1);
    parse_ok(&c, text, "{\"eos_token_id\": [7, 300]}");
    assert_true(c.eos_count == 2 && c.eos_token[0] == 7 && c.eos_token[1] == 300);
    parse_ok(&c, text, "{\"eos_token_id\": null, \"bos_token_id\": 1}");
    assert_true(c.eos_count == 1 && c.eos_token[0] == 5);
    parse_ok(&c, "{\"model_type\": \"llama\", \"eos_token_id\": null, " BASE "}", NULL);
    assert_int_equal(c.eos_count, 0);
}

/* Each is refused with its code and a message that names the file and has the expected words. */
static void refuses_with_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *text; // members that come before a complete base, so that they win or add
        ErrorCode code;
        const char *words;
    } cases[] = {
        {"\"model_type\": \"gemma2\"", ERROR_UNSUPPORTED, "supported are llama, mistral, qwen2, qwen3, gemma3_text"},
        {"\"model_type\": \"gemma3\"", ERROR_UNSUPPORTED, "sees images"},
        {"\"model_type\": \"gemma3_text\", \"attn_logit_softcapping\": 50.0", ERROR_UNSUPPORTED,
         "\"attn_logit_softcapping\" is not supported"},
        {"\"model_type\": \"gemma3_text\", \"final_logit_softcapping\": 30.0", ERROR_UNSUPPORTED,
         "\"final_logit_softcapping\" is not supported"},
        {"\"model_type\": \"gemma3_text\", \"use_bidirectional_attention\": true", ERROR_UNSUPPORTED, "causal"},
        {"\"model_type\": \"gemma3_text\", \"query_pre_attn_scalar\": 0", ERROR_INPUT, "number > 0"},
        {"\"model_type\": \"gemma3_text\", \"sliding_window\": null", ERROR_INPUT, "layers slide"},
        {"\"model_type\": \"gemma3_text\", \"sliding_window_pattern\": 0", ERROR_INPUT, "outside 1"},
        {"\"model_type\": 7", ERROR_INPUT, "\"model_type\" is a whole number where a string"},
        {"\"a\": 1", ERROR_INPUT, "\"model_type\" is missing"},
        {"\"model_type\": \"llama\", \"num_key_value_heads\": 3", ERROR_INPUT,
         "not a multiple of num_key_value_heads 3"},
        {"\"model_type\": \"llama\", \"num_key_value_heads\": 0", ERROR_INPUT, "outside 1"},
        {"\"model_type\": \"llama\", \"num_key_value_heads\": 2.5", ERROR_INPUT, "where a whole number was expected"},
        {"\"model_type\": \"llama\", \"num_key_value_heads\": \"2\"", ERROR_INPUT, "is a string where a whole number"},
        {"\"model_type\": \"llama\", \"head_dim\": 15", ERROR_INPUT, "head_dim 15 is odd"},
        {"\"model_type\": \"llama\", \"head_dim\": 9999999", ERROR_INPUT, "outside 1"},
        {"\"model_type\": \"llama\", \"max_position_embeddings\": -1", ERROR_INPUT, "outside 1"},
        {"\"model_type\": \"llama\", \"rms_norm_eps\": 0", ERROR_INPUT, "\"rms_norm_eps\" is 0 where a number > 0"},
        {"\"model_type\": \"llama\", \"rms_norm_eps\": \"x\"", ERROR_INPUT, "is a string where a number"},
        {"\"model_type\": \"llama\", \"rope_theta\": 0.5", ERROR_INPUT, "number >= 1 was expected"},
        {"\"model_type\": \"llama\", \"rope_scaling\": 3", ERROR_INPUT,
         "\"rope_scaling\" is a whole number where an object"},
        {"\"model_type\": \"llama\", \"rope_scaling\": {\"factor\": 2}", ERROR_INPUT,
         "neither \"rope_type\" nor \"type\""},
        {"\"model_type\": \"llama\", \"rope_scaling\": {\"type\": 1}", ERROR_INPUT, "\"rope_type\" is a whole number"},
        {"\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\"}", ERROR_INPUT, "\"factor\" is missing"},
        {"\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}", ERROR_INPUT,
         "\"factor\" is 0.5"},
        {"\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}", ERROR_UNSUPPORTED,
         "\"dynamic\" is not supported; supported are default, linear, llama3, yarn"},
        {"\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": "
         "4, "
         "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 32}",
         ERROR_INPUT, "must be greater than low_freq_factor"},
        {"\"model_type\": \"llama\", \"rope_parameters\": {\"rope_theta\": 1e4, \"partial_rotary_factor\": 0.5}",
         ERROR_UNSUPPORTED, "only 1 is supported"},
        {"\"model_type\": \"llama\", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e4}}",
         ERROR_UNSUPPORTED, "kinds of layers"},
        {"\"model_type\": \"llama\", \"hidden_act\": \"gelu\"", ERROR_UNSUPPORTED,
         "supported are silu and gelu_pytorch_tanh"},
        {"\"model_type\": \"llama\", \"hidden_act\": 1", ERROR_INPUT, "\"hidden_act\" is a whole number"},
        {"\"model_type\": \"llama\", \"mlp_bias\": \"yes\"", ERROR_INPUT, "where true or false"},
        {"\"model_type\": \"llama\", \"attention_bias\": 1", ERROR_INPUT, "where true or false"},
        {"\"model_type\": \"llama\", \"tie_word_embeddings\": \"no\"", ERROR_INPUT, "where true or false"},
        {"\"model_type\": \"llama\", \"quantization_config\": {}", ERROR_UNSUPPORTED, "GGUF"},
        {"\"model_type\": \"llama\", \"torch_dtype\": \"float64\"", ERROR_UNSUPPORTED, "float32, bfloat16, float16"},
        {"\"model_type\": \"llama\", \"dtype\": 4", ERROR_INPUT, "\"dtype\" is a whole number"},
        {"\"model_type\": \"llama\", \"bos_token_id\": 331", ERROR_INPUT, "outside 0 .. 330"},
        {"\"model_type\": \"llama\", \"eos_token_id\": [1, 331]", ERROR_INPUT, "vocab_size - 1 = 330"},
        {"\"model_type\": \"llama\", \"eos_token_id\": \"</s>\"", ERROR_INPUT, "one id or a list of ids"},
        {"\"model_type\": \"llama\", \"eos_token_id\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", ERROR_INPUT,
         "17 ids, at most 16"},
        {"\"model_type\": \"mistral\", \"num_key_value_heads\": 2, \"sliding_window\": 0", ERROR_INPUT, "outside 1"},
        {"\"model_type\": \"mistral\"", ERROR_INPUT, "num_key_value_heads 8"},
        {"\"model_type\": \"qwen3\", \"num_key_value_heads\": 2, \"layer_types\": [\"full_attention\"]", ERROR_INPUT,
         "3 strings"},
        {"\"model_type\": \"qwen3\", \"num_key_value_heads\": 2, \"layer_types\": [1, 2, 3]", ERROR_INPUT,
         "layer_types[0]"},
        {"\"model_type\": \"qwen3\", \"num_key_value_heads\": 2, \"layer_types\": [\"linear\", \"\", \"\"]",
         ERROR_UNSUPPORTED, "layer_types[0] is \"linear\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        Error error = {0};
        HfConfig c;
        snprintf(text, sizeof text, "{%s, " BASE "}", cases[i].text);
        assert_int_equal(parse(&c, text, NULL, &error), -1);
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL ||
            strstr(error.message, "config.json") != error.message)
            fail_msg("case %zu: code %d, \"%s\"", i, error.code, error.message);
    }
}

static void refuses_incomplete_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *generation, *words;
    } cases[] = {
        {"{", NULL, "config.json:1:"},
        {"[]", NULL, "an array where an object"},
        {"{\"model_type\": \"llama\"}", NULL, "\"num_hidden_layers\" is missing"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": null}", NULL, "\"num_hidden_layers\" is missing"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"hidden_size\": 10, \"num_attention_heads\": 3, "
         "\"intermediate_size\": 9, \"vocab_size\": 9}",
         NULL, "hidden_size 10 is not a multiple of num_attention_heads 3"},
        {"{\"model_type\": \"llama\", " BASE "}", "3", "generation_config: is a whole number"},
        {"{\"model_type\": \"llama\", " BASE "}", "{\"eos_token_id\": -1}", "generation_config: \"eos_token_id\""},
        {"{\"model_type\": \"llama\", " BASE "}", "{,}", "generation_config:1:"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        HfConfig c = {.layers = 77};
        assert_int_equal(parse(&c, cases[i].text, cases[i].generation, &error), -1);
        if (error.code != ERROR_INPUT || strstr(error.message, cases[i].words) == NULL)
            fail_msg("case %zu: \"%s\"", i, error.message);
        assert_int_equal(c.layers, 77); // untouched
    }
    Error error = {0};
    HfConfig c;
    assert_int_equal(hf_config_read(&c, "there is no such directory", &error), -1);
    assert_int_equal(error.code, ERROR_IO);
}

/* [HC-2] The tiny oracles: config.json and config_alt.json are the same model. */
static void equals_in_both_styles(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ModelFamily family;
        size_t heads, kv_heads, head_dim, window;
        bool tied;
    } models[] = {
        {"llama_tied", FAMILY_LLAMA, 4, 2, 16, 0, true},     {"llama_rope3", FAMILY_LLAMA, 6, 2, 24, 0, false},
        {"mistral_swa", FAMILY_MISTRAL, 4, 2, 16, 8, false}, {"qwen2_tied", FAMILY_QWEN2, 4, 2, 14, 0, true},
        {"qwen3_hd", FAMILY_QWEN3, 4, 2, 20, 0, false},      {"gemma3_text", FAMILY_GEMMA3, 4, 2, 18, 8, true}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char name[128], path[512], alt[1024];
        snprintf(name, sizeof name, "oracle/tiny/%s/model", models[i].name);
        if (test_shared(name, path, sizeof path) == NULL) skip();
        snprintf(name, sizeof name, "oracle/tiny/%s/config_alt.json", models[i].name);
        if (test_shared(name, alt, sizeof alt) == NULL) skip();
        HfConfig a, b;
        Error error = {0};
        if (hf_config_read(&a, path, &error) != 0) fail_msg("%s", error.message);
        assert_true(a.family == models[i].family && a.heads == models[i].heads && a.kv_heads == models[i].kv_heads);
        assert_true(a.head_dim == models[i].head_dim && a.window == models[i].window && a.tied_head == models[i].tied);
        char text[4096], generation[4096];
        FILE *f = fopen(alt, "rb");
        size_t n = fread(text, 1, sizeof text, f);
        fclose(f);
        snprintf(alt, sizeof alt, "%s/generation_config.json", path);
        f = fopen(alt, "rb");
        size_t m = fread(generation, 1, sizeof generation, f);
        fclose(f);
        if (hf_config_parse(&b, text, n, generation, m, "config_alt.json", &error) != 0) fail_msg("%s", error.message);
        assert_int_equal(a.eos_count, b.eos_count);
        assert_true(a.rope[0].theta == b.rope[0].theta && a.norm_eps == b.norm_eps &&
                    a.rope[0].scaling == b.rope[0].scaling);
        assert_true(a.channels == b.channels && a.layers == b.layers && a.kv_heads == b.kv_heads &&
                    a.window == b.window);
        assert_true(a.head_dim == b.head_dim && a.tied_head == b.tied_head && a.feed_forward == b.feed_forward);
        assert_true(a.vocabulary == b.vocabulary && a.max_positions == b.max_positions && a.dtype == b.dtype);
        assert_true(a.rope[0].factor == b.rope[0].factor &&
                    a.rope[0].original_positions == b.rope[0].original_positions);
        assert_true(a.bos_token == b.bos_token && a.eos_token[0] == b.eos_token[0] && a.eos_token[1] == b.eos_token[1]);
        assert_memory_equal(a.sliding, b.sliding, sizeof a.sliding);
        assert_true(a.ropes == b.ropes && a.rope[1].theta == b.rope[1].theta && a.attention_scale == b.attention_scale);
        a.rope[0].theta += 1; // the comparison can fail
        assert_false(a.rope[0].theta == b.rope[0].theta);
    }
}

/* Bytes of a good text changed at random: never a crash, and what is accepted is consistent. */
static void survives_random_changes(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    const char *good =
        "{\"model_type\": \"qwen2\", \"num_key_value_heads\": 2, \"head_dim\": 16, \"rope_theta\": 10000.0, "
        "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}, \"sliding_window\": 8, \"eos_token_id\": [1, "
        "2], " BASE "}";
    size_t accepted = 0, n = strlen(good);
    for (uint32_t i = 0; i < 20000; i++) {
        char text[512];
        memcpy(text, good, n);
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        for (uint32_t k = 0; k < 1 + i % 3; k++)
            text[rng_below(&a, 2 * k, n)] =
                (i & 1) ? (char)('0' + rng_below(&a, 2 * k + 1, 10)) : (char)rng_below(&a, 2 * k + 1, 256);
        HfConfig c;
        Error error = {0};
        if (hf_config_parse(&c, text, n, NULL, 0, "x", &error) != 0) {
            assert_true(error.code != ERROR_NONE);
            continue;
        }
        accepted++;
        assert_true(c.layers >= 1 && c.kv_heads >= 1 && c.heads % c.kv_heads == 0 && c.head_dim >= 2 &&
                    c.head_dim % 2 == 0);
        assert_true(c.norm_eps > 0 && c.rope[0].theta >= 1 && c.eos_count <= HF_EOS_MAX && c.vocabulary >= 1);
        for (size_t k = 0; k < c.eos_count; k++)
            assert_true(c.eos_token[k] >= 0 && (size_t)c.eos_token[k] < c.vocabulary);
    }
    assert_true(accepted > 0 && accepted < 20000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(has_the_defaults_of_the_family),
                                       cmocka_unit_test(reads_both_rope_styles),
                                       cmocka_unit_test(slides_by_the_rule_of_the_family),
                                       cmocka_unit_test(reads_what_gemma3_has),
                                       cmocka_unit_test(reads_biases),
                                       cmocka_unit_test(takes_the_end_tokens_of_generation_config),
                                       cmocka_unit_test(refuses_with_a_reason),
                                       cmocka_unit_test(refuses_incomplete_files),
                                       cmocka_unit_test(equals_in_both_styles),
                                       cmocka_unit_test(survives_random_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
