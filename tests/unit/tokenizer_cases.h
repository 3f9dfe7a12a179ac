/* tokenizer_cases.h - the shared tokenizers and their goldens, as the tokenizer tests read them. */
#pragma once
#include "base/json.h"
#include "test.h"
#include "text/bpe_tokenizer.h"

#include <string.h>
#include <xxhash.h>
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

static inline bool same_hash(const void *bytes, size_t n, const json_t *hex) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)XXH64(bytes, n, 0));
    return strcmp(text, json_string_value(hex)) == 0;
}

/* Long texts' goldens are count and hash. */
static inline bool ids_match(const TokenList *list, const json_t *ids) {
    if (json_is_array(ids)) return list->count == json_array_size(ids) && same_ids(list, 0, ids);
    return (json_int_t)list->count == json_integer_value(json_object_get(ids, "n")) &&
           same_hash(list->data, list->count * sizeof *list->data, json_object_get(ids, "xxh64"));
}

static inline bool text_matches(const Buffer *text, const json_t *golden) {
    if (!json_is_string(golden)) return same_hash(text->data, text->size, json_object_get(golden, "xxh64"));
    return text->size == json_string_length(golden) &&
           (text->size == 0 || memcmp(text->data, json_string_value(golden), text->size) == 0);
}
