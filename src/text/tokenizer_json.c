#include "text/tokenizer_json.h"

#include <string.h>

enum { DEPTH_MAX = 8 };

static int parts(const json_t *json, size_t depth, const char *what, const char *list, PartReader read, void *context,
                 const char *name, Error *error) {
    if (json == NULL || json_is_null(json)) return 0;
    const char *type = json_string_value(json_object_get(json, "type"));
    if (type == NULL)
        return error_set(error, ERROR_INPUT, "%s: %s must be an object with a \"type\", or null", name, what);
    if (strcmp(type, "Sequence") != 0) return read(context, type, json, name, error);
    if (depth == DEPTH_MAX)
        return error_set(error, ERROR_INPUT, "%s: %s is nested deeper than %d", name, what, DEPTH_MAX);
    const json_t *array = json_need(json, list, JSON_ARRAY, name, error);
    for (size_t i = 0; i < json_array_size(array); i++)
        if (parts(json_array_get(array, i), depth + 1, what, list, read, context, name, error) != 0) return -1;
    return array == NULL ? -1 : 0;
}

int tokenizer_json_parts(const json_t *json, const char *what, const char *list, PartReader read, void *context,
                         const char *name, Error *error) {
    return parts(json, 0, what, list, read, context, name, error);
}

int tokenizer_json_pattern(SplitPattern **pattern, const json_t *json, const char *name, Error *error) {
    const json_t *object = json_object_get(json, "pattern"), *text = json_object_get(object, "String"),
                 *regex = json_object_get(object, "Regex");
    if (json_is_string(text))
        return split_pattern_literal(pattern, json_string_value(text), json_string_length(text), error);
    if (json_is_string(regex))
        return split_pattern_regex(pattern, json_string_value(regex), json_string_length(regex), name, error);
    return error_set(error, ERROR_INPUT, "%s: \"pattern\" must be {\"String\": text} or {\"Regex\": pattern}", name);
}
