/* [BT-1], [BT-2] The tokenizers of real model families against what Hugging Face tokenizers and llama.cpp make of the
 * same texts. */
#include "tokenizer_cases.h"

#define ORACLE "oracle/tokenizers/"
#define DATA "data/tokenizers/"

/* [BT-1], [BT-2] One text's ids, with and without special tokens around them, and its decoding. */
static void check_golden(const Tokenizer *t, const json_t *head, const json_t *text, const json_t *golden) {
    Error error = {0};
    TokenList list = {0};
    Buffer decoded = {0};
    const json_t *prefix = json_object_get(head, "prefix"), *suffix = json_object_get(head, "suffix");
    const json_t *ids = json_object_get(golden, "hf") ? json_object_get(golden, "hf") : json_object_get(golden, "ids");
    const json_t *want = json_object_get(golden, "decoded") ? json_object_get(golden, "decoded") : text;
    const char *s = json_string_value(text);
    size_t n = json_string_length(text);
    long long number = json_integer_value(json_object_get(golden, "i"));
    if (tokenizer_encode(t, s, n, false, &list, &error) != 0) fail_msg("text %lld: %s", number, error.message);
    if (!ids_match(&list, ids)) fail_msg("text %lld: other ids (%zu of them)", number, list.count);
    assert_int_equal(tokenizer_decode(t, list.data, list.count, false, &decoded, &error), 0);
    if (prefix != NULL && !text_matches(&decoded, want)) fail_msg("text %lld: decoded to other text", number);
    size_t plain = list.count, p = json_array_size(prefix), all = plain + p + json_array_size(suffix);
    if (all > plain) { // where there are none, add_special changes nothing
        assert_int_equal(tokenizer_encode(t, s, n, true, &list, &error), 0);
        assert_int_equal(list.count, plain + all);
        assert_true(same_ids(&list, plain, prefix) && same_ids(&list, plain + p + plain, suffix));
        assert_memory_equal(list.data, list.data + plain + p, plain * sizeof *list.data);
    }
    token_list_free(&list);
    buffer_free(&decoded);
}

static void check_goldens(const char *tokenizer, const char *goldens) {
    JsonLines corpus, lines;
    Tokenizer *t = shared_tokenizer(tokenizer);
    if (t == NULL || !json_lines_open(&corpus, ORACLE "corpus.jsonl.gz") || !json_lines_open(&lines, goldens)) skip();
    size_t checked = 0;
    json_t *head = json_lines_next(&lines), *text = json_lines_next(&corpus), *golden;
    while ((golden = json_lines_next(&lines)) != NULL) { // goldens and corpus are in the same order
        while (json_integer_value(json_object_get(text, "i")) != json_integer_value(json_object_get(golden, "i"))) {
            json_decref(text);
            assert_non_null(text = json_lines_next(&corpus));
        }
        check_golden(t, head, json_object_get(text, "text"), golden);
        json_decref(golden);
        checked++;
    }
    assert_true(checked > 1000);
    json_decref(text);
    while ((text = json_lines_next(&corpus)) != NULL) json_decref(text);
    json_decref(head);
    tokenizer_free(t);
}

#define GOLDENS(name, tokenizer, file)                                                                                 \
    static void name(void **state) {                                                                                   \
        (void)state;                                                                                                   \
        check_goldens(tokenizer, ORACLE file);                                                                         \
    }
GOLDENS(agrees_with_hf_on_smollm2, ORACLE "smollm2/tokenizer.json.xz", "hf/smollm2.jsonl.gz")
GOLDENS(agrees_with_llama_cpp_on_smollm2, ORACLE "smollm2/tokenizer.json.xz", "llama_cpp/smollm2.jsonl.gz")
GOLDENS(agrees_with_hf_on_gpt2, DATA "gpt2/tokenizer.json", "hf/gpt2.jsonl.gz")
GOLDENS(agrees_with_hf_on_llama3, DATA "llama3/tokenizer.json", "hf/llama3.jsonl.gz")
GOLDENS(agrees_with_hf_on_qwen3, DATA "qwen3/tokenizer.json", "hf/qwen3.jsonl.gz")
GOLDENS(agrees_with_hf_on_mistral, DATA "mistral_v1/tokenizer.json", "hf/mistral_v1.jsonl.gz")
GOLDENS(agrees_with_hf_on_llama2, DATA "llama2/tokenizer.model", "hf/llama2.jsonl.gz")
GOLDENS(agrees_with_hf_on_mistral_v3, DATA "mistral_v3/tokenizer.model", "hf/mistral_v3.jsonl.gz")
GOLDENS(agrees_with_hf_on_gemma3, DATA "gemma3/tokenizer.json.xz", "hf/gemma3.jsonl.gz")

/* Conversations, as the template renders them. */
static void agrees_on_conversations(void **state) {
    (void)state;
    static const char *const keys[][2] = {{"text", "ids"}, {"text_gen", "ids_gen"}, {"prompt_text", "prompt_ids"}};
    JsonLines lines;
    Tokenizer *t = shared_tokenizer(ORACLE "smollm2/tokenizer.json.xz");
    if (t == NULL || !json_lines_open(&lines, ORACLE "chat_smollm2.jsonl.gz")) skip();
    json_t *line;
    Error error = {0};
    size_t checked = 0;
    json_decref(json_lines_next(&lines));
    while ((line = json_lines_next(&lines)) != NULL) {
        for (size_t k = 0; k < 3; k++) {
            const json_t *text = json_object_get(line, keys[k][0]), *ids = json_object_get(line, keys[k][1]);
            if (text == NULL) continue;
            TokenList list = {0};
            assert_int_equal(
                tokenizer_encode(t, json_string_value(text), json_string_length(text), false, &list, &error), 0);
            if (!ids_match(&list, ids)) fail_msg("line %zu: %s: other ids", lines.number, keys[k][0]);
            token_list_free(&list);
            checked++;
        }
        json_decref(line);
    }
    assert_true(checked > 100);
    tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_hf_on_smollm2), cmocka_unit_test(agrees_with_llama_cpp_on_smollm2),
        cmocka_unit_test(agrees_with_hf_on_gpt2),    cmocka_unit_test(agrees_with_hf_on_llama3),
        cmocka_unit_test(agrees_with_hf_on_qwen3),   cmocka_unit_test(agrees_with_hf_on_mistral),
        cmocka_unit_test(agrees_with_hf_on_llama2),  cmocka_unit_test(agrees_with_hf_on_mistral_v3),
        cmocka_unit_test(agrees_with_hf_on_gemma3),  cmocka_unit_test(agrees_on_conversations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
