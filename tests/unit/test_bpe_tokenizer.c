#include "base/file.h"
#include "base/rng.h"
#include "text/bpe_tokenizer.h"
#include "text/unicode.h"
#include "tokenizer_cases.h"

/* A tokenizer of tests/data with some members replaced, as a line of tokenizer_goldens.jsonl says. */
static json_t *variant_json(const json_t *line) {
    char path[128];
    Error error = {0};
    snprintf(path, sizeof path, "tests/data/tokenizer_%s.json", json_string_value(json_object_get(line, "base")));
    json_t *root = json_parse_file(path, &error);
    if (root == NULL) fail_msg("%s", error.message);
    json_object_update(root, json_object_get(line, "set"));
    json_object_update(json_object_get(root, "model"), json_object_get(line, "model"));
    return root;
}

static Tokenizer *tokenizer_of(const json_t *root) {
    Tokenizer *t = NULL;
    Error error = {0};
    if (tokenizer_from_json(&t, root, "variant", &error) != 0) fail_msg("%s", error.message);
    return t;
}

static void check_decoded(const Tokenizer *t, const json_t *ids, bool skip, const json_t *want, const char *where) {
    Error error = {0};
    Buffer text = {0};
    TokenList list = {0};
    for (size_t i = 0; i < json_array_size(ids); i++)
        token_list_push(&list, (int32_t)json_integer_value(json_array_get(ids, i)));
    assert_int_equal(tokenizer_decode(t, list.data, list.count, skip, &text, &error), 0);
    if (!text_matches(&text, want))
        fail_msg("%s: decoded to \"%s\", not \"%s\"", where, text.data, json_string_value(want));
    buffer_free(&text);
    token_list_free(&list);
}

/* [BT-1], [BT-2] on small tokenizers of every kind; goldens of tokenizers 0.23.3
 * (tests/make/make_tokenizer_goldens.py). */
static void agrees_with_hf_on_small_tokenizers(void **state) {
    (void)state;
    FILE *f = fopen("tests/data/tokenizer_goldens.jsonl", "rb");
    static char line[1 << 16];
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    Tokenizer *t = NULL;
    char variant[64] = "";
    size_t checked = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        Error error = {0};
        json_t *golden = json_parse(line, strlen(line), "goldens", 1, &error);
        assert_non_null(golden);
        if (json_object_get(golden, "variant") != NULL) {
            snprintf(variant, sizeof variant, "%s", json_string_value(json_object_get(golden, "variant")));
            json_t *root = variant_json(golden);
            tokenizer_free(t);
            t = tokenizer_of(root);
            json_decref(root);
            json_decref(golden);
            continue;
        }
        const json_t *text = json_object_get(golden, "text"), *ids = json_object_get(golden, "ids");
        const json_t *special = json_object_get(golden, "special"), *skipped = json_object_get(golden, "skipped");
        for (int add = 0; add < 2; add++) {
            TokenList list = {0};
            const json_t *want = add && special != NULL ? special : ids;
            assert_int_equal(tokenizer_encode(t, json_string_value(text), json_string_length(text), add, &list, &error),
                             0);
            if (!ids_match(&list, want)) fail_msg("%s: other ids for \"%s\"", variant, json_string_value(text));
            token_list_free(&list);
        }
        check_decoded(t, ids, false, json_object_get(golden, "decoded"), variant);
        check_decoded(t, special != NULL ? special : ids, true,
                      skipped != NULL ? skipped : json_object_get(golden, "decoded"), variant);
        json_decref(golden);
        checked++;
    }
    fclose(f);
    tokenizer_free(t);
    assert_true(checked > 1500);
}

static Tokenizer *small_tokenizer(const char *base) {
    json_t *line = json_pack("{s:s}", "base", base), *root = variant_json(line);
    Tokenizer *t = tokenizer_of(root);
    json_decref(root);
    json_decref(line);
    return t;
}

