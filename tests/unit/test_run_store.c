#include "base/file.h"
#include "base/rng.h"
#include "store/run_store.h"
#include "test.h"

#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char directory[64], path[96];
static RunStore *store;
static Error error;

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-test-XXXXXX");
    if (mkdtemp(directory) == NULL) return -1;
    snprintf(path, sizeof path, "%s/run.db", directory);
    error = (Error){0};
    return run_store_open(&store, path, &error);
}

static int teardown(void **state) {
    (void)state;
    run_store_close(store);
    store = NULL;
    return file_remove_tree(directory, NULL);
}

static void ok(int result) {
    if (result != 0) fail_msg("%s", error.message);
}

/* The call failed with this code and a message that contains the text. */
static void failed(int result, ErrorCode code, const char *text) {
    assert_int_equal(result, -1);
    if (strstr(error.message, text) == NULL) fail_msg("\"%s\" is not in: %s", text, error.message);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.message, "run.db"));
}

static void reopen(void) {
    run_store_close(store);
    store = NULL;
    ok(run_store_open(&store, path, &error));
}

/* Changes the file behind the store's back. */
static void tamper(const char *sql) {
    sqlite3 *db;
    char *message = NULL;
    run_store_close(store);
    store = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s", message);
    sqlite3_close(db);
}

enum { LONGEST = 40 };

/* Response number i is a function of i, so that a reader can tell whether it is whole. */
static StoredResponse response(uint32_t i, int32_t *ids, float *logprob, char *text) {
    StoredResponse r = {.round = 1, .prompt = i / 4, .k = i % 4, .ids = ids, .logprob = logprob, .text = text};
    r.length = 1 + i % LONGEST, r.stopped = i % 3 != 0, r.chars = i;
    for (size_t t = 0; t < r.length; t++) ids[t] = (int32_t)(i * 1000 + t) - 5, logprob[t] = -0.125f * (float)(i + t);
    snprintf(text, 32, "response %u \xc3\xa9", i);
    snprintf(r.model, sizeof r.model, "%032x", 7u);
    return r;
}

static int put_response(uint32_t i) {
    int32_t ids[LONGEST];
    float logprob[LONGEST];
    char text[32];
    StoredResponse r = response(i, ids, logprob, text);
    return run_store_put_response(store, &r, &error);
}

static void put_prompts(uint32_t count) {
    ok(run_store_begin(store, &error));
    for (uint32_t i = 0; i < count; i++)
        ok(run_store_put_prompt(store, i, (const int32_t[]){1, -2, (int32_t)i}, 3, "[]", &error));
    ok(run_store_commit(store, &error));
}

static bool same_response(const StoredResponse *a, uint32_t i) {
    int32_t ids[LONGEST];
    float logprob[LONGEST];
    char text[32];
    StoredResponse b = response(i, ids, logprob, text);
    return a->round == b.round && a->prompt == b.prompt && a->k == b.k && a->length == b.length &&
           a->chars == b.chars && a->stopped == b.stopped && strcmp(a->text, b.text) == 0 &&
           strcmp(a->model, b.model) == 0 && memcmp(a->ids, b.ids, b.length * sizeof *b.ids) == 0 &&
           memcmp(a->logprob, b.logprob, b.length * sizeof *b.logprob) == 0;
}

