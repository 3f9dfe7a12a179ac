#include "test.h"
#include "text/added_tokens.h"

#include <string.h>

#define TOKEN(content, id, flags) "{\"content\": \"" content "\", \"id\": " #id ", \"normalized\": false" flags "}"

static AddedTokens *tokens_of(const char *text, const Normalizer *normalizer) {
    AddedTokens *tokens = NULL;
    Error error = {0};
    json_t *json = json_parse(text, strlen(text), "test", 1, &error);
    if (json == NULL || added_tokens_from_json(&tokens, json, normalizer, "test", &error) != 0)
        fail_msg("%s", error.message);
    json_decref(json);
    return tokens;
}

/* What the search finds in a text, as "text[id:taken]text". */
static Buffer found_in(const AddedTokens *tokens, bool normalized, const char *text) {
    AddedSearch search = {.text = text, .bytes = strlen(text)};
    Buffer out = {0};
    size_t at = 0;
    for (const AddedToken *token; (token = added_tokens_next(tokens, normalized, &search)) != NULL; at = search.end) {
        buffer_append(&out, text + at, search.begin - at);
        buffer_format(&out, "[%d:%.*s]", token->id, (int)(search.end - search.begin), text + search.begin);
    }
    buffer_append(&out, text + at, strlen(text) - at);
    return out;
}

/* Goldens of tokenizers 0.23.3. */
static void flags_say_what_belongs_to_a_token(void **state) {
    (void)state;
    static const struct {
        const char *json, *text, *want;
    } cases[] = {{"[" TOKEN("<a>", 1, "") "]", "x<a>y<a", "x[1:<a>]y<a"},
                 {"[" TOKEN("<a>", 1, "") ", " TOKEN("<a>b", 2, "") "]", "<a>b<a>", "[2:<a>b][1:<a>]"},
                 {"[" TOKEN("<a>", 1, ", \"lstrip\": true") "]", "x \n<a> y", "x[1: \n<a>] y"},
                 {"[" TOKEN("<a>", 1, ", \"rstrip\": true") "]", "x <a>\u00a0\u2003y", "x [1:<a>\u00a0\u2003]y"},
                 {"[" TOKEN("<a>", 1, ", \"rstrip\": true, \"white_space\": \"ascii\"") "]", "<a> \t\v\u3000y",
                  "[1:<a> \t\v]\u3000y"}, // llama.cpp's isspace
                 {"[" TOKEN("<a>", 1, ", \"lstrip\": true, \"rstrip\": true") "]", "<a>  <a>", "[1:<a>  ][1:<a>]"},
                 {"[" TOKEN("ab", 1, ", \"single_word\": true") "]", "ab cab ab\u0301 abc _ab ab-ab",
                  "[1:ab] cab ab\u0301 abc _ab [1:ab]-[1:ab]"},
                 {"[" TOKEN("\\n", 1, ", \"lstrip\": true") ", " TOKEN("<a>", 2, ", \"rstrip\": true") "]", "<a> \nx",
                  "[2:<a> \n]x"},
                 {"[" TOKEN("", 1, "") "]", "x", "x"}};
    Normalizer *none;
    Error error = {0};
    assert_int_equal(normalizer_from_json(&none, NULL, "test", &error), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AddedTokens *tokens = tokens_of(cases[i].json, none);
        Buffer found = found_in(tokens, false, cases[i].text);
        if (strcmp(found.data, cases[i].want) != 0) fail_msg("case %zu: %s", i, found.data);
        buffer_free(&found);
        found = found_in(tokens, true, cases[i].text); // the other group has none
        assert_string_equal(found.data, cases[i].text);
        buffer_free(&found);
        added_tokens_free(tokens);
    }
    normalizer_free(none);
}

static void normalized_tokens_are_sought_in_their_form(void **state) {
    (void)state;
    Error error = {0};
    json_t *json = json_pack("{s:s, s:s}", "type", "Prepend", "prepend", "_");
    Normalizer *prepend;
    assert_int_equal(normalizer_from_json(&prepend, json, "test", &error), 0);
    AddedTokens *tokens = tokens_of(
        "[{\"content\": \"ab\", \"id\": 5, \"special\": false}, {\"content\": \"ab\", \"id\": 6, \"special\": true}]",
        prepend);
    assert_int_equal(added_tokens_count(tokens), 2);
    const AddedToken *first = added_tokens_at(tokens, 0);
    assert_true(
        first->normalized &&
        !added_tokens_at(tokens, 1)->normalized); // special tokens are as they are, unless the file says otherwise
    assert_string_equal(first->content, "ab");
    assert_string_equal(first->form, "_ab");
    Buffer found = found_in(tokens, true, "ab_ab");
    assert_string_equal(found.data, "ab[5:_ab]");
    buffer_free(&found);
    added_tokens_free(tokens);
    normalizer_free(prepend);
    json_decref(json);
}

/* A million beginnings of a token: each is looked at once. */
static void near_misses_take_linear_time(void **state) {
    (void)state;
    Normalizer *none;
    Error error = {0};
    assert_int_equal(normalizer_from_json(&none, NULL, "test", &error), 0);
    AddedTokens *tokens = tokens_of("[" TOKEN("<|im_start|>", 1, "") ", " TOKEN("<|im_end|>", 2, "") "]", none);
    static char text[9000001];
    for (size_t i = 0; i + 9 < sizeof text; i += 9) memcpy(text + i, "<|im_star", 9);
    AddedSearch search = {.text = text, .bytes = sizeof text - 1};
    assert_null(added_tokens_next(tokens, false, &search));
    added_tokens_free(tokens);
    normalizer_free(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(flags_say_what_belongs_to_a_token),
                                       cmocka_unit_test(normalized_tokens_are_sought_in_their_form),
                                       cmocka_unit_test(near_misses_take_linear_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
