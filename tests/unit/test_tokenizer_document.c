#include "formats/tokenizer_document.h"
#include "test.h"
#include "text/bpe_tokenizer.h"
#include <string.h>

static json_t *json_of(const char *text) {
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static void expect(json_t *found, const char *text) {
    json_t *want = json_of(text);
    char *said = json_dumps(found, JSON_ENCODE_ANY);
    if (!json_equal(found, want)) fail_msg("%s where %s was expected", said, text);
    free(said);
    json_decref(want);
    json_decref(found);
}

static void ends_are_put_where_they_belong(void **state) {
    (void)state;
    const DocumentEnd none = {NULL, -1}, front = {"<s>", 1}, back = {"</s>", 2};
    expect(tokenizer_document_post_processor(&none, &none), "null");
    expect(tokenizer_document_post_processor(&none, &back),
           "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
           "{\"SpecialToken\": {\"id\": \"</s>\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": \"A\", "
           "\"type_id\": 0}}, {\"SpecialToken\": {\"id\": \"</s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", "
           "\"type_id\": 1}}, {\"SpecialToken\": {\"id\": \"</s>\", \"type_id\": 1}}], \"special_tokens\": {\"</s>\": "
           "{\"id\": \"</s>\", \"ids\": [2], \"tokens\": [\"</s>\"]}}}");
    json_t *both = tokenizer_document_post_processor(&front, &back);
    assert_int_equal(json_array_size(json_object_get(both, "single")), 3);
    assert_int_equal(json_object_size(json_object_get(both, "special_tokens")), 2);
    json_decref(both);
}

static void added_tokens_say_what_they_take(void **state) {
    (void)state;
    const DocumentToken plain = {"<x>yz", 3, 7, true, false}, greedy = {"<x>", 3, 7, false, true};
    expect(tokenizer_document_added(&plain),
           "{\"id\": 7, \"content\": \"<x>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
           "\"normalized\": false, \"special\": true}");
    expect(tokenizer_document_added(&greedy),
           "{\"id\": 7, \"content\": \"<x>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": true, "
           "\"normalized\": false, \"special\": false, \"white_space\": \"ascii\"}");
}

/* Every combination of the flags is a document that the tokenizer reads; what it does with spaces. */
static void flags_decide_about_spaces(void **state) {
    (void)state;
    static const struct {
        bool prefix, collapse;
        const char *decoded; // of "  a  a ", U+2581 made spaces again
    } cases[] = {{false, false, "  a  a "}, {true, false, "  a  a "}, {false, true, "a a"}, {true, true, "a a"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *vocab = json_of("{\"<unk>\": 0, \"\\u2581\": 1, \"a\": 2}"), *merges = json_array(),
               *added = json_array();
        const SpmDocument parts = {.vocab = vocab,
                                   .merges = merges,
                                   .added = added,
                                   .post_processor = json_null(),
                                   .unknown = "<unk>",
                                   .prefix = cases[i].prefix,
                                   .collapse = cases[i].collapse};
        json_t *document = tokenizer_document_spm(&parts);
        Tokenizer *t;
        Error error = {0};
        TokenList ids = {0};
        Buffer text = {0};
        if (tokenizer_from_json(&t, document, "x", &error) != 0) fail_msg("%s", error.message);
        assert_int_equal(tokenizer_encode(t, "  a  a ", 7, false, &ids, &error), 0);
        assert_int_equal(ids.data[0], cases[i].prefix || !cases[i].collapse ? 1 : 2);
        assert_int_equal(tokenizer_decode(t, ids.data, ids.count, false, &text, &error), 0);
        assert_string_equal(text.data, cases[i].decoded);
        buffer_free(&text);
        token_list_free(&ids);
        tokenizer_free(t);
        json_decref(document);
        json_decref(vocab), json_decref(merges), json_decref(added);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_are_put_where_they_belong),
                                       cmocka_unit_test(added_tokens_say_what_they_take),
                                       cmocka_unit_test(flags_decide_about_spaces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