static void prompts_and_responses_come_back(void **state) {
    (void)state;
    put_prompts(5);
    static const uint32_t order[] = {6, 1, 19, 0, 7};
    for (int i = 0; i < 5; i++) ok(put_response(order[i]));
    StoredResponse empty = {.round = 2, .prompt = 0, .k = 0, .text = (char *)(uintptr_t) "", .model = "m"};
    ok(run_store_put_response(store, &empty, &error));
    reopen();
    StoredResponse *r = NULL;
    StoredPrompt *p = NULL;
    size_t n = 0;
    ok(run_store_get_responses(store, 1, &r, &n, &error));
    assert_int_equal(n, 5);
    static const uint32_t sorted[] = {0, 1, 6, 7, 19};
    for (size_t i = 0; i < n; i++) assert_true(same_response(&r[i], sorted[i]));
    assert_false(same_response(&r[0], 1)); // planted
    run_store_free_responses(r, n);
    ok(run_store_get_responses(store, 2, &r, &n, &error));
    assert_true(n == 1 && r[0].length == 0 && !r[0].stopped && r[0].text[0] == 0);
    run_store_free_responses(r, n);
    ok(run_store_get_responses(store, 3, &r, &n, &error));
    assert_int_equal(n, 0);
    run_store_free_responses(r, n);
    ok(run_store_get_prompts(store, &p, &n, &error));
    assert_true(n == 5 && p[4].length == 3 && p[4].ids[1] == -2 && p[4].ids[2] == 4);
    run_store_free_prompts(p, n);
    uint8_t done[20];
    ok(run_store_get_done(store, 1, 5, 4, done, &error));
    for (size_t i = 0; i < 20; i++) assert_int_equal(done[i], i <= 1 || i == 6 || i == 7 || i == 19);
    failed(run_store_get_done(store, 1, 5, 3, done, &error), ERROR_MISMATCH,
           "round 1 has response 3 to prompt 1, but this recipe has 5 prompts and 3 responses to each");
}

static void everything_else_comes_back(void **state) {
    (void)state;
    put_prompts(2);
    for (uint32_t i = 0; i < 8; i++) ok(put_response(i));
    char *text;
    size_t n;
    ok(run_store_put_meta(store, "recipe", "a: 1\n", &error));
    ok(run_store_put_step(store, 1, 2, "{\"loss\":2}", &error));
    ok(run_store_put_step(store, 1, 1, "{\"loss\":1}", &error));
    ok(run_store_put_step(store, 1, 2, "{\"loss\":3}", &error)); // may be replaced
    ok(run_store_put_evaluation(store, 0, "pairs", "{\"a\":1}", &error));
    ok(run_store_put_evaluation(store, 0, "pairs", "{\"a\":2}", &error));
    ok(run_store_put_stage(store, 1, "sample", "{}", &error));
    StoredScore s = {.source = "response", .model = "m", .round = 1, .prompt = 1, .k = 3, .sum = -12.25, .tokens = 9};
    ok(run_store_put_score(store, &s, &error));
    s.prompt = 0, s.sum = 1.0 / 3;
    ok(run_store_put_score(store, &s, &error));
    StoredPair pair = {1, 1, 3, 0, 0.1, -0.2, 0.3, -0.4, 0, 0.125};
    ok(run_store_put_pair(store, &pair, &error));
    ok(run_store_put_mix(store, &(StoredMix){1, 1, true, 77}, &error));
    ok(run_store_put_mix(store, &(StoredMix){1, 0, false, 1}, &error));
    ok(run_store_put_checkpoint(store, &(StoredCheckpoint){1, 50, "round1/step50", "h50"}, &error));
    ok(run_store_put_checkpoint(store, &(StoredCheckpoint){1, UINT32_MAX, "round1/model", "h"}, &error));
    reopen();
    ok(run_store_get_meta(store, "recipe", &text, &error));
    assert_string_equal(text, "a: 1\n");
    free(text);
    ok(run_store_get_meta(store, "none", &text, &error));
    assert_null(text);
    ok(run_store_get_steps(store, 1, &text, &error));
    assert_string_equal(text, "{\"loss\":1}\n{\"loss\":3}\n");
    free(text);
    ok(run_store_get_steps(store, 2, &text, &error));
    assert_string_equal(text, "");
    free(text);
    ok(run_store_get_evaluation(store, 0, "pairs", &text, &error));
    assert_string_equal(text, "{\"a\":2}");
    free(text);
    ok(run_store_get_stage(store, 1, "sample", &text, &error));
    assert_string_equal(text, "{}");
    free(text);
    ok(run_store_get_stage(store, 1, "train", &text, &error));
    assert_null(text);
    StoredScore *scores;
    ok(run_store_get_scores(store, "response", 1, "m", &scores, &n, &error));
    assert_true(n == 2 && scores[0].sum == 1.0 / 3 && scores[1].sum == -12.25 && scores[1].k == 3 &&
                scores[1].tokens == 9);
    free(scores);
    ok(run_store_get_scores(store, "response", 1, "other", &scores, &n, &error));
    assert_int_equal(n, 0);
    free(scores);
    StoredPair *pairs;
    ok(run_store_get_pairs(store, 1, &pairs, &n, &error));
    assert_true(n == 1 && memcmp(pairs, &pair, offsetof(StoredPair, rejected_age)) == 0 && pairs[0].rejected_age == 0 &&
                pairs[0].doubt == 0.125);
    free(pairs);
    StoredMix *mix;
    ok(run_store_get_mix(store, 1, &mix, &n, &error));
    assert_true(n == 2 && !mix[0].offline && mix[0].row == 1 && mix[1].offline && mix[1].row == 77);
    free(mix);
    StoredCheckpoint c;
    bool found;
    ok(run_store_get_checkpoint(store, 1, &c, &found, &error));
    assert_true(found && c.step == UINT32_MAX && strcmp(c.directory, "round1/model") == 0);
    ok(run_store_get_checkpoint(store, 2, &c, &found, &error));
    assert_false(found);
}

