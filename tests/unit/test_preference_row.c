#include "base/rng.h"
#include "formats/preference_row.h"
#include "json_torture.h"

#include <math.h>
#include <string.h>

static json_t *parse(const char *text) {
    Error error;
    json_t *value = json_parse(text, strlen(text), "text", 1, &error);
    if (value == NULL) fail_msg("%s in %s", error.message, text);
    return value;
}

static bool same(const json_t *found, const char *want) {
    if (want == NULL) return found == NULL;
    json_t *value = parse(want);
    bool equal = json_equal(value, found);
    json_decref(value);
    return equal;
}

#define U(text) "{\"role\": \"user\", \"content\": \"" text "\"}"
#define A(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"
#define S(text) "{\"role\": \"system\", \"content\": \"" text "\"}"

static const struct {
    const char *row, *prompt, *chosen, *rejected;
    PromptLayout prompt_layout;
    AnswerLayout answer_layout;
} layouts[] = {
    {"{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}", "\"p\"", "\"c\"", "\"r\"", PROMPT_TEXT,
     ANSWER_TEXTS},
    {"{\"prompt\": [" U("p") "], \"chosen\": [" A("c") "], \"rejected\": [" A("r") "]}", "[" U("p") "]", "[" A("c") "]",
     "[" A("r") "]", PROMPT_MESSAGES, ANSWER_MESSAGES},
    {"{\"chosen\": [" U("p") "," A("c") "], \"rejected\": [" U("p") "," A("r") "]}", "[" U("p") "]", "[" A("c") "]",
     "[" A("r") "]", PROMPT_COMMON_MESSAGES, ANSWER_MESSAGES},
    // UltraFeedback binarized: the prompt is there twice, "messages" a third time
    {"{\"prompt\": \"p\", \"prompt_id\": \"7\", \"chosen\": [" U("p") "," A("c") "], \"rejected\": [" U("p") "," A(
         "r") "], \"messages\": [" U("p") "," A("c") "], \"score_chosen\": 8.5, \"score_rejected\": 6}",
     "[" U("p") "]", "[" A("c") "]", "[" A("r") "]", PROMPT_COMMON_MESSAGES, ANSWER_MESSAGES},
    {"{\"prompt\": \"p\", \"chosen\": [" A("c") "], \"rejected\": [" A("r") "]}", "[" U("p") "]", "[" A("c") "]",
     "[" A("r") "]", PROMPT_TEXT, ANSWER_MESSAGES},
    {"{\"prompt\": [" U("p") "], \"chosen\": \"c\", \"rejected\": \"r\"}", "[" U("p") "]", "[" A("c") "]",
     "[" A("r") "]", PROMPT_MESSAGES, ANSWER_TEXTS},
    {"{\"prompt\": \"p\"}", "\"p\"", NULL, NULL, PROMPT_TEXT, ANSWER_NONE},
    {"{\"prompt\": [" S("s") "," U("p") "], \"chosen\": null, \"rejected\": null}", "[" S("s") "," U("p") "]", NULL,
     NULL, PROMPT_MESSAGES, ANSWER_NONE},
    {"{\"instruction\": \"p\"}", "[" U("p") "]", NULL, NULL, PROMPT_INSTRUCTION, ANSWER_NONE},
    {"{\"instruction\": \"p\", \"input\": \"q\", \"system\": \"s\", \"history\": [[\"h\", \"i\"]], \"chosen\": \"c\", "
     "\"rejected\": \"r\"}",
     "[" S("s") "," U("h") "," A("i") "," U("p\\nq") "]", "[" A("c") "]", "[" A("r") "]", PROMPT_INSTRUCTION,
     ANSWER_TEXTS},
    {"{\"instruction\": \"p\", \"input\": \"\", \"system\": \"\", \"output\": [\"c\", \"r\"]}", "[" U("p") "]",
     "[" A("c") "]", "[" A("r") "]", PROMPT_INSTRUCTION, ANSWER_OUTPUT_PAIR},
    {"{\"instruction\": \"\", \"input\": \"q\", \"output\": \"c\"}", "[" U("q") "]", "[" A("c") "]", NULL,
     PROMPT_INSTRUCTION, ANSWER_COMPLETION},
    {"{\"system\": \"s\", \"question\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}", "[" S("s") "," U("p") "]",
     "[" A("c") "]", "[" A("r") "]", PROMPT_INSTRUCTION, ANSWER_TEXTS},
    {"{\"conversations\": [{\"from\": \"human\", \"value\": \"p\"}], \"system\": \"s\", \"chosen\": {\"from\": "
     "\"gpt\", \"value\": \"c\"}, "
     "\"rejected\": {\"from\": \"gpt\", \"value\": \"r\"}}",
     "[" S("s") "," U("p") "]", "[" A("c") "]", "[" A("r") "]", PROMPT_CHAT, ANSWER_MESSAGE},
    {"{\"conversations\": [{\"from\": \"system\", \"value\": \"t\"}, {\"from\": \"human\", \"value\": \"p\"}], "
     "\"system\": \"s\"}",
     "[" S("t") "," U("p") "]", NULL, NULL, PROMPT_CHAT, ANSWER_NONE},
    {"{\"messages\": [" U("p") "], \"chosen\": " A("c") ", \"rejected\": " A("r") "}", "[" U("p") "]", "[" A("c") "]",
     "[" A("r") "]", PROMPT_CHAT, ANSWER_MESSAGE},
    {"{\"messages\": [" U("p") "," A("q") "," U("o") "," A("c") "]}", "[" U("p") "," A("q") "," U("o") "]",
     "[" A("c") "]", NULL, PROMPT_CHAT, ANSWER_COMPLETION},
    {"{\"prompt\": \"p\", \"completion\": \"c\"}", "\"p\"", "\"c\"", NULL, PROMPT_TEXT, ANSWER_COMPLETION},
    {"{\"turns\": [\"p\", \"q\"]}", "[" U("p") "]", NULL, NULL, PROMPT_TURNS, ANSWER_NONE},
    {"{\"prompt_ids\": [1, 2], \"chosen_ids\": [3], \"rejected_ids\": [4, 5]}", "[1,2]", "[3]", "[4,5]", PROMPT_TOKENS,
     ANSWER_TOKENS}, // [PR-3]
    {"{\"prompt_ids\": [1, 2]}", "[1,2]", NULL, NULL, PROMPT_TOKENS, ANSWER_NONE},
    // [PR-1] as TRL's extract_prompt gives it
    {"{\"chosen\": \"The sky is blue.\", \"rejected\": \"The sky is green.\"}", "\"The sky is\"", "\" blue.\"",
     "\" green.\"", PROMPT_COMMON_TEXT, ANSWER_TEXTS},
    {"{\"chosen\": \"ab\", \"rejected\": \"abc\"}", "\"a\"", "\"b\"", "\"bc\"", PROMPT_COMMON_TEXT, ANSWER_TEXTS},
    {"{\"chosen\": \"a \\u4f60\", \"rejected\": \"a \\u4f61\"}", "\"a\"", "\" \\u4f60\"", "\" \\u4f61\"",
     PROMPT_COMMON_TEXT, ANSWER_TEXTS},
    {"{\"chosen\": \"x\\u4f60\", \"rejected\": \"x\\u4f60\"}", "\"x\"", "\"\\u4f60\"", "\"\\u4f60\"",
     PROMPT_COMMON_TEXT, ANSWER_TEXTS},
    {"{\"chosen\": \"no\", \"rejected\": \"yes\"}", "\"\"", "\"no\"", "\"yes\"", PROMPT_COMMON_TEXT, ANSWER_TEXTS},
    {"{\"chosen\": [" U("p") "," A("c") "], \"rejected\": [" U("p") "," A("c") "," U("o") "," A("r") "]}",
     "[" U("p") "]", "[" A("c") "]", "[" A("c") "," U("o") "," A("r") "]", PROMPT_COMMON_MESSAGES, ANSWER_MESSAGES}};

