#include "formats/spm_model.h"

#include "formats/spm_merges.h"
#include "formats/tokenizer_document.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum { UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, TYPES = 6, BPE = 2, PIECES_MAX = 1 << 24, PIECE_BYTES_MAX = 4096 };
enum { UNK, BOS, EOS, PAD, NAMED };

typedef struct {
    const uint8_t *at, *end;
} Span;

/* One field: its value as a whole number (floats as their bits), or as bytes. */
typedef struct {
    uint64_t number, wire, value;
    Span bytes;
} Field;

typedef struct {
    const char *name;
    const uint8_t *file;
    SpmPiece *piece; // (count)
    uint8_t *type;   // (count)
    size_t count, capacity;
    uint64_t model_type;
    int64_t id[NAMED];
    bool byte_fallback, suffix, charsmap, prefix, collapse, escape;
    Error *error;
} Reader;

static int broken(const Reader *r, const uint8_t *at, const char *what) {
    return error_set(r->error, ERROR_INPUT, "%s: byte %zu: %s; a SentencePiece model (tokenizer.model) was expected",
                     r->name, (size_t)(at - r->file), what);
}

static int no_memory(const Reader *r) {
    return error_set(r->error, ERROR_MEMORY, "%s: no memory for its tokenizer", r->name);
}

static int read_varint(const Reader *r, Span *span, uint64_t *value) {
    const uint8_t *begin = span->at;
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (span->at == span->end) return broken(r, begin, "a number is cut off");
        uint8_t byte = *span->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return 0;
    }
    return broken(r, begin, "a number is longer than 64 bits");
}

static int read_field(const Reader *r, Span *span, Field *field) {
    const uint8_t *begin = span->at;
    uint64_t tag, size;
    if (read_varint(r, span, &tag) != 0) return -1;
    *field = (Field){.number = tag >> 3, .wire = tag & 7};
    if (field->number == 0) return broken(r, begin, "a field has the number 0");
    if (field->wire == VARINT) return read_varint(r, span, &field->value);
    size = field->wire == FIXED64 ? 8 : 4;
    if (field->wire == BYTES && read_varint(r, span, &size) != 0) return -1;
    if (field->wire != BYTES && field->wire != FIXED64 && field->wire != FIXED32)
        return broken(r, begin, "a field has an unknown type");
    if (size > (size_t)(span->end - span->at)) return broken(r, begin, "a field is longer than what holds it");
    field->bytes = (Span){span->at, span->at + size};
    span->at += size;
    for (size_t i = 0; i < size && field->wire != BYTES; i++) field->value |= (uint64_t)field->bytes.at[i] << (8 * i);
    return 0;
}

/* Whether the field is this one; another wire type makes it another field, as protocol buffers have it. */
static bool is(const Field *field, uint64_t number, uint64_t wire) {
    return field->number == number && field->wire == wire;
}

static int add_piece(Reader *r, SpmPiece piece, uint64_t type, const uint8_t *at) {
    if (piece.bytes == 0 || piece.bytes > PIECE_BYTES_MAX)
        return broken(r, at, "a piece has no text, or too much of it");
    if (isnan(piece.score) || type == 0 || type > TYPES)
        return broken(r, at, "a piece has a score or a type that there is not");
    if (r->count == PIECES_MAX) return broken(r, at, "there are too many pieces");
    if (r->count == r->capacity) {
        size_t capacity = r->capacity == 0 ? 4096 : 2 * r->capacity;
        SpmPiece *pieces = realloc(r->piece, capacity * sizeof *pieces);
        if (pieces != NULL) r->piece = pieces;
        uint8_t *types = pieces == NULL ? NULL : realloc(r->type, capacity);
        if (types == NULL) return no_memory(r);
        r->type = types;
        r->capacity = capacity;
    }
    r->piece[r->count] = piece;
    r->type[r->count++] = (uint8_t)type;
    return 0;
}

static int read_piece(Reader *r, Span span) {
    const uint8_t *begin = span.at;
    SpmPiece piece = {"", 0, 0};
    uint64_t type = 1;
    while (span.at < span.end) {
        Field field;
        if (read_field(r, &span, &field) != 0) return -1;
        if (is(&field, 1, BYTES)) {
            piece.text = (const char *)field.bytes.at;
            piece.bytes = (size_t)(field.bytes.end - field.bytes.at);
        } else if (is(&field, 2, FIXED32)) {
            uint32_t bits = (uint32_t)field.value;
            float score;
            memcpy(&score, &bits, sizeof score);
            piece.score = score;
        } else if (is(&field, 3, VARINT)) {
            type = field.value;
        }
    }
    return add_piece(r, piece, type, begin);
}

static int read_trainer(Reader *r, Span span) {
    while (span.at < span.end) {
        Field field;
        if (read_field(r, &span, &field) != 0) return -1;
        if (is(&field, 3, VARINT)) r->model_type = field.value;
        if (is(&field, 24, VARINT)) r->suffix = field.value != 0;
        if (is(&field, 35, VARINT)) r->byte_fallback = field.value != 0;
        if (field.wire == VARINT && field.number >= 40 && field.number < 40 + NAMED)
            r->id[field.number - 40] = (int32_t)(uint32_t)field.value; // an int32 of the format, -1 as 2^64 - 1
    }
    return 0;
}

static int read_normalizer(Reader *r, Span span) {
    while (span.at < span.end) {
        Field field;
        if (read_field(r, &span, &field) != 0) return -1;
        if (is(&field, 2, BYTES)) r->charsmap = field.bytes.end > field.bytes.at;
        if (is(&field, 3, VARINT)) r->prefix = field.value != 0;
        if (is(&field, 4, VARINT)) r->collapse = field.value != 0;
        if (is(&field, 5, VARINT)) r->escape = field.value != 0;
    }
    return 0;
}

