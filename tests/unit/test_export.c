#include "base/file.h"
#include "base/json.h"
#include "formats/preference_file.h"
#include "store/export.h"
#include "test.h"

#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>

static char directory[64], path[96], out[96];
static RunStore *store;
static Error error;

static void ok(int result) {
    if (result != 0) fail_msg("%s", error.message);
}

static void failed(int result, ErrorCode code, const char *text) {
    assert_int_equal(result, -1);
    if (strstr(error.message, text) == NULL) fail_msg("\"%s\" is not in: %s", text, error.message);
    assert_int_equal(error.code, code);
}

static void put_response(uint32_t prompt, uint32_t k, const char *text, bool stopped) {
    int32_t ids[3] = {1, 2, 3};
    float logprob[3] = {-0.5f, -1, -0.25f};
    StoredResponse r = {1, prompt, k, ids, logprob, 1 + k % 3, (char *)(uintptr_t)text, strlen(text), stopped, "hash"};
    ok(run_store_put_response(store, &r, &error));
}

/* Prompt 3 is a conversation, prompt 5 a text. */
static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-test-XXXXXX");
    if (mkdtemp(directory) == NULL) return -1;
    snprintf(path, sizeof path, "%s/run.db", directory);
    snprintf(out, sizeof out, "%s/out.jsonl", directory);
    ok(run_store_open(&store, path, &error));
    ok(run_store_put_prompt(store, 3, NULL, 0, "[{\"role\": \"user\", \"content\": \"Hi \xc3\xa9\"}]", &error));
    ok(run_store_put_prompt(store, 5, NULL, 0, "\"Once \\\"upon\\\"\"", &error));
    put_response(5, 1, "a time", true);
    put_response(3, 2, "Hello.\n", true);
    put_response(3, 0, "Hey \xe2\x80\xa8 you", false);
    put_response(5, 0, "", true);
    ok(run_store_put_pair(store, &(StoredPair){1, 3, 2, 0, 1.5, -0.5, 0.1, -0.25, 0, 0}, &error));
    ok(run_store_put_pair(store, &(StoredPair){1, 5, 1, 0, 2, 1, 2, 1, 0, 0.25}, &error));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    run_store_close(store);
    return file_remove_tree(directory, NULL);
}

static void holds(const char *expected) {
    FileMap map;
    ok(file_map(&map, out, &error));
    char *text = strndup((const char *)map.data, map.size);
    file_unmap(&map);
    assert_string_equal(text, expected);
    free(text);
}

static void responses_have_the_promised_layout(void **state) {
    (void)state;
    static const double rewards[4] = {0.5, NAN, -1, 0.1};
    size_t rows;
    ok(export_responses(store, 1, rewards, 4, out, &rows, &error));
    assert_int_equal(rows, 2);
    holds("{\"prompt\":[{\"role\":\"user\",\"content\":\"Hi \xc3\xa9\"}],\"prompt_id\":3,"
          "\"responses\":[\"Hey \xe2\x80\xa8 you\",\"Hello.\\n\"],\"rewards\":[0.5,null],\"logps\":[-0.5,-1.75],"
          "\"tokens\":[1,3],\"chars\":[11,7],\"finish_reasons\":[\"length\",\"stop\"],\"k\":[0,2]}\n"
          "{\"prompt\":\"Once \\\"upon\\\"\",\"prompt_id\":5,\"responses\":[\"\",\"a time\"],"
          "\"rewards\":[-1.0,0.10000000000000001],\"logps\":[-0.5,-1.5],\"tokens\":[1,2],\"chars\":[0,6],"
          "\"finish_reasons\":[\"stop\",\"stop\"],\"k\":[0,1]}\n");
    ok(export_responses(store, 1, NULL, 0, out, &rows, &error));
    FileMap map;
    ok(file_map(&map, out, &error));
    assert_null(memmem(map.data, map.size, "rewards", 7));
    file_unmap(&map);
    ok(export_responses(store, 9, NULL, 0, out, &rows, &error));
    assert_int_equal(rows, 0);
}

static void pairs_have_the_layout_of_trl(void **state) {
    (void)state;
    size_t rows;
    ok(export_pairs(store, 1, out, &rows, &error));
    assert_int_equal(rows, 2);
    holds(
        "{\"prompt\":[{\"role\":\"user\",\"content\":\"Hi \xc3\xa9\"}],"
        "\"chosen\":[{\"role\":\"assistant\",\"content\":\"Hello.\\n\"}],"
        "\"rejected\":[{\"role\":\"assistant\",\"content\":\"Hey \xe2\x80\xa8 you\"}],"
        "\"chosen_reward\":1.5,\"rejected_reward\":-0.5,\"score_chosen\":0.10000000000000001,\"score_rejected\":-0.25,"
        "\"chosen_k\":2,\"rejected_k\":0,\"prompt_id\":3}\n"
        "{\"prompt\":\"Once \\\"upon\\\"\",\"chosen\":\"a time\",\"rejected\":\"\",\"chosen_reward\":2.0,"
        "\"rejected_reward\":1.0,\"score_chosen\":2.0,\"score_rejected\":1.0,\"chosen_k\":1,\"rejected_k\":0,"
        "\"doubt\":0.25,\"prompt_id\":5}\n");
}