/* [RS-2] */
static void a_store_never_changes_what_it_said(void **state) {
    (void)state;
    put_prompts(1);
    put_prompts(1);
    failed(run_store_put_prompt(store, 0, (const int32_t[]){1}, 1, "[]", &error), ERROR_MISMATCH,
           "prompt 0 is there already with another content: this run directory was begun with another recipe, model or "
           "data; begin a new one");
    int32_t ids[LONGEST];
    float logprob[LONGEST];
    char text[32];
    StoredResponse r = response(3, ids, logprob, text);
    ok(run_store_put_response(store, &r, &error));
    ok(run_store_put_response(store, &r, &error));
    for (int change = 0; change < 6; change++) {
        r = response(3, ids, logprob, text);
        if (change == 0) ids[1]++;
        if (change == 1) logprob[2] = nextafterf(logprob[2], 0);
        if (change == 2) text[0] = 'R';
        if (change == 3) r.chars++;
        if (change == 4) r.stopped = !r.stopped;
        if (change == 5) r.model[0] = 'f';
        failed(run_store_put_response(store, &r, &error), ERROR_MISMATCH,
               "response 3 to prompt 0 in round 1 is there already");
    }
    StoredScore s = {.source = "chosen", .model = "m", .sum = -1, .tokens = 2};
    ok(run_store_put_score(store, &s, &error));
    ok(run_store_put_score(store, &s, &error));
    s.sum = nextafter(-1, 0);
    failed(run_store_put_score(store, &s, &error), ERROR_MISMATCH,
           "the score of chosen 0/0 in round 0 is there already");
    ok(put_response(0));
    StoredPair pair = {.round = 1, .chosen_k = 3};
    ok(run_store_put_pair(store, &pair, &error));
    ok(run_store_put_pair(store, &pair, &error));
    pair.rejected_score = 1;
    failed(run_store_put_pair(store, &pair, &error), ERROR_MISMATCH,
           "the pair of prompt 0 in round 1 is there already");
    ok(run_store_put_mix(store, &(StoredMix){1, 4, true, 7}, &error));
    ok(run_store_put_mix(store, &(StoredMix){1, 4, true, 7}, &error));
    failed(run_store_put_mix(store, &(StoredMix){1, 4, false, 7}, &error), ERROR_MISMATCH,
           "training row 4 of round 1 is there already");
    ok(run_store_put_meta(store, "model", "x", &error));
    failed(run_store_put_meta(store, "model", "y", &error), ERROR_MISMATCH, "the fact \"model\" is there already");
    ok(run_store_put_stage(store, 1, "mix", "{}", &error));
    failed(run_store_put_stage(store, 1, "mix", "{1}", &error), ERROR_MISMATCH,
           "stage \"mix\" of round 1 is there already");
    ok(run_store_put_checkpoint(store, &(StoredCheckpoint){1, 5, "d", "h"}, &error));
    failed(run_store_put_checkpoint(store, &(StoredCheckpoint){1, 5, "d", "g"}, &error), ERROR_MISMATCH,
           "the checkpoint of step 5 in round 1 is there already");
}

