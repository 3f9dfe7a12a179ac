#include "text/bpe_model.h"
#include "text/bpe_model_parts.h"
#include "text/merge_table.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { UNKNOWN = 0, WHOLE = 1, PARTS = 2 }; // what BpeModel.whole remembers of a string

struct BpeScratch {
    MergeScratch merge;
    int32_t *id; // (capacity) symbols of the part that is being merged
    size_t capacity;
};

BpeScratch *bpe_scratch_create(void) { return calloc(1, sizeof(BpeScratch)); }

void bpe_scratch_free(BpeScratch *scratch) {
    if (scratch == NULL) return;
    merge_scratch_free(&scratch->merge);
    free(scratch->id);
    free(scratch);
}

uint64_t bpe_scratch_steps(const BpeScratch *scratch) { return scratch->merge.steps; }

static bool reserve(BpeScratch *s, size_t n) {
    if (n <= s->capacity) return true;
    size_t capacity = n < 256 ? 256 : n;
    int32_t *grown = n > SIZE_MAX / sizeof *grown ? NULL : realloc(s->id, capacity * sizeof *grown);
    if (grown == NULL) return false;
    s->id = grown;
    s->capacity = capacity;
    return true;
}

static bool fallback(const BpeModel *m, const char *bytes, size_t n, int32_t *id) {
    if (!m->byte_fallback) return false;
    for (size_t i = 0; i < n; i++)
        if ((id[i] = m->fallback_id[(unsigned char)bytes[i]]) < 0) return false;
    return true;
}

/* The ids of the bytes or characters of a part. An unknown one waits, so that the next can be fused to it, until a
 * known one follows; bytes <0xNN> do not end the waiting, as in the reference. Without unk_token it vanishes. False
 * where unk_token is needed but has no id. */
static bool symbols_of(const BpeModel *m, const char *part, size_t n, int32_t *id, size_t *count) {
    size_t k = 0, length;
    bool waiting = false;
    for (size_t i = 0; i < n; i += length) {
        uint32_t code = (unsigned char)part[i];
        int32_t known = m->byte_id[code];
        length = 1;
        if (code >= 0x80 && !m->byte_level) {
            length = unicode_decode(part + i, n - i, &code);
            known = vocabulary_find(m->strings, part + i, length);
        }
        if (known >= 0) {
            if (waiting) id[k++] = m->unk_id;
            waiting = false;
            id[k++] = known;
        } else if (fallback(m, part + i, length, id + k)) {
            k += length;
        } else if (m->has_unk) {
            if (m->unk_id < 0) return false;
            if (waiting && !m->fuse_unk) id[k++] = m->unk_id;
            waiting = true;
        }
    }
    if (waiting) id[k++] = m->unk_id;
    *count = k;
    return true;
}

/* Encodes a part; `id` is the part's own in the vocabulary, or -1. */
static int encode_part(const BpeModel *m, BpeScratch *s, const char *part, size_t n, int32_t id, TokenList *out,
                       Error *error) {
    size_t count = 0;
    if (id >= 0 && atomic_load_explicit(&m->whole[id], memory_order_relaxed) == WHOLE) {
        token_list_push(out, id);
        return 0;
    }
    if (!reserve(s, n + 1)) return error_set(error, ERROR_MEMORY, "no memory to encode a word of %zu bytes", n);
    if (!symbols_of(m, part, n, s->id, &count))
        return error_set(error, ERROR_INPUT,
                         "the tokenizer's unk_token is needed for \"%.*s\", but is not in its vocabulary",
                         (int)(n < 40 ? n : 40), part);
    if (!merge_symbols(&m->merges, &s->merge, s->id, count, MERGE_SHORT, &count))
        return error_set(error, ERROR_MEMORY, "no memory to encode a word of %zu bytes", n);
    if (id >= 0)
        atomic_store_explicit(&m->whole[id], count == 1 && s->id[0] == id ? WHOLE : PARTS, memory_order_relaxed);
    token_list_append(out, s->id, count);
    return 0;
}

/* True where some merge could join across text[at - 1] | text[at]. */
static bool joins_at(const BpeModel *m, const char *text, size_t n, size_t at) {
    unsigned char left = (unsigned char)text[at - 1], right = (unsigned char)text[at];
    if (!m->byte_level) {
        if ((right & 0xc0) == 0x80) return true;
        if (left == BPE_SPACE_LAST && at >= 3 && memcmp(text + at - 3, BPE_SPACE, 3) == 0) left = BPE_SPACE_CLASS;
        if (right == BPE_SPACE_FIRST && at + 3 <= n && memcmp(text + at, BPE_SPACE, 3) == 0) right = BPE_SPACE_CLASS;
    }
    return m->joint[left][right / 64] >> right % 64 & 1;
}

int bpe_model_encode(const BpeModel *m, BpeScratch *s, const char *piece, size_t bytes, TokenList *out, Error *error) {
    int32_t id = vocabulary_find(m->strings, piece, bytes);
    if (id >= 0 && (m->ignore_merges || atomic_load_explicit(&m->whole[id], memory_order_relaxed) == WHOLE)) {
        token_list_push(out, id);
        return 0;
    }
    for (size_t begin = 0, end; begin < bytes; begin = end) {
        end = begin + 1;
        while (end < bytes && (!m->cuts || joins_at(m, piece, bytes, end))) end++;
        bool all = end - begin == bytes;
        if (encode_part(m, s, piece + begin, end - begin,
                        all ? id : vocabulary_find(m->strings, piece + begin, end - begin), out, error) != 0)
            return -1;
    }
    return 0;
}

const Vocabulary *bpe_model_vocabulary(const BpeModel *model) { return &model->spelled; }

const Vocabulary *bpe_model_bytes(const BpeModel *model) { return model->byte_level ? &model->bytes : NULL; }

void bpe_model_free(BpeModel *model) {
    if (model == NULL) return;
    vocabulary_free(&model->spelled);
    vocabulary_free(&model->bytes);
    merge_table_free(&model->merges);
    free((void *)model->whole);
    free(model);
}
