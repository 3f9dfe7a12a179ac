/* tokenizer_json.h - what the parts of tokenizer.json have in common: {"type": ...}, Sequence, and patterns. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include "text/split_pattern.h"

/* Reads one part that is not a Sequence. */
typedef int (*PartReader)(void *context, const char *type, const json_t *part, const char *name, Error *error);

/* Calls `read` for json, or for each part of a Sequence (whose list is the member `list`), nested ones included, in
 * order. NULL and null are no parts. `what` ("normalizer") stands in messages. */
int tokenizer_json_parts(const json_t *json, const char *what, const char *list, PartReader read, void *context,
                         const char *name, Error *error);

/* The pattern of the member "pattern": {"String": text} or {"Regex": pattern}. */
int tokenizer_json_pattern(SplitPattern **pattern, const json_t *json, const char *name, Error *error);
