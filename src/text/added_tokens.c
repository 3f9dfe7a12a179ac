#include "text/added_tokens.h"
#include "base/buffer.h"
#include "text/bpe_model.h"
#include "text/token_trie.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

struct AddedTokens {
    AddedToken *token;
    size_t count;
    Buffer text;       // contents and forms, each with a 0 behind
    TokenTrie trie[2]; // normalized = false, true
};

static bool is_ascii_space(uint32_t code) { return code == ' ' || (code >= '\t' && code <= '\r'); }

/* Where the character before `at` > 0 begins. */
static size_t step_back(const char *text, size_t at) {
    do at--;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

static bool is_before(const char *text, size_t at, bool (*is)(uint32_t code)) {
    if (at == 0) return false;
    uint32_t code;
    size_t start = step_back(text, at);
    unicode_decode(text + start, at - start, &code);
    return is(code);
}

/* The length of the character at `at` where it is one of those, else 0. */
static size_t is_behind(const char *text, size_t n, size_t at, bool (*is)(uint32_t code)) {
    if (at == n) return 0;
    uint32_t code;
    size_t length = unicode_decode(text + at, n - at, &code);
    return is(code) ? length : 0;
}

const AddedToken *added_tokens_next(const AddedTokens *tokens, bool normalized, AddedSearch *s) {
    size_t begin, end, length;
    uint32_t index;
    while (token_trie_find(&tokens->trie[normalized], s->text, s->bytes, s->scanned, &begin, &end, &index)) {
        const AddedToken *token = &tokens->token[index];
        s->scanned = end;
        if (token->single_word &&
            (is_before(s->text, begin, unicode_is_word) || is_behind(s->text, s->bytes, end, unicode_is_word) > 0))
            continue;
        while (token->lstrip && begin > s->end && is_before(s->text, begin, token->is_space))
            begin = step_back(s->text, begin);
        if (token->lstrip && begin < s->end) begin = s->end;
        while (token->rstrip && (length = is_behind(s->text, s->bytes, end, token->is_space)) > 0) end += length;
        if (begin >= end) continue; // white space that the token before has taken already
        s->begin = begin;
        s->end = end;
        return token;
    }
    return NULL;
}

static int read_token(AddedToken *token, const json_t *json, const char *name, Error *error) {
    const json_t *content = json_need(json, "content", JSON_STRING, name, error);
    int64_t id = -1;
    const char *white = json_string_value(json_object_get(json, "white_space"));
    int special = 0, lstrip = 0, rstrip = 0, single_word = 0, normalized;
    if (content == NULL || json_get_integer(json, "id", 0, BPE_ID_LIMIT - 1, &id, name, error) != 0 ||
        json_get_bool(json, "special", &special, name, error) != 0 ||
        json_get_bool(json, "lstrip", &lstrip, name, error) != 0 ||
        json_get_bool(json, "rstrip", &rstrip, name, error) != 0 ||
        json_get_bool(json, "single_word", &single_word, name, error) != 0)
        return -1;
    normalized = !special;
    if (json_get_bool(json, "normalized", &normalized, name, error) != 0) return -1;
    if (id < 0)
        return error_set(error, ERROR_INPUT, "%s: the added token \"%s\" has no id", name, json_string_value(content));
    *token = (AddedToken){.content = json_string_value(content),
                          .bytes = json_string_length(content),
                          .id = (int32_t)id,
                          .special = special,
                          .lstrip = lstrip,
                          .rstrip = rstrip,
                          .single_word = single_word,
                          .normalized = normalized,
                          .is_space = white != NULL && strcmp(white, "ascii") == 0 ? is_ascii_space : unicode_is_space};
    return 0;
}

/* Copies contents and forms to the tokens' own text. */
static int own_texts(AddedTokens *tokens, const Normalizer *normalizer, const char *name, Error *error) {
    Buffer form = {0};
    int result = 0;
    for (size_t i = 0; i < tokens->count && result == 0; i++) {
        AddedToken *token = &tokens->token[i];
        buffer_append(&tokens->text, token->content, token->bytes + 1);
        if (token->normalized)
            result = normalizer_apply(normalizer, token->content, token->bytes, &form, error);
        else {
            buffer_clear(&form);
            buffer_append(&form, token->content, token->bytes);
        }
        token->form_bytes = form.size;
        buffer_append(&form, "", 1);
        if (form.failed && result == 0) result = error_set(error, ERROR_MEMORY, "%s: no memory for added tokens", name);
        if (result == 0) buffer_append(&tokens->text, form.data, form.size);
    }
    if (result == 0 && tokens->text.failed)
        result = error_set(error, ERROR_MEMORY, "%s: no memory for the added tokens", name);
    buffer_free(&form);
    const char *at = tokens->text.data;
    for (size_t i = 0; i < tokens->count && result == 0; i++) {
        AddedToken *token = &tokens->token[i];
        token->content = at;
        token->form = at + token->bytes + 1;
        at = token->form + token->form_bytes + 1;
    }
    return result;
}

static int read_tokens(AddedTokens *tokens, const json_t *json, const Normalizer *normalizer, const char *name,
                       Error *error) {
    size_t all = json_array_size(json);
    if ((tokens->token = calloc(all + 1, sizeof *tokens->token)) == NULL)
        return error_set(error, ERROR_MEMORY, "%s: no memory for %zu added tokens", name, all);
    for (size_t i = 0; i < all; i++) {
        AddedToken *token = &tokens->token[tokens->count];
        if (read_token(token, json_array_get(json, i), name, error) != 0) return -1;
        if (token->bytes > 0) tokens->count++;
    }
    if (own_texts(tokens, normalizer, name, error) != 0) return -1;
    if (!token_trie_create(&tokens->trie[0], tokens->text.size) ||
        !token_trie_create(&tokens->trie[1], tokens->text.size))
        return error_set(error, ERROR_MEMORY, "%s: no memory for added tokens of %zu bytes", name, tokens->text.size);
    for (size_t i = 0; i < tokens->count; i++) {
        const AddedToken *token = &tokens->token[i];
        token_trie_add(&tokens->trie[token->normalized], token->form, token->form_bytes, (uint32_t)i);
    }
    return 0;
}

int added_tokens_from_json(AddedTokens **tokens, const json_t *json, const Normalizer *normalizer, const char *name,
                           Error *error) {
    *tokens = NULL;
    if (json != NULL && !json_is_null(json) && !json_is_array(json))
        return error_set(error, ERROR_INPUT, "%s: \"added_tokens\" is %s where an array was expected", name,
                         json_type_name(json_typeof(json)));
    AddedTokens *made = calloc(1, sizeof *made);
    if (made == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for the added tokens", name);
    if (read_tokens(made, json, normalizer, name, error) != 0) {
        added_tokens_free(made);
        return -1;
    }
    *tokens = made;
    return 0;
}

void added_tokens_free(AddedTokens *tokens) {
    if (tokens == NULL) return;
    token_trie_free(&tokens->trie[0]);
    token_trie_free(&tokens->trie[1]);
    buffer_free(&tokens->text);
    free(tokens->token);
    free(tokens);
}

size_t added_tokens_count(const AddedTokens *tokens) { return tokens->count; }
const AddedToken *added_tokens_at(const AddedTokens *tokens, size_t index) { return &tokens->token[index]; }