/* Characters that the stages treat differently, and bytes that are no UTF-8. */
static size_t random_text(const RngAddress *a, char *text, bool valid) {
    static const char *const parts[] = {"a",
                                        "the",
                                        " ",
                                        "  ",
                                        "\n",
                                        "\r\n",
                                        "\t",
                                        "1",
                                        "23",
                                        "'s",
                                        "'LL",
                                        ".",
                                        "?!",
                                        "\xc3\xa9",
                                        "e\xcc\x81",
                                        "\xe6\xb2\xb3",
                                        "\xf0\x9f\x9a\xa4",
                                        "\xe2\x96\x81",
                                        "<|end|>",
                                        "<|st",
                                        " mill",
                                        "\xc2\xa0",
                                        "\xef\xbf\xbf",
                                        "\x7f",
                                        "\xff",
                                        "\xe2\x96"};
    size_t n = 0;
    uint32_t count = (uint32_t)rng_below(a, 0, 20);
    for (uint32_t i = 1; i <= count; i++) {
        const char *part = parts[rng_below(a, i, sizeof parts / sizeof *parts - (valid ? 2 : 0))];
        if (rng_below(a, 100 + i, 40) == 0) text[n++] = 0;
        memcpy(text + n, part, strlen(part));
        n += strlen(part);
    }
    return n;
}

/* Byte-level: decoding gives back the text, and U+FFFD for what was no text. */
static void decoding_is_the_inverse(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    Tokenizer *t = small_tokenizer("bytes");
    size_t different = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        char text[512];
        size_t n = random_text(&a, text, i % 2 == 0);
        TokenList list = {0};
        Buffer back = {0}, want = {0};
        Error error = {0};
        assert_int_equal(tokenizer_encode(t, text, n, false, &list, &error), 0);
        assert_int_equal(tokenizer_decode(t, list.data, list.count, false, &back, &error), 0);
        unicode_append_lossy(&want, text, n);
        assert_int_equal(back.size, want.size);
        if (n > 0) assert_memory_equal(back.data, want.data, want.size);
        if (list.count > 0) { // the planted fault: another id is another text
            list.data[0] = list.data[0] == 7 ? 8 : 7;
            buffer_clear(&back);
            assert_int_equal(tokenizer_decode(t, list.data, list.count, false, &back, &error), 0);
            different += back.size != want.size || memcmp(back.data, want.data, want.size) != 0;
        }
        token_list_free(&list);
        buffer_free(&back);
        buffer_free(&want);
    }
    assert_true(different > 17000);
    tokenizer_free(t);
}

/* Ids do not depend on the thread, nor on what other threads encode: the memory of whole words is shared. */
static void threads_share_a_tokenizer(void **state) {
    (void)state;
    Tokenizer *t = small_tokenizer("bytes"), *fresh = small_tokenizer("bytes");
    uint64_t seed = test_seed();
    int wrong = 0;
#pragma omp parallel for num_threads(4) reduction(+ : wrong)
    for (uint32_t i = 0; i < 2000; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i % 100};
        char text[512];
        size_t n = random_text(&a, text, true);
        TokenList one = {0}, other = {0};
        Error error;
        if (tokenizer_encode(t, text, n, false, &one, &error) != 0 ||
            tokenizer_encode(fresh, text, n, false, &other, &error) != 0)
            wrong++;
        if (one.count != other.count ||
            (one.count > 0 && memcmp(one.data, other.data, one.count * sizeof *one.data) != 0))
            wrong++;
        token_list_free(&one);
        token_list_free(&other);
    }
    assert_int_equal(wrong, 0);
    tokenizer_free(t);
    tokenizer_free(fresh);
}

static void appends_and_names(void **state) {
    (void)state;
    Tokenizer *t = small_tokenizer("pieces");
    TokenList list = {0};
    Buffer text = {0};
    Error error = {0};
    token_list_push(&list, 77);
    assert_int_equal(tokenizer_encode(t, "", 0, true, &list, &error), 0);
    assert_int_equal(list.count, 2);
    assert_true(list.data[0] == 77 && list.data[1] == tokenizer_id(t, "<s>"));
    buffer_append_text(&text, "before");
    const int32_t ids[] = {-1, 1 << 30, tokenizer_id(t, "<s>"), tokenizer_id(t, "e")}; // two are no tokens
    assert_int_equal(tokenizer_decode(t, ids, 4, true, &text, &error), 0);
    assert_string_equal(text.data, "beforee");
    size_t n;
    assert_string_equal(tokenizer_token(t, 2, &n), "</s>");
    assert_int_equal(n, 4);
    assert_null(tokenizer_token(t, (int32_t)tokenizer_vocabulary(t), NULL));
    assert_non_null(tokenizer_token(t, (int32_t)tokenizer_vocabulary(t) - 1, NULL));
    assert_int_equal(tokenizer_id(t, "no such token"), -1);
    assert_true(tokenizer_is_special(t, 1) && !tokenizer_is_special(t, 100) && !tokenizer_is_special(t, -1));
    assert_int_equal(tokenizer_bos(t), -1);
    token_list_free(&list);
    buffer_free(&text);
    tokenizer_free(t);
}