/* [RS-3] [RS-4] */
static void impossible_rows_are_refused(void **state) {
    (void)state;
    failed(put_response(0), ERROR_INTERNAL, "cannot write: FOREIGN KEY constraint failed");
    put_prompts(1);
    ok(put_response(0));
    failed(run_store_put_pair(store, &(StoredPair){.round = 1, .rejected_k = 1}, &error), ERROR_INTERNAL,
           "FOREIGN KEY");
    int32_t ids[LONGEST];
    float logprob[LONGEST];
    char text[32];
    StoredResponse r = response(2, ids, logprob, text);
    logprob[1] = NAN;
    failed(run_store_put_response(store, &r, &error), ERROR_NUMERIC,
           "response 2 to prompt 0 in round 1 has a value that is not finite");
    failed(run_store_put_score(store, &(StoredScore){.source = "chosen", .model = "m", .sum = INFINITY}, &error),
           ERROR_NUMERIC, "not finite");
    failed(run_store_put_pair(store, &(StoredPair){.round = 1, .chosen_score = NAN}, &error), ERROR_NUMERIC,
           "not finite");
}

static void transactions_are_all_or_nothing(void **state) {
    (void)state;
    char *text;
    ok(run_store_begin(store, &error));
    failed(run_store_begin(store, &error), ERROR_INTERNAL, "cannot start a transaction within a transaction");
    ok(run_store_put_meta(store, "a", "1", &error));
    run_store_rollback(store);
    run_store_rollback(store);
    ok(run_store_get_meta(store, "a", &text, &error));
    assert_null(text);
    ok(run_store_begin(store, &error));
    ok(run_store_put_meta(store, "b", "1", &error));
    reopen(); // closed without commit
    ok(run_store_get_meta(store, "b", &text, &error));
    assert_null(text);
    failed(run_store_commit(store, &error), ERROR_INTERNAL, "no transaction is active");
}

static bool there(const char *key) {
    char *text;
    ok(run_store_get_meta(store, key, &text, &error));
    bool found = text != NULL;
    free(text);
    return found;
}

static void begun_work_is_finished_or_kept(void **state) {
    (void)state;
    for (int failed_work = 0; failed_work < 2; failed_work++) {
        const char *finished = failed_work ? "finish after failure" : "finish";
        const char *kept = failed_work ? "keep after failure" : "keep";
        Error why = {.code = ERROR_INPUT, .message = "the work's own"};
        ok(run_store_begin(store, &error));
        ok(run_store_put_meta(store, finished, "1", &error));
        assert_int_equal(run_store_finish(store, -failed_work, &why), -failed_work);
        ok(run_store_begin(store, &error));
        ok(run_store_put_meta(store, kept, "1", &error));
        assert_int_equal(run_store_keep(store, -failed_work, &why), -failed_work);
        assert_string_equal(why.message, "the work's own");
        assert_int_equal(there(finished), !failed_work);
        assert_true(there(kept));
    }
    failed(run_store_finish(store, 0, &error), ERROR_INTERNAL, "no transaction is active");
    failed(run_store_keep(store, 0, &error), ERROR_INTERNAL, "no transaction is active");
}

static void long_work_is_saved_every_second(void **state) {
    (void)state;
    ok(run_store_begin(store, &error));
    ok(run_store_put_meta(store, "old", "1", &error));
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 50 * 1000 * 1000}, NULL);
    ok(run_store_save(store, &error));
    ok(run_store_put_meta(store, "new", "1", &error));
    ok(run_store_save(store, &error)); // too early
    reopen();                          // closed without commit
    assert_true(there("old"));
    assert_false(there("new"));
}

/* [RS-6] */
static void one_process_writes_at_a_time(void **state) {
    (void)state;
    RunStore *second = NULL;
    char holder[96], *text;
    snprintf(holder, sizeof holder, "another process (id %ld) is running this run directory; wait for it",
             (long)getpid());
    failed(run_store_open(&second, path, &error), ERROR_IO, holder);
    assert_null(second);
    ok(run_store_put_meta(store, "a", "1", &error));
    ok(run_store_open_reader(&second, path, &error)); // a reader may look meanwhile
    ok(run_store_get_meta(second, "a", &text, &error));
    assert_string_equal(text, "1");
    free(text);
    failed(run_store_put_meta(second, "b", "1", &error), ERROR_IO, "attempt to write a readonly database");
    run_store_close(second);
    reopen();
}

