#include "align/preference_data.h"
#include "checkpoint_cases.h"
#include <math.h>

static CheckpointDirectory directory;
static Chat chat;
static Error error;
static Buffer said; // what the log heard

static void hear(void *context, LogLevel level, const char *message) {
    buffer_format(context, "%d %s\n", (int)level, message);
}
static const Log heard = {.say = hear, .context = &said};

static int setup(void **state) {
    (void)state;
    buffer_clear(&said);
    checkpoint_create(&directory, checkpoint_template);
    return chat_load(&chat, directory.path, &error);
}
static int teardown(void **state) {
    (void)state;
    chat_free(&chat);
    checkpoint_remove(&directory);
    return 0;
}

/* A file of rows in the directory, ' for "; its path is to be freed. */
static char *rows(const char *name, const char *text) {
    char *copy = strdup(text);
    for (char *p = copy; *p != 0; p++)
        if (*p == '\'') *p = '"';
    checkpoint_put(&directory, name, copy);
    free(copy);
    return file_join(directory.path, name);
}

static EncodeRules rules(size_t max_tokens) {
    return (EncodeRules){.chat = &chat, .wrap = true, .max_tokens = max_tokens};
}

static int add_pairs(PreferenceData *data, const char *text, const EncodeRules *r) {
    char *path = rows("pairs.jsonl", text);
    int result = preference_data_add_pairs(data, path, r, false, &heard, &error);
    free(path);
    return result;
}

static int add_prompts(PreferenceData *data, const char *text, const EncodeRules *r) {
    char *path = rows("prompts.jsonl", text);
    int result = preference_data_add_prompts(data, path, r, &heard, &error);
    free(path);
    return result;
}

static void assert_text(const int32_t *ids, size_t length, const char *text) {
    Buffer out = {0};
    assert_int_equal(tokenizer_decode(chat.tokenizer, ids, length, false, &out, &error), 0);
    assert_string_equal(out.data, text);
    buffer_free(&out);
}

static void pairs_are_prompt_and_two_answers(void **state) {
    (void)state;
    const EncodeRules r = rules(128);
    PreferenceData data = {0};
    if (add_pairs(&data, "{'prompt': 'the mill', 'chosen': 'stood', 'rejected': 'by'}\n", &r) != 0)
        fail_msg("%s", error.message);
    assert_true(data.pairs == 1 && data.prompts == 1);
    const EncodedPair *p = &data.pair[0];
    const char *opened = "<|start|>user\nthe mill<|end|>\n<|start|>assistant\n";
    assert_text(p->prompt, p->prompt_length, opened);
    assert_text(p->response[0], p->length[0], "stood<|end|>");
    assert_text(p->response[1], p->length[1], "by<|end|>");
    assert_text(data.prompt[0].ids, data.prompt[0].length, opened);
    assert_string_equal(data.prompt[0].text, "[{\"role\":\"user\",\"content\":\"the mill\"}]");
    assert_false(data.prompt[0].from_prompts);
    assert_true(isnan(p->reference[0]) && isnan(p->reference[1]) && p->line == 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(p->answer[1], 0), "content")), "by");
    Buffer shown = {0};
    assert_int_equal(preference_data_show_first(&data, &chat, &shown, &error), 0);
    assert_non_null(strstr(shown.data, "the mill"));
    assert_non_null(strstr(strstr(shown.data, "chosen (in the loss)"), "stood<|end|>"));
    buffer_free(&shown);
    preference_data_free(&data);
}

/* One number a prompt, whatever file it came from and in whatever order its keys stand. */
static void the_same_prompt_has_one_number(void **state) {
    (void)state;
    const EncodeRules r = rules(128);
    PreferenceData data = {0};
    assert_int_equal(add_pairs(&data,
                               "{'prompt': [{'role': 'user', 'content': 'a'}], 'chosen': 'x', 'rejected': 'y'}\n"
                               "{'prompt': 'b', 'chosen': 'x', 'rejected': 'y'}\n"
                               "{'prompt': [{'content': 'a', 'role': 'user'}], 'chosen': 'u', 'rejected': 'v'}\n",
                               &r),
                     0);
    assert_int_equal(add_prompts(&data, "{'prompt': 'a'}\n{'prompt': 'c'}\n{'prompt': 'a'}\n", &r), 0);
    assert_int_equal(data.prompts, 3);
    assert_true(data.pair[0].prompt_number == 0 && data.pair[1].prompt_number == 1 && data.pair[2].prompt_number == 0);
    assert_true(data.prompt[0].from_prompts && !data.prompt[1].from_prompts && data.prompt[2].from_prompts);
    preference_data_free(&data);
}

