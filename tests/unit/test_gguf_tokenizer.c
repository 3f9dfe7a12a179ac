#include "base/file.h"
#include "formats/gguf_tokenizer.h"
#include "gguf_build.h"
#include "json_torture.h"
#include "text/bpe_tokenizer.h"

static json_t *parse(const char *text) {
    Error error;
    json_t *value = json_parse(text, strlen(text), "text", 1, &error);
    if (value == NULL) fail_msg("%s in %s", error.message, text);
    return value;
}

static void expect_json(const json_t *found, const char *text) {
    json_t *want = parse(text);
    if (!json_equal(found, want)) {
        char *shown = json_dumps(found, JSON_ENCODE_ANY | JSON_SORT_KEYS);
        fail_msg("found %s", shown);
    }
    json_decref(want);
}

/* The document of a built file; NULL and the error where it is refused. */
static json_t *document_of(GgufBuild *b, Error *error) {
    Buffer file = gguf_build_finish(b);
    Gguf *g = NULL;
    json_t *document = NULL;
    if (gguf_from_memory(&g, file.data, file.size, "m.gguf", error) != 0) fail_msg("%s", error->message);
    if (gguf_tokenizer_json(g, &document, error) != 0) document = NULL;
    gguf_close(g);
    buffer_free(&file);
    return document;
}

static void byte_level(GgufBuild *b, const char *pre) {
    const char *const tokens[] = {"a", "b", "\u0120", "ab", "\u0120a", "<|end|>", "<user>"}, *const merges[] = {
                                                                                                 "a b", "\u0120 a"};
    const int32_t types[] = {1, 1, 1, 1, 1, 3, 4};
    gguf_build_string(b, "tokenizer.ggml.model", "gpt2");
    if (pre != NULL) gguf_build_string(b, "tokenizer.ggml.pre", pre);
    gguf_build_strings(b, "tokenizer.ggml.tokens", tokens, 7);
    gguf_build_strings(b, "tokenizer.ggml.merges", merges, 2);
    gguf_build_numbers(b, "tokenizer.ggml.token_type", 5, types, 7);
    gguf_build_integer(b, "tokenizer.ggml.bos_token_id", 5);
}

static void writes_byte_level_documents(void **state) { // [GT-2]
    (void)state;
    GgufBuild b = {0};
    Error error = {0};
    byte_level(&b, "smollm");
    json_t *d = document_of(&b, &error);
    if (d == NULL) fail_msg("%s", error.message);
    expect_json(
        d, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"normalizer\": null, \"post_processor\": "
           "null, \"added_tokens\": ["
           "{\"id\": 5, \"content\": \"<|end|>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
           "\"normalized\": false, \"special\": true}, "
           "{\"id\": 6, \"content\": \"<user>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
           "\"normalized\": false, \"special\": false}], "
           "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
           "\"individual_digits\": true}, "
           "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}]}, "
           "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": "
           "true}, "
           "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": "
           "null, \"end_of_word_suffix\": null, "
           "\"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": false, "
           "\"vocab\": {\"a\": 0, \"b\": 1, \"\u0120\": 2, \"ab\": 3, \"\u0120a\": 4, \"<|end|>\": 5, \"<user>\": 6}, "
           "\"merges\": [[\"a\", \"b\"], [\"\u0120\", \"a\"]]}}");
    json_decref(d);
}

