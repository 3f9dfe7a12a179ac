#include "base/file.h"
#include "formats/spm_model.h"
#include "spm_build.h"
#include "text/bpe_tokenizer.h"

static Tokenizer *tokenizer_of(const Buffer *file) {
    json_t *document, *config;
    Tokenizer *t = NULL;
    Error error = {0};
    if (spm_model_json(file->data, file->size, "m/tokenizer.model", &document, &config, &error) != 0 ||
        tokenizer_from_json(&t, document, "m", &error) != 0)
        fail_msg("%s", error.message);
    assert_string_equal(json_string_value(json_object_get(config, "bos_token")), "<s>");
    assert_string_equal(json_string_value(json_object_get(config, "eos_token")), "</s>");
    assert_null(json_object_get(config, "pad_token"));
    json_decref(document);
    json_decref(config);
    return t;
}

static void expect(const Tokenizer *t, const char *text, bool special, const char *want) {
    TokenList ids = {0};
    Error error = {0};
    Buffer found = {0};
    assert_int_equal(tokenizer_encode(t, text, strlen(text), special, &ids, &error), 0);
    for (size_t i = 0; i < ids.count; i++) buffer_format(&found, "%s%d", i > 0 ? " " : "", ids.data[i]);
    assert_string_equal(found.data == NULL ? "" : found.data, want);
    token_list_free(&ids);
    buffer_free(&found);
}

/* [SM-2], [SM-3] */
static void makes_a_tokenizer(void **state) {
    (void)state;
    Buffer file = {0};
    spm_pieces(&file);
    spm_specs(&file, 2, true, true, false);
    Tokenizer *t = tokenizer_of(&file);
    expect(t, "ab", true, "1 9 7"); // U+2581 a before a b: the better score
    expect(t, "a  ab\n", false, "9 5 9 7 4");
    expect(t, "<user>a</s>", false, "3 9 2");
    expect(t, "x", false, "5 0");
    tokenizer_free(t);
    buffer_clear(&file);
    spm_pieces(&file);
    spm_specs(&file, 2, true, false, false);
    t = tokenizer_of(&file);
    expect(t, "ab a", false, "8 9"); // nothing in front
    tokenizer_free(t);
    buffer_clear(&file);
    spm_pieces(&file);
    spm_specs(&file, 2, false, true, true);
    t = tokenizer_of(&file);
    expect(t, "  a   a  ", false, "9 9"); // spaces collapse
    expect(t, "\n", false, "5 0");        // no byte fallback
    tokenizer_free(t);
    buffer_free(&file);
}

static void refuse(const Buffer *file, ErrorCode code, const char *words) {
    json_t *document, *config;
    Error error = {0};
    assert_int_equal(spm_model_json(file->data, file->size, "m/tokenizer.model", &document, &config, &error), -1);
    if (error.code != code || strstr(error.message, words) == NULL ||
        strstr(error.message, "m/tokenizer.model") == NULL)
        fail_msg("code %d, \"%s\" where \"%s\" was expected", error.code, error.message, words);
}

static void refuses_what_it_cannot_read(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } broken[] = {{"", 0, "the file is empty"},
                  {"\x0a", 1, "byte 1: a number is cut off"},
                  {"\x0a\x05"
                   "ab",
                   4, "byte 0: a field is longer than what holds it"},
                  {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "a field is longer than what holds it"},
                  {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "byte 1: a number is longer than 64 bits"},
                  {"\x00\x01", 2, "byte 0: a field has the number 0"},
                  {"\x0b", 1, "byte 0: a field has an unknown type"},
                  {"\x0a\x02\x18\x01", 4, "a piece has no text"},
                  {"\x0a\x05\x0a\x01"
                   "a\x18\x07",
                   7, "a score or a type that there is not"},
                  {"\x0a\x08\x0a\x01"
                   "a\x15\0\0\xc0\x7f",
                   10, "a score or a type that there is not"},
                  {"\x10\x01", 2, "it ends without a piece"},
                  {"{\"model\": 1}", 12, "tokenizer.model) was expected"}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        Buffer file = {0};
        buffer_append(&file, broken[i].bytes, broken[i].size);
        refuse(&file, ERROR_INPUT, broken[i].words);
        buffer_free(&file);
    }
    for (int which = 0; which < 6; which++) {
        static const char *const words[] = {"is unigram; only bpe", "is of an unknown kind",
                                            "pieces 6 and 10",      "piece 10 is not UTF-8",
                                            "a character map",      "the id of eos_token is 77"};
        Buffer file = {0}, part = {0};
        spm_pieces(&file);
        spm_specs(&file, which == 0 ? 1 : which == 1 ? 9 : 2, true, true, false);
        if (which == 2 || which == 3) spm_piece(&file, which == 2 ? "a" : "\xff", 0, 1);
        if (which == 4) spm_bytes(&part, 2, "map", 3), spm_bytes(&file, 3, part.data, part.size);
        if (which == 5) spm_number(&part, 42, 77), spm_bytes(&file, 2, part.data, part.size);
        refuse(&file, which < 2 || which == 4 ? ERROR_UNSUPPORTED : ERROR_INPUT, words[which]);
        buffer_free(&file);
        buffer_free(&part);
    }
}

