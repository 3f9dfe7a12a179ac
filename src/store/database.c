#include "store/database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { BUSY_WAIT_MS = 10000 };

Value value_text(const char *text) {
    assert(text != NULL);
    return (Value){.kind = VALUE_TEXT, .bytes = text, .size = strlen(text)};
}

int database_damaged(const Database *db, const char *place, Error *error) {
    return error_set(
        error, ERROR_INPUT,
        "%s: the run store is damaged (%s); put back a copy of it, try \"sqlite3 FILE .recover\", or begin a new "
        "run directory",
        db->path, place);
}

int database_fail(const Database *db, int code, const char *doing, Error *error) {
    int system = errno; // sqlite3_system_errno forgets what happened to the log
    const char *text = sqlite3_errstr(code);
    bool no_space = system == ENOSPC || system == EDQUOT || system == EFBIG;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return error_set(error, ERROR_MEMORY, "%s: no memory to %s the run store", db->path, doing);
    case SQLITE_CORRUPT:
        return database_damaged(db, text, error);
    case SQLITE_NOTADB:
        return error_set(error, ERROR_INPUT,
                         "%s: is no run store (%s); move the file away or choose another run directory", db->path,
                         text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(error, ERROR_IO,
                         "%s: cannot %s: another program holds a lock on it; close that and run the same "
                         "command again",
                         db->path, doing);
    case SQLITE_FULL:
        break;
    case SQLITE_IOERR:
        if (no_space) break;
        return error_set(error, ERROR_IO, "%s: cannot %s: %s (%s)", db->path, doing, text, strerror(system));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return error_set(error, ERROR_IO, "%s: cannot %s: %s%s%s; check the path and its permissions", db->path, doing,
                         text, system != 0 ? ": " : "", system != 0 ? strerror(system) : "");
    default:
        return error_set(error, ERROR_INTERNAL, "%s: cannot %s: %s", db->path, doing,
                         db->handle == NULL ? text : sqlite3_errmsg(db->handle));
    }
    return error_set(error, ERROR_IO,
                     "%s: cannot %s: the disk is full; free some space there and run the same command again, "
                     "what was finished is kept",
                     db->path, doing);
}

/* Locks PATH.lock and writes our process id into it, for the message that a second process gives. The file stays: to
 * remove it would let a third process lock another file of the same name. */
static int take_lock(Database *db, Error *error) {
    char *name = NULL, holder[32] = "";
    if (asprintf(&name, "%s.lock", db->path) < 0) return error_set(error, ERROR_MEMORY, "%s: no memory", db->path);
    int result = -1;
    db->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (db->lock < 0) {
        error_errno(error, name, "create");
    } else if (flock(db->lock, LOCK_EX | LOCK_NB) == 0) {
        int n = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
        bool written = ftruncate(db->lock, 0) == 0 && pwrite(db->lock, holder, (size_t)n, 0) == n;
        result = written ? 0 : error_errno(error, name, "write");
    } else if (errno == EWOULDBLOCK) {
        ssize_t n = pread(db->lock, holder, sizeof holder - 1, 0);
        holder[n < 0 ? 0 : n] = 0;
        error_set(error, ERROR_IO,
                  "%s: another process (id %ld) is running this run directory; wait for it or end it first", db->path,
                  strtol(holder, NULL, 10));
    } else {
        error_errno(error, name, "lock");
    }
    free(name);
    return result;
}

static int harden(sqlite3 *handle) {
    static const int switches[][2] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                      {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                                      {SQLITE_DBCONFIG_ENABLE_FKEY, 1},    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0}};
    int code = SQLITE_OK;
    for (size_t i = 0; code == SQLITE_OK && i < sizeof switches / sizeof *switches; i++)
        code = sqlite3_db_config(handle, switches[i][0], switches[i][1], NULL);
    return code;
}

/* journal_mode: the log keeps a commit through the death of the process without waiting for the disk. synchronous: the
 * disk is waited for when the log moves into the file, so a power cut may take the last commits but never the file. */
static const char pragmas[] =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864;"
    "PRAGMA cell_size_check = ON;";

int database_open(Database *db, const char *path, bool read_only, Error *error) {
    *db = (Database){.path = strdup(path), .lock = -1};
    if (db->path == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", path);
    if (!read_only && take_lock(db, error) != 0) goto failed;
    errno = 0;
    int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code == SQLITE_OK) code = harden(db->handle);
    if (code == SQLITE_OK) code = sqlite3_busy_timeout(db->handle, BUSY_WAIT_MS);
    if (code == SQLITE_OK && !read_only) code = sqlite3_exec(db->handle, pragmas, NULL, NULL, NULL);
    if (code == SQLITE_OK) return 0;
    database_fail(db, code, "open", error);
failed:
    database_close(db);
    return -1;
}

void database_close(Database *db) {
    for (size_t i = 0; i < db->prepared_count; i++) sqlite3_finalize(db->prepared[i].statement);
    free(db->prepared);
    sqlite3_close(db->handle);
    if (db->lock >= 0) close(db->lock);
    free(db->path);
    *db = (Database){.lock = -1};
}

