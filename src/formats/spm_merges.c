#include "formats/spm_merges.h"

#include <stdbool.h>
#include <stdlib.h>

/* token = left + right */
typedef struct {
    SpmPiece token;
    size_t left_bytes, left_chars, right_chars;
    json_int_t id, left_id, right_id;
} Split;

typedef struct {
    Split *split;
    size_t count, capacity;
} Splits;

static bool starts_character(char c) { return ((unsigned char)c & 0xc0) != 0x80; }

static size_t characters(const char *text, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) n += starts_character(text[i]);
    return n;
}

static int by_rank(const void *a, const void *b) {
    const Split *x = a, *y = b;
    if (x->token.score != y->token.score) return x->token.score > y->token.score ? -1 : 1;
    if (x->left_chars != y->left_chars) return x->left_chars > y->left_chars ? -1 : 1;
    if (x->right_chars != y->right_chars) return x->right_chars > y->right_chars ? -1 : 1;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    if (x->left_id != y->left_id) return x->left_id < y->left_id ? -1 : 1;
    return x->right_id < y->right_id ? -1 : x->right_id > y->right_id;
}

static int append(Splits *s, Split split) {
    if (s->count == s->capacity) {
        size_t capacity = s->capacity == 0 ? 4096 : 2 * s->capacity;
        Split *grown = realloc(s->split, capacity * sizeof *grown);
        if (grown == NULL) return -1;
        s->split = grown;
        s->capacity = capacity;
    }
    s->split[s->count++] = split;
    return 0;
}

/* Every way to split one token. */
static int append_splits(Splits *s, const json_t *vocab, SpmPiece token, json_int_t id) {
    size_t chars = characters(token.text, token.bytes);
    for (size_t left = 1, left_chars = 1; left < token.bytes; left++) {
        if (!starts_character(token.text[left])) continue;
        const json_t *l = json_object_getn(vocab, token.text, left),
                     *r = json_object_getn(vocab, token.text + left, token.bytes - left);
        if (l != NULL && r != NULL &&
            append(s, (Split){token, left, left_chars, chars - left_chars, id, json_integer_value(l),
                              json_integer_value(r)}) != 0)
            return -1;
        left_chars++;
    }
    return 0;
}

int spm_merges(const SpmPiece *piece, size_t count, const json_t *vocab, json_t *merges, const char *name,
               Error *error) {
    Splits s = {0};
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) result = append_splits(&s, vocab, piece[i], (json_int_t)i);
    if (s.count > 0) qsort(s.split, s.count, sizeof *s.split, by_rank);
    for (size_t i = 0; i < s.count && result == 0; i++) {
        const Split *p = &s.split[i];
        json_t *pair = json_pack("[s%, s%]", p->token.text, p->left_bytes, p->token.text + p->left_bytes,
                                 p->token.bytes - p->left_bytes);
        result = pair == NULL || json_array_append_new(merges, pair) != 0 ? -1 : 0;
    }
    free(s.split);
    return result == 0 ? 0 : error_set(error, ERROR_MEMORY, "%s: no memory for the merges of its tokenizer", name);
}
