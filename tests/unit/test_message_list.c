#include "formats/message_list.h"
#include "test.h"

#include <string.h>

static json_t *parse(const char *text) {
    Error error;
    json_t *value = json_parse(text, strlen(text), "text", 1, &error);
    if (value == NULL) fail_msg("%s", error.message);
    return value;
}

/* Each form on the left becomes the form on the right. */
static void makes_messages_of_every_form(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"[{\"role\": \"user\", \"content\": \"a\"}]", "[{\"role\": \"user\", \"content\": \"a\"}]"},
        {"{\"role\": \"assistant\", \"content\": \"a\"}", "[{\"role\": \"assistant\", \"content\": \"a\"}]"},
        {"{\"from\": \"gpt\", \"value\": \"a\\u0000b\"}", "[{\"role\": \"assistant\", \"content\": \"a\\u0000b\"}]"},
        {"[{\"from\": \"system\", \"value\": \"s\"}, {\"from\": \"human\", \"value\": \"h\"}, {\"from\": "
         "\"observation\", \"value\": \"o\"}]",
         "[{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"h\"}, {\"role\": \"tool\", "
         "\"content\": \"o\"}]"},
        {"[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": "
         "\"b\"}]}]",
         "[{\"role\": \"user\", \"content\": \"ab\"}]"},
        {"[{\"role\": \"user\", \"content\": []}]", "[{\"role\": \"user\", \"content\": \"\"}]"},
        {"[{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [1]}]",
         "[{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [1]}]"},
        {"[]", "[]"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        json_t *in = parse(cases[i][0]), *want = parse(cases[i][1]), *found = message_list_from_json(in, "x:1", &error);
        if (!json_equal(found, want)) fail_msg("case %zu: %s", i, error.message);
        json_decref(in);
        json_decref(want);
        json_decref(found);
    }
}

static void names_the_message_that_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *text;
        ErrorCode code;
        const char *words;
    } cases[] = {{"[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": 1, \"content\": \"a\"}]", ERROR_INPUT,
                  "message 2: \"role\" is a whole number"},
                 {"[{\"role\": \"\", \"content\": \"a\"}]", ERROR_INPUT, "\"role\" is empty"},
                 {"[{\"role\": \"user\"}]", ERROR_INPUT, "\"content\" is missing"},
                 {"[{\"role\": \"user\", \"content\": null}]", ERROR_INPUT, "\"content\" is null"},
                 {"[{\"role\": \"user\", \"content\": 1}]", ERROR_INPUT, "\"content\" is a whole number"},
                 {"[{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]", ERROR_UNSUPPORTED,
                  "part 0 of the content is not text"},
                 {"[{\"from\": \"human\"}]", ERROR_INPUT, "{\"from\", \"value\"}"},
                 {"[{\"from\": \"function_call\", \"value\": \"a\"}]", ERROR_UNSUPPORTED,
                  "\"from\" is \"function_call\"; supported are human"},
                 {"[\"a\"]", ERROR_INPUT, "message 1: a message must be"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        json_t *in = parse(cases[i].text);
        assert_null(message_list_from_json(in, "x:1: \"prompt\"", &error));
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL ||
            strncmp(error.message, "x:1: \"prompt\"", 13) != 0)
            fail_msg("case %zu: code %d, \"%s\"", i, error.code, error.message);
        json_decref(in);
    }
}

static void knows_a_list_from_a_text(void **state) {
    (void)state;
    json_t *list = parse("[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]"),
           *text = json_string("a");
    assert_string_equal(message_list_role(list, 1), "assistant");
    assert_string_equal(message_list_role(list, 2), "");
    assert_string_equal(message_list_role(text, 0), "");
    json_t *slice = message_list_slice(list, 1, 2), *made = message_list_from_text("user", text);
    assert_int_equal(json_array_size(slice), 1);
    assert_true(json_equal(json_array_get(list, 0), json_array_get(made, 0)));
    json_decref(slice);
    json_decref(made);
    json_decref(list);
    json_decref(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(makes_messages_of_every_form),
                                       cmocka_unit_test(names_the_message_that_is_wrong),
                                       cmocka_unit_test(knows_a_list_from_a_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
