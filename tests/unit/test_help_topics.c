#include "cli/help_topics.h"
#include "formats/preference_row.h"
#include "test.h"
#include <string.h>

static void topics_fit_a_terminal(void **state) {
    (void)state;
    static const char *const names[] = {"layouts", "method"};
    for (int i = 0; i < 2; i++) {
        const char *text = help_topic(names[i]);
        assert_non_null(text);
        assert_int_equal(text[strlen(text) - 1], '\n');
        for (; *text != 0; text += strcspn(text, "\n") + 1)
            if (strcspn(text, "\n") > 120) fail_msg("%s has a long line: %.60s...", names[i], text);
    }
    assert_null(help_topic("layout"));
    assert_null(help_topic(""));
}

/* A row of each layout that the help tells of; its first key is in the help, and the reader finds the layout. */
static void the_layouts_are_those_that_are_read(void **state) {
    (void)state;
#define PROMPT "\"prompt\": \"p\", "
    static const struct {
        const char *key, *row;
        PromptLayout prompt;
        AnswerLayout answer;
    } cases[] = {
        {"\"prompt\"", "{\"prompt\": \"p\"}", PROMPT_TEXT, ANSWER_NONE},
        {"\"messages\"", "{\"messages\": [{\"role\": \"user\", \"content\": \"p\"}]}", PROMPT_CHAT, ANSWER_NONE},
        {"\"conversations\"", "{\"conversations\": [{\"from\": \"human\", \"value\": \"p\"}]}", PROMPT_CHAT,
         ANSWER_NONE},
        {"\"instruction\"", "{\"instruction\": \"p\", \"input\": \"i\"}", PROMPT_INSTRUCTION, ANSWER_NONE},
        {"\"turns\"", "{\"turns\": [\"p\", \"q\"]}", PROMPT_TURNS, ANSWER_NONE},
        {"\"prompt_ids\"", "{\"prompt_ids\": [1, 2]}", PROMPT_TOKENS, ANSWER_NONE},
        {"\"chosen\", \"rejected\"", "{" PROMPT "\"chosen\": \"a\", \"rejected\": \"b\"}", PROMPT_TEXT, ANSWER_TEXTS},
        {"without a prompt", "{\"chosen\": \"pa\", \"rejected\": \"pb\"}", PROMPT_COMMON_TEXT, ANSWER_TEXTS},
        {"\"output\": [CHOSEN, REJECTED]", "{\"instruction\": \"p\", \"output\": [\"a\", \"b\"]}", PROMPT_INSTRUCTION,
         ANSWER_OUTPUT_PAIR},
        {"\"chosen_ids\", \"rejected_ids\"", "{\"prompt_ids\": [1], \"chosen_ids\": [2], \"rejected_ids\": [3]}",
         PROMPT_TOKENS, ANSWER_TOKENS},
        {"\"completion\"", "{" PROMPT "\"completion\": \"a\"}", PROMPT_TEXT, ANSWER_COMPLETION},
        {"\"responses\"", "{" PROMPT "\"responses\": [\"a\", \"b\"], \"rewards\": [1, 2]}", PROMPT_TEXT,
         ANSWER_RESPONSES},
    };
    const char *help = help_topic("layouts");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error;
        PreferenceRow row;
        if (strstr(help, cases[i].key) == NULL) fail_msg("%s is not in the help", cases[i].key);
        json_t *object = json_parse(cases[i].row, strlen(cases[i].row), "row", 1, &error);
        if (object == NULL || preference_row_parse(&row, object, "row", 1, &error) != 0)
            fail_msg("%s: %s", cases[i].row, error.message);
        if (row.prompt_layout != cases[i].prompt || row.answer_layout != cases[i].answer)
            fail_msg("%s: read as %s, %s", cases[i].row, prompt_layout_name(row.prompt_layout),
                     answer_layout_name(row.answer_layout));
        preference_row_free(&row);
        json_decref(object);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(topics_fit_a_terminal),
                                       cmocka_unit_test(the_layouts_are_those_that_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