static int read_model(Reader *r, Span span) {
    while (span.at < span.end) {
        Field field;
        if (read_field(r, &span, &field) != 0) return -1;
        if ((is(&field, 1, BYTES) && read_piece(r, field.bytes) != 0) ||
            (is(&field, 2, BYTES) && read_trainer(r, field.bytes) != 0) ||
            (is(&field, 3, BYTES) && read_normalizer(r, field.bytes) != 0))
            return -1;
    }
    if (r->count == 0) return broken(r, span.at, "it ends without a piece of vocabulary");
    return 0;
}

static int check_supported(const Reader *r) {
    static const char *const models[] = {"", "unigram", "bpe", "word", "char"};
    const char *what = NULL;
    if (r->model_type != BPE)
        what = r->model_type < sizeof models / sizeof *models ? models[r->model_type] : "of an unknown kind";
    if (what != NULL)
        return error_set(r->error, ERROR_UNSUPPORTED, "%s: the SentencePiece model is %s; only bpe is supported",
                         r->name, what);
    what = r->charsmap  ? "a character map (precompiled_charsmap)"
           : r->suffix  ? "white space as suffix"
           : !r->escape ? "white space that is not escaped"
                        : NULL;
    if (what == NULL) return 0;
    return error_set(r->error, ERROR_UNSUPPORTED,
                     "%s: has %s, which is not supported; write a tokenizer.json with transformers "
                     "(AutoTokenizer.from_pretrained(...).save_pretrained(...))",
                     r->name, what);
}

static int fill_vocabulary(const Reader *r, json_t *vocab, json_t *added) {
    for (size_t i = 0; i < r->count; i++) {
        const SpmPiece *p = &r->piece[i];
        const json_t *other = json_object_getn(vocab, p->text, p->bytes);
        json_t *id = json_integer((json_int_t)i);
        if (id == NULL) return no_memory(r);
        if (other != NULL) {
            json_decref(id);
            return error_set(r->error, ERROR_INPUT, "%s: pieces %lld and %zu are the same text", r->name,
                             (long long)json_integer_value(other), i);
        }
        if (json_object_setn_new(vocab, p->text, p->bytes, id) != 0)
            return error_set(r->error, ERROR_INPUT, "%s: piece %zu is not UTF-8", r->name, i);
        bool special = r->type[i] == UNKNOWN || r->type[i] == CONTROL;
        if (!special && r->type[i] != USER_DEFINED) continue;
        const DocumentToken token = {p->text, p->bytes, (int64_t)i, special, false};
        if (json_array_append_new(added, tokenizer_document_added(&token)) != 0) return no_memory(r);
    }
    return 0;
}

/* {"bos_token": "<s>", ...}: those that the file has. */
static int name_tokens(const Reader *r, json_t *config) {
    static const char *const names[NAMED] = {"unk_token", "bos_token", "eos_token", "pad_token"};
    for (int i = 0; i < NAMED; i++) {
        if (r->id[i] < 0) continue;
        if ((uint64_t)r->id[i] >= r->count)
            return error_set(r->error, ERROR_INPUT, "%s: the id of %s is %lld, but there are only %zu pieces", r->name,
                             names[i], (long long)r->id[i], r->count);
        const SpmPiece *p = &r->piece[r->id[i]];
        if (json_object_set_new(config, names[i], json_stringn(p->text, p->bytes)) != 0) return no_memory(r);
    }
    return 0;
}

static int make_document(const Reader *r, json_t *config, json_t **document) {
    json_t *vocab = json_object(), *merges = json_array(), *added = json_array();
    int result = vocab == NULL || merges == NULL || added == NULL ? no_memory(r) : fill_vocabulary(r, vocab, added);
    if (result == 0) result = name_tokens(r, config);
    if (result == 0) result = spm_merges(r->piece, r->count, vocab, merges, r->name, r->error);
    if (result == 0) {
        const DocumentEnd before = {json_string_value(json_object_get(config, "bos_token")), r->id[BOS]}, behind = {0};
        const SpmDocument parts = {.vocab = vocab,
                                   .merges = merges,
                                   .added = added,
                                   .post_processor = tokenizer_document_post_processor(&before, &behind),
                                   .unknown = json_string_value(json_object_get(config, "unk_token")),
                                   .byte_fallback = r->byte_fallback,
                                   .prefix = r->prefix,
                                   .collapse = r->collapse};
        *document = tokenizer_document_spm(&parts);
        if (*document == NULL) result = no_memory(r);
    }
    json_decref(vocab);
    json_decref(merges);
    json_decref(added);
    return result;
}

int spm_model_json(const void *bytes, size_t size, const char *name, json_t **tokenizer, json_t **config,
                   Error *error) {
    Reader r = {.name = name,
                .file = bytes,
                .model_type = 1, // the defaults of the format
                .id = {0, 1, 2, -1},
                .prefix = true,
                .collapse = true,
                .escape = true,
                .error = error};
    json_t *names = json_object();
    int result = names == NULL ? no_memory(&r) : size == 0 ? broken(&r, bytes, "the file is empty") : 0;
    if (result == 0) result = read_model(&r, (Span){r.file, r.file + size});
    if (result == 0) result = check_supported(&r);
    if (result == 0) result = make_document(&r, names, tokenizer);
    free(r.piece);
    free(r.type);
    if (result != 0)
        json_decref(names);
    else
        *config = names;
    return result;
}
