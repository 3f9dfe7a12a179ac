#include "checkpoint_cases.h"
#include "text/chat.h"

static CheckpointDirectory directory;
static Chat chat;
static Error error;

static int setup_with(const char *chat_template) {
    checkpoint_create(&directory, chat_template);
    if (chat_load(&chat, directory.path, &error) == 0) return 0;
    printf("%s\n", error.message);
    return -1;
}
static int setup(void **state) {
    (void)state;
    return setup_with(checkpoint_template);
}
static int setup_plain(void **state) {
    (void)state;
    return setup_with(NULL);
}
static int teardown(void **state) {
    (void)state;
    chat_free(&chat);
    checkpoint_remove(&directory);
    return 0;
}

/* JSON with ' for ". */
static json_t *json_of(const char *text) {
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *p = copy; *p != 0; p++)
        if (*p == '\'') *p = '"';
    json_t *json = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

static TokenList ids_of(const char *text) {
    TokenList list = {0};
    if (tokenizer_encode(chat.tokenizer, text, strlen(text), false, &list, &error) != 0) fail_msg("%s", error.message);
    return list;
}

static void assert_ids(const TokenList *found, const char *text) {
    TokenList expected = ids_of(text);
    Buffer out = {0};
    tokenizer_decode(chat.tokenizer, found->data, found->count, false, &out, &error);
    if (found->count != expected.count || memcmp(found->data, expected.data, expected.count * sizeof(int32_t)) != 0)
        fail_msg("\"%s\" instead of \"%s\"", out.data, text);
    buffer_free(&out);
    token_list_free(&expected);
}

typedef struct {
    json_t *prompt, *answer[3];
    TokenList prompt_ids, ids[3];
} Encoded;

static int encode(Encoded *e, const char *prompt, const char *const *answer, size_t n, ChatEnd end) {
    *e = (Encoded){.prompt = json_of(prompt)};
    for (size_t i = 0; i < n; i++) e->answer[i] = json_of(answer[i]);
    return chat_encode_responses(&chat, e->prompt, NULL, (const json_t *const *)e->answer, n, end, &e->prompt_ids,
                                 e->ids, &error);
}

static void encoded_free(Encoded *e) {
    json_decref(e->prompt);
    token_list_free(&e->prompt_ids);
    for (int i = 0; i < 3; i++) json_decref(e->answer[i]), token_list_free(&e->ids[i]);
}

static void knows_every_end_token(void **state) {
    (void)state;
    assert_int_equal(chat.stop_count, 2); // 397 of both files and of the tokenizer once, 398
    assert_true(chat.stop[0] == CHECKPOINT_END && chat_is_stop(&chat, CHECKPOINT_PAD));
    assert_false(chat_is_stop(&chat, CHECKPOINT_START));
}

static void stop_tokens_may_be_given(void **state) {
    (void)state;
    static const char *const good[] = {"<mill>", "65", "<|end|>", "65"};
    static const char *const bad[] = {"<|nothing|>", "400", "-1", "1x", "", "99999999999999999999"};
    assert_int_equal(chat_set_stop(&chat, good, 0, &error), 0);
    assert_int_equal(chat.stop_count, 2);
    assert_int_equal(chat_set_stop(&chat, good, 4, &error), 0);
    assert_int_equal(chat.stop_count, 3);
    int32_t sixty_five = tokenizer_id(chat.tokenizer, "65") >= 0 ? tokenizer_id(chat.tokenizer, "65") : 65;
    assert_true(chat.stop[0] == 399 && chat.stop[1] == sixty_five && chat.stop[2] == CHECKPOINT_END);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(chat_set_stop(&chat, &bad[i], 1, &error), -1);
        assert_int_equal(error.code, ERROR_USAGE);
        if (strstr(error.message, bad[i]) == NULL || strstr(error.message, "below 400") == NULL)
            fail_msg("%s", error.message);
    }
    const char *many[CHAT_STOP_MAX + 1];
    for (size_t i = 0; i <= CHAT_STOP_MAX; i++) many[i] = "65";
    assert_int_equal(chat_set_stop(&chat, many, CHAT_STOP_MAX + 1, &error), -1);
    assert_int_equal(error.code, ERROR_USAGE);
}

static const char *const user = "[{'role': 'user', 'content': 'the river'}]";
static const char *const opened = "<|start|>user\nthe river<|end|>\n<|start|>assistant\n";

static void a_prompt_opens_the_assistants_turn(void **state) {
    (void)state;
    json_t *prompt = json_of(user);
    TokenList ids = {0};
    Buffer text = {0};
    assert_int_equal(chat_render(&chat, prompt, NULL, true, &text, &error), 0);
    assert_string_equal(text.data, opened);
    buffer_clear(&text);
    assert_int_equal(chat_render(&chat, prompt, NULL, false, &text, &error), 0);
    assert_string_equal(text.data, "<|start|>user\nthe river<|end|>\n");
    assert_int_equal(chat_encode_prompt(&chat, prompt, NULL, &ids, &error), 0);
    assert_ids(&ids, opened);
    assert_int_equal(json_array_size(prompt), 1); // the caller's conversation stays
    buffer_free(&text);
    token_list_free(&ids);
    json_decref(prompt);
}

