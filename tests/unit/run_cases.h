/* run_cases.h - runs on a tiny model: two checkpoints, preference pairs, a recipe, and looks into what the stages left.
 *
 * Time stands still but for run_tick_s at every look at the clock. With a tick above a second every row is a
 * transaction of its own, and run_copy_of makes a copy of the run directory at each look: what a kill at that instant
 * leaves. */
#pragma once
#include "align/dice_run.h"
#include "align/round_table.h"
#include "base/clock.h"
#include "checkpoint_cases.h"
#include "store/database.h"
#include "store/schema.h"
#include "test.h"
#include <math.h>
#include <unistd.h>

static KernelTable run_kernels;
static CheckpointDirectory run_start, run_older, run_scratch;
static Error run_error;

static double run_now_s, run_tick_s = 1e-3;
static const char *run_copy_of; // an output, e.g. "plain"; NULL: none
static int run_copies, run_copy_looks, run_copy_every = 1;

static const char *const run_recipe_text =
    "model: %s\noutput: %s\nrounds: 1\nseed: 5\nprecision: float32\n"
    "data: {offline: pairs.jsonl, validation_pairs: 2}\n"
    "sample: {responses: 3, max_new_tokens: 40, temperature: 1, branches: 6}\n"
    "filter: {above_chars: 0, min_responses: 2}\nreward: {audit_share: 0.5}\n"
    "train: {learning_rate: 3e-4, pairs_per_step: 3, micro_tokens: 200, checkpoint_every: 2, validate_every: 2}\n"
    "report: {prompts: 2, show: 1, show_tokens: 4}\n";

/* A file or directory of the scratch directory becomes another one. */
static inline void run_cases_copy(const char *from, const char *to) {
    char command[256];
    snprintf(command, sizeof command, "cd %s && rm -rf %s && cp -r %s %s", run_scratch.path, to, from, to);
    if (system(command) != 0) fail_msg("%s", command);
}

/* Instead of those of base/clock.c. */
double clock_seconds(void) {
    if (run_copy_of != NULL && run_copy_looks++ % run_copy_every == 0) {
        char name[32];
        snprintf(name, sizeof name, "copy-%d", run_copies++);
        run_cases_copy(run_copy_of, name);
    }
    return run_now_s += run_tick_s;
}

void clock_timestamp(char *out, size_t capacity) { snprintf(out, capacity, "2024-06-09T12:00:00Z"); }

/* Pairs with few and with many characters; every fifth has the prompt of the one before. */
static inline void run_cases_pairs(const char *name, size_t count, size_t first) {
    static const char *const words[] = {"the", "mill", "stood", "by", "river", "wheel", "turned", "all", "day"};
    Buffer text = {0};
    for (size_t i = first; i < first + count; i++)
        buffer_format(&text, "{\"prompt\": \"%s %s %zu\", \"chosen\": \"%s %s\", \"rejected\": \"%s\"}\n", words[i % 9],
                      words[(i + 4) % 9], i - i % 5 / 4, words[(i + 1) % 9], words[(i + 7) % 9], words[(i + 3) % 9]);
    checkpoint_put(&run_scratch, name, text.data);
    buffer_free(&text);
}

/* Setup and teardown of a group of tests. */
static inline int run_cases_create(void **state) {
    (void)state;
    checkpoint_create(&run_start, checkpoint_template), checkpoint_weights(&run_start, 1);
    checkpoint_create(&run_older, checkpoint_template), checkpoint_weights(&run_older, 2);
    snprintf(run_scratch.path, sizeof run_scratch.path, "/tmp/dice-run-XXXXXX");
    if (mkdtemp(run_scratch.path) == NULL) return -1;
    run_cases_pairs("pairs.jsonl", 11, 0);
    run_cases_pairs("more.jsonl", 6, 20);
    return kernel_table_create(&run_kernels, 1, &run_error);
}