/* [SM-1] Cut anywhere, a file is refused or whole fields are missing at its end; it is never read beyond. */
static void survives_being_cut(void **state) {
    (void)state;
    Buffer file = {0};
    size_t refused = 0;
    spm_specs(&file, 2, true, true, false);
    spm_pieces(&file);
    for (size_t n = 0; n < file.size; n++) {
        json_t *document, *config;
        Error error = {0};
        char *cut = malloc(n + 1); // a block of its own, so that a sanitizer sees a byte too many
        memcpy(cut, file.data, n);
        if (spm_model_json(cut, n, "cut", &document, &config, &error) == 0) {
            json_decref(document);
            json_decref(config);
        } else {
            refused++;
            assert_true(error.code == ERROR_INPUT);
        }
        free(cut);
    }
    assert_true(refused > file.size / 2);
    buffer_free(&file);
}

/* The real tokenizer.model gives the vocabulary and the merges of the tokenizer.json that others made of it. */
static void is_the_document_of_mistral(void **state) {
    (void)state;
    char path[512], other[512];
    json_t *document, *config, *known;
    FileMap map;
    Error error = {0};
    if (test_shared("data/tokenizers/mistral_v1/tokenizer.model", path, sizeof path) == NULL ||
        test_shared("data/tokenizers/mistral_v1/tokenizer.json", other, sizeof other) == NULL)
        skip();
    assert_int_equal(file_map(&map, path, &error), 0);
    assert_int_equal(spm_model_json(map.data, map.size, path, &document, &config, &error), 0);
    assert_non_null(known = json_parse_file(other, &error));
    json_t *model = json_object_get(document, "model"), *wanted = json_object_get(known, "model");
    assert_true(json_equal(json_object_get(model, "vocab"), json_object_get(wanted, "vocab")));
    json_t *merges = json_object_get(model, "merges"), *other_merges = json_object_get(wanted, "merges");
    assert_int_equal(json_array_size(merges), json_array_size(other_merges));
    json_t *set =
        json_object(); // theirs are "left right" in one text; of one token's splits another converter put others first
    for (size_t i = 0; i < json_array_size(merges); i++)
        json_object_set_new(set, json_string_value(json_array_get(other_merges, i)), json_null());
    for (size_t i = 0; i < json_array_size(merges); i++) {
        char pair[512];
        const json_t *m = json_array_get(merges, i);
        snprintf(pair, sizeof pair, "%s %s", json_string_value(json_array_get(m, 0)),
                 json_string_value(json_array_get(m, 1)));
        if (json_object_get(set, pair) == NULL) fail_msg("the merge \"%s\" is not in the other file", pair);
    }
    json_decref(set);
    assert_true(json_equal(json_object_get(document, "added_tokens"), json_object_get(known, "added_tokens")));
    assert_true(json_equal(json_object_get(document, "normalizer"), json_object_get(known, "normalizer")));
    assert_true(json_equal(json_object_get(document, "decoder"), json_object_get(known, "decoder")));
    json_decref(document);
    json_decref(config);
    json_decref(known);
    file_unmap(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_a_tokenizer), cmocka_unit_test(refuses_what_it_cannot_read),
        cmocka_unit_test(survives_being_cut), cmocka_unit_test(is_the_document_of_mistral)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
