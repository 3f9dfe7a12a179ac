#include "store/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Rows with blobs or texts are rowid tables with an index on their key, so that a walk over the keys alone does not
 * read them; rows of numbers live in the index itself (WITHOUT ROWID). */
const SchemaTable schema_tables[] = {
    {"meta", "CREATE TABLE meta (\n"
             "    key TEXT NOT NULL PRIMARY KEY,\n"
             "    value TEXT NOT NULL\n"
             ") STRICT, WITHOUT ROWID"},
    {"prompts", "CREATE TABLE prompts (\n"
                "    prompt INTEGER NOT NULL PRIMARY KEY,\n"
                "    ids BLOB NOT NULL,\n"
                "    messages TEXT NOT NULL\n"
                ") STRICT"},
    {"responses", "CREATE TABLE responses (\n"
                  "    round INTEGER NOT NULL,\n"
                  "    prompt INTEGER NOT NULL REFERENCES prompts,\n"
                  "    k INTEGER NOT NULL,\n"
                  "    ids BLOB NOT NULL,\n"
                  "    logprob BLOB NOT NULL,\n"
                  "    text TEXT NOT NULL,\n"
                  "    chars INTEGER NOT NULL,\n"
                  "    stopped INTEGER NOT NULL,\n"
                  "    model TEXT NOT NULL,\n"
                  "    PRIMARY KEY (round, prompt, k)\n"
                  ") STRICT"},
    {"scores", "CREATE TABLE scores (\n"
               "    source TEXT NOT NULL,\n"
               "    round INTEGER NOT NULL,\n"
               "    model TEXT NOT NULL,\n"
               "    prompt INTEGER NOT NULL,\n"
               "    k INTEGER NOT NULL,\n"
               "    sum REAL NOT NULL,\n"
               "    tokens INTEGER NOT NULL,\n"
               "    PRIMARY KEY (source, round, model, prompt, k)\n"
               ") STRICT, WITHOUT ROWID"},
    {"pairs", "CREATE TABLE pairs (\n"
              "    round INTEGER NOT NULL,\n"
              "    prompt INTEGER NOT NULL,\n"
              "    chosen_k INTEGER NOT NULL,\n"
              "    rejected_k INTEGER NOT NULL,\n"
              "    chosen_reward REAL NOT NULL,\n"
              "    rejected_reward REAL NOT NULL,\n"
              "    chosen_score REAL NOT NULL,\n"
              "    rejected_score REAL NOT NULL,\n"
              "    rejected_round INTEGER NOT NULL,\n"
              "    doubt REAL NOT NULL,\n"
              "    PRIMARY KEY (round, prompt),\n"
              "    FOREIGN KEY (round, prompt, chosen_k) REFERENCES responses,\n"
              "    FOREIGN KEY (rejected_round, prompt, rejected_k) REFERENCES responses\n"
              ") STRICT, WITHOUT ROWID"},
    {"mix", "CREATE TABLE mix (\n"
            "    round INTEGER NOT NULL,\n"
            "    position INTEGER NOT NULL,\n"
            "    offline INTEGER NOT NULL,\n"
            "    row INTEGER NOT NULL,\n"
            "    PRIMARY KEY (round, position)\n"
            ") STRICT, WITHOUT ROWID"},
    {"steps", "CREATE TABLE steps (\n"
              "    round INTEGER NOT NULL,\n"
              "    step INTEGER NOT NULL,\n"
              "    metrics TEXT NOT NULL,\n"
              "    PRIMARY KEY (round, step)\n"
              ") STRICT, WITHOUT ROWID"},
    {"evaluations", "CREATE TABLE evaluations (\n"
                    "    round INTEGER NOT NULL,\n"
                    "    name TEXT NOT NULL,\n"
                    "    result TEXT NOT NULL,\n"
                    "    PRIMARY KEY (round, name)\n"
                    ") STRICT, WITHOUT ROWID"},
    {"stages", "CREATE TABLE stages (\n"
               "    round INTEGER NOT NULL,\n"
               "    stage TEXT NOT NULL,\n"
               "    summary TEXT NOT NULL,\n"
               "    PRIMARY KEY (round, stage)\n"
               ") STRICT, WITHOUT ROWID"},
    {"checkpoints", "CREATE TABLE checkpoints (\n"
                    "    round INTEGER NOT NULL,\n"
                    "    step INTEGER NOT NULL,\n"
                    "    directory TEXT NOT NULL,\n"
                    "    model TEXT NOT NULL,\n"
                    "    PRIMARY KEY (round, step)\n"
                    ") STRICT, WITHOUT ROWID"},
};
const size_t schema_table_count = sizeof schema_tables / sizeof *schema_tables;

/* The only value of a query that gives one row. */
static int read_number(Database *db, const char *sql, uint64_t *out, Error *error) {
    Query query;
    bool row;
    if (query_begin(&query, db, sql, NULL, 0, error) != 0 || query_next(&query, &row, error) != 0) return -1;
    int result = row ? query_whole(&query, 0, INT64_MAX, out, error) : database_damaged(db, "no header", error);
    query_end(&query);
    return result;
}

static int create(Database *db, Error *error) {
    char header[80];
    snprintf(header, sizeof header, "PRAGMA application_id = %d; PRAGMA user_version = %d", SCHEMA_APPLICATION,
             SCHEMA_VERSION);
    int code = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (size_t i = 0; code == SQLITE_OK && i < schema_table_count; i++)
        code = sqlite3_exec(db->handle, schema_tables[i].sql, NULL, NULL, NULL);
    if (code == SQLITE_OK) code = sqlite3_exec(db->handle, header, NULL, NULL, NULL);
    if (code == SQLITE_OK) code = sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : database_fail(db, code, "create the tables", error);
}

static int check_tables(Database *db, Error *error) {
    for (size_t i = 0; i < schema_table_count; i++) {
        Query query;
        bool row;
        char place[64];
        snprintf(place, sizeof place, "table %s is not as it was made", schema_tables[i].name);
        Value values[] = {value_text(schema_tables[i].name), value_text(schema_tables[i].sql)};
        if (query_begin(&query, db, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? AND sql = ?", values,
                        2, error) != 0 ||
            query_next(&query, &row, error) != 0)
            return -1;
        query_end(&query);
        if (!row) return database_damaged(db, place, error);
    }
    return 0;
}

int schema_open(Database *db, bool read_only, Error *error) {
    uint64_t application, version, objects;
    if (read_number(db, "SELECT application_id & 0xffffffff FROM pragma_application_id", &application, error) != 0 ||
        read_number(db, "SELECT user_version & 0xffffffff FROM pragma_user_version", &version, error) != 0 ||
        read_number(db, "SELECT count(*) FROM sqlite_schema", &objects, error) != 0)
        return -1;
    if (application == 0 && version == 0 && objects == 0 && !read_only) return create(db, error);
    if (application != SCHEMA_APPLICATION)
        return error_set(error, ERROR_INPUT,
                         "%s: is an SQLite database but no run store of dice; move the file away or "
                         "choose another run directory",
                         db->path);
    if (version != SCHEMA_VERSION)
        return error_set(error, ERROR_MISMATCH,
                         "%s: has schema version %" PRIu64 ", and this dice reads version %d; use the "
                         "dice that wrote it, or begin a new run directory",
                         db->path, version, SCHEMA_VERSION);
    return check_tables(db, error);
}