static inline int run_cases_remove(void **state) {
    (void)state;
    checkpoint_remove(&run_start), checkpoint_remove(&run_older), checkpoint_remove(&run_scratch);
    return 0;
}

static inline void run_cases_ok(int result) {
    if (result != 0) fail_msg("%s", run_error.message);
}

/* A call failed with this code and a message that holds the text. */
static inline void run_cases_failed(int result, ErrorCode code, const char *text) {
    if (result == 0) fail_msg("it should have failed: %s", text);
    if (strstr(run_error.message, text) == NULL) fail_msg("\"%s\" is not in: %s", text, run_error.message);
    if (run_error.code != code) fail_msg("code %d: %s", (int)run_error.code, run_error.message);
}

static inline Recipe run_cases_recipe(const char *output, const char *const *sets, size_t n) {
    char text[2048];
    Recipe recipe;
    snprintf(text, sizeof text, run_recipe_text, run_start.path, output);
    run_cases_ok(recipe_parse(&recipe, text, strlen(text), "r.yaml", run_scratch.path, sets, n, &run_error));
    return recipe;
}

/* Closes with run_cases_close. */
static inline void run_cases_open(DiceRun *run, Recipe *recipe, const char *output, const char *const *sets, size_t n) {
    *recipe = run_cases_recipe(output, sets, n);
    run_cases_ok(dice_run_open(run, recipe, &run_kernels, false, NULL, &run_error));
}

static inline void run_cases_close(DiceRun *run, Recipe *recipe) {
    dice_run_close(run);
    recipe_free(recipe);
}

/* Runs all rounds, or until the log says stop. */
static inline int run_cases_rounds(const Recipe *recipe, const Log *log) {
    DiceRun run;
    if (dice_run_open(&run, recipe, &run_kernels, false, log, &run_error) != 0) return -1;
    int result = dice_run_rounds(&run, &run_error);
    dice_run_close(&run);
    return result;
}

/* A finished run, to be looked at; closes with run_cases_close. */
static inline void run_cases_finished(DiceRun *run, Recipe *recipe, const char *output, const char *const *sets,
                                      size_t n) {
    *recipe = run_cases_recipe(output, sets, n);
    if (run_cases_rounds(recipe, NULL) != 0) fail_msg("%s: %s", output, run_error.message);
    run_cases_ok(dice_run_open(run, recipe, &run_kernels, false, NULL, &run_error));
}

static inline double run_cases_figure(const DiceRun *run, uint32_t round, const char *stage, const char *key) {
    json_t *summary = dice_run_summary(run, round, stage, &run_error);
    if (summary == NULL) fail_msg("%s", run_error.message);
    const json_t *value = json_object_get(summary, key);
    double number = json_is_true(value) ? 1 : json_number_value(value);
    if (value == NULL) fail_msg("%s of round %u has no %s", stage, round, key);
    json_decref(summary);
    return number;
}

static inline void run_cases_text(const DiceRun *run, uint32_t round, const char *stage, const char *key,
                                  char out[40]) {
    json_t *summary = dice_run_summary(run, round, stage, &run_error);
    snprintf(out, 40, "%s", json_string_value(json_object_get(summary, key)));
    json_decref(summary);
}

static inline void run_cases_hash(const DiceRun *run, int index, char out[40]) {
    Model *model = NULL;
    Hash hash;
    run_cases_ok(dice_run_load(run, index, DTYPE_F32, false, &model, &hash, &run_error));
    snprintf(out, 40, "%s", hash.hex);
    model_free(model);
}

static inline bool run_cases_has_file(const char *output, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s/%s", run_scratch.path, output, name);
    return file_exists(path);
}

