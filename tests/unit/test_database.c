#include "base/file.h"
#include "store/database.h"
#include "test.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static char directory[64], path[96];
static Database db;

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-test-XXXXXX");
    if (mkdtemp(directory) == NULL) return -1;
    snprintf(path, sizeof path, "%s/a.db", directory);
    return database_open(&db, path, false, NULL);
}

static int teardown(void **state) {
    (void)state;
    database_close(&db);
    return file_remove_tree(directory, NULL);
}

static void every_code_has_its_error(void **state) {
    (void)state;
    static const struct {
        int code, system;
        ErrorCode error;
        const char *text;
    } cases[] = {
        {SQLITE_FULL, 0, ERROR_IO, "cannot write: the disk is full; free some space there"},
        {SQLITE_IOERR_WRITE, ENOSPC, ERROR_IO, "cannot write: the disk is full; free some space there"},
        {SQLITE_IOERR_WRITE, EDQUOT, ERROR_IO, "cannot write: the disk is full"},
        {SQLITE_IOERR_READ, EIO, ERROR_IO, "cannot write: disk I/O error (Input/output error)"},
        {SQLITE_BUSY, 0, ERROR_IO,
         "cannot write: another program holds a lock on it; close that and run the same command"},
        {SQLITE_BUSY_SNAPSHOT, 0, ERROR_IO, "another program holds a lock"},
        {SQLITE_LOCKED, 0, ERROR_IO, "another program holds a lock"},
        {SQLITE_CANTOPEN, EACCES, ERROR_IO, "unable to open database file: Permission denied; check the path"},
        {SQLITE_READONLY, 0, ERROR_IO, "attempt to write a readonly database; check the path and its permissions"},
        {SQLITE_CORRUPT_INDEX, 0, ERROR_INPUT,
         "the run store is damaged (database disk image is malformed); put back a copy"},
        {SQLITE_NOTADB, 0, ERROR_INPUT, "is no run store (file is not a database); move the file away"},
        {SQLITE_NOMEM, 0, ERROR_MEMORY, "no memory to write the run store"},
        {SQLITE_MISUSE, 0, ERROR_INTERNAL, "cannot write: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        errno = cases[i].system;
        assert_int_equal(database_fail(&db, cases[i].code, "write", &error), -1);
        if (strstr(error.message, cases[i].text) == NULL)
            fail_msg("\"%s\" is not in: %s", cases[i].text, error.message);
        assert_int_equal(error.code, cases[i].error);
        assert_int_equal(strncmp(error.message, path, strlen(path)), 0);
    }
}

/* Another program, for instance the sqlite3 shell, that has begun to write. */
static void a_lock_of_another_program_is_told(void **state) {
    (void)state;
    sqlite3 *other;
    Error error = {0};
    assert_int_equal(database_run(&db, "CREATE TABLE t (a)", NULL, 0, NULL, &error), 0);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db.handle, 10);
    assert_int_equal(database_run(&db, "INSERT INTO t VALUES (1)", NULL, 0, NULL, &error), -1);
    assert_non_null(strstr(error.message, "a.db: cannot write: another program holds a lock on it; close that"));
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(database_run(&db, "INSERT INTO t VALUES (1)", NULL, 0, NULL, &error), 0);
    sqlite3_close(other);
}

static void columns_are_checked(void **state) {
    (void)state;
    Query query;
    bool row;
    uint64_t whole;
    uint32_t small;
    double real;
    const char *text;
    char copy[3];
    const void *blob;
    size_t size;
    Error error = {0};
    const Value values[] = {value_whole(UINT32_MAX), value_real(0.5), value_text("abc"), value_blob(NULL, 0)};
    assert_int_equal(query_begin(&query, &db, "SELECT ?, ?, ?, ?, NULL", values, 4, &error), 0);
    assert_int_equal(query_next(&query, &row, &error), 0);
    assert_true(row);
    assert_int_equal(query_whole(&query, 0, UINT32_MAX, &whole, &error), 0);
    assert_int_equal(query_whole(&query, 0, UINT32_MAX - 1u, &whole, &error), -1);
    assert_int_equal(query_u32(&query, 0, &small, &error), 0);
    assert_int_equal(small, UINT32_MAX);
    assert_int_equal(query_real(&query, 1, &real, &error), 0);
    assert_int_equal(query_text(&query, 2, &text, &error), 0);
    assert_string_equal(text, "abc");
    assert_int_equal(query_copy(&query, 2, copy, sizeof copy, &error), -1);
    assert_int_equal(query_blob(&query, 3, &blob, &size, &error), 0);
    assert_int_equal(size, 0);
    for (int column = 0; column < 5; column++) { // each reader takes its own type alone
        assert_int_equal(query_whole(&query, column, INT64_MAX, &whole, &error), column == 0 ? 0 : -1);
        assert_int_equal(query_real(&query, column, &real, &error), column == 1 ? 0 : -1);
        assert_int_equal(query_text(&query, column, &text, &error), column == 2 ? 0 : -1);
        assert_int_equal(query_blob(&query, column, &blob, &size, &error), column == 3 ? 0 : -1);
    }
    assert_non_null(strstr(error.message, "the run store is damaged (impossible value in column"));
    assert_int_equal(error.code, ERROR_INPUT);
    query_end(&query);
    query_end(&query);
}

static void a_strangers_triggers_and_views_are_off(void **state) {
    (void)state;
    Error error = {0};
    Query query;
    bool row = true;
    assert_int_equal(sqlite3_exec(db.handle,
                                  "CREATE TABLE t (a); CREATE TABLE log (a); CREATE VIEW v AS SELECT 1;"
                                  "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(database_run(&db, "INSERT INTO t VALUES (1)", NULL, 0, NULL, &error), 0);
    assert_int_equal(query_begin(&query, &db, "SELECT a FROM log", NULL, 0, &error), 0);
    assert_int_equal(query_next(&query, &row, &error), 0);
    assert_false(row);
    assert_int_equal(query_begin(&query, &db, "SELECT * FROM v", NULL, 0, &error), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_code_has_its_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lock_of_another_program_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(columns_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_strangers_triggers_and_views_are_off, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