static void reads_every_layout(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        json_t *object = parse(layouts[i].row);
        PreferenceRow row;
        Error error = {0};
        if (preference_row_parse(&row, object, "x", 3, &error) != 0) fail_msg("case %zu: %s", i, error.message);
        if (!same(row.prompt, layouts[i].prompt) || !same(row.chosen, layouts[i].chosen) ||
            !same(row.rejected, layouts[i].rejected))
            fail_msg("case %zu: another prompt or answer: %s", i, json_dumps(row.prompt, JSON_ENCODE_ANY));
        if (row.prompt_layout != layouts[i].prompt_layout || row.answer_layout != layouts[i].answer_layout)
            fail_msg("case %zu: found %s, %s", i, prompt_layout_name(row.prompt_layout),
                     answer_layout_name(row.answer_layout));
        assert_int_equal(row.line, 3);
        assert_int_equal(row.conversational,
                         json_is_array(row.prompt) && !preference_row_is_tokens(row.prompt)); // [PR-2]
        assert_true(row.chosen == NULL || json_typeof(row.chosen) == json_typeof(row.prompt));
        assert_true(row.rejected == NULL || json_typeof(row.rejected) == json_typeof(row.prompt));
        preference_row_free(&row);
        json_decref(object);
    }
    assert_false(same(NULL, "1")); // the comparison can fail
}

