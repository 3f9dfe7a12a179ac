#include "base/file.h"
#include "store/schema.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

static char directory[64], path[96];

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-test-XXXXXX");
    if (mkdtemp(directory) == NULL) return -1;
    snprintf(path, sizeof path, "%s/run.db", directory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return file_remove_tree(directory, NULL);
}

static int open_schema(Database *db, bool read_only, Error *error) {
    if (database_open(db, path, read_only, error) != 0) return -1;
    int result = schema_open(db, read_only, error);
    if (result != 0) database_close(db);
    return result;
}

static void an_empty_file_gets_the_tables_once(void **state) {
    (void)state;
    Database db;
    Error error = {0};
    for (int time = 0; time < 2; time++) {
        if (open_schema(&db, false, &error) != 0) fail_msg("%s", error.message);
        database_close(&db);
    }
    if (open_schema(&db, true, &error) != 0) fail_msg("%s", error.message);
    database_close(&db);
    FileMap map; // what `file` and other tools see, in the header of the file
    assert_int_equal(file_map(&map, path, &error), 0);
    assert_memory_equal(map.data + 68, "DICE", 4);
    assert_memory_equal(map.data + 60, "\0\0\0\2", 4);
    file_unmap(&map);
}

static void a_reader_makes_no_store(void **state) {
    (void)state;
    Database db;
    Error error = {0};
    assert_int_equal(file_write(path, "", 0, &error), 0);
    assert_int_equal(open_schema(&db, true, &error), -1);
    assert_non_null(strstr(error.message, "is an SQLite database but no run store of dice"));
    assert_int_equal(error.code, ERROR_INPUT);
}

/* A process that dies while it makes the tables leaves an empty file: the tables are one transaction. */
static void tables_are_made_all_or_none(void **state) {
    (void)state;
    Database db;
    Error error = {0};
    assert_int_equal(database_open(&db, path, false, &error), 0);
    sqlite3_limit(db.handle, SQLITE_LIMIT_COLUMN, 6); // `responses` does not pass
    assert_int_equal(schema_open(&db, false, &error), -1);
    assert_non_null(strstr(error.message, "cannot create the tables: too many columns on responses"));
    database_close(&db);
    assert_int_equal(open_schema(&db, false, &error), 0);
    database_close(&db);
}

/* Each column of each table has its row in docs/files.md, under the heading of its table. */
static void every_column_is_documented(void **state) {
    (void)state;
    Database db;
    Error error = {0};
    FileMap map;
    assert_int_equal(open_schema(&db, false, &error), 0);
    assert_int_equal(file_map(&map, "docs/files.md", &error), 0);
    char *text = strndup((const char *)map.data, map.size);
    file_unmap(&map);
    size_t columns = 0;
    for (size_t i = 0; i < schema_table_count; i++) {
        char heading[64], quoted[64];
        snprintf(heading, sizeof heading, "\n### %s: ", schema_tables[i].name);
        const char *section = strstr(text, heading);
        if (section == NULL) fail_msg("docs/files.md has no section %s", heading);
        const char *next = strstr(section + 1, "\n##");
        Query query;
        bool row;
        const Value values[] = {value_text(schema_tables[i].name)};
        assert_int_equal(query_begin(&query, &db, "SELECT name FROM pragma_table_info(?)", values, 1, &error), 0);
        while (query_next(&query, &row, &error) == 0 && row) {
            const char *name = NULL;
            assert_int_equal(query_text(&query, 0, &name, &error), 0);
            snprintf(quoted, sizeof quoted, "`%s`", name);
            if (memmem(section, (size_t)(next - section), quoted, strlen(quoted)) == NULL)
                fail_msg("docs/files.md does not describe %s.%s", schema_tables[i].name, name);
            columns++;
        }
        assert_null(memmem(section, (size_t)(next - section), "`nonsense`", 10)); // planted
    }
    assert_int_equal(columns, 48);
    free(text);
    database_close(&db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_file_gets_the_tables_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_makes_no_store, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_are_made_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(every_column_is_documented, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