static void cuts_text_as_the_name_says(void **state) {
    (void)state;
    static const struct {
        const char *name, *type, *regex;
        bool nfc, ignore_merges, bos;
    } cases[] = {{NULL, "ByteLevel", NULL, false, false, false},
                 {"gpt-2", "ByteLevel", NULL, false, false, false},
                 {"default", "ByteLevel", NULL, false, false, false},
                 {"llama-bpe", "Sequence", "\\p{N}{1,3}|", false, true, true},
                 {"llama-v3", "Sequence", "\\p{N}{1,3}|", false, true, true},
                 {"smaug-bpe", "Sequence", "\\p{N}{1,3}|", false, false, false},
                 {"starcoder", "Sequence", NULL, false, false, false},
                 {"tekken", "Sequence", "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*", false, true, true},
                 {"deepseek-r1-qwen", "Sequence", "|\\p{N}| ?[", false, false, false},
                 {"qwen2", "Sequence", "|\\p{N}| ?[", true, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufBuild b = {0};
        Error error = {0};
        byte_level(&b, cases[i].name);
        json_t *d = document_of(&b, &error);
        if (d == NULL) fail_msg("%s", error.message);
        const json_t *pre = json_object_get(d, "pre_tokenizer"),
                     *split = json_array_get(json_object_get(pre, "pretokenizers"), 0);
        assert_string_equal(json_string_value(json_object_get(pre, "type")), cases[i].type);
        const char *regex = json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
        if (cases[i].regex != NULL)
            assert_non_null(strstr(regex, cases[i].regex));
        else
            assert_null(regex);
        assert_int_equal(json_is_object(json_object_get(d, "normalizer")), cases[i].nfc);
        assert_int_equal(json_is_true(json_object_get(json_object_get(d, "model"), "ignore_merges")),
                         cases[i].ignore_merges);
        assert_int_equal(json_is_object(json_object_get(d, "post_processor")), cases[i].bos);
        Tokenizer *t; // its parts are ones that the tokenizer has
        if (tokenizer_from_json(&t, d, "m", &error) != 0) fail_msg("%s: %s", cases[i].name, error.message);
        tokenizer_free(t);
        json_decref(d);
    }
    GgufBuild b = {0};
    Error error = {0};
    byte_level(&b, "viking");
    assert_null(document_of(&b, &error));
    assert_int_equal(error.code, ERROR_UNSUPPORTED);
    assert_string_equal(error.message, "m.gguf: the pre-tokenizer \"viking\" (tokenizer.ggml.pre) is not supported; "
                                       "supported are gpt-2, default, phi-2, mpt, olmo, smollm, starcoder, refact, "
                                       "codeshell, llama-bpe, llama3, llama-v3, smaug-bpe, dbrx, qwen2, "
                                       "deepseek-r1-qwen, tekken");
}

static void spm(GgufBuild *b) {
    const char *const tokens[] = {"<unk>", "<s>", "</s>", "<0x0A>", "\u2581", "a", "b", "ab", "\u2581a", "\u2581ab"};
    const int32_t types[] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1};
    const float scores[] = {0, 0, 0, 0, -9, -9, -9, -2, -1, -3};
    gguf_build_string(b, "tokenizer.ggml.model", "llama");
    gguf_build_strings(b, "tokenizer.ggml.tokens", tokens, 10);
    gguf_build_numbers(b, "tokenizer.ggml.scores", 6, scores, 10);
    gguf_build_numbers(b, "tokenizer.ggml.token_type", 5, types, 10);
    gguf_build_integer(b, "tokenizer.ggml.unknown_token_id", 0);
    gguf_build_integer(b, "tokenizer.ggml.bos_token_id", 1);
    gguf_build_integer(b, "tokenizer.ggml.eos_token_id", 2);
}

/* [GT-3] User-defined pieces of spaces get their U+2581 back, and are merged before all others. */
static void spells_user_defined_spaces_back(void **state) {
    (void)state;
    const char *const tokens[] = {"<unk>", "<s>", "\u2581", "a", "  ", "\u2581a", "<x>"};
    const int32_t types[] = {2, 3, 1, 1, 4, 1, 4};
    const float scores[] = {0, 0, -9, -9, -1000, -1, -1000};
    GgufBuild b = {0};
    Error error = {0};
    gguf_build_string(&b, "tokenizer.ggml.model", "llama");
    gguf_build_strings(&b, "tokenizer.ggml.tokens", tokens, 7);
    gguf_build_numbers(&b, "tokenizer.ggml.scores", 6, scores, 7);
    gguf_build_numbers(&b, "tokenizer.ggml.token_type", 5, types, 7);
    gguf_build_bool(&b, "tokenizer.ggml.add_space_prefix", 0);
    json_t *d = document_of(&b, &error);
    if (d == NULL) fail_msg("%s", error.message);
    const json_t *model = json_object_get(d, "model"), *added = json_object_get(d, "added_tokens");
    expect_json(json_object_get(model, "merges"), "[[\"\u2581\", \"\u2581\"], [\"\u2581\", \"a\"]]");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(model, "vocab"), "\u2581\u2581")), 4);
    assert_string_equal(json_string_value(json_object_get(json_array_get(added, 2), "content")), "\u2581\u2581");
    assert_string_equal(json_string_value(json_object_get(json_array_get(added, 3), "content")), "<x>");
    json_decref(d);
}