static void reads_what_stands_beside(void **state) {
    (void)state;
    json_t *object = parse("{\"id\": 7, \"prompt\": \"p\", \"responses\": [\"a\", [" A(
        "b") "]], \"rewards\": [1.5, null], \"tools\": \"[{}]\", "
             "\"documents\": [], \"chat_template_kwargs\": {\"enable_thinking\": false}}");
    PreferenceRow row;
    Error error = {0};
    assert_int_equal(preference_row_parse(&row, object, "x", 1, &error), 0);
    assert_true(row.conversational && row.rewards[0] == 1.5 && isnan(row.rewards[1]));
    assert_true(same(row.responses, "[[" A("a") "], [" A("b") "]]") && same(row.prompt, "[" U("p") "]"));
    assert_true(same(row.tools, "[{}]") && same(row.documents, "[]") &&
                same(row.extra, "{\"enable_thinking\": false}"));
    assert_int_equal(json_integer_value(row.id), 7);
    preference_row_free(&row);
    json_decref(object);
    object = parse("{\"prompt_id\": \"q\", \"tools\": \"\", \"prompt\": \"p\", \"chosen\": \"c\\u0000d\", "
                   "\"rejected\": \"r\"}");
    assert_int_equal(preference_row_parse(&row, object, "x", 1, &error), 0);
    assert_true(!row.conversational && row.tools == NULL);
    size_t bytes;
    assert_memory_equal(preference_row_answer(row.chosen, &bytes), "c\0d", 4);
    assert_int_equal(bytes, 3);
    assert_int_equal(preference_row_wrap(&row, &error), 0);
    assert_true(row.conversational && same(row.prompt, "[" U("p") "]") && same(row.rejected, "[" A("r") "]"));
    preference_row_answer(row.chosen, &bytes);
    assert_int_equal(bytes, 3);
    preference_row_answer(row.prompt, &bytes);
    assert_int_equal(bytes, 0);
    preference_row_free(&row);
    json_decref(object);
}

static void refuses_with_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *row, *words;
    } cases[] = {{"{\"text\": \"a\", \"label\": 1}",
                  "among the keys: text, label; known layouts are {prompt, chosen, rejected}"},
                 {"{}", "among the keys: none"},
                 {"[]", "this row is an array where an object"},
                 {"{\"prompt\": 1}", "\"prompt\" is a whole number where a text or messages"},
                 {"{\"prompt\": [\"a\"]}", "\"prompt\", message 1: a message must be"},
                 {"{\"prompt\": \"p\", \"chosen\": \"c\"}", "has \"chosen\" without \"rejected\""},
                 {"{\"prompt\": \"p\", \"chosen\": null, \"rejected\": \"c\"}", "has \"rejected\" without \"chosen\""},
                 {"{\"prompt\": \"p\", \"chosen\": 1, \"rejected\": \"c\"}", "\"chosen\" is a whole number"},
                 {"{\"prompt\": \"p\", \"responses\": []}", "\"responses\" must be a list"},
                 {"{\"prompt\": \"p\", \"responses\": \"a\"}", "\"responses\" must be a list"},
                 {"{\"prompt\": \"p\", \"responses\": [1]}", "\"responses\" is a whole number"},
                 {"{\"prompt\": \"p\", \"responses\": [\"a\"], \"rewards\": [1, 2]}", "a list of 1 numbers"},
                 {"{\"prompt\": \"p\", \"responses\": [\"a\"], \"rewards\": [\"1\"]}", "rewards[0] is not a number"},
                 {"{\"instruction\": \"p\", \"output\": [\"a\"]}", "\"output\" must be"},
                 {"{\"instruction\": 1}", "\"instruction\" and \"input\" must be texts"},
                 {"{\"instruction\": \"p\", \"system\": 1}", "\"system\" is a whole number"},
                 {"{\"instruction\": \"p\", \"history\": [[\"a\"]]}", "\"history\" is missing"},
                 {"{\"conversations\": \"p\"}", "\"conversations\" is a string where a list"},
                 {"{\"turns\": [1]}", "\"turns\" must be"},
                 {"{\"prompt_ids\": []}", "\"prompt_ids\" must be a list of token ids"},
                 {"{\"prompt_ids\": [1, -2]}", "\"prompt_ids\"[1] is not a token id"},
                 {"{\"prompt_ids\": [1], \"chosen_ids\": [\"a\"]}", "\"chosen_ids\"[0] is not a token id"},
                 {"{\"prompt_ids\": [1], \"response_ids\": [3]}", "\"response_ids\" must be a list of token ids"},
                 {"{\"prompt\": \"p\", \"tools\": \"[\"}", "x:9: tools:1:1: not valid JSON"},
                 {"{\"prompt\": \"p\", \"tools\": {}}", "\"tools\" and \"documents\" must be lists"},
                 {"{\"prompt\": \"p\", \"chat_template_kwargs\": []}", "must be an object"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *object = parse(cases[i].row);
        PreferenceRow row;
        Error error = {0};
        assert_int_equal(preference_row_parse(&row, object, "x", 9, &error), -1);
        if (error.code != ERROR_INPUT || strstr(error.message, cases[i].words) == NULL ||
            strncmp(error.message, "x:9: ", 5) != 0)
            fail_msg("case %zu: code %d, \"%s\"", i, error.code, error.message);
        assert_null(row.prompt);
        json_decref(object);
    }
}

