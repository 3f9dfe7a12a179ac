#include "text/token_trie.h"

#include <stdlib.h>
#include <string.h>

bool token_trie_create(TokenTrie *trie, size_t bytes) {
    *trie = (TokenTrie){.nodes = 1, .only_first = -1};
    if (bytes > TOKEN_TRIE_BYTES_MAX) return false;
    for (trie->slots = 16; trie->slots < 2 * bytes; trie->slots *= 2) {}
    trie->edge = calloc(trie->slots, sizeof *trie->edge);
    trie->value = calloc(bytes + 1, sizeof *trie->value);
    if (trie->edge != NULL && trie->value != NULL) return true;
    token_trie_free(trie);
    return false;
}

void token_trie_free(TokenTrie *trie) {
    free(trie->edge);
    free(trie->value);
    *trie = (TokenTrie){0};
}

/* The slot of the edge, or the free one where it would be. */
static uint64_t *slot_of(const TokenTrie *trie, uint32_t node, unsigned char byte) {
    uint64_t key = (uint64_t)node << 8 | byte;
    size_t slot = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (trie->slots - 1);
    while (trie->edge[slot] != 0 && trie->edge[slot] >> 32 != key) slot = (slot + 1) & (trie->slots - 1);
    return &trie->edge[slot];
}

void token_trie_add(TokenTrie *trie, const char *text, size_t bytes, uint32_t value) {
    if (bytes == 0) return;
    uint32_t node = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint64_t *edge = slot_of(trie, node, (unsigned char)text[i]);
        if (*edge == 0) *edge = (uint64_t)node << 40 | (uint64_t)(unsigned char)text[i] << 32 | trie->nodes++;
        node = (uint32_t)*edge;
    }
    if (trie->value[node] == 0) trie->value[node] = value + 1;
    unsigned char byte = (unsigned char)text[0];
    trie->only_first = trie->nodes == bytes + 1 || trie->only_first == byte ? byte : -1;
    trie->first[byte] = true;
}

/* The first place from `from` on where a string may begin; n where there is none. */
static size_t candidate(const TokenTrie *trie, const char *text, size_t n, size_t from) {
    if (trie->nodes == 1 || from >= n) return n;
    if (trie->only_first >= 0) {
        const char *found = memchr(text + from, trie->only_first, n - from);
        return found == NULL ? n : (size_t)(found - text);
    }
    while (from < n && !trie->first[(unsigned char)text[from]]) from++;
    return from;
}

bool token_trie_find(const TokenTrie *trie, const char *text, size_t n, size_t from, size_t *begin, size_t *end,
                     uint32_t *value) {
    for (size_t at = from; (at = candidate(trie, text, n, at)) < n; at++) {
        uint32_t node = 0, best = 0;
        for (size_t i = at; i < n && (node = (uint32_t)*slot_of(trie, node, (unsigned char)text[i])) != 0; i++)
            if (trie->value[node] != 0) {
                best = trie->value[node];
                *end = i + 1;
            }
        if (best == 0) continue;
        *begin = at;
        *value = best - 1;
        return true;
    }
    return false;
}