/* [CH-1] Prompt and response are the whole, cut where the ids begin to differ. */
static void a_conversation_is_cut_behind_the_prompt(void **state) {
    (void)state;
    static const char *const answers[] = {"[{'role': 'assistant', 'content': 'stood by'}]",
                                          "[{'role': 'assistant', 'content': ''}]"};
    Encoded e;
    if (encode(&e, user, answers, 2, CHAT_END_TEMPLATE) != 0) fail_msg("%s", error.message);
    assert_ids(&e.prompt_ids, opened);
    assert_ids(&e.ids[0], "stood by<|end|>\n");
    assert_ids(&e.ids[1], "<|end|>\n");
    encoded_free(&e);
}

/* [CH-2] */
static void a_response_ends_with_its_first_stop_token(void **state) {
    (void)state;
    static const char *const answers[] = {"[{'role': 'assistant', 'content': 'stood by'}]",
                                          "[{'role': 'assistant', 'content': 'a<|end|>b'}]",
                                          "[{'role': 'assistant', 'content': 'a<|pad|>b'}]"};
    Encoded e;
    if (encode(&e, user, answers, 3, CHAT_END_STOP) != 0) fail_msg("%s", error.message);
    assert_ids(&e.ids[0], "stood by<|end|>");
    assert_ids(&e.ids[1], "a<|end|>");
    assert_ids(&e.ids[2], "a<|pad|>");
    encoded_free(&e);
    if (encode(&e, user, answers, 2, CHAT_END_TEMPLATE) != 0) fail_msg("%s", error.message);
    assert_ids(&e.ids[1], "a<|end|>b<|end|>\n");
    encoded_free(&e);
}

/* [CH-1] for plain text: a merge over the seam takes the prompt's last characters into the response. At least one of
 * the seams of a text must do so, or the test shows nothing. */
static void plain_text_is_cut_where_the_ids_differ(void **state) {
    (void)state;
    static const char text[] = "the miller stood by the river";
    size_t swallowed = 0;
    for (size_t seam = 4; seam + 1 < sizeof text; seam++) {
        char prompt[64], answer[64], *answers[1] = {answer};
        snprintf(prompt, sizeof prompt, "'%.*s'", (int)seam, text);
        snprintf(answer, sizeof answer, "'%s'", text + seam);
        Encoded e;
        if (encode(&e, prompt, (const char *const *)answers, 1, CHAT_END_STOP) != 0) fail_msg("%s", error.message);
        TokenList whole = ids_of(text), alone = {0};
        prompt[strlen(prompt) - 1] = 0;
        alone = ids_of(prompt + 1);
        assert_int_equal(e.prompt_ids.count + e.ids[0].count, whole.count + 1);
        assert_memory_equal(e.prompt_ids.data, whole.data, e.prompt_ids.count * sizeof(int32_t));
        assert_memory_equal(e.ids[0].data, whole.data + e.prompt_ids.count, (e.ids[0].count - 1) * sizeof(int32_t));
        assert_int_equal(e.ids[0].data[e.ids[0].count - 1], CHECKPOINT_END);
        assert_memory_equal(e.prompt_ids.data, alone.data, e.prompt_ids.count * sizeof(int32_t));
        swallowed += e.prompt_ids.count < alone.count;
        token_list_free(&whole), token_list_free(&alone);
        encoded_free(&e);
    }
    assert_true(swallowed > 0);
}

/* The prompt is what it has in common with all of its responses. */
static void one_prompt_serves_all_responses(void **state) {
    (void)state;
    static const char *const answers[] = {"'ver by the mill'", "' stood'", "'X'"};
    Encoded e;
    size_t alone = SIZE_MAX;
    for (int i = 0; i < 3; i++) {
        if (encode(&e, "'the ri'", &answers[i], 1, CHAT_END_STOP) != 0) fail_msg("%s", error.message);
        if (e.prompt_ids.count < alone) alone = e.prompt_ids.count;
        encoded_free(&e);
    }
    if (encode(&e, "'the ri'", answers, 3, CHAT_END_STOP) != 0) fail_msg("%s", error.message);
    assert_int_equal(e.prompt_ids.count, alone);
    encoded_free(&e);
}

static void a_plain_response_gets_one_end_token(void **state) {
    (void)state;
    static const char *const answers[] = {"' by'", "' by<|end|>'", "''"};
    Encoded e;
    if (encode(&e, "'the mill'", answers, 3, CHAT_END_STOP) != 0) fail_msg("%s", error.message);
    assert_ids(&e.ids[0], " by<|end|>");
    assert_ids(&e.ids[1], " by<|end|>");
    assert_ids(&e.ids[2], "<|end|>");
    encoded_free(&e);
}

