/* json.h - jansson with errors that name the file and the place. Ownership as jansson says it: "new" or "borrowed". */
#pragma once
#include "base/error.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Parses text (a new reference). `name` and `first_line` (1: start of a file) place a syntax error: "name:line:column".
 * A file with a whole number beyond 64 bits (transformers' model_max_length is 10^30) has all its numbers as reals.
 * Duplicate keys, depth over jansson's limit, invalid UTF-8 and trailing text are ERROR_INPUT. */
json_t *json_parse(const char *text, size_t bytes, const char *name, size_t first_line, Error *error);
/* Parses a whole file (a new reference). */
json_t *json_parse_file(const char *path, Error *error);

/* Borrowed member of `object` or an ERROR_INPUT that names file, key, the type found and the type expected. */
json_t *json_need(const json_t *object, const char *key, json_type type, const char *name, Error *error);
/* A whole number within [low, high]; *value is left alone (the default) where the key is absent or null. */
int json_get_integer(const json_t *object, const char *key, int64_t low, int64_t high, int64_t *value, const char *name,
                     Error *error);
/* A number; integer or real; finite. */
int json_get_number(const json_t *object, const char *key, double *value, const char *name, Error *error);
/* A number > 0 and >= low. */
int json_get_positive(const json_t *object, const char *key, double low, double *value, const char *name, Error *error);
/* true or false. */
int json_get_bool(const json_t *object, const char *key, int *value, const char *name, Error *error);
const char *json_type_name(json_type type);
