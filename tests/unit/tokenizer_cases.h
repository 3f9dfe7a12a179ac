/* tokenizer_cases.h - the shared tokenizers and their goldens, as the tokenizer tests read them. */
#pragma once
#include "base/json.h"
#include "test.h"
#include "text/bpe_tokenizer.h"

#include <string.h>
#include <zlib.h>

/* A tokenizer of ../shared; an .xz goes through `xz`. NULL where it is not there: then skip(). */
static inline Tokenizer *shared_tokenizer(const char *name) {
    char path[512], command[600];
    if (test_shared(name, path, sizeof path) == NULL) return NULL;
    Tokenizer *t = NULL;
    Error error = {0};
    size_t length = strlen(path);
    if (length < 3 || strcmp(path + length - 3, ".xz") != 0) {
        if (tokenizer_load(&t, path, &error) != 0) fail_msg("%s", error.message);
        return t;
    }
    snprintf(command, sizeof command, "xz -dc '%s'", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    Buffer text = {0};
    static char chunk[1 << 16];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) buffer_append(&text, chunk, n);
    assert_int_equal(pclose(pipe), 0);
    json_t *root = json_parse(text.data, text.size, path, 1, &error);
    if (root == NULL || tokenizer_from_json(&t, root, path, &error) != 0) fail_msg("%s", error.message);
    json_decref(root);
    buffer_free(&text);
    return t;
}

/* Lines of JSON, gzipped or not. */
typedef struct {
    gzFile file;
    char *line;
    size_t capacity, number;
} JsonLines;

static inline bool json_lines_open(JsonLines *lines, const char *name) {
    char path[512];
    *lines = (JsonLines){.capacity = 1 << 20};
    if (test_shared(name, path, sizeof path) == NULL) return false;
    lines->file = gzopen(path, "rb");
    lines->line = malloc(lines->capacity);
    assert_true(lines->file != NULL && lines->line != NULL);
    return true;
}

/* The next line (a new reference); NULL at the end, after which nothing needs to be freed. */
static inline json_t *json_lines_next(JsonLines *lines) {
    Error error = {0};
    if (gzgets(lines->file, lines->line, (int)lines->capacity) == NULL) {
        gzclose(lines->file);
        free(lines->line);
        return NULL;
    }
    json_t *line = json_parse(lines->line, strlen(lines->line), "goldens", ++lines->number, &error);
    if (line == NULL) fail_msg("%s", error.message);
    return line;
}

/* True where the list holds these ids from `at` on. */
static inline bool same_ids(const TokenList *list, size_t at, const json_t *ids) {
    if (at + json_array_size(ids) > list->count) return false;
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (list->data[at + i] != json_integer_value(json_array_get(ids, i))) return false;
    return true;
}