static void files_that_are_no_run_store_are_refused(void **state) {
    (void)state;
    RunStore *other = NULL;
    tamper("PRAGMA user_version = 9");
    failed(run_store_open(&other, path, &error), ERROR_MISMATCH,
           "has schema version 9, and this dice reads version 2; use the dice that wrote it, or begin a new run "
           "directory");
    tamper("PRAGMA application_id = 1");
    failed(run_store_open(&other, path, &error), ERROR_INPUT,
           "is an SQLite database but no run store of dice; move the file away or choose another run directory");
    ok(file_write(path,
                  "this is text, and long enough to be no header of SQLite at all: its first 16 bytes are wrong, and "
                  "that is how SQLite tells",
                  120, &error));
    failed(run_store_open(&other, path, &error), ERROR_INPUT, "is no run store (file is not a database)");
    snprintf(path, sizeof path, "%s/none/run.db", directory);
    failed(run_store_open(&other, path, &error), ERROR_IO, "cannot create: No such file or directory");
    failed(run_store_open_reader(&other, path, &error), ERROR_IO, "cannot open: unable to open database file");
    assert_null(other);
}

/* [RS-5] */
static void crafted_rows_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *sql, *message;
    } cases[] = {
        {"UPDATE responses SET logprob = x'00000000'", "a response has more or fewer log-probs than tokens"},
        {"UPDATE responses SET logprob = CAST(x'0000c0ff' || substr(logprob, 5) AS BLOB)", "a log-prob is not finite"},
        {"UPDATE responses SET ids = x'0011223344'", "the length of a list of words is no multiple of 4"},
        {"UPDATE responses SET stopped = 2", "impossible value in column stopped"},
        {"UPDATE responses SET k = -1 WHERE k = 2", "impossible value in column k"},
        {"UPDATE responses SET k = 4294967296 WHERE k = 2", "impossible value in column k"},
        {"UPDATE responses SET chars = 2147483648", "impossible value in column chars"},
        {"UPDATE responses SET chars = -5", "impossible value in column chars"},
        {"UPDATE responses SET model = printf('%0100d', 0)", "impossible value in column model"},
        {"UPDATE responses SET text = 'a' || char(0) || 'b'", "impossible value in column text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        StoredResponse *r = NULL;
        size_t n = 0;
        put_prompts(1);
        ok(put_response(2));
        ok(put_response(3));
        tamper(cases[i].sql);
        ok(run_store_open(&store, path, &error));
        failed(run_store_get_responses(store, 1, &r, &n, &error), ERROR_INPUT, cases[i].message);
        assert_non_null(
            strstr(error.message, "put back a copy of it, try \"sqlite3 FILE .recover\", or begin a new run"));
        assert_null(r);
        tamper("DELETE FROM responses");
        ok(run_store_open(&store, path, &error));
    }
    ok(run_store_put_score(store, &(StoredScore){.source = "chosen", .model = "m"}, &error));
    tamper("UPDATE scores SET sum = 9e999");
    ok(run_store_open(&store, path, &error));
    StoredScore *scores = NULL;
    size_t n;
    failed(run_store_get_scores(store, "chosen", 0, "m", &scores, &n, &error), ERROR_INPUT,
           "impossible value in column sum");
    tamper("DROP TABLE pairs; CREATE TABLE pairs (round, prompt)");
    failed(run_store_open(&store, path, &error), ERROR_INPUT, "table pairs is not as it was made");
}