static const char *const long_rows =
    "{'prompt': 'a', 'chosen': 'the mill stood by the river and the miller slept', 'rejected': 'y'}\n"
    "{'prompt': 'b', 'chosen': 'x', 'rejected': 'y'}\n"
    "{'prompt': 'the mill stood by the river and the miller slept under a tree all day', 'chosen': 'x', 'rejected': "
    "'y'}\n";

static void long_pairs_are_left_out_or_cut(void **state) {
    (void)state;
    EncodeRules r = rules(128);
    PreferenceData data = {0};
    assert_int_equal(add_pairs(&data, long_rows, &r), 0);
    assert_true(data.pairs == 3 && data.overlong_pairs == 0);
    size_t prompt = data.pair[0].prompt_length, longest = prompt + data.pair[0].length[0];
    assert_true(longest > prompt + 8);
    preference_data_free(&data);

    r.max_tokens = longest - 1;
    assert_int_equal(add_pairs(&data, long_rows, &r), 0);
    assert_true(data.pairs == 1 && data.overlong_pairs == 2 && data.cut_pairs == 0 && data.prompts == 1);
    assert_non_null(strstr(said.data, "2 rows are longer"));
    preference_data_free(&data);

    r.overlong = OVERLONG_KEEP_START; // the last one's prompt alone is too long
    buffer_clear(&said);
    assert_int_equal(add_pairs(&data, long_rows, &r), 0);
    assert_true(data.pairs == 2 && data.overlong_pairs == 1 && data.cut_pairs == 1);
    assert_int_equal(data.pair[0].prompt_length + data.pair[0].length[0], r.max_tokens);
    assert_int_equal(data.pair[0].length[1], 2);
    assert_non_null(strstr(said.data, "1 rows lose the ends of their responses"));
    preference_data_free(&data);

    r.max_tokens = 4;
    assert_int_equal(add_pairs(&data, long_rows, &r), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    if (strstr(error.message, "pairs.jsonl: no row fits into 4 tokens") == NULL) fail_msg("%s", error.message);
    preference_data_free(&data);
}

/* [PD-1] The last tokens of a prompt, or its first ones; and a pair that fits since its prompt lost its beginning. */
static void prompts_may_be_cut(void **state) {
    (void)state;
    EncodeRules r = rules(128), whole = r;
    PreferenceData data = {0}, all = {0};
    assert_int_equal(add_pairs(&all, long_rows, &whole), 0);
    const EncodedPair *long_one = &all.pair[2];
    r.max_prompt_tokens = long_one->prompt_length - 3;
    assert_int_equal(add_pairs(&data, long_rows, &r), 0);
    assert_true(data.pairs == 2 && data.overlong_pairs == 1 && data.cut_prompts == 0);
    preference_data_free(&data);
    r.overlong_prompt = OVERLONG_KEEP_END;
    buffer_clear(&said);
    assert_int_equal(add_pairs(&data, long_rows, &r), 0);
    assert_true(data.pairs == 3 && data.cut_prompts == 1 && data.pair[2].prompt_length == r.max_prompt_tokens);
    assert_memory_equal(data.pair[2].prompt, long_one->prompt + 3, r.max_prompt_tokens * sizeof(int32_t));
    assert_memory_equal(data.prompt[2].ids, long_one->prompt + 3,
                        r.max_prompt_tokens * sizeof(int32_t)); // to sample for
    assert_non_null(strstr(said.data, "1 prompts are cut to their last"));
    preference_data_free(&data);
    r.overlong_prompt = OVERLONG_KEEP_START;
    assert_int_equal(add_pairs(&data, long_rows, &r), 0);
    assert_memory_equal(data.pair[2].prompt, long_one->prompt, r.max_prompt_tokens * sizeof(int32_t));
    preference_data_free(&data);
    r = rules(all.pair[0].prompt_length + all.pair[0].length[0] - 2), r.overlong = OVERLONG_KEEP_END;
    assert_int_equal(add_pairs(&data, long_rows, &r), 0);
    assert_true(data.pair[0].length[0] == all.pair[0].length[0] && data.cut_starts >= 1);
    assert_memory_equal(data.pair[0].prompt, all.pair[0].prompt + 2, data.pair[0].prompt_length * sizeof(int32_t));
    preference_data_free(&data);
    preference_data_free(&all);
}

static void rows_without_a_difference_may_be_kept(void **state) {
    (void)state;
    static const char *const text = "{'prompt': 'a', 'chosen': 'x', 'rejected': 'x'}\n"
                                    "{'prompt': 'a', 'chosen': '', 'rejected': 'x'}\n"
                                    "{'prompt': 'a', 'chosen': 'x', 'rejected': 'y'}\n";
    EncodeRules r = rules(128);
    PreferenceData data = {0};
    assert_int_equal(add_pairs(&data, text, &r), 0);
    assert_int_equal(data.pairs, 1);
    assert_non_null(strstr(said.data, "Dropped for an empty answer: 1"));
    preference_data_free(&data);
    r.keep_all = true;
    assert_int_equal(add_pairs(&data, text, &r), 0);
    assert_int_equal(data.pairs, 3);
    assert_text(data.pair[1].response[0], data.pair[1].length[0], "<|end|>");
    preference_data_free(&data);
}

/* [PD-2] */
static void pairs_may_be_deduplicated(void **state) {
    (void)state;
    static const char *const text = "{'prompt': 'a', 'chosen': 'x', 'rejected': 'y'}\n"
                                    "{'prompt': 'a', 'chosen': 'y', 'rejected': 'x'}\n"
                                    "{'rejected': 'y', 'prompt': 'a', 'chosen': 'x'}\n"
                                    "{'prompt': 'b', 'chosen': 'x', 'rejected': 'y'}\n";
    EncodeRules r = rules(128);
    PreferenceData data = {0};
    assert_int_equal(add_pairs(&data, text, &r), 0);
    assert_true(data.pairs == 4 && data.repeated_pairs == 1 && data.prompts == 2 && data.repeated_prompts == 2);
    assert_non_null(strstr(said.data, "1 pairs are there already and count again"));
    preference_data_free(&data);
    r.deduplicate = true;
    assert_int_equal(add_pairs(&data, text, &r), 0);
    assert_true(data.pairs == 3 && data.repeated_pairs == 1 && data.pair[2].line == 4);
    assert_non_null(strstr(said.data, "1 pairs are there already and left out"));
    assert_int_equal(add_pairs(&data, text, &r), -1); // the same file again
    assert_non_null(strstr(error.message, "every pair is there already"));
    preference_data_free(&data);
}

/* Each distinct prompt that leaves no room is counted once. */
static void long_prompts_are_left_out(void **state) {
    (void)state;
    static const char *const text = "{'prompt': 'the mill stood by the river and the miller slept'}\n{'prompt': 'a'}\n"
                                    "{'prompt': 'the mill stood by the river and the miller slept'}\n";
    const EncodeRules r = rules(20), none = rules(3);
    PreferenceData data = {0};
    assert_int_equal(add_prompts(&data, text, &r), 0);
    assert_true(data.prompts == 2 && data.overlong_prompts == 1);
    assert_null(data.prompt[0].ids);
    assert_non_null(data.prompt[1].ids);
    assert_non_null(strstr(said.data, "1 prompts have 20 tokens or more"));
    preference_data_free(&data);
    assert_int_equal(add_prompts(&data, text, &none), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "no prompt is shorter than 3 tokens"));
    preference_data_free(&data);
}