static void says_when_memory_is_out(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        json_t *object = parse(layouts[i].row);
        for (size_t left = 0, struck = 1; struck; left++) {
            PreferenceRow row;
            Error error = {0};
            torture_begin(left);
            int result = preference_row_parse(&row, object, "x", 3, &error);
            struck = (size_t)torture_end();
            if (result != 0)
                assert_true(struck && error.code == ERROR_MEMORY);
            else if (!same(row.prompt, layouts[i].prompt) || !same(row.chosen, layouts[i].chosen) ||
                     !same(row.rejected, layouts[i].rejected))
                fail_msg("case %zu: allocation %zu failed, and nobody said so", i, left);
            if (result == 0) preference_row_free(&row);
        }
        json_decref(object);
    }
}

/* [PR-1] Prompt and answers put together are the texts again, and the prompt cuts no code point; with one fault
 * planted. */
static void splits_without_loss(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    static const char *const pieces[] = {"a", " ", "\u00e9", "\u4f60", "\u4f61", "\U0001f600", "\U0001f601", "b"};
    for (uint32_t i = 0; i < 5000; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        char text[2][128] = {"", ""};
        size_t common = rng_below(&a, 0, 6), at[2] = {0, 0};
        for (uint32_t k = 0; k < 12; k++)
            for (uint32_t t = 0; t < 2; t++) {
                const char *p = pieces[rng_below(&a, 1 + 2 * k + (k < common ? 0 : t), 8)];
                memcpy(text[t] + at[t], p, strlen(p) + 1);
                at[t] += strlen(p);
            }
        json_t *object = json_pack("{s:s, s:s}", "chosen", text[0], "rejected", text[1]);
        PreferenceRow row;
        Error error = {0};
        assert_int_equal(preference_row_parse(&row, object, "x", 1, &error),
                         0); // json_stringn refuses half code points
        const json_t *const answers[2] = {row.chosen, row.rejected};
        for (uint32_t t = 0; t < 2; t++) {
            char joined[256];
            snprintf(joined, sizeof joined, "%s%s", json_string_value(row.prompt), json_string_value(answers[t]));
            assert_string_equal(joined, text[t]);
            joined[0] ^= 1;
            assert_string_not_equal(joined, text[t]);
        }
        const char *c = json_string_value(row.chosen), *r = json_string_value(row.rejected);
        assert_true(json_equal(row.chosen, row.rejected) || c[0] == ' ' || strncmp(c, r, 1) != 0 ||
                    (c[0] & 0x80) != 0 || c[1] == 0 || r[1] == 0);
        preference_row_free(&row);
        json_decref(object);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_every_layout), cmocka_unit_test(reads_what_stands_beside),
                                       cmocka_unit_test(refuses_with_a_reason), cmocka_unit_test(splits_without_loss),
                                       cmocka_unit_test(says_when_memory_is_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
