#include "align/round_export.h"
#include "round_cases.h"
#include <math.h>

static RoundCases cases;
static Error error;

static int setup(void **state) {
    (void)state;
    round_cases_create(&cases);
    const StoredPair pair[2] = {
        {.round = 1,
         .prompt = 0,
         .chosen_k = 2,
         .rejected_k = 1,
         .chosen_reward = 2,
         .rejected_reward = 1,
         .chosen_score = 1.5,
         .rejected_score = 0.5},
        {.round = 1,
         .prompt = 5,
         .chosen_k = 2,
         .rejected_k = 0,
         .chosen_reward = 3,
         .rejected_reward = 1,
         .chosen_score = 2.5,
         .rejected_score = 0.5},
    };
    for (int i = 0; i < 2; i++)
        if (run_store_put_pair(cases.run.store, &pair[i], &error) != 0) fail_msg("%s", error.message);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    round_cases_free(&cases);
    return 0;
}

static char *place(const char *name) { return dice_run_path(&cases.run, 1, name); }

static char *text_of(const char *name) {
    char *path = place(name);
    FileMap map;
    if (file_map(&map, path, &error) != 0) fail_msg("%s", error.message);
    char *text = strndup(map.data == NULL ? "" : (const char *)map.data, map.size);
    file_unmap(&map);
    free(path);
    return text;
}

static void put_mix(uint32_t position, bool offline, uint32_t row) {
    const StoredMix mix = {.round = 1, .position = position, .offline = offline, .row = row};
    if (run_store_put_mix(cases.run.store, &mix, &error) != 0) fail_msg("%s", error.message);
}

/* Rewards stand with their responses; what was not kept has none. */
static void responses_carry_their_rewards(void **state) {
    (void)state;
    RoundTable t;
    double reward[9];
    for (int i = 0; i < 9; i++) reward[i] = i + 0.5;
    assert_int_equal(round_table_load(&t, &cases.run, 1, &error), 0);
    if (round_export_scored(&cases.run, 1, &t, reward, &error) != 0) fail_msg("%s", error.message);
    char *responses = text_of("responses.jsonl"), *pairs = text_of("pairs.jsonl"), *scores = text_of("scores.jsonl");
    assert_non_null(strstr(responses, "\"rewards\":[null,1.5,2.5]"));
    assert_non_null(strstr(responses, "\"rewards\":[null,null],")); // prompt 2 has two responses, none kept
    assert_non_null(strstr(responses, "\"rewards\":[6.5,7.5,8.5]"));
    assert_non_null(strstr(pairs, "\"chosen\":\"bbbbbb\",\"rejected\":\"aaaa\""));
    assert_string_equal(scores, "");
    free(responses), free(pairs), free(scores);
    round_table_free(&t);
}

/* Each row in the layout of its prompt, in the order of the mix, with where it came from. */
static void the_mix_is_written_in_order(void **state) {
    (void)state;
    put_mix(0, false, 5), put_mix(1, true, 0), put_mix(2, false, 0);
    if (round_export_mix(&cases.run, 1, &error) != 0) fail_msg("%s", error.message);
    char *text = text_of("train.jsonl");
    assert_string_equal(text, "{\"prompt\":[{\"role\":\"user\",\"content\":\"chat 5\"}],"
                              "\"chosen\":[{\"role\":\"assistant\",\"content\":\"other\"}],"
                              "\"rejected\":[{\"role\":\"assistant\",\"content\":\"same\"}],\"source\":\"generated\"}\n"
                              "{\"prompt\":[{\"role\":\"user\",\"content\":\"chat 4\"}],\"chosen\":\"good\","
                              "\"rejected\":\"bad\",\"source\":\"offline\"}\n"
                              "{\"prompt\":\"plain 0\",\"chosen\":\"bbbbbb\",\"rejected\":\"aaaa\","
                              "\"source\":\"generated\"}\n");
    free(text);
}

static void refuses_mix(uint32_t position, bool offline, uint32_t row) {
    put_mix(position, offline, row);
    assert_int_equal(round_export_mix(&cases.run, 1, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "names no pair"));
    char *path = place("train.jsonl");
    assert_false(file_exists(path));
    free(path);
}

static void a_row_of_nothing_is_refused(void **state) {
    (void)state;
    refuses_mix(0, true, 1);
}
static void a_pair_of_nothing_is_refused(void **state) {
    (void)state;
    refuses_mix(0, false, 2);
}

/* What a killed process has left of the same file goes, other files stay. */
static void leftovers_are_removed(void **state) {
    (void)state;
    static const char *const names[] = {"train.jsonl.partial-77", "train.jsonl.partial", "notes.partial-77",
                                        "train.json"};
    char *directory = place("");
    assert_int_equal(file_make_directory(directory, &error), 0);
    for (int i = 0; i < 4; i++) {
        char *path = place(names[i]);
        assert_int_equal(file_write(path, "x", 1, &error), 0);
        free(path);
    }
    put_mix(0, false, 5);
    assert_int_equal(round_export_mix(&cases.run, 1, &error), 0);
    for (int i = 0; i < 4; i++) {
        char *path = place(names[i]);
        assert_int_equal(file_exists(path), i >= 2);
        free(path);
    }
    free(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(responses_carry_their_rewards), TEST(the_mix_is_written_in_order),
                                       TEST(a_row_of_nothing_is_refused), TEST(a_pair_of_nothing_is_refused),
                                       TEST(leftovers_are_removed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
