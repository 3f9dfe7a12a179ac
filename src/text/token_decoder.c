#include "text/token_decoder.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

struct TokenDecoder {
    const Tokenizer *tokenizer;
    bool skip_special;
    size_t tokens;      // since the beginning
    size_t strip_left;  // characters that may still be taken off
    Buffer held, token; // bytes not yet shown; the token at hand
};

static void restart(TokenDecoder *d) {
    d->tokens = 0;
    d->strip_left = d->tokenizer->decode.strip_start;
    buffer_clear(&d->held);
}

int token_decoder_create(TokenDecoder **decoder, const Tokenizer *tokenizer, bool skip_special, Error *error) {
    if ((*decoder = calloc(1, sizeof **decoder)) == NULL)
        return error_set(error, ERROR_MEMORY, "no memory for a decoder");
    (*decoder)->tokenizer = tokenizer;
    (*decoder)->skip_special = skip_special;
    restart(*decoder);
    return 0;
}

void token_decoder_free(TokenDecoder *decoder) {
    if (decoder == NULL) return;
    buffer_free(&decoder->held);
    buffer_free(&decoder->token);
    free(decoder);
}

static void show(TokenDecoder *d, const char *text, size_t n, Buffer *out) {
    const char *strip = d->tokenizer->decode.strip;
    size_t length = strlen(strip);
    while (d->strip_left > 0 && n > 0) {
        bool there = n >= length && memcmp(text, strip, length) == 0;
        d->strip_left = there ? d->strip_left - 1 : 0;
        text += there ? length : 0;
        n -= there ? length : 0;
    }
    buffer_append(out, text, n);
}

/* Shows a run of <0xNN>: as text where all of it is UTF-8, else one U+FFFD a byte. */
static void show_fallback(TokenDecoder *d, Buffer *out) {
    size_t n = d->held.size;
    if (n == 0) return;
    if (unicode_valid_prefix(d->held.data, n) == n)
        show(d, d->held.data, n, out);
    else
        for (size_t i = 0; i < n; i++) show(d, UNICODE_REPLACEMENT, 3, out);
    buffer_clear(&d->held);
}

/* Holds the bytes of a token of the byte alphabet; of another token (an added one) its own. */
static void hold_bytes(TokenDecoder *d, const char *text, size_t n) {
    size_t before = d->held.size;
    for (size_t i = 0; i < n;) {
        uint32_t code;
        i += unicode_decode(text + i, n - i, &code);
        int byte = byte_alphabet_byte(code);
        if (byte < 0) {
            d->held.size = before;
            buffer_append(&d->held, text, n);
            return;
        }
        char plain = (char)byte;
        buffer_append(&d->held, &plain, 1);
    }
}

/* Shows what is held but `keep` bytes at its end. */
static void show_held(TokenDecoder *d, size_t keep, Buffer *out) {
    size_t n = d->held.size - keep;
    if (n == 0) return;
    unicode_append_lossy(out, d->held.data, n);
    memmove(d->held.data, d->held.data + n, keep);
    d->held.size = keep;
}

static void push_bytes(TokenDecoder *d, int32_t id, const char *text, size_t n, Buffer *out) {
    const Vocabulary *known = bpe_model_bytes(d->tokenizer->model); // without looking at each character
    if (known == NULL || (size_t)id >= known->ids || known->entry[id].text == NULL ||
        (d->tokenizer->flags[id] & TOKEN_HAS_FORM)) {
        hold_bytes(d, text, n);
    } else {
        const VocabularyEntry *e = &known->entry[id];
        if (d->held.size == 0 && unicode_valid_prefix(e->text, e->bytes) == e->bytes) {
            buffer_append(out, e->text, e->bytes);
            return;
        }
        buffer_append(&d->held, e->text, e->bytes);
    }
    show_held(d, unicode_incomplete_suffix(d->held.data, d->held.size), out);
}

static int hexadecimal(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The byte of "<0xNN>", -1 for another string. */
static int fallback_byte(const char *text, size_t n) {
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    int high = hexadecimal(text[3]), low = hexadecimal(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void push_text(TokenDecoder *d, const char *text, size_t n, Buffer *out) {
    const DecodeRules *rules = &d->tokenizer->decode;
    if (rules->replaces > 0) {
        decode_rules_replace(rules, text, n, d->tokens == 0, &d->token);
        text = d->token.data == NULL ? "" : d->token.data;
        n = d->token.size;
    }
    int byte = rules->byte_fallback ? fallback_byte(text, n) : -1;
    if (byte >= 0) {
        char plain = (char)byte;
        buffer_append(&d->held, &plain, 1);
        return;
    }
    show_fallback(d, out);
    if (rules->join_with_spaces && d->tokens > 0) show(d, " ", 1, out);
    show(d, text, n, out);
}

static int check(TokenDecoder *d, Buffer *out, Error *error) {
    return d->held.failed || d->token.failed || out->failed
               ? error_set(error, ERROR_MEMORY, "no memory to decode tokens")
               : 0;
}

/* What an added token looks like in normalized text. */
static const char *form_of(const Tokenizer *t, int32_t id, size_t *n) {
    size_t i = 0;
    while (added_tokens_at(t->added, i)->id != id) i++;
    *n = added_tokens_at(t->added, i)->form_bytes;
    return added_tokens_at(t->added, i)->form;
}

int token_decoder_push(TokenDecoder *d, int32_t id, Buffer *out, Error *error) {
    size_t n;
    const char *text = tokenizer_token(d->tokenizer, id, &n);
    if (text == NULL || (d->skip_special && tokenizer_is_special(d->tokenizer, id))) return 0;
    if (d->tokenizer->flags[id] & TOKEN_HAS_FORM) text = form_of(d->tokenizer, id, &n);
    if (d->tokenizer->decode.byte_level)
        push_bytes(d, id, text, n, out);
    else
        push_text(d, text, n, out);
    d->tokens++;
    return check(d, out, error);
}

int token_decoder_finish(TokenDecoder *d, Buffer *out, Error *error) {
    if (d->tokenizer->decode.byte_level)
        show_held(d, 0, out);
    else
        show_fallback(d, out);
    int result = check(d, out, error);
    restart(d);
    return result;
}
