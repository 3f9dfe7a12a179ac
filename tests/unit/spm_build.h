/* spm_build.h - a tokenizer.model put together for a test, field by field. */
#pragma once
#include "base/buffer.h"
#include "test.h"
#include <string.h>

static inline void spm_varint(Buffer *b, uint64_t value) {
    do {
        unsigned char byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        buffer_append(b, &byte, 1);
    } while ((value >>= 7) != 0);
}

static inline void spm_number(Buffer *b, uint64_t field, uint64_t value) {
    spm_varint(b, field << 3);
    spm_varint(b, value);
}

static inline void spm_bytes(Buffer *b, uint64_t field, const void *bytes, size_t n) {
    spm_varint(b, field << 3 | 2);
    spm_varint(b, n);
    buffer_append(b, bytes, n);
}

static inline void spm_piece(Buffer *b, const char *text, float score, uint64_t type) {
    Buffer piece = {0};
    spm_bytes(&piece, 1, text, strlen(text));
    spm_varint(&piece, 2 << 3 | 5);
    buffer_append(&piece, &score, sizeof score); // little-endian, as every machine that we build for
    if (type != 1) spm_number(&piece, 3, type);
    spm_bytes(b, 1, piece.data, piece.size);
    buffer_free(&piece);
}

/* trainer_spec of a BPE, and normalizer_spec with these flags. */
static inline void spm_specs(Buffer *b, uint64_t model, bool fallback, bool prefix, bool collapse) {
    Buffer trainer = {0}, normalizer = {0};
    spm_number(&trainer, 3, model);
    spm_number(&trainer, 35, fallback);
    spm_number(&trainer, 43, UINT64_MAX); // pad_id -1
    spm_bytes(b, 2, trainer.data, trainer.size);
    spm_number(&normalizer, 3, prefix);
    spm_number(&normalizer, 4, collapse);
    spm_bytes(b, 3, normalizer.data, normalizer.size);
    buffer_free(&trainer);
    buffer_free(&normalizer);
}

/* <unk> <s> </s> <user> <0x0A> U+2581 a b ab U+2581a */
static inline void spm_pieces(Buffer *b) {
    static const struct {
        const char *text;
        float score;
        uint64_t type;
    } piece[] = {{"<unk>", 0, 2},   {"<s>", 0, 3}, {"</s>", 0, 3}, {"<user>", 0, 4}, {"<0x0A>", 0, 6},
                 {"\u2581", -9, 1}, {"a", -8, 1},  {"b", -7, 1},   {"ab", -2, 1},    {"\u2581a", -1, 1}};
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++)
        spm_piece(b, piece[i].text, piece[i].score, piece[i].type);
}