static void a_missing_byte_vanishes(void **state) {
    (void)state;
    json_t *line = json_pack("{s:s}", "base", "bytes"), *root = variant_json(line);
    json_object_del(json_object_get(json_object_get(root, "model"), "vocab"), "\xc4\x84"); // U+0104 spells byte 4
    Tokenizer *t = tokenizer_of(root);
    TokenList list = {0};
    Error error = {0};
    assert_int_equal(tokenizer_encode(t, "th\004e \004", 6, false, &list, &error), 0); // cut as "th", "\4e", " \4"
    assert_int_equal(list.count, 3);
    assert_int_equal(list.data[0], tokenizer_id(t, "th"));
    assert_int_equal(list.data[1], tokenizer_id(t, "e"));
    assert_int_equal(list.data[2], tokenizer_id(t, "\xc4\xa0"));
    token_list_free(&list);
    tokenizer_free(t);
    json_decref(root);
    json_decref(line);
}

static void reads_a_directory_and_its_config(void **state) {
    (void)state;
    const char *config = "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\", \"pad_token\": null, "
                         "\"model_max_length\": 1000000000000000019884624838656}";
    char directory[] = "/tmp/dice_tokenizer_XXXXXX";
    assert_non_null(mkdtemp(directory));
    Error error = {0};
    Tokenizer *t;
    assert_int_equal(tokenizer_load(&t, directory, &error), -1);
    assert_true(error.code == ERROR_IO && t == NULL && strstr(error.message, "tokenizer.json") != NULL);
    char *file = file_join(directory, "tokenizer.json"), *other = file_join(directory, "tokenizer_config.json");
    assert_int_equal(file_copy("tests/data/tokenizer_pieces.json", file, &error), 0);
    assert_int_equal(file_write(other, config, strlen(config), &error), 0);
    assert_int_equal(tokenizer_load(&t, directory, &error), 0);
    assert_true(tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && tokenizer_pad(t) == -1);
    tokenizer_free(t);
    assert_int_equal(file_write(other, "{\"bos_token\": 7}", 16, &error), 0);
    assert_int_equal(tokenizer_load(&t, directory, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "tokenizer_config.json") != NULL &&
                strstr(error.message, "bos_token") != NULL);
    assert_int_equal(file_remove_tree(directory, &error), 0);
    free(file);
    free(other);
}

