#include "text/vocabulary.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

bool vocabulary_create(Vocabulary *v, size_t ids, size_t strings, size_t bytes) {
    *v = (Vocabulary){.ids = ids};
    size_t pool, slot_bytes;
    unsigned log2 = 6;
    if (strings > UINT32_MAX) return false;
    while ((size_t)1 << log2 < 2 * strings) log2++;
    if (!size_add(bytes, strings, &pool) || !size_multiply((size_t)1 << log2, sizeof *v->slot, &slot_bytes))
        return false;
    v->shift = 64 - log2;
    v->entry = calloc(ids + 1, sizeof *v->entry);
    v->slot = malloc(slot_bytes);
    v->pool = v->pool_end = malloc(pool + 1);
    if (v->entry == NULL || v->slot == NULL || v->pool == NULL) {
        vocabulary_free(v);
        return false;
    }
    for (size_t i = 0; i < (size_t)1 << log2; i++) v->slot[i].id = -1;
    return true;
}

void vocabulary_free(Vocabulary *v) {
    free(v->entry);
    free(v->slot);
    free(v->pool);
    *v = (Vocabulary){0};
}

/* Reads that overlap instead of a loop: the length of a word cannot be foreseen. */
static inline uint64_t head_of(const char *text, size_t bytes) {
    uint64_t head = 0;
    uint32_t first, last;
    if (bytes >= 8)
        memcpy(&head, text, 8);
    else if (bytes >= 4) {
        memcpy(&first, text, 4);
        memcpy(&last, text + bytes - 4, 4);
        head = first | (uint64_t)last << 8 * (bytes - 4);
    } else if (bytes > 0) {
        const unsigned char *b = (const unsigned char *)text;
        head = b[0] | (uint64_t)b[bytes / 2] << 8 * (bytes / 2) | (uint64_t)b[bytes - 1] << 8 * (bytes - 1);
    }
    return head;
}

/* The slot that holds the string, or the free one where it would be. */
static inline struct VocabularySlot *slot_of(const Vocabulary *v, const char *text, size_t bytes, uint64_t head) {
    uint64_t hash = (bytes > 8 ? XXH3_64bits(text, bytes) : head ^ (head >> 32)) + bytes;
    size_t mask = SIZE_MAX >> v->shift, slot = (size_t)(hash * 0x9e3779b97f4a7c15u >> v->shift);
    for (;; slot = (slot + 1) & mask) {
        struct VocabularySlot *s = &v->slot[slot];
        if (s->id < 0) return s;
        if (s->head == head && s->bytes == bytes && (bytes <= 8 || memcmp(v->entry[s->id].text, text, bytes) == 0))
            return s;
    }
}

void vocabulary_add(Vocabulary *v, int32_t id, const char *text, size_t bytes) {
    char *own = v->pool_end;
    memcpy(own, text, bytes);
    own[bytes] = 0;
    v->pool_end += bytes + 1;
    v->strings++;
    v->entry[id] = (VocabularyEntry){own, (uint32_t)bytes};
    if (bytes > v->longest) v->longest = bytes;
    uint64_t head = head_of(own, bytes);
    struct VocabularySlot *slot = slot_of(v, own, bytes, head);
    if (slot->id < 0) *slot = (struct VocabularySlot){head, (uint32_t)bytes, id};
}

int32_t vocabulary_find(const Vocabulary *v, const char *text, size_t bytes) {
    return bytes > v->longest ? -1 : slot_of(v, text, bytes, head_of(text, bytes))->id;
}
