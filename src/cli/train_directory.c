#include "cli/train_directory.h"

#include "base/file.h"
#include "formats/recipe.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(const char *directory, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory to look into it", directory);
}

/* Compares what was remembered in the file `path` with the facts. */
static int compare(const char *directory, const char *path, const char *facts, Error *error) {
    FileMap old;
    Buffer difference = {0};
    if (file_map(&old, path, error) != 0) return -1;
    char *before = strndup(old.data == NULL ? "" : (const char *)old.data, old.size);
    file_unmap(&old);
    if (before == NULL) return no_memory(directory, error);
    recipe_difference(before, facts, &difference);
    int result = 0;
    if (difference.failed)
        result = no_memory(directory, error);
    else if (difference.size > 0)
        result = error_set(error, ERROR_MISMATCH,
                           "%s belongs to another training: remove it, give another --out, or undo\n%s", directory,
                           difference.data);
    buffer_free(&difference);
    free(before);
    return result;
}

int train_directory_claim(const char *directory, const char *facts, Error *error) {
    char *path = file_join(directory, "recipe.txt");
    int result = path == NULL ? no_memory(directory, error) : file_make_directory(directory, error);
    if (result == 0)
        result =
            file_exists(path) ? compare(directory, path, facts, error) : file_write(path, facts, strlen(facts), error);
    free(path);
    return result;
}

static bool is_half_written(const char *name) { return strstr(name, ".partial") != NULL; }

static int is_step(const struct dirent *entry) {
    return strncmp(entry->d_name, "step-", 5) == 0 && !is_half_written(entry->d_name);
}

static int is_step_or_half_written(const struct dirent *entry) {
    return is_step(entry) || is_half_written(entry->d_name);
}

int train_directory_newest(const char *directory, char **checkpoint, size_t *step, Error *error) {
    struct dirent **entry = NULL;
    int n = scandir(directory, &entry, is_step, alphasort), newest = -1, result = 0;
    *checkpoint = NULL;
    *step = 0;
    for (int i = 0; i < n; i++) {
        size_t number = strtoull(entry[i]->d_name + 5, NULL, 10);
        if (number > *step) *step = number, newest = i;
    }
    if (newest >= 0 && (*checkpoint = file_join(directory, entry[newest]->d_name)) == NULL)
        result = no_memory(directory, error);
    for (int i = 0; i < n; i++) free(entry[i]);
    free(entry);
    return result;
}

int train_directory_keep(const char *directory, const char *name, Error *error) {
    struct dirent **entry = NULL;
    int n = scandir(directory, &entry, is_step_or_half_written, alphasort), result = 0;
    for (int i = 0; i < n; i++) {
        char *path = file_join(directory, entry[i]->d_name);
        if (result == 0 && path == NULL) result = no_memory(directory, error);
        if (result == 0 && strcmp(entry[i]->d_name, name) != 0) result = file_remove_tree(path, error);
        free(path);
        free(entry[i]);
    }
    free(entry);
    return result;
}
