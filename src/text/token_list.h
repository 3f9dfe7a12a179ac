/* token_list.h - token ids that grow. One owner; token_list_free ends it. Zero-initialised is empty.
 * A failed growth sets `failed` and leaves the content as it was, so that a run of appends is checked once at its end.
 */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int32_t *data; // NULL while empty
    size_t count, capacity;
    bool failed;
} TokenList;

/* Room for `more` further ids behind data[count]; false (and `failed`) when memory is exhausted. */
bool token_list_reserve(TokenList *list, size_t more);
void token_list_append(TokenList *list, const int32_t *ids, size_t count);
/* ERROR_INPUT that names the first id outside of a vocabulary of so many. */
int token_list_check(const TokenList *list, size_t vocabulary, Error *error);
void token_list_clear(TokenList *list); // keeps the memory
void token_list_free(TokenList *list);

static inline void token_list_push(TokenList *list, int32_t id) {
    if (list->count < list->capacity || token_list_reserve(list, 1)) list->data[list->count++] = id;
}
