#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int file_map(FileMap *map, const char *path, Error *error) {
    *map = (FileMap){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_errno(error, path, "open");
    struct stat s;
    int result = -1;
    if (fstat(fd, &s) != 0) {
        error_errno(error, path, "read");
    } else if (!S_ISREG(s.st_mode)) {
        error_set(error, ERROR_IO, "%s: is not a regular file", path);
    } else if (s.st_size == 0) {
        result = 0;
    } else {
        void *data = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            error_errno(error, path, "map");
        } else {
            *map = (FileMap){.data = data, .size = (size_t)s.st_size};
            result = 0;
        }
    }
    close(fd);
    return result;
}

void file_unmap(FileMap *map) {
    if (map->data != NULL) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (FileMap){0};
}

char *file_join(const char *directory, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

int file_sync_directory(const char *path, Error *error) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return error_errno(error, path, "open the directory");
    int result = fsync(fd) == 0 || errno == EINVAL ? 0 : error_errno(error, path, "sync the directory");
    close(fd);
    return result;
}

int file_writer_open(FileWriter *writer, const char *path, Error *error) {
    *writer = (FileWriter){0};
    writer->path = strdup(path);
    if (writer->path == NULL || asprintf(&writer->temporary, "%s.partial-%ld", path, (long)getpid()) < 0) {
        free(writer->path);
        *writer = (FileWriter){0};
        return error_set(error, ERROR_MEMORY, "%s: no memory to open it for writing", path);
    }
    writer->stream = fopen(writer->temporary, "wbe");
    if (writer->stream == NULL) {
        error_errno(error, path, "create");
        free(writer->path);
        free(writer->temporary);
        *writer = (FileWriter){0};
        return -1;
    }
    return 0;
}

void file_writer_abort(FileWriter *writer) {
    if (writer->stream != NULL) fclose(writer->stream);
    if (writer->temporary != NULL) unlink(writer->temporary);
    free(writer->path);
    free(writer->temporary);
    *writer = (FileWriter){0};
}

int file_rename(const char *from, const char *to, Error *error) {
    char *copy = strdup(to); // before the rename: what fails shall not have happened
    if (copy == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", to);
    int result = rename(from, to) != 0 ? error_errno(error, to, "put the new file in place")
                                       : file_sync_directory(dirname(copy), error);
    free(copy);
    return result;
}

int file_writer_commit(FileWriter *writer, Error *error) {
    int result = -1;
    if (!ferror(writer->stream)) errno = 0; // else it says why the write failed that the caller stopped at
    if (fflush(writer->stream) != 0 || ferror(writer->stream)) {
        if (errno == 0) errno = EIO;
        error_errno(error, writer->path, "write");
    } else if (fsync(fileno(writer->stream)) != 0) {
        error_errno(error, writer->path, "write to the disk");
    } else if (fclose(writer->stream) != 0) {
        writer->stream = NULL;
        error_errno(error, writer->path, "close");
    } else {
        writer->stream = NULL;
        result = file_rename(writer->temporary, writer->path, error);
    }
    file_writer_abort(writer);
    return result;
}

int file_write(const char *path, const void *bytes, size_t count, Error *error) {
    FileWriter writer;
    if (file_writer_open(&writer, path, error) != 0) return -1;
    if (count > 0 && fwrite(bytes, 1, count, writer.stream) != count) {
        error_errno(error, path, "write");
        file_writer_abort(&writer);
        return -1;
    }
    return file_writer_commit(&writer, error);
}

int file_copy(const char *from, const char *to, Error *error) {
    FileMap map;
    if (file_map(&map, from, error) != 0) return -1;
    int result = file_write(to, map.data, map.size, error);
    file_unmap(&map);
    return result;
}

int file_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

int file_is_same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int file_is_directory(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int file_make_directory(const char *path, Error *error) {
    char *copy = strdup(path);
    if (copy == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", path);
    int result = 0;
    for (char *p = copy + 1; result == 0; p++) {
        if (*p != '/' && *p != 0) continue;
        char keep = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) result = error_errno(error, copy, "create the directory");
        *p = keep;
        if (keep == 0) break;
    }
    free(copy);
    if (result == 0 && !file_is_directory(path))
        return error_set(error, ERROR_IO, "%s: is in the way: a directory was expected", path);
    return result;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk) {
    (void)s, (void)type, (void)walk;
    return remove(path);
}

int file_remove_tree(const char *path, Error *error) {
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return error_errno(error, path, "remove");
    return 0;
}