static void rows_of_ids_are_taken_as_they_are(void **state) {
    (void)state;
    static const char *const answers[] = {"[5, 397, 6]", "[1, 2]"};
    Encoded e;
    if (encode(&e, "[1, 2, 3]", answers, 2, CHAT_END_STOP) != 0) fail_msg("%s", error.message);
    static const int32_t prompt[] = {1, 2, 3}, first[] = {5, 397, 6};
    assert_true(e.prompt_ids.count == 3 && memcmp(e.prompt_ids.data, prompt, sizeof prompt) == 0);
    assert_true(e.ids[0].count == 3 && memcmp(e.ids[0].data, first, sizeof first) == 0);
    assert_int_equal(e.ids[1].count, 2);
    encoded_free(&e);
    static const char *const bad[] = {"[5, -1]", "[2147483648]", "[1, 'a']", "[1.5, 2]", "[1, null]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(encode(&e, "[1, 2, 3]", &bad[i], 1, CHAT_END_STOP), -1);
        assert_int_equal(error.code, ERROR_INPUT);
        assert_non_null(strstr(error.message, "not an id"));
        encoded_free(&e);
    }
    static const char *const empty = "[]";
    assert_int_equal(encode(&e, "[1, 2, 3]", &empty, 1, CHAT_END_STOP), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "no tokens"));
    encoded_free(&e);
}

static void says_that_there_is_no_template(void **state) {
    (void)state;
    static const char *const answer = "[{'role': 'assistant', 'content': 'x'}]";
    Encoded e;
    assert_null(chat.chat_template);
    assert_int_equal(encode(&e, user, &answer, 1, CHAT_END_STOP), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "chat_template.jinja"));
    encoded_free(&e);
}

static void variables_reach_the_template(void **state) {
    (void)state;
    json_t *prompt = json_of(user), *extra = json_of("{'tools': [1, 2], 'mood': 'calm'}");
    Buffer text = {0};
    assert_int_equal(chat_render(&chat, prompt, extra, true, &text, &error), 0);
    assert_string_equal(text.data, "calm 2 <|start|> <|end|>");
    buffer_free(&text);
    json_decref(prompt), json_decref(extra);
}

static int setup_variables(void **state) {
    (void)state;
    return setup_with("{{ mood }} {{ tools | length }} {{ bos_token }} {{ eos_token }}");
}

static void what_the_template_raises_is_told(void **state) {
    (void)state;
    static const char *const answer = "[{'role': 'assistant', 'content': 'x'}]";
    Encoded e;
    assert_int_equal(encode(&e, user, &answer, 1, CHAT_END_STOP), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    if (strstr(error.message, "roles must alternate") == NULL) fail_msg("%s", error.message);
    encoded_free(&e);
}

static int setup_raising(void **state) {
    (void)state;
    return setup_with("{{ raise_exception('roles must alternate') }}");
}

static void text_comes_back_without_end_tokens(void **state) {
    (void)state;
    TokenList ids = ids_of("stood by<|end|>");
    Buffer out = {0};
    assert_int_equal(chat_decode_response(&chat, ids.data, ids.count, &out, &error), 0);
    assert_string_equal(out.data, "stood by");
    buffer_free(&out);
    token_list_free(&ids);
}

static void a_broken_template_is_refused_at_once(void **state) {
    (void)state;
    CheckpointDirectory broken;
    Chat other;
    checkpoint_create(&broken, "{% for m in messages %}");
    assert_int_equal(chat_load(&other, broken.path, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    if (strstr(error.message, broken.path) == NULL) fail_msg("%s", error.message);
    checkpoint_put(&broken, "tokenizer.json", "{}");
    assert_int_equal(chat_load(&other, broken.path, &error), -1);
    assert_int_equal(chat_load(&other, "/nowhere", &error), -1);
    assert_int_equal(error.code, ERROR_IO);
    checkpoint_remove(&broken);
}

#define WITH(start, name) cmocka_unit_test_setup_teardown(name, start, teardown)
#define TEST(name) WITH(setup, name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(knows_every_end_token),
        TEST(stop_tokens_may_be_given),
        TEST(a_prompt_opens_the_assistants_turn),
        TEST(a_conversation_is_cut_behind_the_prompt),
        TEST(a_response_ends_with_its_first_stop_token),
        TEST(plain_text_is_cut_where_the_ids_differ),
        TEST(one_prompt_serves_all_responses),
        TEST(a_plain_response_gets_one_end_token),
        TEST(rows_of_ids_are_taken_as_they_are),
        WITH(setup_plain, says_that_there_is_no_template),
        WITH(setup_variables, variables_reach_the_template),
        WITH(setup_raising, what_the_template_raises_is_told),
        TEST(text_comes_back_without_end_tokens),
        TEST(a_broken_template_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
