/* file.h - reading by mapping, writing so that a reader sees the old file or the new one, never half.
 *
 * A FileWriter writes to `path.partial-<pid>` and renames on commit after fsync of file and directory; dropping it
 * without commit removes the temporary file. Write errors (disk full) are kept and reported by commit. */
#pragma once
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
    const uint8_t *data; // NULL for an empty file
    size_t size;
} FileMap;

/* Maps a regular file read-only. A directory, a missing or an unreadable file is ERROR_IO. */
int file_map(FileMap *map, const char *path, Error *error);
void file_unmap(FileMap *map);

typedef struct {
    FILE *stream; // write with stdio; NULL after commit or abort
    char *path, *temporary;
} FileWriter;

int file_writer_open(FileWriter *writer, const char *path, Error *error);
int file_writer_commit(FileWriter *writer, Error *error); // closes in any case
void file_writer_abort(FileWriter *writer);               // harmless after commit

/* The whole of `bytes` as the new content of path, atomically. */
int file_write(const char *path, const void *bytes, size_t count, Error *error);
/* Copies a file atomically. */
int file_copy(const char *from, const char *to, Error *error);
/* mkdir -p. */
int file_make_directory(const char *path, Error *error);
int file_exists(const char *path); // 1 or 0
int file_is_directory(const char *path);
/* Whether both paths lead to one file or directory that is there. */
int file_is_same(const char *a, const char *b);
/* Removes a file or a whole directory tree; not being there is success. */
int file_remove_tree(const char *path, Error *error);
/* Renames a file or directory and makes it last (fsync of the directory it is in). */
int file_rename(const char *from, const char *to, Error *error);
/* fsync of a directory, so that a rename inside it survives a power cut. */
int file_sync_directory(const char *path, Error *error);
/* "directory/name", to be freed by the caller; NULL when memory is exhausted. */
char *file_join(const char *directory, const char *name);