static void scores_have_the_promised_layout(void **state) {
    (void)state;
    ok(run_store_put_score(store, &(StoredScore){"response", "h", 1, 3, 2, -1.75, 3}, &error));
    ok(run_store_put_score(store, &(StoredScore){"response", "h", 1, 3, 0, -0.5, 1}, &error));
    ok(run_store_put_score(store, &(StoredScore){"chosen", "h", 0, 0, 0, -2, 1}, &error)); // another round
    size_t rows;
    ok(export_scores(store, 1, out, &rows, &error));
    holds(
        "{\"source\":\"response\",\"round\":1,\"prompt_id\":3,\"k\":0,\"model\":\"h\",\"logp\":-0.5,\"tokens\":1}\n"
        "{\"source\":\"response\",\"round\":1,\"prompt_id\":3,\"k\":2,\"model\":\"h\",\"logp\":-1.75,\"tokens\":3}\n");
}

/* [EX-1] */
static void dice_reads_what_it_wrote(void **state) {
    (void)state;
    PreferenceFile file;
    const PreferenceOptions pairs = {.use = PREFERENCE_PAIRS, .keep_empty = true};
    const PreferenceOptions responses = {.use = PREFERENCE_RESPONSES, .keep_empty = true};
    size_t bytes;
    ok(export_pairs(store, 1, out, NULL, &error));
    ok(preference_file_read(&file, out, &pairs, &error));
    assert_int_equal(file.count, 2);
    assert_true(file.rows[0].conversational && !file.rows[1].conversational);
    assert_string_equal(preference_row_answer(file.rows[0].chosen, &bytes), "Hello.\n");
    assert_string_equal(preference_row_answer(file.rows[1].rejected, &bytes), "");
    preference_file_free(&file);
    static const double rewards[4] = {0.5, NAN, -1, 0.1};
    ok(export_responses(store, 1, rewards, 4, out, NULL, &error));
    ok(preference_file_read(&file, out, &responses, &error));
    assert_int_equal(file.count, 2);
    assert_int_equal(json_array_size(file.rows[1].responses), 2);
    assert_true(file.rows[1].rewards[1] == 0.1 && isnan(file.rows[0].rewards[1]));
    preference_file_free(&file);
}

static void wrong_calls_and_contents_are_refused(void **state) {
    (void)state;
    static const double rewards[5] = {0};
    failed(export_responses(store, 1, rewards, 3, out, NULL, &error), ERROR_INTERNAL,
           "there are more responses than the 3 rewards");
    failed(export_responses(store, 1, rewards, 5, out, NULL, &error), ERROR_INTERNAL,
           "there are 5 rewards for 4 responses");
    assert_false(file_exists(out));
    ok(run_store_put_prompt(store, 7, NULL, 0, "[1,", &error));
    put_response(7, 0, "x", true);
    failed(export_responses(store, 1, NULL, 0, out, NULL, &error), ERROR_INPUT,
           "run.db: prompt 7:1:3: not valid JSON: ']' expected near end of file");
    put_response(7, 1, "y", true);
    ok(run_store_put_pair(store, &(StoredPair){1, 7, 0, 1, 2, 1, 2, 1, 0, 0}, &error));
    failed(export_pairs(store, 1, out, NULL, &error), ERROR_INPUT, "run.db: prompt 7:1:3: not valid JSON");
    snprintf(out, sizeof out, "%s/none/out.jsonl", directory);
    failed(export_pairs(store, 1, out, NULL, &error), ERROR_IO, "none/out.jsonl: cannot create");
}

static void a_strangers_store_is_not_believed(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"PRAGMA foreign_keys = OFF; DELETE FROM prompts WHERE prompt = 5", "impossible value in column messages"},
        {"UPDATE responses SET logprob = x'00'", "no multiple of 4"},
        {"UPDATE responses SET logprob = x'0000c07f'", "a log-prob is not finite"},
        {"UPDATE responses SET text = CAST(x'ff' AS TEXT)", "a text is not UTF-8"},
        {"UPDATE responses SET k = k + 4294967296", "impossible value in column k"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        teardown(state);
        setup(state);
        run_store_close(store);
        sqlite3 *db;
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, cases[i][0], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        ok(run_store_open(&store, path, &error));
        failed(export_responses(store, 1, NULL, 0, out, NULL, &error), ERROR_INPUT, cases[i][1]);
        if (i == 0 || i >= 3)
            failed(export_pairs(store, 1, out, NULL, &error), ERROR_INPUT,
                   i == 4 ? "impossible value in column text" : cases[i][1]);
        assert_false(file_exists(out));
    }
}

/* [EX-2] */
static void a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    struct rlimit old, small;
    ok(file_write(out, "old", 3, &error));
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = 100, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    int result = export_pairs(store, 1, out, NULL, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    failed(result, ERROR_IO, "out.jsonl: cannot write");
    holds("old");
    ok(export_pairs(store, 1, out, NULL, &error)); // planted: without the limit it is replaced
    FileMap map;
    ok(file_map(&map, out, &error));
    assert_true(map.size > 100);
    file_unmap(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(responses_have_the_promised_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(pairs_have_the_layout_of_trl, setup, teardown),
        cmocka_unit_test_setup_teardown(scores_have_the_promised_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(dice_reads_what_it_wrote, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_calls_and_contents_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_strangers_store_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_old_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
