#include "test.h"
#include "text/decode_rules.h"

#include <string.h>

#define REPLACE "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\u2581\"}, \"content\": \" \"}"
#define STRIP(start, stop) "{\"type\": \"Strip\", \"content\": \" \", \"start\": " start ", \"stop\": " stop "}"
#define SEQUENCE(parts) "{\"type\": \"Sequence\", \"decoders\": [" parts "]}"

static int rules_of(DecodeRules *rules, const char *text, Error *error) {
    json_t *json = json_parse(text, strlen(text), "test", 1, error);
    assert_non_null(json);
    int result = decode_rules_from_json(rules, json, "x/tokenizer.json", error);
    json_decref(json);
    return result;
}

static void reads_the_decoders_of_known_models(void **state) {
    (void)state;
    DecodeRules r;
    Error error = {0};
    assert_int_equal(rules_of(&r, "{\"type\": \"ByteLevel\", \"trim_offsets\": true}", &error), 0);
    assert_true(r.byte_level && !r.join_with_spaces);
    decode_rules_free(&r);
    assert_int_equal(
        rules_of(&r, SEQUENCE(REPLACE ", {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, " STRIP("1", "0")),
                 &error),
        0);
    assert_true(!r.byte_level && r.byte_fallback && r.fuse && r.replaces == 1 && r.strip_start == 1);
    assert_string_equal(r.strip, " ");
    decode_rules_free(&r);
    assert_int_equal(rules_of(&r, "null", &error), 0);
    assert_true(r.join_with_spaces);
    decode_rules_free(&r);
}

static void replaces_in_order(void **state) {
    (void)state;
    DecodeRules r;
    Error error = {0};
    Buffer out = {0};
    assert_int_equal(
        rules_of(&r,
                 SEQUENCE("{\"type\": \"Metaspace\", \"replacement\": \"\u2581\", \"prepend_scheme\": \"always\"}, "
                          "{\"type\": \"Replace\", \"pattern\": {\"String\": \" a\"}, \"content\": \"bb\"}"),
                 &error),
        0);
    decode_rules_replace(&r, "\u2581a\u2581a", 8, true, &out); // in the first token the spaces are dropped
    assert_string_equal(out.data, "aa");
    decode_rules_replace(&r, "\u2581a\u2581a", 8, false, &out);
    assert_string_equal(out.data, "bbbb");
    decode_rules_replace(&r, "", 0, false, &out);
    assert_int_equal(out.size, 0);
    buffer_free(&out);
    decode_rules_free(&r);
}

static void refuses_what_it_cannot_stream(void **state) {
    (void)state;
    static const struct {
        const char *json;
        ErrorCode code;
        const char *words;
    } cases[] = {
        {"{\"type\": \"CTC\"}", ERROR_UNSUPPORTED, "CTC is not supported here; there are ByteLevel"},
        {SEQUENCE("{\"type\": \"Fuse\"}, " REPLACE), ERROR_UNSUPPORTED, "before ByteFallback and Fuse"},
        {SEQUENCE("{\"type\": \"Fuse\"}, {\"type\": \"ByteFallback\"}"), ERROR_UNSUPPORTED,
         "ByteFallback is not supported here"},
        {SEQUENCE("{\"type\": \"Fuse\"}, " STRIP("0", "1")), ERROR_UNSUPPORTED, "stop 0"},
        {STRIP("1", "0"), ERROR_UNSUPPORTED, "behind Fuse"},
        {SEQUENCE("{\"type\": \"ByteLevel\"}, " REPLACE), ERROR_UNSUPPORTED, "Replace behind ByteLevel"},
        {"{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"x\"}, \"content\": \"\"}", ERROR_UNSUPPORTED, "String"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"\"}, \"content\": \"\"}", ERROR_INPUT, "empty"},
        {SEQUENCE("{\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \"ab\", \"start\": 1}"), ERROR_INPUT,
         "one character"},
        {"7", ERROR_INPUT, "\"type\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        DecodeRules r;
        Error error = {0};
        assert_int_equal(rules_of(&r, cases[i].json, &error), -1);
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL ||
            strstr(error.message, "x/tokenizer.json") == NULL)
            fail_msg("case %zu: %s", i, error.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_the_decoders_of_known_models),
                                       cmocka_unit_test(replaces_in_order),
                                       cmocka_unit_test(refuses_what_it_cannot_stream)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