/* Each change to a good file is refused with its code and with words that lead to the place. */
static void refuses_bad_files(void **state) {
    (void)state;
    static const struct {
        const char *set, *model;
        ErrorCode code;
        const char *words;
    } cases[] = {
        {"{\"model\": null}", "{}", ERROR_INPUT, "\"model\" is null"},
        {"{}", "{\"type\": \"Unigram\"}", ERROR_UNSUPPORTED, "there is BPE"},
        {"{}", "{\"vocab\": []}", ERROR_INPUT, "\"vocab\" is an array"},
        {"{}", "{\"vocab\": {}}", ERROR_INPUT, "vocab is empty"},
        {"{}", "{\"vocab\": {\"a\": -1}}", ERROR_INPUT, "id of \"a\""},
        {"{}", "{\"vocab\": {\"a\": 4194304}}", ERROR_INPUT, "id of \"a\""},
        {"{}", "{\"vocab\": {\"a\": \"b\"}}", ERROR_INPUT, "whole number"},
        {"{}", "{\"vocab\": {\"a\": 3, \"b\": 3}}", ERROR_INPUT, "\"a\" and \"b\" both have id 3"},
        {"{}", "{\"merges\": [\"ab\"]}", ERROR_INPUT, "merges[0]"},
        {"{}", "{\"merges\": [\"t h\", [\"h\"]]}", ERROR_INPUT, "merges[1]"},
        {"{}", "{\"merges\": [\"t h\", \"zz z\"]}", ERROR_INPUT,
         "merges[1] joins \"zz\" and \"z\", but the first is not in vocab"},
        {"{}", "{\"merges\": [\"z z\"]}", ERROR_INPUT, "but the result is not in vocab"},
        {"{}", "{\"dropout\": 0.1}", ERROR_UNSUPPORTED, "dropout"},
        {"{}", "{\"continuing_subword_prefix\": \"##\"}", ERROR_UNSUPPORTED, "##"},
        {"{}", "{\"end_of_word_suffix\": \"</w>\"}", ERROR_UNSUPPORTED, "</w>"},
        {"{}", "{\"unk_token\": 3}", ERROR_INPUT, "unk_token"},
        {"{}", "{\"fuse_unk\": 3}", ERROR_INPUT, "fuse_unk"},
        {"{\"added_tokens\": {}}", "{}", ERROR_INPUT, "added_tokens"},
        {"{\"added_tokens\": [{\"id\": 1}]}", "{}", ERROR_INPUT, "content"},
        {"{\"added_tokens\": [{\"content\": \"x\"}]}", "{}", ERROR_INPUT, "no id"},
        {"{\"added_tokens\": [{\"content\": \"th\", \"id\": 0}]}", "{}", ERROR_INPUT,
         "added_tokens[0]: \"th\" has id 0 here"},
        {"{\"added_tokens\": [{\"content\": \"<x>\", \"id\": 0}]}", "{}", ERROR_INPUT, "has already"},
        {"{\"added_tokens\": [{\"content\": \"<x>\", \"id\": 4194304}]}", "{}", ERROR_INPUT, "4194303"},
        {"{\"normalizer\": {\"type\": \"Lowercase\"}}", "{}", ERROR_UNSUPPORTED,
         "Lowercase is not supported; there are Sequence, NFC"},
        {"{\"normalizer\": 7}", "{}", ERROR_INPUT, "normalizer"},
        {"{\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}}", "{}", ERROR_UNSUPPORTED,
         "BertPreTokenizer is not supported; there are Sequence, Split"},
        {"{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": "
         "\"Digits\"}]}}",
         "{}", ERROR_UNSUPPORTED, "must be the last"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}}",
         "{}", ERROR_UNSUPPORTED, "PCRE2"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a[b]]\"}, \"behavior\": \"Isolated\"}}",
         "{}", ERROR_UNSUPPORTED, "class within a class"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {}, \"behavior\": \"Isolated\"}}", "{}", ERROR_INPUT,
         "pattern"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"x\"}, \"behavior\": \"Merged\"}}", "{}",
         ERROR_UNSUPPORTED, "MergedWithPrevious"},
        {"{\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"ab\"}}", "{}", ERROR_INPUT, "one character"},
        {"{\"post_processor\": {\"type\": \"BertProcessing\"}}", "{}", ERROR_UNSUPPORTED, "BertProcessing"},
        {"{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": "
         "\"<s>\"}}]}}",
         "{}", ERROR_INPUT, "\"<s>\" has no ids"},
        {"{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": []}}", "{}", ERROR_INPUT, "no Sequence"},
        {"{\"added_tokens\": [{\"content\": \"<x>\", \"id\": 5000}], \"post_processor\": {\"type\": "
         "\"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}], \"special_tokens\": {\"<s>\": "
         "{\"ids\": [4500]}}}}",
         "{}", ERROR_INPUT, "id 4500 of \"<s>\" is not in the vocabulary"},
        {"{\"decoder\": {\"type\": \"WordPiece\"}}", "{}", ERROR_UNSUPPORTED,
         "WordPiece is not supported here; there are ByteLevel"},
        {"{\"decoder\": {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}}", "{}", ERROR_UNSUPPORTED,
         "behind Fuse"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        Tokenizer *t = NULL;
        json_t *line = json_pack("{s:s}", "base", "bytes"), *root = variant_json(line);
        json_t *set = json_parse(cases[i].set, strlen(cases[i].set), "case", 1, &error),
               *model = json_parse(cases[i].model, strlen(cases[i].model), "case", 1, &error);
        assert_true(set != NULL && model != NULL);
        json_object_update(json_object_get(root, "model"), model);
        json_object_update(root, set);
        assert_int_equal(tokenizer_from_json(&t, root, "x/tokenizer.json", &error), -1);
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL ||
            strstr(error.message, "x/tokenizer.json") == NULL)
            fail_msg("case %zu: code %d, \"%s\"", i, error.code, error.message);
        assert_null(t);
        json_decref(root);
        json_decref(line);
        json_decref(set);
        json_decref(model);
    }
    Error error = {0};
    Tokenizer *t;
    json_t *list = json_array();
    assert_int_equal(tokenizer_from_json(&t, list, "x", &error), -1);
    json_decref(list);
    assert_int_equal(error.code, ERROR_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_hf_on_small_tokenizers),
                                       cmocka_unit_test(decoding_is_the_inverse),
                                       cmocka_unit_test(threads_share_a_tokenizer),
                                       cmocka_unit_test(appends_and_names),
                                       cmocka_unit_test(a_missing_byte_vanishes),
                                       cmocka_unit_test(reads_a_directory_and_its_config),
                                       cmocka_unit_test(refuses_bad_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