static void writes_sentencepiece_documents(void **state) { // [GT-1]
    (void)state;
    GgufBuild b = {0};
    Error error = {0};
    spm(&b);
    gguf_build_bool(&b, "tokenizer.ggml.add_eos_token", 1);
    json_t *d = document_of(&b, &error);
    if (d == NULL) fail_msg("%s", error.message);
    const json_t *model = json_object_get(d, "model");
    expect_json(json_object_get(model, "merges"),
                "[[\"\u2581\", \"a\"], [\"a\", \"b\"], [\"\u2581a\", \"b\"], [\"\u2581\", \"ab\"]]");
    assert_string_equal(json_string_value(json_object_get(model, "unk_token")), "<unk>");
    assert_true(json_is_true(json_object_get(model, "byte_fallback")) &&
                json_is_true(json_object_get(model, "fuse_unk")));
    assert_int_equal(json_array_size(json_object_get(d, "added_tokens")), 3);
    assert_true(json_is_null(json_object_get(d, "pre_tokenizer")));
    expect_json(json_object_get(d, "normalizer"),
                "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"\u2581\"}, "
                "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\u2581\"}]}");
    expect_json(json_object_get(d, "decoder"), "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", "
                                               "\"pattern\": {\"String\": \"\u2581\"}, \"content\": \" \"}, "
                                               "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, {\"type\": "
                                               "\"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}");
    expect_json(
        json_object_get(d, "post_processor"),
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, "
        "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
        "{\"SpecialToken\": {\"id\": \"</s>\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": \"<s>\", "
        "\"type_id\": 0}}, "
        "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": \"</s>\", \"type_id\": 0}}, "
        "{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 1}}, "
        "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}, {\"SpecialToken\": {\"id\": \"</s>\", \"type_id\": 1}}], "
        "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [1], \"tokens\": [\"<s>\"]}, \"</s>\": {\"id\": "
        "\"</s>\", \"ids\": [2], \"tokens\": [\"</s>\"]}}}");
    json_decref(d);
    spm(&b);
    gguf_build_bool(&b, "tokenizer.ggml.add_space_prefix", 0);
    gguf_build_bool(&b, "tokenizer.ggml.add_bos_token", 0);
    d = document_of(&b, &error);
    assert_string_equal(json_string_value(json_object_get(json_object_get(d, "normalizer"), "type")), "Replace");
    assert_int_equal(json_array_size(json_object_get(json_object_get(d, "decoder"), "decoders")), 3);
    assert_true(json_is_null(json_object_get(d, "post_processor")));
    json_decref(d);
}

static void refuses_with_a_reason(void **state) {
    (void)state;
    const char *const twice[] = {"a", "b", "a"}, *const not_utf8[] = {"a\xff"}, *const one[] = {"a"},
                      *const bad_merge[] = {"ab"}, *const empty[] = {""};
    const float scores[2] = {0, 1};
    const int32_t control = 3;
    for (int i = 0; i < 8; i++) {
        static const char *const words[] = {"tokens 0 and 2 are the same text", "token 0 is not UTF-8",
                                            "has no tokenizer.ggml.merges",     "merge 0 is not two tokens",
                                            "has 1 tokens, but 2 scores",       "has 0 tokens; 1 to",
                                            "\"bert\"; supported are gpt2",     "the special token 0 is empty"};
        GgufBuild b = {0};
        Error error = {0};
        gguf_build_string(&b, "tokenizer.ggml.model", i == 6 ? "bert" : i == 4 ? "llama" : "gpt2");
        gguf_build_strings(&b, "tokenizer.ggml.tokens",
                           i == 0   ? twice
                           : i == 1 ? not_utf8
                           : i == 7 ? empty
                                    : one,
                           i == 0 ? 3 : i != 5);
        if (i == 3) gguf_build_strings(&b, "tokenizer.ggml.merges", bad_merge, 1);
        if (i == 4) gguf_build_numbers(&b, "tokenizer.ggml.scores", 6, scores, 2);
        if (i == 7) gguf_build_numbers(&b, "tokenizer.ggml.token_type", 5, &control, 1);
        assert_null(document_of(&b, &error));
        if (strstr(error.message, words[i]) == NULL) fail_msg("case %d: \"%s\"", i, error.message);
    }
}

