#include "base/json.h"
#include "base/file.h"

#include <inttypes.h>
#include <math.h>

json_t *json_parse(const char *text, size_t bytes, const char *name, size_t first_line, Error *error) {
    json_error_t e;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *value = json_loadb(text, bytes, flags, &e);
    if (value == NULL && json_error_code(&e) == json_error_numeric_overflow)
        value = json_loadb(text, bytes, flags | JSON_DECODE_INT_AS_REAL, &e);
    if (value == NULL)
        error_set(error, ERROR_INPUT, "%s:%zu:%d: not valid JSON: %s", name,
                  first_line - 1 + (size_t)(e.line > 0 ? e.line : 1), e.column > 0 ? e.column : 1, e.text);
    return value;
}

json_t *json_parse_file(const char *path, Error *error) {
    FileMap map;
    if (file_map(&map, path, error) != 0) return NULL;
    json_t *value = json_parse(map.data == NULL ? "" : (const char *)map.data, map.size, path, 1, error);
    file_unmap(&map);
    return value;
}

const char *json_type_name(json_type type) {
    static const char *const names[] = {"an object", "an array", "a string", "a whole number",
                                        "a number",  "true",     "false",    "null"};
    return names[type];
}

json_t *json_need(const json_t *object, const char *key, json_type type, const char *name, Error *error) {
    json_t *value = json_object_get(object, key);
    if (value == NULL) {
        error_set(error, ERROR_INPUT, "%s: the key \"%s\" is missing (%s was expected)", name, key,
                  json_type_name(type));
        return NULL;
    }
    if (json_typeof(value) != type) {
        error_set(error, ERROR_INPUT, "%s: \"%s\" is %s where %s was expected", name, key,
                  json_type_name(json_typeof(value)), json_type_name(type));
        return NULL;
    }
    return value;
}

int json_get_integer(const json_t *object, const char *key, int64_t low, int64_t high, int64_t *value, const char *name,
                     Error *error) {
    const json_t *v = json_object_get(object, key);
    if (v == NULL || json_is_null(v)) return 0;
    double real = json_number_value(v);
    if (!json_is_number(v) || (json_is_real(v) && (real != floor(real) || fabs(real) > 9e15)))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %s where a whole number was expected", name, key,
                         json_type_name(json_typeof(v)));
    int64_t found = json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)real;
    if (found < low || found > high)
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %" PRId64 ", outside %" PRId64 " .. %" PRId64, name, key,
                         found, low, high);
    *value = found;
    return 0;
}

int json_get_number(const json_t *object, const char *key, double *value, const char *name, Error *error) {
    const json_t *v = json_object_get(object, key);
    if (v == NULL || json_is_null(v)) return 0;
    if (!json_is_number(v) || !isfinite(json_number_value(v)))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %s where a number was expected", name, key,
                         json_type_name(json_typeof(v)));
    *value = json_number_value(v);
    return 0;
}

int json_get_positive(const json_t *object, const char *key, double low, double *value, const char *name,
                      Error *error) {
    if (json_get_number(object, key, value, name, error) != 0) return -1;
    if (*value > 0 && *value >= low) return 0;
    return error_set(error, ERROR_INPUT, "%s: \"%s\" is %g where a number %s %g was expected", name, key, *value,
                     low > 0 ? ">=" : ">", low);
}

int json_get_bool(const json_t *object, const char *key, int *value, const char *name, Error *error) {
    const json_t *v = json_object_get(object, key);
    if (v == NULL || json_is_null(v)) return 0;
    if (!json_is_boolean(v))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %s where true or false was expected", name, key,
                         json_type_name(json_typeof(v)));
    *value = json_is_true(v);
    return 0;
}