static void a_system_message_is_added_where_none_is(void **state) {
    (void)state;
    EncodeRules r = rules(128);
    r.system = "be kind";
    PreferenceData data = {0};
    assert_int_equal(add_prompts(&data,
                                 "{'prompt': 'a'}\n{'prompt': [{'role': 'system', 'content': 'own'}, {'role': 'user', "
                                 "'content': 'a'}]}\n",
                                 &r),
                     0);
    assert_text(data.prompt[0].ids, data.prompt[0].length,
                "<|start|>system\nbe kind<|end|>\n<|start|>user\na<|end|>\n<|start|>assistant\n");
    assert_text(data.prompt[1].ids, data.prompt[1].length,
                "<|start|>system\nown<|end|>\n<|start|>user\na<|end|>\n<|start|>assistant\n");
    preference_data_free(&data);
    r.wrap = false; // plain text has no place for it
    assert_int_equal(add_prompts(&data, "{'prompt': 'the mill'}\n", &r), 0);
    assert_text(data.prompt[0].ids, data.prompt[0].length, "the mill");
    preference_data_free(&data);
}

static void references_of_the_file_are_kept(void **state) {
    (void)state;
    const EncodeRules r = rules(128);
    PreferenceData data = {0};
    assert_int_equal(add_pairs(&data,
                               "{'prompt': 'a', 'chosen': 'x', 'rejected': 'y', 'reference_logprobs': [-3.5, -4]}\n"
                               "{'prompt': 'b', 'chosen': 'x', 'rejected': 'y', 'reference_logprobs': [null, -4]}\n"
                               "{'prompt': 'c', 'chosen': 'x', 'rejected': 'y', 'reference_logprobs': 'no'}\n",
                               &r),
                     0);
    assert_true(data.pair[0].reference[0] == -3.5 && data.pair[0].reference[1] == -4);
    assert_true(isnan(data.pair[1].reference[0]) && data.pair[1].reference[1] == -4);
    assert_true(isnan(data.pair[2].reference[0]) && isnan(data.pair[2].reference[1]));
    preference_data_free(&data);
}