static void names_the_special_tokens(void **state) {
    (void)state;
    GgufBuild b = {0};
    Error error = {0};
    json_t *config;
    Gguf *g = NULL;
    spm(&b);
    gguf_build_string(&b, "tokenizer.chat_template", "{{ messages }}");
    gguf_build_bool(&b, "tokenizer.ggml.add_bos_token", 1);
    Buffer file = gguf_build_finish(&b);
    assert_int_equal(gguf_from_memory(&g, file.data, file.size, "m.gguf", &error), 0);
    assert_int_equal(gguf_tokenizer_config(g, &config, &error), 0);
    expect_json(config, "{\"clean_up_tokenization_spaces\": false, \"tokenizer_class\": \"PreTrainedTokenizerFast\", "
                        "\"bos_token\": \"<s>\", "
                        "\"eos_token\": \"</s>\", \"unk_token\": \"<unk>\", \"add_bos_token\": true, "
                        "\"chat_template\": \"{{ messages }}\"}");
    json_decref(config);
    gguf_close(g);
    buffer_free(&file);
    gguf_build_integer(&b, "tokenizer.ggml.bos_token_id", 7); // no such token
    file = gguf_build_finish(&b);
    assert_int_equal(gguf_from_memory(&g, file.data, file.size, "m.gguf", &error), 0);
    assert_int_equal(gguf_tokenizer_config(g, &config, &error), -1);
    assert_non_null(strstr(error.message, "tokenizer.ggml.bos_token_id"));
    gguf_close(g);
    buffer_free(&file);
}

typedef int Make(const Gguf *gguf, json_t **document, Error *error);

static void says_when_memory_is_out(void **state) {
    (void)state;
    Make *const makes[] = {gguf_tokenizer_json, gguf_tokenizer_config};
    for (int k = 0; k < 4; k++) {
        GgufBuild b = {0};
        Gguf *g = NULL;
        Error error = {0};
        json_t *whole;
        if (k % 2 == 0)
            byte_level(&b, "llama-bpe");
        else
            spm(&b);
        Buffer file = gguf_build_finish(&b);
        assert_int_equal(gguf_from_memory(&g, file.data, file.size, "m.gguf", &error), 0);
        assert_int_equal(makes[k / 2](g, &whole, &error), 0);
        size_t failures = 0;
        for (int struck = 1; struck; failures++) {
            json_t *document = NULL;
            error = (Error){0};
            torture_begin(failures);
            int result = makes[k / 2](g, &document, &error);
            struck = torture_end();
            if (result != 0)
                assert_true(struck && error.code != ERROR_NONE);
            else if (!json_equal(document, whole))
                fail_msg("allocation %zu failed, and nobody said so", failures);
            if (result == 0) json_decref(document);
        }
        assert_true(failures > 5);
        json_decref(whole);
        gguf_close(g);
        buffer_free(&file);
    }
}

/* SmolLM2's tokenizer.json, as it was rebuilt and checked by others, is the one made here. */
static void makes_the_document_of_smollm2(void **state) {
    (void)state;
    char path[512], model[512], command[600];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    snprintf(model, sizeof model, "%s%s/dice/SmolLM2-135M-Instruct.Q4_1.gguf",
             cache != NULL  ? cache
             : home != NULL ? home
                            : "",
             cache != NULL ? "" : "/.cache");
    if (test_shared("oracle/tokenizers/smollm2/tokenizer.json.xz", path, sizeof path) == NULL) skip();
    Gguf *g = NULL;
    Error error = {0};
    if (!file_exists(model)) {
        printf("skipped: %s is not there; run tools/fetch_smollm2\n", model);
        skip();
    }
    snprintf(command, sizeof command, "xz -dc '%s'", path);
    FILE *pipe = popen(command, "r");
    json_t *want = json_loadf(pipe, 0, NULL), *found = NULL;
    pclose(pipe);
    assert_non_null(want);
    if (gguf_open(&g, model, &error) != 0 || gguf_tokenizer_json(g, &found, &error) != 0) fail_msg("%s", error.message);
    assert_true(json_equal(found, want));
    json_array_remove(json_object_get(json_object_get(found, "model"), "merges"), 40000); // the comparison can fail
    assert_false(json_equal(found, want));
    json_decref(found);
    json_decref(want);
    gguf_close(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_byte_level_documents),     cmocka_unit_test(cuts_text_as_the_name_says),
        cmocka_unit_test(spells_user_defined_spaces_back), cmocka_unit_test(writes_sentencepiece_documents),
        cmocka_unit_test(refuses_with_a_reason),           cmocka_unit_test(names_the_special_tokens),
        cmocka_unit_test(says_when_memory_is_out),         cmocka_unit_test(makes_the_document_of_smollm2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
