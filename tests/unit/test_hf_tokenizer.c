#include "base/file.h"
#include "formats/hf_tokenizer.h"
#include "spm_build.h"
#include "text/bpe_tokenizer.h"

typedef struct {
    char path[64];
} Directory;

static void put(const Directory *d, const char *name, const void *bytes, size_t n) {
    Error error = {0};
    char *path = file_join(d->path, name);
    if (file_write(path, bytes, n, &error) != 0) fail_msg("%s", error.message);
    free(path);
}

static void put_text(const Directory *d, const char *name, const char *text) { put(d, name, text, strlen(text)); }

static void create(Directory *d) {
    Buffer file = {0};
    snprintf(d->path, sizeof d->path, "/tmp/dice-hf-tokenizer-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    spm_pieces(&file);
    spm_specs(&file, 2, true, true, false);
    put(d, "tokenizer.model", file.data, file.size);
    buffer_free(&file);
}

static void expect(const Directory *d, const char *text, const char *want) {
    TokenList ids = {0};
    Error error = {0};
    Buffer found = {0};
    Tokenizer *t;
    if (tokenizer_load(&t, d->path, &error) != 0 || tokenizer_encode(t, text, strlen(text), true, &ids, &error) != 0)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < ids.count; i++) buffer_format(&found, "%s%d", i > 0 ? " " : "", ids.data[i]);
    assert_string_equal(found.data == NULL ? "" : found.data, want);
    tokenizer_free(t);
    token_list_free(&ids);
    buffer_free(&found);
}

static void refuse(const Directory *d, ErrorCode code, const char *words) {
    Error error = {0};
    Tokenizer *t;
    assert_int_equal(tokenizer_load(&t, d->path, &error), -1);
    if (error.code != code || strstr(error.message, words) == NULL || strstr(error.message, d->path) == NULL)
        fail_msg("code %d, \"%s\" where \"%s\" was expected", error.code, error.message, words);
}

/* [HT-1] */
static void a_model_with_what_stands_beside_it(void **state) {
    (void)state;
    Directory d;
    Error error = {0};
    Tokenizer *t;
    create(&d);
    assert_true(hf_tokenizer_is_there(d.path));
    expect(&d, "a</s>a", "1 9 2 9"); // the space before every stretch, and <s>
    assert_int_equal(tokenizer_load(&t, d.path, &error), 0);
    assert_true(tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && tokenizer_pad(t) == -1);
    tokenizer_free(t);
    put_text(&d, "tokenizer_config.json",
             "{\"add_bos_token\": false, \"add_eos_token\": true, \"eos_token\": \"<s>\"}");
    expect(&d, "a", "9 1");
    put_text(&d, "tokenizer_config.json", "{\"legacy\": false}");
    expect(&d, "a</s>a", "1 9 2 6"); // only at the beginning
    put_text(&d, "tokenizer_config.json", "{\"add_prefix_space\": false}");
    expect(&d, "a</s>a", "1 6 2 6");
    put_text(&d, "tokenizer_config.json", "{\"legacy\": false, \"add_prefix_space\": false}");
    expect(&d, "a a</s>a", "1 6 9 2 6");
    put_text(&d, "added_tokens.json", "{\"<|im_end|>\": 11, \"<|pad|>\": 10}");
    put_text(&d, "tokenizer_config.json",
             "{\"add_bos_token\": false, \"pad_token\": \"<|pad|>\", \"added_tokens_decoder\": {\"10\": {\"content\": "
             "\"<|pad|>\", \"special\": true, \"normalized\": false, \"rstrip\": true}}}");
    expect(&d, "a<|im_end|><|pad|>  a", "9 11 10 9");
    assert_int_equal(tokenizer_load(&t, d.path, &error), 0);
    assert_int_equal(tokenizer_pad(t), 10);
    tokenizer_free(t);
    assert_int_equal(file_remove_tree(d.path, &error), 0);
}

static void says_what_is_wrong_beside_it(void **state) {
    (void)state;
    Directory d;
    Error error = {0};
    create(&d);
    put_text(&d, "tokenizer_config.json", "[1]");
    refuse(&d, ERROR_INPUT, "tokenizer_config.json: is an array where an object was expected");
    put_text(&d, "tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {}}}");
    refuse(&d, ERROR_INPUT, "added_tokens_decoder: \"x\" must be an id");
    put_text(&d, "tokenizer_config.json", "{\"added_tokens_decoder\": {\"10\": {\"special\": true}}}");
    refuse(&d, ERROR_INPUT, "\"content\"");
    put_text(&d, "tokenizer_config.json", "{\"legacy\": 3}");
    refuse(&d, ERROR_INPUT, "\"legacy\"");
    put_text(&d, "tokenizer_config.json", "{}");
    put_text(&d, "added_tokens.json", "{\"<x>\": \"y\"}");
    refuse(&d, ERROR_INPUT, "the id of \"<x>\" is not a whole number");
    put_text(&d, "added_tokens.json", "{\"<x>\": 6}");
    refuse(&d, ERROR_INPUT, "\"<x>\" has id 6, which \"a\" has already");
    put_text(&d, "tokenizer.model", "nothing of the kind");
    refuse(&d, ERROR_INPUT, "a SentencePiece model (tokenizer.model) was expected");
    assert_int_equal(file_remove_tree(d.path, &error), 0);
    assert_int_equal(file_make_directory(d.path, &error), 0);
    assert_false(hf_tokenizer_is_there(d.path));
    refuse(&d, ERROR_IO, "has no tokenizer.json and no tokenizer.model");
    assert_int_equal(file_remove_tree(d.path, &error), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_model_with_what_stands_beside_it),
                                       cmocka_unit_test(says_what_is_wrong_beside_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
