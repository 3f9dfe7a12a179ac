/* token_trie.h - many strings sought in a text at once: at each place the longest.
 *
 * Edges (node, byte) -> node lie in one hash table. A search looks at places that some string begins with, and walks
 * down from there: its time is the text's length times the depth it gets into the trie, whatever the number of strings.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_TRIE_BYTES_MAX = 1 << 23 };

typedef struct {
    uint64_t *edge;  // (slots) node << 40 | byte << 32 | child; 0: free
    size_t slots;    // a power of 2
    uint32_t *value; // (nodes) of the string that ends there, + 1; 0: none does. Node 0 is the root
    uint32_t nodes;
    bool first[256]; // bytes that strings begin with
    int only_first;  // the one byte that all begin with; -1 where they differ
} TokenTrie;

/* Room for strings of `bytes` bytes together; false when memory is exhausted or bytes > TOKEN_TRIE_BYTES_MAX. */
bool token_trie_create(TokenTrie *trie, size_t bytes);
void token_trie_free(TokenTrie *trie);
/* An empty string is never found; of equal strings the first is. value < 2^32 - 1. */
void token_trie_add(TokenTrie *trie, const char *text, size_t bytes, uint32_t value);

/* The first place from `from` on where a string matches, and the longest one there; false where there is none. */
bool token_trie_find(const TokenTrie *trie, const char *text, size_t n, size_t from, size_t *begin, size_t *end,
                     uint32_t *value);