/* [RS-5] Any page turned into noise gives an error or rows that pass the checks, never a crash. */
static void damaged_files_do_not_crash(void **state) {
    (void)state;
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    put_prompts(50);
    for (uint32_t i = 0; i < 200; i++) ok(put_response(i));
    tamper("PRAGMA wal_checkpoint(TRUNCATE)");
    FileMap map;
    ok(file_map(&map, path, &error));
    uint8_t *bytes = malloc(map.size), *broken = malloc(map.size);
    size_t size = map.size, refused = 0;
    assert_true(bytes != NULL && broken != NULL);
    memcpy(bytes, map.data, size);
    file_unmap(&map);
    for (uint32_t round = 0; round < 60; round++) {
        memcpy(broken, bytes, size);
        for (uint32_t i = 0; i < 1 + round % 20; i++) {
            uint64_t at = rng_below(&address, round * 100 + 2 * i, size - 200) + (round % 4 == 0 ? 0 : 100);
            broken[at] = (uint8_t)rng_u64(&address, round * 100 + 2 * i + 1);
        }
        ok(file_write(path, broken, round % 5 == 0 ? size / 2 : size, &error));
        StoredResponse *r = NULL;
        size_t n = 0;
        if (run_store_open(&store, path, &error) != 0) {
            assert_true(error.code == ERROR_INPUT || error.code == ERROR_MISMATCH || error.code == ERROR_IO);
            refused++;
            continue;
        }
        if (run_store_get_responses(store, 1, &r, &n, &error) != 0) {
            assert_true(error.code == ERROR_INPUT || error.code == ERROR_IO);
            refused++;
        }
        run_store_free_responses(r, n);
        run_store_close(store);
        store = NULL;
    }
    printf("%zu of 60 refused\n", refused);
    assert_true(refused > 10);
    free(bytes);
    free(broken);
}

static void a_full_disk_is_told(void **state) {
    (void)state;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    put_prompts(2000);
    small = (struct rlimit){.rlim_cur = 400000, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    uint32_t kept = 0;
    while (kept < 8000 && put_response(kept) == 0) kept++;
    setrlimit(RLIMIT_FSIZE, &old);
    failed(-1, ERROR_IO,
           "cannot write: the disk is full; free some space there and run the same command again, what was "
           "finished is kept");
    assert_true(kept > 10);
    reopen();
    StoredResponse *r;
    size_t n;
    ok(run_store_get_responses(store, 1, &r, &n, &error));
    assert_int_equal(n, kept);
    run_store_free_responses(r, n);
}

/* Puts responses from `first` on and reports through the pipe each number of them that is committed. */
static void put_until_killed(int fd, uint32_t first, uint32_t batch) {
    RunStore *own = NULL;
    Error e;
    store = NULL;
    if (run_store_open(&own, path, &e) != 0) _exit(1);
    store = own;
    for (uint32_t i = first; i < 40000;) {
        if (batch > 1 && run_store_begin(store, &e) != 0) _exit(2);
        for (uint32_t j = 0; j < batch; j++)
            if (put_response(i++) != 0) _exit(3);
        if (batch > 1 && run_store_commit(store, &e) != 0) _exit(4);
        if (write(fd, &i, sizeof i) != sizeof i) _exit(5);
    }
    _exit(0);
}

/* [RS-1] What was reported is there, whole; of a batch all or nothing. */
static void nothing_is_lost_when_killed(void **state) {
    (void)state;
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    put_prompts(10000);
    run_store_close(store);
    store = NULL;
    uint32_t kept = 0;
    for (uint32_t round = 0; round < 10; round++) {
        int fd[2];
        uint32_t batch = round % 2 == 0 ? 1 : 50, reported = kept, number;
        assert_int_equal(pipe(fd), 0);
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) put_until_killed(fd[1], kept, batch);
        close(fd[1]);
        assert_int_equal(read(fd[0], &number, sizeof number), sizeof number); // it has begun
        reported = number;
        nanosleep(&(struct timespec){.tv_nsec = (long)rng_below(&address, round, 30000000)}, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(fd[0], &number, sizeof number) == (ssize_t)sizeof number) reported = number;
        close(fd[0]);
        ok(run_store_open(&store, path, &error)); // the lock died with the process
        StoredResponse *r;
        size_t n;
        ok(run_store_get_responses(store, 1, &r, &n, &error));
        assert_in_range(n, reported, reported + batch);
        assert_int_equal((n - kept) % batch, 0);
        for (size_t i = 0; i < n; i++) assert_true(same_response(&r[i], (uint32_t)i));
        run_store_free_responses(r, n);
        run_store_close(store);
        store = NULL;
        kept = (uint32_t)n;
    }
    printf("%u responses kept\n", kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(prompts_and_responses_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_else_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_never_changes_what_it_said, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_rows_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(transactions_are_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(begun_work_is_finished_or_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(long_work_is_saved_every_second, setup, teardown),
        cmocka_unit_test_setup_teardown(one_process_writes_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_no_run_store_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(crafted_rows_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_files_do_not_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_lost_when_killed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
