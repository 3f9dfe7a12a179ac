#include "text/added_tokens.h"
#include "base/size.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { ID_LIMIT = 1 << 22, TRIE_BYTES_MAX = 1 << 23 };

/* Edges (node, byte) -> node in one open-addressing table; node 0 is the root. */
typedef struct {
    uint64_t *edge;  // node << 40 | byte << 32 | child; 0: free
    size_t slots;    // a power of 2
    uint32_t *token; // of each node: index + 1; 0: no token ends here
    uint32_t nodes;
    bool first[256]; // bytes that tokens begin with
    int only_first;  // the one byte that all begin with, -1 where they differ or there are none
} Trie;

struct AddedTokens {
    AddedToken *token;
    size_t count;
    char *text;   // of all contents
    Trie trie[2]; // normalized = false, true
};

static size_t slot_of(const Trie *t, uint64_t key) {
    size_t slot = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (t->slots - 1);
    while (t->edge[slot] != 0 && t->edge[slot] >> 32 != key) slot = (slot + 1) & (t->slots - 1);
    return slot;
}

static uint32_t child_of(const Trie *t, uint32_t node, unsigned char byte) {
    uint64_t edge = t->edge[slot_of(t, (uint64_t)node << 8 | byte)];
    return (uint32_t)edge; // 0 where the slot is free
}

static void trie_add(Trie *t, const char *text, size_t bytes, size_t index) {
    uint32_t node = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint64_t key = (uint64_t)node << 8 | (unsigned char)text[i];
        size_t slot = slot_of(t, key);
        if (t->edge[slot] == 0) t->edge[slot] = key << 32 | t->nodes++;
        node = (uint32_t)t->edge[slot];
    }
    if (node != 0 && t->token[node] == 0) t->token[node] = (uint32_t)index + 1;
    if (bytes > 0) t->first[(unsigned char)text[0]] = true;
}

/* An empty trie for texts of `bytes` bytes together. */
static bool trie_create(Trie *t, size_t bytes) {
    t->nodes = 1;
    for (t->slots = 16; t->slots < 2 * bytes; t->slots *= 2) {}
    t->edge = calloc(t->slots, sizeof *t->edge);
    t->token = calloc(bytes + 1, sizeof *t->token);
    return t->edge != NULL && t->token != NULL;
}

static void trie_finish(Trie *t) {
    int kinds = 0;
    t->only_first = -1;
    for (int byte = 0; byte < 256; byte++)
        if (t->first[byte]) {
            kinds++;
            t->only_first = byte;
        }
    if (kinds != 1) t->only_first = -1;
}

/* The first place from `from` on where a token may begin; n where there is none. */
static size_t candidate(const Trie *t, const char *text, size_t n, size_t from) {
    if (t->nodes == 1) return n;
    if (t->only_first >= 0) {
        const char *found = from < n ? memchr(text + from, t->only_first, n - from) : NULL;
        return found == NULL ? n : (size_t)(found - text);
    }
    while (from < n && !t->first[(unsigned char)text[from]]) from++;
    return from;
}

static bool space_before(const char *text, size_t *at) {
    size_t start = *at;
    uint32_t code;
    if (start == 0) return false;
    do start--;
    while (start > 0 && ((unsigned char)text[start] & 0xc0) == 0x80);
    unicode_decode(text + start, *at - start, &code);
    if (!unicode_is_space(code)) return false;
    *at = start;
    return true;
}

static bool word_touches(const char *text, size_t n, size_t begin, size_t end) {
    uint32_t code;
    if (end < n) {
        unicode_decode(text + end, n - end, &code);
        if (unicode_is_word(code)) return true;
    }
    if (begin == 0) return false;
    size_t start = begin - 1;
    while (start > 0 && ((unsigned char)text[start] & 0xc0) == 0x80) start--;
    unicode_decode(text + start, begin - start, &code);
    return unicode_is_word(code);
}

const AddedToken *added_tokens_next(const AddedTokens *tokens, bool normalized, AddedSearch *s) {
    const Trie *t = &tokens->trie[normalized];
    for (size_t at = s->scanned; (at = candidate(t, s->text, s->bytes, at)) < s->bytes; at++) {
        const AddedToken *best = NULL;
        size_t end = at;
        uint32_t node = 0;
        for (size_t i = at; i < s->bytes && (node = child_of(t, node, (unsigned char)s->text[i])) != 0; i++)
            if (t->token[node] != 0) {
                best = &tokens->token[t->token[node] - 1];
                end = i + 1;
            }
        if (best == NULL) continue;
        if (best->single_word && word_touches(s->text, s->bytes, at, end)) {
            at = end - 1;
            continue;
        }
        s->scanned = end;
        s->begin = at;
        while (best->lstrip && s->begin > s->taken && space_before(s->text, &s->begin)) {}
        uint32_t code;
        for (size_t length; best->rstrip && end < s->bytes; end += length)
            if (length = unicode_decode(s->text + end, s->bytes - end, &code), !unicode_is_space(code)) break;
        if (s->begin < s->taken) s->begin = s->taken; // its beginning already belongs to the token before
        s->end = end > s->begin ? end : s->begin;
        s->taken = s->end;
        return best;
    }
    s->scanned = s->bytes;
    return NULL;
}

