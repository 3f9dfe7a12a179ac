/* vocabulary.h - strings with ids, found by string in one hashed look and by id in none.
 *
 * Ids may have holes; an id has one string at most. Two equal strings with different ids are allowed: the first is
 * found. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *text; // NULL: the id is not used; ends with a 0 behind `bytes` bytes
    uint32_t bytes;
} VocabularyEntry;

typedef struct {
    VocabularyEntry *entry; // (ids)
    size_t ids, strings;
    struct VocabularySlot {
        uint32_t tag; // upper bits of the hash
        int32_t id;   // -1: free
    } * slot;
    size_t slots; // a power of 2, more than half of them free
    char *pool, *pool_end;
    size_t longest; // bytes of the longest string
} Vocabulary;

/* Room for ids 0 .. ids - 1, `strings` strings and `bytes` bytes of them together; false when memory is exhausted. */
bool vocabulary_create(Vocabulary *v, size_t ids, size_t strings, size_t bytes);
void vocabulary_free(Vocabulary *v);
/* Within the room that was asked for; the id must not be in use. */
void vocabulary_add(Vocabulary *v, int32_t id, const char *text, size_t bytes);
/* The id, -1 where the string is not there. */
int32_t vocabulary_find(const Vocabulary *v, const char *text, size_t bytes);
