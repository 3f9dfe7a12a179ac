#include "text/vocabulary.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

bool vocabulary_create(Vocabulary *v, size_t ids, size_t strings, size_t bytes) {
    *v = (Vocabulary){.ids = ids};
    size_t pool, total;
    if (!size_add(bytes, strings, &pool) || !size_multiply(strings, 4 * sizeof *v->slot, &total)) return false;
    for (v->slots = 64; v->slots < 2 * strings; v->slots *= 2) {}
    v->entry = calloc(ids + 1, sizeof *v->entry);
    v->slot = malloc(v->slots * sizeof *v->slot);
    v->pool = v->pool_end = malloc(pool + 1);
    if (v->entry == NULL || v->slot == NULL || v->pool == NULL) {
        vocabulary_free(v);
        return false;
    }
    for (size_t i = 0; i < v->slots; i++) v->slot[i].id = -1;
    return true;
}

void vocabulary_free(Vocabulary *v) {
    free(v->entry);
    free(v->slot);
    free(v->pool);
    *v = (Vocabulary){0};
}

/* The slot that holds the string, or the free one where it would be. */
static size_t slot_of(const Vocabulary *v, const char *text, size_t bytes, uint32_t *tag) {
    uint64_t hash = XXH3_64bits(text, bytes);
    *tag = (uint32_t)(hash >> 32);
    for (size_t slot = (size_t)hash & (v->slots - 1);; slot = (slot + 1) & (v->slots - 1)) {
        const struct VocabularySlot *s = &v->slot[slot];
        if (s->id < 0) return slot;
        const VocabularyEntry *e = &v->entry[s->id];
        if (s->tag == *tag && e->bytes == bytes && memcmp(e->text, text, bytes) == 0) return slot;
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
    uint32_t tag;
    size_t slot = slot_of(v, own, bytes, &tag);
    if (v->slot[slot].id < 0) v->slot[slot] = (struct VocabularySlot){tag, id};
}

int32_t vocabulary_find(const Vocabulary *v, const char *text, size_t bytes) {
    uint32_t tag;
    return bytes > v->longest ? -1 : v->slot[slot_of(v, text, bytes, &tag)].id;
}