static int read_token(AddedToken *token, const json_t *json, const char *name, Error *error) {
    const json_t *content = json_need(json, "content", JSON_STRING, name, error);
    int64_t id = -1;
    int special = 0, lstrip = 0, rstrip = 0, single_word = 0, normalized = 1;
    if (content == NULL || json_get_integer(json, "id", 0, ID_LIMIT - 1, &id, name, error) != 0 ||
        json_get_bool(json, "special", &special, name, error) != 0 ||
        json_get_bool(json, "lstrip", &lstrip, name, error) != 0 ||
        json_get_bool(json, "rstrip", &rstrip, name, error) != 0 ||
        json_get_bool(json, "single_word", &single_word, name, error) != 0)
        return -1;
    normalized = !special;
    if (json_get_bool(json, "normalized", &normalized, name, error) != 0) return -1;
    if (id < 0)
        return error_set(error, ERROR_INPUT, "%s: the added token \"%s\" has no id", name, json_string_value(content));
    *token = (AddedToken){json_string_value(content),
                          json_string_length(content),
                          (int32_t)id,
                          special,
                          lstrip,
                          rstrip,
                          single_word,
                          normalized};
    return 0;
}

/* Fills the two tries; normalized tokens are sought as the normalizer writes them. */
static int build(AddedTokens *tokens, const Normalizer *normalizer, const char *name, Error *error) {
    Buffer form = {0}, forms = {0};
    size_t *end = calloc(tokens->count + 1, sizeof *end); // of each form within `forms`
    int result = -1;
    if (end == NULL) {
        error_set(error, ERROR_MEMORY, "%s: no memory for the added tokens", name);
        goto done;
    }
    for (size_t i = 0; i < tokens->count; i++) {
        const AddedToken *token = &tokens->token[i];
        if (token->normalized) {
            if (normalizer_apply(normalizer, token->content, token->bytes, &form, error) != 0) goto done;
            buffer_append(&forms, form.data, form.size);
        } else
            buffer_append(&forms, token->content, token->bytes);
        end[i + 1] = forms.size;
    }
    if (forms.failed || forms.size > TRIE_BYTES_MAX || !trie_create(&tokens->trie[0], forms.size) ||
        !trie_create(&tokens->trie[1], forms.size)) {
        error_set(error, ERROR_MEMORY, "%s: no memory for added tokens of %zu bytes", name, forms.size);
        goto done;
    }
    for (size_t i = 0; i < tokens->count; i++)
        trie_add(&tokens->trie[tokens->token[i].normalized], forms.data + end[i], end[i + 1] - end[i], i);
    trie_finish(&tokens->trie[0]);
    trie_finish(&tokens->trie[1]);
    result = 0;
done:
    free(end);
    buffer_free(&form);
    buffer_free(&forms);
    return result;
}

int added_tokens_from_json(AddedTokens **result, const json_t *json, const Normalizer *normalizer, const char *name,
                           Error *error) {
    *result = NULL;
    if (json != NULL && !json_is_null(json) && !json_is_array(json))
        return error_set(error, ERROR_INPUT, "%s: \"added_tokens\" is %s where an array was expected", name,
                         json_type_name(json_typeof(json)));
    AddedTokens *tokens = calloc(1, sizeof *tokens);
    size_t all = json_array_size(json), bytes = 0;
    if (tokens == NULL || (tokens->token = calloc(all + 1, sizeof *tokens->token)) == NULL) {
        added_tokens_free(tokens);
        return error_set(error, ERROR_MEMORY, "%s: no memory for %zu added tokens", name, all);
    }
    for (size_t i = 0; i < all; i++) {
        AddedToken *token = &tokens->token[tokens->count];
        if (read_token(token, json_array_get(json, i), name, error) != 0) goto failed;
        if (token->bytes == 0) continue;
        bytes += token->bytes + 1;
        tokens->count++;
    }
    if ((tokens->text = malloc(bytes + 1)) == NULL) {
        error_set(error, ERROR_MEMORY, "%s: no memory for %zu added tokens", name, all);
        goto failed;
    }
    char *to = tokens->text;
    for (size_t i = 0; i < tokens->count; i++) {
        AddedToken *token = &tokens->token[i];
        memcpy(to, token->content, token->bytes);
        to[token->bytes] = 0;
        token->content = to;
        to += token->bytes + 1;
    }
    if (build(tokens, normalizer, name, error) != 0) goto failed;
    *result = tokens;
    return 0;
failed:
    added_tokens_free(tokens);
    return -1;
}

void added_tokens_free(AddedTokens *tokens) {
    if (tokens == NULL) return;
    for (int i = 0; i < 2; i++) {
        free(tokens->trie[i].edge);
        free(tokens->trie[i].token);
    }
    free(tokens->text);
    free(tokens->token);
    free(tokens);
}

size_t added_tokens_count(const AddedTokens *tokens) { return tokens->count; }
const AddedToken *added_tokens_at(const AddedTokens *tokens, size_t index) { return &tokens->token[index]; }
