#include "test.h"
#include "text/normalizer.h"

#include <string.h>

#define REPLACE(pattern, content) "{\"type\": \"Replace\", \"pattern\": " pattern ", \"content\": \"" content "\"}"

static int normalizer_of(Normalizer **normalizer, const char *text, Error *error) {
    json_t *json = json_parse(text, strlen(text), "test", 1, error);
    assert_non_null(json);
    int result = normalizer_from_json(normalizer, json, "x/tokenizer.json", error);
    json_decref(json);
    return result;
}

/* [NO-1] Goldens of tokenizers 0.23.3, normalize_str. */
static void steps_follow_each_other(void **state) {
    (void)state;
    static const struct {
        const char *json, *text, *want;
    } cases[] = {{"null", "a b", "a b"},
                 {"{\"type\": \"Prepend\", \"prepend\": \"_\"}", "a", "_a"},
                 {"{\"type\": \"Prepend\", \"prepend\": \"_\"}", "", ""},
                 {"{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \" \"}, " REPLACE(
                      "{\"String\": \" \"}", "\u2581") "]}",
                  "a  b", "\u2581a\u2581\u2581b"},
                 {REPLACE("{\"Regex\": \"\\\\s+\"}", " "), "a \t\nb ", "a b "},
                 {REPLACE("{\"Regex\": \"\\\\s+|e*\"}", "_"), "a\t\tb", "_a_b_"},
                 {REPLACE("{\"Regex\": \"\\\\s+|e*\"}", "_"), "e\t\tee b", "____b_"},
                 {REPLACE("{\"Regex\": \"e*\"}", "_"), "", ""},
                 {REPLACE("{\"String\": \"ab\"}", ""), "aabbab", "ab"},
                 {"{\"type\": \"NFC\"}", "e\u0301", "\u00e9"},
                 {"{\"type\": \"NFD\"}", "\u00e9", "e\u0301"},
                 {"{\"type\": \"NFKC\"}", "\ufb01", "fi"},
                 {"{\"type\": \"NFKD\"}", "\u00b2\u00e9", "2e\u0301"},
                 {"{\"type\": \"Sequence\", \"normalizers\": []}", "a", "a"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Normalizer *n;
        Error error = {0};
        Buffer out = {0};
        buffer_append_text(&out, "old");
        if (normalizer_of(&n, cases[i].json, &error) != 0) fail_msg("case %zu: %s", i, error.message);
        assert_int_equal(normalizer_apply(n, cases[i].text, strlen(cases[i].text), &out, &error), 0);
        buffer_append(&out, "", 0);
        if (strcmp(out.data, cases[i].want) != 0) fail_msg("case %zu: %s", i, out.data);
        assert_int_equal(normalizer_is_empty(n),
                         strcmp(cases[i].json, "null") == 0 || strstr(cases[i].json, "[]") != NULL);
        buffer_free(&out);
        normalizer_free(n);
    }
}

static void refuses_what_it_does_not_know(void **state) {
    (void)state;
    static const struct {
        const char *json;
        ErrorCode code;
        const char *words;
    } cases[] = {
        {"{\"type\": \"Lowercase\"}", ERROR_UNSUPPORTED, "Lowercase is not supported; there are Sequence, NFC"},
        {"{\"type\": \"Prepend\"}", ERROR_INPUT, "prepend"},
        {REPLACE("{\"String\": 3}", "x"), ERROR_INPUT, "pattern"},
        {REPLACE("{\"Regex\": \"(\"}", "x"), ERROR_UNSUPPORTED, "PCRE2"},
        {"{\"type\": \"Sequence\"}", ERROR_INPUT, "normalizers"},
        {"\"NFC\"", ERROR_INPUT, "\"type\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Normalizer *n;
        Error error = {0};
        assert_int_equal(normalizer_of(&n, cases[i].json, &error), -1);
        assert_null(n);
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL ||
            strstr(error.message, "x/tokenizer.json") == NULL)
            fail_msg("case %zu: %s", i, error.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_follow_each_other),
                                       cmocka_unit_test(refuses_what_it_does_not_know)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