static void rows_of_ids_need_no_tokenizer(void **state) {
    (void)state;
    const Chat none = {0};
    EncodeRules r = rules(6);
    r.chat = &none;
    r.wrap = false;
    PreferenceData data = {0};
    if (add_pairs(&data,
                  "{'prompt_ids': [1, 2], 'chosen_ids': [3, 4, 5], 'rejected_ids': [6]}\n"
                  "{'prompt_ids': [1, 2], 'chosen_ids': [3, 4, 5, 6, 7], 'rejected_ids': [6]}\n",
                  &r) != 0)
        fail_msg("%s", error.message);
    assert_true(data.pairs == 1 && data.overlong_pairs == 1 && data.pair[0].length[0] == 3);
    assert_int_equal(data.pair[0].response[0][2], 5);
    Buffer shown = {0};
    assert_int_equal(preference_data_show_first(&data, &none, &shown, &error), 0);
    assert_int_equal(shown.size, 0);
    preference_data_free(&data);
}

static void completions_have_one_answer(void **state) {
    (void)state;
    const EncodeRules r = rules(128);
    PreferenceData data = {0};
    char *path = rows("sft.jsonl", "{'prompt': 'a', 'completion': 'the river'}\n{'prompt': 'b', 'chosen': 'x', "
                                   "'rejected': 'y'}\n");
    if (preference_data_add_pairs(&data, path, &r, true, &heard, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(data.pairs, 2);
    assert_text(data.pair[0].response[0], data.pair[0].length[0], "the river<|end|>");
    assert_null(data.pair[0].response[1]);
    preference_data_free(&data);
    assert_int_equal(preference_data_add_pairs(&data, path, &r, false, &heard, &error), -1); // it is no pair
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "sft.jsonl:1"));
    preference_data_free(&data);
    free(path);
}

static void variables_of_a_row_reach_the_template(void **state) {
    (void)state;
    CheckpointDirectory other;
    Chat mooded;
    checkpoint_create(
        &other,
        "{{ mood or 'calm' }}/{{ (tools or []) | length }}:{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}");
    assert_int_equal(chat_load(&mooded, other.path, &error), 0);
    EncodeRules r = rules(128);
    r.chat = &mooded;
    PreferenceData data = {0};
    assert_int_equal(add_prompts(&data,
                                 "{'prompt': 'a'}\n{'prompt': 'b', 'chat_template_kwargs': {'mood': 'wild'}}\n"
                                 "{'prompt': 'c', 'tools': [{'name': 'f'}]}\n"
                                 "{'prompt': 'c'}\n{'prompt': 'c', 'tools': [{'name': 'f'}]}\n",
                                 &r),
                     0);
    assert_true(data.prompts == 4 && data.repeated_prompts == 1); // other tools make another prompt
    assert_text(data.prompt[3].ids, data.prompt[3].length, "calm/0:c<|end|>>");
    assert_text(data.prompt[0].ids, data.prompt[0].length, "calm/0:a<|end|>>");
    assert_text(data.prompt[1].ids, data.prompt[1].length, "wild/0:b<|end|>>");
    assert_text(data.prompt[2].ids, data.prompt[2].length, "calm/1:c<|end|>>");
    preference_data_free(&data);
    chat_free(&mooded);
    checkpoint_remove(&other);
}

static void a_bad_row_is_placed(void **state) {
    (void)state;
    const EncodeRules r = rules(128);
    PreferenceData data = {0};
    assert_int_equal(add_pairs(&data, "{'prompt': 'a', 'chosen': 'x', 'rejected': 'y'}\n{'prompt': 'a',\n", &r), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    if (strstr(error.message, "pairs.jsonl:2:") == NULL) fail_msg("%s", error.message);
    preference_data_free(&data);
    EncodeRules plain = rules(128);
    plain.wrap = false; // the whole prompt is swallowed by a merge
    assert_int_equal(add_pairs(&data,
                               "{'prompt': 'b', 'chosen': 'x', 'rejected': 'y'}\n{'prompt': 'th', 'chosen': 'e', "
                               "'rejected': 'y'}\n",
                               &plain),
                     -1);
    if (strstr(error.message, "pairs.jsonl:2: ") == NULL) fail_msg("%s", error.message);
    preference_data_free(&data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(pairs_are_prompt_and_two_answers),
        TEST(the_same_prompt_has_one_number),
        TEST(long_pairs_are_left_out_or_cut),
        TEST(long_prompts_are_left_out),
        TEST(a_system_message_is_added_where_none_is),
        TEST(references_of_the_file_are_kept),
        TEST(rows_of_ids_need_no_tokenizer),
        TEST(completions_have_one_answer),
        TEST(variables_of_a_row_reach_the_template),
        TEST(a_bad_row_is_placed),
        TEST(prompts_may_be_cut),
        TEST(pairs_may_be_deduplicated),
        TEST(rows_without_a_difference_may_be_kept),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_free(&said);
    return result;
}