/* Changes the store behind the run's back. */
static inline void run_cases_tamper(const DiceRun *run, const char *sql) {
    char *message = NULL;
    sqlite3 *handle = run_store_database(run->store)->handle;
    if (sqlite3_exec(handle, "PRAGMA foreign_keys = OFF", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
}

/* The only number that a query gives. */
static inline double run_cases_number(const DiceRun *run, const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(run_store_database(run->store)->handle, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        fail_msg("%s", sql);
    double number = sqlite3_column_double(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

/* All rows of some tables, "responses, scores", as text to be freed. */
static inline char *run_cases_rows(const DiceRun *run, const char *tables) {
    Buffer text = {0};
    for (size_t i = 0; i < schema_table_count; i++) {
        char sql[80];
        sqlite3_stmt *statement;
        if (strstr(tables, schema_tables[i].name) == NULL) continue;
        snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY 1, 2, 3", schema_tables[i].name);
        assert_int_equal(sqlite3_prepare_v2(run_store_database(run->store)->handle, sql, -1, &statement, NULL),
                         SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW) {
            buffer_format(&text, "%s", schema_tables[i].name);
            for (int c = 0; c < sqlite3_column_count(statement); c++) {
                const uint8_t *bytes = sqlite3_column_blob(statement, c);
                bool is_blob = sqlite3_column_type(statement, c) == SQLITE_BLOB;
                if (!is_blob) buffer_format(&text, "|%s", (const char *)sqlite3_column_text(statement, c));
                for (int b = 0; is_blob && b < sqlite3_column_bytes(statement, c); b++)
                    buffer_format(&text, "%s%02x", b == 0 ? "|" : "", bytes[b]);
            }
            buffer_append_text(&text, "\n");
        }
        sqlite3_finalize(statement);
    }
    buffer_append_text(&text, "");
    return buffer_take(&text);
}

typedef int (*RunStage)(DiceRun *run, uint32_t round, Error *error);

/* Brings a new run to where `stage` of round 1 would begin. */
static inline void run_cases_until(RunStage stage, const char *output, const char *const *sets, size_t n) {
    static const RunStage order[] = {dice_sample, dice_score, dice_pairs, dice_train};
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, output, sets, n);
    run_cases_ok(dice_evaluate(&run, -1, &run_error));
    if (dice_run_has_round0(&run)) run_cases_ok(dice_train(&run, 0, &run_error));
    run_cases_ok(dice_evaluate(&run, 0, &run_error));
    for (size_t i = 0; i < sizeof order / sizeof *order && order[i] != stage; i++)
        run_cases_ok(order[i](&run, 1, &run_error));
    run_cases_close(&run, &recipe);
}

/* One stage of a run that is there already; its rows as text to be freed. */
static inline char *run_cases_continue(RunStage stage, uint32_t round, const char *output, const char *const *sets,
                                       size_t n, const char *tables) {
    DiceRun run;
    Recipe recipe;
    run_cases_open(&run, &recipe, output, sets, n);
    if (stage(&run, round, &run_error) != 0) fail_msg("%s: %s", output, run_error.message);
    char *rows = run_cases_rows(&run, tables);
    run_cases_close(&run, &recipe);
    return rows;
}

/* Opens a copy of "before" whose store is changed. */
static inline void run_cases_changed(DiceRun *run, Recipe *recipe, const char *sql) {
    run_cases_copy("before", "changed");
    run_cases_open(run, recipe, "changed", NULL, 0);
    run_cases_tamper(run, sql);
}

/* A stage of round 1 that is done on a copy of "before" does nothing when it is called again: `needed`, a directory
 * that it would want, is not there any more. Leaves that run open. */
static inline void run_cases_repeat(DiceRun *run, Recipe *recipe, RunStage stage, const char *tables,
                                    const char *needed) {
    char place[64];
    run_cases_copy("before", "again");
    char *first = run_cases_continue(stage, 1, "again", NULL, 0, tables);
    snprintf(place, sizeof place, "again/%s", needed);
    run_cases_copy("pairs.jsonl", place); // a file in its place
    run_cases_open(run, recipe, "again", NULL, 0);
    run_cases_ok(stage(run, 1, &run_error));
    char *second = run_cases_rows(run, tables);
    assert_string_equal(first, second);
    free(first), free(second);
}

/* What a stranger, or a bad disk, does to a store, and what a stage then says. */
typedef struct {
    const char *sql, *message;
    ErrorCode code;
} RunChange;

/* After each change `stage` of round 1 fails, and neither the stage `name` nor the round's training set is there. */
static inline void run_cases_refuses(RunStage stage, const char *name, const RunChange *change, size_t n) {
    for (size_t i = 0; i < n; i++) {
        DiceRun run;
        Recipe recipe;
        run_cases_changed(&run, &recipe, change[i].sql);
        run_cases_failed(stage(&run, 1, &run_error), change[i].code, change[i].message);
        assert_int_equal(dice_run_is_done(&run, 1, name, &run_error), 0);
        assert_false(run_cases_has_file("changed", "round-1/train.jsonl"));
        run_cases_close(&run, &recipe);
    }
}

/* A stage that begins on a copy of `before` is killed around each of its commits, and at every `every`-th of them
 * started again: the same rows come out. Returns how many of the killed had begun to put rows. */
static inline size_t run_cases_kill(RunStage stage, uint32_t round, const char *before, const char *const *sets,
                                    size_t n, const char *tables, int every) {
    size_t begun = 0;
    DiceRun run;
    Recipe recipe;
    run_cases_copy(before, "whole");
    run_cases_open(&run, &recipe, before, sets, n);
    char *first = run_cases_rows(&run, tables);
    run_cases_close(&run, &recipe);
    run_cases_open(&run, &recipe, "whole", sets, n);
    run_copy_of = "whole", run_copies = run_copy_looks = 0, run_copy_every = every, run_tick_s = 2;
    int result = stage(&run, round, &run_error);
    run_copy_of = NULL, run_tick_s = 1e-3;
    run_cases_ok(result);
    char *whole = run_cases_rows(&run, tables);
    run_cases_close(&run, &recipe);
    assert_string_not_equal(whole, first);
    for (int i = 0; i < run_copies; i++) {
        char name[32];
        snprintf(name, sizeof name, "copy-%d", i);
        run_cases_open(&run, &recipe, name, sets, n);
        char *there = run_cases_rows(&run, tables);
        run_cases_close(&run, &recipe);
        begun += strcmp(there, first) != 0 && strcmp(there, whole) != 0;
        char *rows = run_cases_continue(stage, round, name, sets, n, tables);
        if (strcmp(rows, whole) != 0) fail_msg("killed at its look %d at the clock, the stage made other rows", i);
        free(there), free(rows);
        run_cases_copy("pairs.jsonl", name); // instead of the directory
    }
    free(first), free(whole);
    return begun;
}

static inline int run_cases_stop(void *context) { return (*(int *)context)-- <= 0; }

/* The same for an interruption at the first, second, ... safe point: each stage goes on from the one before. */
static inline size_t run_cases_interrupt(RunStage stage, uint32_t round, const char *before, const char *const *sets,
                                         size_t n, const char *tables) {
    run_cases_copy(before, "whole"), run_cases_copy(before, "parts");
    char *whole = run_cases_continue(stage, round, "whole", sets, n, tables);
    Recipe recipe = run_cases_recipe("parts", sets, n);
    size_t stops = 0;
    for (int polls = 0, result = -1; result != 0; polls++) {
        const Log log = {.interrupted = run_cases_stop, .context = &(int){polls}};
        DiceRun run;
        run_cases_ok(dice_run_open(&run, &recipe, &run_kernels, false, &log, &run_error));
        if ((result = stage(&run, round, &run_error)) != 0 && run_error.code != ERROR_INTERRUPTED)
            fail_msg("stop %zu: %s", stops, run_error.message);
        dice_run_close(&run);
        stops += result != 0;
        if (stops > 400) fail_msg("there is no progress");
    }
    recipe_free(&recipe);
    char *parts = run_cases_continue(stage, round, "parts", sets, n, tables);
    assert_string_equal(parts, whole);
    free(parts), free(whole);
    return stops;
}
