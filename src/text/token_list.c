#include "text/token_list.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

bool token_list_reserve(TokenList *list, size_t more) {
    size_t need = 0, bytes;
    if (size_add(list->count, more, &need) && need <= list->capacity) return true;
    size_t capacity = need > 64 ? need : 64;
    if (capacity / 2 < list->capacity) capacity = list->capacity * 2;
    int32_t *grown = size_add(list->count, more, &need) && size_multiply(capacity, sizeof *grown, &bytes)
                         ? realloc(list->data, bytes)
                         : NULL;
    if (grown == NULL) {
        list->failed = true;
        return false;
    }
    list->data = grown;
    list->capacity = capacity;
    return true;
}

void token_list_append(TokenList *list, const int32_t *ids, size_t count) {
    if (count == 0 || !token_list_reserve(list, count)) return;
    memcpy(list->data + list->count, ids, count * sizeof *ids);
    list->count += count;
}

int token_list_check(const TokenList *list, size_t vocabulary, Error *error) {
    for (size_t i = 0; i < list->count; i++)
        if (list->data[i] < 0 || (size_t)list->data[i] >= vocabulary)
            return error_set(error, ERROR_INPUT,
                             "token %d is outside the model's vocabulary of %zu: the ids or the tokenizer are of "
                             "another model",
                             (int)list->data[i], vocabulary);
    return 0;
}

void token_list_clear(TokenList *list) {
    list->count = 0;
    list->failed = false;
}

void token_list_free(TokenList *list) {
    free(list->data);
    *list = (TokenList){0};
}
