/* vocabulary.h - strings with ids, found by string in one hashed look and by id in none.
 *
 * A slot holds the first 8 bytes of its string: most strings are not longer, and finding them touches one cache line.
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
        uint64_t head;  // the first 8 bytes, zeros behind shorter strings
        uint32_t bytes; // of the string
        int32_t id;     // -1: free
    } * slot;
    unsigned shift; // 64 - log2 of the number of slots; at least half of them are free
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
