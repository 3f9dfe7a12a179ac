#include "formats/hf_tokenizer.h"

#include "base/file.h"
#include "formats/spm_model.h"
#include "formats/tokenizer_document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(const char *path, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory for its tokenizer", path);
}

static bool is_spm(const char *path) {
    size_t n = strlen(path);
    return n >= 6 && strcmp(path + n - 6, ".model") == 0;
}

/* Reads DIRECTORY/NAME as a JSON object where it is there; *document is NULL where it is not. */
static int read_beside(const char *directory, const char *name, json_t **document, Error *error) {
    char *path = file_join(directory, name);
    int result = path == NULL ? no_memory(directory, error) : 0;
    *document = NULL;
    if (result == 0 && file_exists(path)) {
        *document = json_parse_file(path, error);
        result = *document == NULL           ? -1
                 : json_is_object(*document) ? 0
                                             : error_set(error, ERROR_INPUT, "%s: is %s where an object was expected",
                                                         path, json_type_name(json_typeof(*document)));
    }
    free(path);
    if (result != 0) json_decref(*document), *document = NULL;
    return result;
}

/* Puts a token into added_tokens, in the place of the one that has its id. */
static int put_added(json_t *added, json_t *token, const char *path, Error *error) {
    size_t i;
    json_t *other;
    json_int_t id = json_integer_value(json_object_get(token, "id"));
    json_array_foreach(added, i, other) if (json_integer_value(json_object_get(other, "id")) == id) {
        return json_array_set_new(added, i, token) == 0 ? 0 : no_memory(path, error);
    }
    return json_array_append_new(added, token) == 0 ? 0 : no_memory(path, error);
}

/* {"32000": {"content": ..., "special": ...}} */
static int put_decoder(json_t *added, const json_t *decoder, const char *path, Error *error) {
    const char *key;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)decoder, key, entry) {
        char *end;
        errno = 0;
        long long id = strtoll(key, &end, 10);
        if (errno != 0 || end == key || *end != 0 || id < 0 || !json_is_object(entry))
            return error_set(error, ERROR_INPUT,
                             "%s: added_tokens_decoder: \"%.40s\" must be an id with a token's object", path, key);
        json_t *token = json_copy(entry);
        if (token == NULL || json_object_set_new(token, "id", json_integer(id)) != 0) {
            json_decref(token);
            return no_memory(path, error);
        }
        if (put_added(added, token, path, error) != 0) return -1;
    }
    return 0;
}

static bool has_id(const json_t *added, json_int_t id) {
    size_t i;
    json_t *token;
    json_array_foreach(added, i, token) if (json_integer_value(json_object_get(token, "id")) == id) return true;
    return false;
}

/* {"<|im_end|>": 32000}: as special tokens, which is what such files hold. */
static int put_ids(json_t *added, const json_t *ids, const char *path, Error *error) {
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)(uintptr_t)ids, text, id) {
        if (!json_is_integer(id))
            return error_set(error, ERROR_INPUT, "%s: added_tokens.json: the id of \"%.40s\" is not a whole number",
                             path, text);
        if (has_id(added, json_integer_value(id))) continue;
        const DocumentToken token = {text, strlen(text), json_integer_value(id), true, false};
        json_t *entry = tokenizer_document_added(&token);
        if (entry == NULL || put_added(added, entry, path, error) != 0) return no_memory(path, error);
    }
    return 0;
}

