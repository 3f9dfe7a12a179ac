/* schema.h - the tables of a run store, their version, and whether a file has them.
 *
 * docs/files.md describes every column. A change of any table is a new SCHEMA_VERSION. The file's application id and
 * user version (in its header, where `file` shows them) tell a run store from other SQLite files. */
#pragma once
#include "store/database.h"

#define SCHEMA_APPLICATION 0x44494345 // "DICE"
#define SCHEMA_VERSION 2

typedef struct {
    const char *name, *sql; // sql: the whole CREATE TABLE
} SchemaTable;

extern const SchemaTable schema_tables[];
extern const size_t schema_table_count;

/* Creates the tables in an empty file (all or none, even when killed), or holds the file's tables against ours: another
 * version is ERROR_MISMATCH, a file that is none of ours ERROR_INPUT, a damaged one too. */
int schema_open(Database *db, bool read_only, Error *error);
