#include "text/bpe_tokenizer.h"
#include "base/file.h"
#include "text/token_decoder.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const Tokenizer *t;
    PretokenizeScratch *pretokenize;
    BpeScratch *bpe;
    Buffer normal; // the normal form of the segment at hand
    TokenList *out;
    Error *error;
} Encoding;

static int encode_piece(void *context, const char *piece, size_t bytes, Error *error) {
    Encoding *e = context;
    return bpe_model_encode(e->t->model, e->bpe, piece, bytes, e->out, error);
}

static int encode_gap(Encoding *e, const char *text, size_t n, bool first) {
    return pretokenize(e->t->pretokenizer, e->pretokenize, text, n, first, encode_piece, e, e->error);
}

/* Text without tokens of the one group (normalized = false): normalize it, cut out the other group, encode the rest. */
static int encode_segment(Encoding *e, const char *text, size_t n, bool first) {
    if (n == 0) return 0;
    if (!normalizer_is_empty(e->t->normalizer)) {
        if (normalizer_apply(e->t->normalizer, text, n, &e->normal, e->error) != 0) return -1;
        text = e->normal.data;
        n = e->normal.size;
    }
    AddedSearch search = {.text = text, .bytes = n};
    size_t at = 0;
    for (const AddedToken *token; (token = added_tokens_next(e->t->added, true, &search)) != NULL; at = search.end) {
        if (search.begin > at && encode_gap(e, text + at, search.begin - at, first && at == 0) != 0) return -1;
        token_list_push(e->out, token->id);
    }
    return encode_gap(e, text + at, n - at, first && at == 0);
}

static int encode_text(Encoding *e, const char *text, size_t n) {
    AddedSearch search = {.text = text, .bytes = n};
    size_t at = 0;
    for (const AddedToken *token; (token = added_tokens_next(e->t->added, false, &search)) != NULL; at = search.end) {
        if (search.begin > at && encode_segment(e, text + at, search.begin - at, at == 0) != 0) return -1;
        token_list_push(e->out, token->id);
    }
    return encode_segment(e, text + at, n - at, at == 0);
}

int tokenizer_encode(const Tokenizer *t, const char *text, size_t bytes, bool add_special, TokenList *out,
                     Error *error) {
    Encoding e = {
        .t = t, .pretokenize = pretokenize_scratch_create(), .bpe = bpe_scratch_create(), .out = out, .error = error};
    Buffer repaired = {0};
    size_t before = out->count;
    int result = -1;
    if (unicode_valid_prefix(text, bytes) != bytes) {
        unicode_append_lossy(&repaired, text, bytes);
        text = repaired.data;
        bytes = repaired.size;
    }
    if (e.pretokenize == NULL || e.bpe == NULL || repaired.failed) {
        error_set(error, ERROR_MEMORY, "no memory to encode a text of %zu bytes", bytes);
        goto done;
    }
    if (add_special) token_list_append(out, t->prefix.data, t->prefix.count);
    if (encode_text(&e, text, bytes) != 0) goto done;
    if (add_special) token_list_append(out, t->suffix.data, t->suffix.count);
    result = out->failed ? error_set(error, ERROR_MEMORY, "no memory for the tokens of a text of %zu bytes", bytes) : 0;
done:
    if (result != 0) out->count = before;
    pretokenize_scratch_free(e.pretokenize);
    bpe_scratch_free(e.bpe);
    buffer_free(&e.normal);
    buffer_free(&repaired);
    return result;
}

int tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t count, bool skip_special, Buffer *out,
                     Error *error) {
    TokenDecoder *decoder;
    if (token_decoder_create(&decoder, t, skip_special, error) != 0) return -1;
    size_t before = out->size;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) result = token_decoder_push(decoder, ids[i], out, error);
    if (result == 0) result = token_decoder_finish(decoder, out, error);
    token_decoder_free(decoder);
    if (result != 0 && out->data != NULL) {
        out->size = before;
        out->data[before] = 0;
    }
    return result;
}

size_t tokenizer_vocabulary(const Tokenizer *t) { return t->tokens.ids; }
int32_t tokenizer_id(const Tokenizer *t, const char *token) {
    return vocabulary_find(&t->tokens, token, strlen(token));
}

const char *tokenizer_token(const Tokenizer *t, int32_t id, size_t *bytes) {
    if (id < 0 || (size_t)id >= t->tokens.ids) return NULL;
    if (bytes != NULL) *bytes = t->tokens.entry[id].bytes;
    return t->tokens.entry[id].text;
}

bool tokenizer_is_special(const Tokenizer *t, int32_t id) {
    return id >= 0 && (size_t)id < t->tokens.ids && (t->flags[id] & TOKEN_SPECIAL);
}
int32_t tokenizer_bos(const Tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const Tokenizer *t) { return t->eos; }
int32_t tokenizer_pad(const Tokenizer *t) { return t->pad; }

void tokenizer_free(Tokenizer *t) {
    if (t == NULL) return;
    normalizer_free(t->normalizer);
    added_tokens_free(t->added);
    pretokenizer_free(t->pretokenizer);
    bpe_model_free(t->model);
    decode_rules_free(&t->decode);
    token_list_free(&t->prefix);
    token_list_free(&t->suffix);
    vocabulary_free(&t->tokens);
    free(t->flags);
    free(t);
}