static const char *token_text(const json_t *config, const char *key) {
    const json_t *value = json_object_get(config, key);
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

/* The id of a special token as the document has it, -1 where it has none. */
static int64_t id_of(const json_t *document, const char *text) {
    const json_t *known = json_object_get(json_object_get(json_object_get(document, "model"), "vocab"), text);
    size_t i;
    json_t *token;
    if (known != NULL) return json_integer_value(known);
    json_array_foreach(json_object_get(document, "added_tokens"), i, token) {
        const char *content = json_string_value(json_object_get(token, "content"));
        if (content != NULL && strcmp(content, text) == 0) return json_integer_value(json_object_get(token, "id"));
    }
    return -1;
}

/* [HT-1] What tokenizer_config.json says of the ends and of the leading space. */
static int apply_config(json_t *document, const json_t *config, const char *path, Error *error) {
    static const char *const adds[] = {"add_bos_token", "add_eos_token"}, *const names[] = {"bos_token", "eos_token"};
    DocumentEnd end[2] = {{NULL, -1}, {NULL, -1}};
    int legacy = 1, prefix = 1;
    for (int i = 0; i < 2; i++) {
        int add = i == 0;
        const char *text = token_text(config, names[i]);
        if (json_get_bool(config, adds[i], &add, path, error) != 0) return -1;
        if (!add || text == NULL || id_of(document, text) < 0) continue;
        end[i] = (DocumentEnd){text, id_of(document, text)};
    }
    json_t *post = tokenizer_document_post_processor(&end[0], &end[1]);
    if (json_object_set_new(document, "post_processor", post) != 0) return no_memory(path, error);
    if (json_get_bool(config, "legacy", &legacy, path, error) != 0 ||
        json_get_bool(config, "add_prefix_space", &prefix, path, error) != 0)
        return -1;
    if (legacy && prefix) return 0;
    json_t *normalizer = legacy ? tokenizer_document_spm_normalizer(false, false) : json_null();
    json_t *pre = legacy ? json_null()
                         : json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", "\u2581",
                                     "prepend_scheme", prefix ? "first" : "never", "split", 0);
    int failed = json_object_set_new(document, "normalizer", normalizer) |
                 json_object_set_new(document, "pre_tokenizer", pre) |
                 json_object_set_new(document, "decoder", tokenizer_document_spm_decoder(prefix));
    return failed ? no_memory(path, error) : 0;
}

static int read_spm(const char *path, json_t **tokenizer, json_t **config, Error *error) {
    FileMap map;
    if (file_map(&map, path, error) != 0) return -1;
    int result = spm_model_json(map.data, map.size, path, tokenizer, config, error);
    file_unmap(&map);
    return result;
}

/* tokenizer.model with what stands beside it. *config comes in as tokenizer_config.json or NULL. */
static int read_spm_directory(const char *directory, const char *path, json_t **tokenizer, json_t **config,
                              Error *error) {
    json_t *ids = NULL, *given = *config, *named = NULL;
    *config = NULL;
    int result = read_spm(path, tokenizer, &named, error);
    if (result == 0) result = read_beside(directory, "added_tokens.json", &ids, error);
    if (result == 0 && given != NULL && json_object_update(named, given) != 0) result = no_memory(path, error);
    if (result == 0) {
        json_t *added = json_object_get(*tokenizer, "added_tokens");
        result = put_decoder(added, json_object_get(named, "added_tokens_decoder"), path, error);
        if (result == 0) result = put_ids(added, ids, path, error);
    }
    if (result == 0) result = apply_config(*tokenizer, named, path, error);
    json_decref(ids);
    json_decref(given);
    if (result == 0)
        *config = named;
    else
        json_decref(named);
    return result;
}

/* *path: DIRECTORY/tokenizer.json or tokenizer.model, whichever is there, or NULL; -1 when memory is exhausted. */
static int find(const char *directory, char **path) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    for (size_t i = 0; i < 2; i++) {
        *path = file_join(directory, names[i]);
        if (*path == NULL) return -1;
        if (file_exists(*path)) return 0;
        free(*path);
    }
    *path = NULL;
    return 0;
}

bool hf_tokenizer_is_there(const char *directory) {
    char *path;
    bool there = find(directory, &path) != 0 || path != NULL; // without memory, reading it says so
    free(path);
    return there;
}

int hf_tokenizer_read(const char *path, json_t **tokenizer, json_t **config, char **name, Error *error) {
    bool directory = file_is_directory(path);
    *tokenizer = *config = NULL;
    *name = NULL;
    int result = directory ? find(path, name) : (*name = strdup(path)) == NULL ? -1 : 0;
    if (result != 0) return no_memory(path, error);
    if (*name == NULL)
        return error_set(error, ERROR_IO,
                         "%s: has no tokenizer.json and no tokenizer.model; give a Hugging Face checkpoint directory",
                         path);
    if (directory) result = read_beside(path, "tokenizer_config.json", config, error);
    if (result == 0 && !is_spm(*name))
        result = (*tokenizer = json_parse_file(*name, error)) == NULL ? -1 : 0;
    else if (result == 0)
        result = directory ? read_spm_directory(path, *name, tokenizer, config, error)
                           : read_spm(*name, tokenizer, config, error);
    if (result == 0) return 0;
    json_decref(*tokenizer);
    json_decref(*config);
    free(*name);
    *tokenizer = *config = NULL;
    *name = NULL;
    return -1;
}
