#include "formats/hf_directory.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const char *const side_files[] = {"generation_config.json",
                                         "tokenizer.json",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "added_tokens.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "tokenizer.model",
                                         "chat_template.jinja",
                                         "chat_template.json",
                                         "LICENSE"};
enum { SIDE_FILES = sizeof side_files / sizeof *side_files };

static int no_memory(const char *directory, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory for a file name", directory);
}

static int read_text(const char *path, char **text, Error *error) {
    FileMap map;
    if (file_map(&map, path, error) != 0) return -1;
    *text = malloc(map.size + 1);
    if (*text != NULL) {
        if (map.size > 0) memcpy(*text, map.data, map.size);
        (*text)[map.size] = 0;
    }
    file_unmap(&map);
    return *text == NULL ? no_memory(path, error) : 0;
}

/* Behind the string that begins at text[i]; the text is valid JSON. */
static size_t skip_string(const char *text, size_t i) {
    for (i++; text[i] != '"'; i++)
        if (text[i] == '\\') i++;
    return i + 1;
}

static size_t skip_space(const char *text, size_t i) { return i + strspn(text + i, " \t\r\n"); }

static bool is_dtype(const char *key, size_t bytes) {
    return (bytes == 7 && memcmp(key, "\"dtype\"", 7) == 0) || (bytes == 13 && memcmp(key, "\"torch_dtype\"", 13) == 0);
}

/* [HD-1] Appends the text, with another string as value of dtype and torch_dtype of the outermost object. The text is
 * terminated and valid JSON, and those values are strings or null. */
static void append_with_dtype(Buffer *out, const char *text, size_t bytes, DType type) {
    size_t depth = 0, copied = 0;
    for (size_t i = 0; i < bytes;) {
        char c = text[i];
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        size_t end = c == '"' ? skip_string(text, i) : i + 1, colon = skip_space(text, end);
        bool found = c == '"' && depth == 1 && text[colon] == ':' && is_dtype(text + i, end - i);
        i = end;
        if (!found) continue;
        size_t value = skip_space(text, colon + 1);
        buffer_append(out, text + copied, value - copied);
        buffer_format(out, "\"%s\"", dtype_name(type));
        i = copied = text[value] == '"' ? skip_string(text, value) : value + strlen("null");
    }
    buffer_append(out, text + copied, bytes - copied);
}

static bool is_text_or_nothing(const json_t *value) {
    return value == NULL || json_is_null(value) || json_is_string(value);
}

static int check_config(const char *text, size_t bytes, const char *path, Error *error) {
    json_t *config = json_parse(text, bytes, path, 1, error);
    if (config == NULL) return -1;
    bool good = json_is_object(config) && is_text_or_nothing(json_object_get(config, "dtype")) &&
                is_text_or_nothing(json_object_get(config, "torch_dtype"));
    json_decref(config);
    return good ? 0
                : error_set(error, ERROR_INPUT, "%s: must be an object, and its dtype or torch_dtype a string", path);
}

static int copy_config(const char *from, const char *to, DType type, Error *error) {
    char *text;
    Buffer out = {0};
    if (read_text(from, &text, error) != 0) return -1;
    int result = check_config(text, strlen(text), from, error);
    if (result == 0) append_with_dtype(&out, text, strlen(text), type);
    if (result == 0) result = out.failed ? no_memory(from, error) : file_write(to, out.data, out.size, error);
    buffer_free(&out);
    free(text);
    return result;
}

static int copy_one(const char *from, const char *to, const char *name, const DType *type, Error *error) {
    char *source = file_join(from, name), *target = file_join(to, name);
    int result = 0;
    if (source == NULL || target == NULL)
        result = no_memory(from, error);
    else if (type != NULL)
        result = copy_config(source, target, *type, error);
    else if (file_exists(source))
        result = file_copy(source, target, error);
    free(source);
    free(target);
    return result;
}

int hf_directory_copy(const char *from, const char *to, DType type, Error *error) {
    if (copy_one(from, to, "config.json", &type, error) != 0) return -1;
    for (int i = 0; i < SIDE_FILES; i++)
        if (copy_one(from, to, side_files[i], NULL, error) != 0) return -1;
    return 0;
}

/* The template in tokenizer_config.json: a string, or [{"name", "template"}]. */
static int template_of_config(const char *path, char **text, Error *error) {
    json_t *config = json_parse_file(path, error), *entry;
    if (config == NULL) return -1;
    const json_t *found = json_object_get(config, "chat_template"), *chosen = json_is_array(found) ? NULL : found;
    size_t i;
    json_array_foreach(found, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name != NULL && strcmp(name, "default") == 0) chosen = json_object_get(entry, "template");
    }
    int result = 0;
    if (found != NULL && !json_is_null(found) && !json_is_string(chosen))
        result = error_set(error, ERROR_INPUT,
                           "%s: \"chat_template\" is %s where a string, or a list of named templates with one named "
                           "\"default\", was expected",
                           path, json_type_name(json_typeof(found)));
    else if (json_is_string(chosen) && (*text = strdup(json_string_value(chosen))) == NULL)
        result = no_memory(path, error);
    json_decref(config);
    return result;
}

int hf_directory_chat_template(const char *directory, char **text, Error *error) {
    char *jinja = file_join(directory, "chat_template.jinja"), *config = file_join(directory, "tokenizer_config.json");
    int result = 0;
    *text = NULL;
    if (jinja == NULL || config == NULL)
        result = no_memory(directory, error);
    else if (file_exists(jinja))
        result = read_text(jinja, text, error);
    else if (file_exists(config))
        result = template_of_config(config, text, error);
    free(jinja);
    free(config);
    return result;
}

static int counts(const char *name) {
    size_t length = strlen(name);
    if (strcmp(name, "config.json") == 0 || strcmp(name, "adapter_config.json") == 0 ||
        (length > 12 && strcmp(name + length - 12, ".safetensors") == 0))
        return 1;
    for (int i = 0; i < SIDE_FILES; i++)
        if (strcmp(name, side_files[i]) == 0) return 1;
    return 0;
}

static int is_counted(const struct dirent *entry) { return counts(entry->d_name); }

int hf_directory_hash(const char *directory, Hash *hash, Error *error) {
    struct dirent **entry;
    int n = scandir(directory, &entry, is_counted, alphasort), result = 0;
    if (n < 0) return error_errno(error, directory, "list");
    Hasher *hasher = hasher_create();
    if (hasher == NULL) result = no_memory(directory, error);
    for (int i = 0; i < n; i++) {
        char *path = file_join(directory, entry[i]->d_name);
        Hash one;
        if (result == 0) result = path == NULL ? no_memory(directory, error) : hash_file(path, &one, error);
        if (result == 0) {
            hasher_add(hasher, entry[i]->d_name, strlen(entry[i]->d_name) + 1);
            hasher_add(hasher, one.hex, sizeof one.hex);
        }
        free(path);
        free(entry[i]);
    }
    free(entry);
    if (result == 0 && n == 0)
        result =
            error_set(error, ERROR_INPUT,
                      "%s: has no config.json and no weights; give a Hugging Face checkpoint directory", directory);
    if (result == 0) *hash = hasher_result(hasher);
    hasher_destroy(hasher);
    return result;
}
