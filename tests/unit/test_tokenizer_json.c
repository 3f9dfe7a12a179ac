#include "base/buffer.h"
#include "test.h"
#include "text/tokenizer_json.h"

#include <string.h>

static int append_type(void *context, const char *type, const json_t *part, const char *name, Error *error) {
    (void)part;
    if (strcmp(type, "Bad") == 0) return error_set(error, ERROR_UNSUPPORTED, "%s: Bad", name);
    buffer_format(context, "%s ", type);
    return 0;
}

static int parts_of(const char *text, Buffer *out, Error *error) {
    json_t *json = json_parse(text, strlen(text), "test", 1, error);
    assert_non_null(json);
    int result = tokenizer_json_parts(json, "decoder", "decoders", append_type, out, "x.json", error);
    json_decref(json);
    return result;
}

static void parts_come_in_order(void **state) {
    (void)state;
    Buffer out = {0};
    Error error = {0};
    assert_int_equal(tokenizer_json_parts(NULL, "decoder", "decoders", append_type, &out, "x.json", &error), 0);
    assert_int_equal(parts_of("null", &out, &error), 0);
    assert_null(out.data);
    assert_int_equal(
        parts_of("{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"A\"}, null, {\"type\": \"Sequence\", "
                 "\"decoders\": [{\"type\": \"B\"}, {\"type\": \"C\"}]}, {\"type\": \"D\"}]}",
                 &out, &error),
        0);
    assert_string_equal(out.data, "A B C D ");
    buffer_free(&out);
}

static void refuses_other_shapes(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "\"type\""},
        {"{\"type\": 3}", "\"type\""},
        {"{\"type\": \"Sequence\", \"decoders\": 1}", "\"decoders\" is a whole number"},
        {"{\"type\": \"Bad\"}", "x.json: Bad"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buffer out = {0};
        Error error = {0};
        assert_int_equal(parts_of(cases[i][0], &out, &error), -1);
        if (strstr(error.message, cases[i][1]) == NULL) fail_msg("case %zu: %s", i, error.message);
        buffer_free(&out);
    }
    Buffer deep = {0}, out = {0};
    Error error = {0};
    for (int i = 0; i < 20; i++) buffer_append_text(&deep, "{\"type\": \"Sequence\", \"decoders\": [");
    for (int i = 0; i < 20; i++) buffer_append_text(&deep, "]}");
    assert_int_equal(parts_of(deep.data, &out, &error), -1);
    assert_non_null(strstr(error.message, "nested deeper than 8"));
    buffer_free(&deep);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_come_in_order), cmocka_unit_test(refuses_other_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
