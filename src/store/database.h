/* database.h - one SQLite file, opened safely: errors become sentences, statements are prepared once, values are typed.
 *
 * For the store room alone. A file that a stranger made must not harm us: extensions, triggers, views and writes to the
 * schema are off, and every column is checked for its type and range when it is read.
 *
 *   code of SQLite          becomes          and says
 *   FULL, IOERR: no space   ERROR_IO         free space, run again
 *   BUSY, LOCKED            ERROR_IO         another program holds a lock
 *   other I/O, permission   ERROR_IO         what the system said
 *   CORRUPT, NOTADB         ERROR_INPUT      damaged, or no run store
 *   NOMEM                   ERROR_MEMORY
 *   anything else           ERROR_INTERNAL
 *
 * Not thread-safe. Memory: the Database owns its path and statements; database_close ends it. */
#pragma once
#include "base/error.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *sql; // a literal: found again by its address
    sqlite3_stmt *statement;
} Prepared;

typedef struct Database {
    sqlite3 *handle;
    char *path;
    int lock; // descriptor of the locked file PATH.lock; -1 when only reading
    Prepared *prepared;
    size_t prepared_count;
} Database;

/* Opens, or creates unless read_only. Otherwise this process alone may write: a second one is ERROR_IO and names the
 * first. The lock ends with the process, however it ends. */
int database_open(Database *db, const char *path, bool read_only, Error *error);
void database_close(Database *db);
/* Fills in the error for a code that a call of SQLite returned while `doing` ("write"). Returns -1. */
int database_fail(const Database *db, int code, const char *doing, Error *error);
/* ERROR_INPUT: the file holds something that this program never writes. Returns -1. */
int database_damaged(const Database *db, const char *place, Error *error);

typedef struct {
    enum { VALUE_WHOLE, VALUE_REAL, VALUE_TEXT, VALUE_BLOB } kind;
    int64_t whole;
    double real;
    const void *bytes; // borrowed until the statement has been run
    size_t size;
} Value;

static inline Value value_whole(uint64_t whole) { return (Value){.kind = VALUE_WHOLE, .whole = (int64_t)whole}; }
static inline Value value_real(double real) { return (Value){.kind = VALUE_REAL, .real = real}; }
static inline Value value_blob(const void *bytes, size_t size) {
    return (Value){.kind = VALUE_BLOB, .bytes = bytes, .size = size};
}
Value value_text(const char *text);

/* Runs SQL that gives no rows; *changes (may be NULL) = rows that it inserted or updated. `sql` is a literal. */
int database_run(Database *db, const char *sql, const Value *values, size_t count, size_t *changes, Error *error);

/* A query: begin, next until *row is false or -1. A query that is left earlier is ended with query_end. */
typedef struct {
    Database *db;
    sqlite3_stmt *statement;
} Query;

int query_begin(Query *query, Database *db, const char *sql, const Value *values, size_t count, Error *error);
int query_next(Query *query, bool *row, Error *error);
void query_end(Query *query);
/* Columns of the current row; another type or range is ERROR_INPUT. Text and blob are borrowed until the next call. */
int query_whole(const Query *query, int column, uint64_t high, uint64_t *out, Error *error);
int query_u32(const Query *query, int column, uint32_t *out, Error *error);
int query_real(const Query *query, int column, double *out, Error *error); // finite
int query_text(const Query *query, int column, const char **out, Error *error);
int query_copy(const Query *query, int column, char *out, size_t capacity, Error *error); // text that must fit
int query_blob(const Query *query, int column, const void **out, size_t *size, Error *error);
/* A blob of little-endian words of 4 bytes as an array of int32_t or float, to be freed. */
int query_words(const Query *query, int column, void **out, size_t *count, Error *error);