/* The prepared statement of a literal, ready to be bound. */
static int prepare(Database *db, const char *sql, sqlite3_stmt **statement, Error *error) {
    for (size_t i = 0; i < db->prepared_count; i++)
        if (db->prepared[i].sql == sql) {
            *statement = db->prepared[i].statement;
            return 0;
        }
    Prepared *grown = realloc(db->prepared, (db->prepared_count + 1) * sizeof *grown);
    if (grown == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory to prepare a statement", db->path);
    db->prepared = grown;
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    if (code != SQLITE_OK) return database_fail(db, code, "prepare a statement", error);
    db->prepared[db->prepared_count++] = (Prepared){sql, *statement};
    return 0;
}

static int bind(sqlite3_stmt *statement, const Value *values, size_t count) {
    int code = SQLITE_OK;
    for (int i = 0; code == SQLITE_OK && i < (int)count; i++) {
        const Value *v = &values[i];
        const void *bytes = v->bytes == NULL ? "" : v->bytes; // NULL would be bound as a NULL, not as an empty blob
        if (v->kind == VALUE_WHOLE)
            code = sqlite3_bind_int64(statement, i + 1, v->whole);
        else if (v->kind == VALUE_REAL)
            code = sqlite3_bind_double(statement, i + 1, v->real);
        else if (v->kind == VALUE_BLOB)
            code = sqlite3_bind_blob64(statement, i + 1, bytes, v->size, SQLITE_STATIC);
        else
            code = sqlite3_bind_text64(statement, i + 1, bytes, v->size, SQLITE_STATIC, SQLITE_UTF8);
    }
    return code;
}

int query_begin(Query *query, Database *db, const char *sql, const Value *values, size_t count, Error *error) {
    *query = (Query){.db = db};
    if (prepare(db, sql, &query->statement, error) != 0) return -1;
    int code = bind(query->statement, values, count);
    if (code == SQLITE_OK) return 0;
    query_end(query);
    return database_fail(db, code, "fill in a statement of", error);
}

void query_end(Query *query) {
    if (query->statement == NULL) return;
    sqlite3_reset(query->statement);
    sqlite3_clear_bindings(query->statement);
    query->statement = NULL;
}

static int step(Query *query, const char *doing, bool *row, Error *error) {
    errno = 0;
    int code = sqlite3_step(query->statement);
    *row = code == SQLITE_ROW;
    if (*row) return 0;
    int result = code == SQLITE_DONE ? 0 : database_fail(query->db, code, doing, error);
    query_end(query);
    return result;
}

int query_next(Query *query, bool *row, Error *error) { return step(query, "read", row, error); }

int database_run(Database *db, const char *sql, const Value *values, size_t count, size_t *changes, Error *error) {
    Query query;
    bool row = true;
    if (query_begin(&query, db, sql, values, count, error) != 0) return -1;
    while (row)
        if (step(&query, "write", &row, error) != 0) return -1;
    if (changes != NULL) *changes = (size_t)sqlite3_changes(db->handle);
    return 0;
}

static int bad_column(const Query *query, int column, Error *error) {
    char place[160];
    const char *name = sqlite3_column_name(query->statement, column);
    snprintf(place, sizeof place, "impossible value in column %.100s", name == NULL ? "?" : name);
    return database_damaged(query->db, place, error);
}

int query_whole(const Query *query, int column, uint64_t high, uint64_t *out, Error *error) {
    if (sqlite3_column_type(query->statement, column) != SQLITE_INTEGER) return bad_column(query, column, error);
    int64_t value = sqlite3_column_int64(query->statement, column);
    if (value < 0 || (uint64_t)value > high) return bad_column(query, column, error);
    *out = (uint64_t)value;
    return 0;
}

int query_u32(const Query *query, int column, uint32_t *out, Error *error) {
    uint64_t value = 0;
    if (query_whole(query, column, UINT32_MAX, &value, error) != 0) return -1;
    *out = (uint32_t)value;
    return 0;
}

int query_real(const Query *query, int column, double *out, Error *error) {
    if (sqlite3_column_type(query->statement, column) != SQLITE_FLOAT) return bad_column(query, column, error);
    *out = sqlite3_column_double(query->statement, column);
    return isfinite(*out) ? 0 : bad_column(query, column, error);
}

int query_text(const Query *query, int column, const char **out, Error *error) {
    if (sqlite3_column_type(query->statement, column) != SQLITE_TEXT) return bad_column(query, column, error);
    *out = (const char *)sqlite3_column_text(query->statement, column);
    if (*out == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory to read a text", query->db->path);
    size_t bytes = (size_t)sqlite3_column_bytes(query->statement, column);
    return strlen(*out) == bytes ? 0 : bad_column(query, column, error);
}

int query_copy(const Query *query, int column, char *out, size_t capacity, Error *error) {
    const char *text;
    if (query_text(query, column, &text, error) != 0) return -1;
    size_t n = strlen(text);
    if (n >= capacity) return bad_column(query, column, error);
    memcpy(out, text, n + 1);
    return 0;
}

int query_blob(const Query *query, int column, const void **out, size_t *size, Error *error) {
    if (sqlite3_column_type(query->statement, column) != SQLITE_BLOB) return bad_column(query, column, error);
    *out = sqlite3_column_blob(query->statement, column);
    *size = (size_t)sqlite3_column_bytes(query->statement, column);
    if (*out == NULL && *size > 0)
        return error_set(error, ERROR_MEMORY, "%s: no memory to read a blob", query->db->path);
    return 0;
}

int query_words(const Query *query, int column, void **out, size_t *count, Error *error) {
    const void *blob;
    size_t size;
    if (query_blob(query, column, &blob, &size, error) != 0) return -1;
    if (size % 4 != 0) return database_damaged(query->db, "the length of a list of words is no multiple of 4", error);
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for %zu bytes", query->db->path, size);
    for (size_t i = 0; i < size / 4; i++) {
        const uint8_t *b = (const uint8_t *)blob + 4 * i;
        uint32_t w = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(copy + 4 * i, &w, 4);
    }
    *out = copy;
    *count = size / 4;
    return 0;
}
