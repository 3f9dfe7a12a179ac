#include "checkpoint_cases.h"
#include "cli/rows.h"

static CheckpointDirectory directory;
static Chat chat;
static Rows rows;
static Error error;

static int setup_with(const char *chat_template) {
    checkpoint_create(&directory, chat_template);
    return rows_load_chat(&chat, directory.path, &error);
}
static int setup(void **state) {
    (void)state;
    return setup_with("{% for t in tools or [] %}[{{ t }}]{% endfor %}{% for m in messages %}{{ m.content }}<|end|>"
                      "{% endfor %}{% if add_generation_prompt %}>{% endif %}");
}
static int teardown(void **state) {
    (void)state;
    chat_free(&chat);
    checkpoint_remove(&directory);
    return 0;
}

static int read_rows(const char *text, const char *system, bool with_answers) {
    char *copy = strdup(text), *path;
    for (char *p = copy; *p != 0; p++)
        if (*p == '\'') *p = '"';
    checkpoint_put(&directory, "rows.jsonl", copy);
    path = file_join(directory.path, "rows.jsonl");
    int result = rows_read(&rows, path, &chat, system, CHAT_END_STOP, with_answers, NULL, &error);
    free(copy), free(path);
    return result;
}

static void assert_text(const TokenList *ids, const char *text) {
    Buffer out = {0};
    assert_int_equal(tokenizer_decode(chat.tokenizer, ids->data, ids->count, false, &out, &error), 0);
    assert_string_equal(out.data, text);
    buffer_free(&out);
}

/* Answers of any kind come in the order of the row; system message and tools reach the template. */
static void answers_of_every_kind_are_encoded(void **state) {
    (void)state;
    if (read_rows(
            "{'prompt': 'a', 'chosen': 'x', 'rejected': 'y'}\n{'prompt': 'b', 'responses': ['u', 'v', 'w']}\n"
            "{'prompt': 'c', 'completion': 'z', 'tools': ['T']}\n{'prompt_ids': [1, 2], 'response_ids': [[3], [4]]}\n",
            "s", true) != 0)
        fail_msg("%s", error.message);
    static const size_t answers[] = {2, 3, 1, 2};
    for (size_t i = 0; i < 4; i++) assert_int_equal(rows.answers[i], answers[i]);
    assert_text(&rows.prompt[0], "s<|end|>a<|end|>");
    assert_text(&rows.answer[0][1], "y<|end|>");
    assert_text(&rows.answer[1][2], "w<|end|>");
    assert_text(&rows.prompt[2], "[T]s<|end|>c<|end|>");
    assert_true(rows.prompt[3].count == 2 && rows.answer[3][1].data[0] == 4);
    rows_free(&rows);
}

static void prompts_are_rendered_for_sampling(void **state) {
    (void)state;
    assert_int_equal(read_rows("{'prompt': 'a', 'tools': ['T']}\n", "", false), 0);
    assert_text(&rows.prompt[0], "[T]a<|end|>>");
    assert_int_equal(rows.answers[0], 0);
    rows_free(&rows);
}

static void a_row_without_an_answer_is_placed(void **state) {
    (void)state;
    assert_int_equal(read_rows("{'prompt': 'a', 'chosen': 'x', 'rejected': 'y'}\n{'prompt': 'b'}\n", "", true), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    if (strstr(error.message, "rows.jsonl:2: ") == NULL || strstr(error.message, "no answer") == NULL)
        fail_msg("%s", error.message);
}

static void what_the_model_cannot_take_is_placed(void **state) {
    (void)state;
    static const HfConfig config = {.vocabulary = 10, .max_positions = 4};
    static const struct {
        const char *row, *words;
    } bad[] = {{"{'prompt_ids': [1, 2], 'chosen_ids': [3, 10], 'rejected_ids': [4]}", "vocabulary of 10"},
               {"{'prompt_ids': [1, 12], 'chosen_ids': [3], 'rejected_ids': [4]}", "token 12"},
               {"{'prompt_ids': [1, 2], 'chosen_ids': [3], 'rejected_ids': [4, 5, 6]}", "have 5 tokens"},
               {"{'prompt_ids': [1, 2, 3, 4], 'chosen_ids': [3], 'rejected_ids': [4]}", "leaves no room"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "{'prompt_ids': [1, 2], 'chosen_ids': [3, 9], 'rejected_ids': [4]}\n\n%s\n",
                 bad[i].row);
        assert_int_equal(read_rows(text, "", true), 0);
        assert_int_equal(rows_check_model(&rows, &config, &error), -1);
        assert_int_equal(error.code, ERROR_INPUT);
        if (strstr(error.message, "rows.jsonl:3: ") == NULL || strstr(error.message, bad[i].words) == NULL)
            fail_msg("%s", error.message);
        rows_free(&rows);
    }
}

/* Without a tokenizer rows of ids can be read, and the end tokens are those of the configuration. */
static void a_model_without_a_tokenizer_reads_ids(void **state) {
    (void)state;
    chat_free(&chat);
    char *tokenizer = file_join(directory.path, "tokenizer.json");
    assert_int_equal(remove(tokenizer), 0);
    free(tokenizer);
    assert_int_equal(rows_load_chat(&chat, directory.path, &error), 0);
    assert_null(chat.tokenizer);
    assert_true(chat_is_stop(&chat, CHECKPOINT_END));
    assert_int_equal(read_rows("{'prompt_ids': [1, 2], 'chosen_ids': [3], 'rejected_ids': [4]}\n", "", true), 0);
    rows_free(&rows);
    assert_int_equal(read_rows("{'prompt': 'a', 'chosen': 'x', 'rejected': 'y'}\n", "", true), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "tokenizer.json"));
}

/* A result appears whole or not at all. */
static void a_writer_commits_or_removes(void **state) {
    (void)state;
    char *path = file_join(directory.path, "out.jsonl");
    for (int result = -1; result <= 0; result++) {
        RowWriter writer;
        assert_int_equal(rows_open_writer(&writer, path, &error), 0);
        assert_int_equal(rows_write(&writer, json_pack("{s:f}", "x", 0.1), &error), 0);
        assert_int_equal(rows_close_writer(&writer, result, &error), result);
        assert_int_equal(file_exists(path), result == 0);
    }
    FileMap map;
    assert_int_equal(file_map(&map, path, &error), 0);
    assert_true(map.size == 26 && memcmp(map.data, "{\"x\":0.10000000000000001}\n", 25) == 0);
    file_unmap(&map);
    RowWriter writer;
    assert_int_equal(rows_open_writer(&writer, path, &error), 0);
    assert_int_equal(rows_write(&writer, NULL, &error), -1); // a row that could not be made
    assert_int_equal(error.code, ERROR_MEMORY);
    assert_int_equal(rows_close_writer(&writer, -1, &error), -1);
    free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(answers_of_every_kind_are_encoded),     TEST(prompts_are_rendered_for_sampling),
        TEST(a_row_without_an_answer_is_placed),     TEST(what_the_model_cannot_take_is_placed),
        TEST(a_model_without_a_tokenizer_reads_ids), TEST(a_writer_commits_or_removes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
