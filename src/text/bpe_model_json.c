#include "text/bpe_model_parts.h"
#include "text/byte_alphabet.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MERGES_MAX = 1 << 26 };

static int no_memory(const char *name, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory for the vocabulary", name);
}

/* The bytes that a string of the byte alphabet stands for, written over `out`; SIZE_MAX where it is no such string. */
static size_t bytes_of(const char *text, size_t n, char *out) {
    size_t count = 0;
    for (size_t i = 0; i < n;) {
        uint32_t code;
        i += unicode_decode(text + i, n - i, &code);
        int byte = byte_alphabet_byte(code);
        if (byte < 0) return SIZE_MAX;
        out[count++] = (char)byte;
    }
    return count;
}

static int read_strings(BpeModel *m, const json_t *vocab, const char *name, Error *error) {
    const char *text;
    json_t *id;
    size_t ids = 0, bytes = 0;
    json_object_foreach((json_t *)vocab, text, id) {
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= BPE_ID_LIMIT)
            return error_set(error, ERROR_INPUT, "%s: vocab: the id of \"%s\" must be a whole number from 0 to %d",
                             name, text, BPE_ID_LIMIT - 1);
        if ((size_t)value >= ids) ids = (size_t)value + 1;
        bytes += strlen(text);
    }
    size_t strings = json_object_size(vocab);
    if (strings == 0) return error_set(error, ERROR_INPUT, "%s: vocab is empty", name);
    if (!vocabulary_create(&m->spelled, ids, strings, bytes)) return no_memory(name, error);
    json_object_foreach((json_t *)vocab, text, id) {
        const VocabularyEntry *there = &m->spelled.entry[json_integer_value(id)];
        if (there->text != NULL)
            return error_set(error, ERROR_INPUT, "%s: vocab: \"%s\" and \"%s\" both have id %lld", name, there->text,
                             text, (long long)json_integer_value(id));
        vocabulary_add(&m->spelled, (int32_t)json_integer_value(id), text, strlen(text));
    }
    m->strings = &m->spelled;
    return (m->whole = calloc(ids, sizeof *m->whole)) == NULL ? no_memory(name, error) : 0;
}

/* byte_level: the second vocabulary, whose strings are the bytes themselves. */
static int read_bytes(BpeModel *m, const char *name, Error *error) {
    const Vocabulary *spelled = &m->spelled;
    size_t pool = (size_t)(spelled->pool_end - spelled->pool);
    char *text = malloc(spelled->longest + 1);
    if (text == NULL || !vocabulary_create(&m->bytes, spelled->ids, spelled->strings, pool)) {
        free(text);
        return no_memory(name, error);
    }
    for (size_t id = 0; id < spelled->ids; id++) {
        const VocabularyEntry *e = &spelled->entry[id];
        size_t count = e->text == NULL ? SIZE_MAX : bytes_of(e->text, e->bytes, text);
        if (count != SIZE_MAX) vocabulary_add(&m->bytes, (int32_t)id, text, count);
    }
    free(text);
    m->strings = &m->bytes;
    return 0;
}

/* Takes one merge, "a b" or ["a", "b"], apart. */
static bool merge_halves(const json_t *merge, const char **left, size_t *left_bytes, const char **right,
                         size_t *right_bytes) {
    if (json_is_string(merge)) {
        *left = json_string_value(merge);
        const char *space = memchr(*left, ' ', json_string_length(merge));
        if (space == NULL) return false;
        *left_bytes = (size_t)(space - *left);
        *right = space + 1;
        *right_bytes = json_string_length(merge) - *left_bytes - 1;
        return memchr(*right, ' ', *right_bytes) == NULL;
    }
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(a) || !json_is_string(b)) return false;
    *left = json_string_value(a);
    *left_bytes = json_string_length(a);
    *right = json_string_value(b);
    *right_bytes = json_string_length(b);
    return true;
}

static int read_merge(BpeModel *m, const json_t *merge, uint32_t rank, char *joined, const char *name, Error *error) {
    const char *left, *right;
    size_t a, b;
    if (!merge_halves(merge, &left, &a, &right, &b))
        return error_set(error, ERROR_INPUT, "%s: merges[%u] must be \"left right\" or [\"left\", \"right\"]", name,
                         rank);
    const Vocabulary *v = &m->spelled;
    int32_t left_id = vocabulary_find(v, left, a), right_id = vocabulary_find(v, right, b), merged = -1;
    if (left_id >= 0 && right_id >= 0) {
        memcpy(joined, left, a);
        memcpy(joined + a, right, b);
        merged = vocabulary_find(v, joined, a + b);
    }
    if (merged < 0) {
        bool half = left_id < 0 || right_id < 0;
        return error_set(error, ERROR_INPUT, "%s: merges[%u] joins \"%.*s\" and \"%.*s\", but %s not in vocab", name,
                         rank, (int)(a < 100 ? a : 100), left, (int)(b < 100 ? b : 100), right,
                         !half         ? "the result is"
                         : left_id < 0 ? "the first is"
                                       : "the second is");
    }
    merge_table_add(&m->merges, rank, left_id, right_id, merged);
    return 0;
}

static int read_merges(BpeModel *m, const json_t *merges, const char *name, Error *error) {
    size_t count = json_array_size(merges);
    if (count > MERGES_MAX)
        return error_set(error, ERROR_UNSUPPORTED, "%s: %zu merges, over %d", name, count, MERGES_MAX);
    char *joined = malloc(2 * m->spelled.longest + 1);
    int result = 0;
    if (joined == NULL || !merge_table_create(&m->merges, count)) result = no_memory(name, error);
    for (size_t i = 0; i < count && result == 0; i++)
        result = read_merge(m, json_array_get(merges, i), (uint32_t)i, joined, name, error);
    free(joined);
    return result;
}

/* The class of the first or the last byte of a string at a border. */
static unsigned char border(const BpeModel *m, const VocabularyEntry *e, bool last) {
    if (!m->byte_level && e->bytes >= 3 && memcmp(e->text + (last ? e->bytes - 3 : 0), BPE_SPACE, 3) == 0)
        return BPE_SPACE_CLASS;
    return (unsigned char)e->text[last ? e->bytes - 1 : 0];
}

static void set_joint(BpeModel *m, unsigned left, unsigned right) {
    m->joint[left][right / 64] |= (uint64_t)1 << right % 64;
}

/* Where pieces may be cut: not where characters can vanish or fuse to one unk_token, and not where bytes <0xNN> merge.
 */
static void find_joints(BpeModel *m) {
    m->cuts = m->byte_level || m->byte_fallback;
    for (int byte = 0; byte < 256; byte++)
        if ((m->byte_level ? m->byte_id : m->fallback_id)[byte] < 0) m->cuts = m->cuts && m->byte_level && !m->has_unk;
    for (size_t i = 0; i <= SIZE_MAX >> m->merges.shift && m->cuts; i++) {
        const struct MergeSlot *s = &m->merges.slot[i];
        if (s->rank == MERGE_NONE) continue;
        const VocabularyEntry *left = &m->strings->entry[s->left], *right = &m->strings->entry[s->right];
        if (left->text == NULL || right->text == NULL || left->bytes == 0 || right->bytes == 0)
            m->cuts = false;
        else
            set_joint(m, border(m, left, true), border(m, right, false));
        for (int byte = 0; byte < 256 && m->byte_fallback; byte++)
            if (s->left == m->fallback_id[byte] || s->right == m->fallback_id[byte]) m->cuts = false;
    }
    for (unsigned byte = 0; byte < 256 && m->byte_level; byte++)
        for (unsigned other = 0; other < 256 && m->byte_id[byte] < 0; other++) { // it vanishes, and its neighbours meet
            set_joint(m, byte, other);
            set_joint(m, other, byte);
        }
}

static int read_options(BpeModel *m, const json_t *json, const char *name, Error *error) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    int fallback = 0, fuse = 0, ignore = 0;
    double dropout = 0;
    const json_t *unk = json_object_get(json, "unk_token");
    if (json_get_bool(json, "byte_fallback", &fallback, name, error) != 0 ||
        json_get_bool(json, "fuse_unk", &fuse, name, error) != 0 ||
        json_get_bool(json, "ignore_merges", &ignore, name, error) != 0 ||
        json_get_number(json, "dropout", &dropout, name, error) != 0)
        return -1;
    if (dropout != 0)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: BPE with dropout %g is not supported; encoding must not be random", name, dropout);
    for (size_t i = 0; i < 2; i++)
        if (json_string_length(json_object_get(json, affixes[i])) > 0)
            return error_set(
                error, ERROR_UNSUPPORTED,
                "%s: BPE with %s \"%s\" is not supported; byte-level and byte_fallback vocabularies have none", name,
                affixes[i], json_string_value(json_object_get(json, affixes[i])));
    if (unk != NULL && !json_is_null(unk) && !json_is_string(unk))
        return error_set(error, ERROR_INPUT, "%s: unk_token must be a string or null", name);
    m->has_unk = json_is_string(unk);
    m->unk_id = m->has_unk ? vocabulary_find(&m->spelled, json_string_value(unk), json_string_length(unk)) : -1;
    m->byte_fallback = fallback && !m->byte_level; // every byte of the byte alphabet is one character already
    m->fuse_unk = fuse;
    m->ignore_merges = ignore;
    return 0;
}

static void find_symbols(BpeModel *m) {
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8], plain = (char)byte;
        snprintf(text, sizeof text, "<0x%02X>", byte);
        m->fallback_id[byte] = vocabulary_find(&m->spelled, text, 6);
        m->byte_id[byte] = m->byte_level || byte < 0x80 ? vocabulary_find(m->strings, &plain, 1) : -1;
    }
}

int bpe_model_from_json(BpeModel **model, const json_t *json, bool byte_level, const char *name, Error *error) {
    *model = NULL;
    const char *type = json_string_value(json_object_get(json, "type"));
    if (type != NULL && strcmp(type, "BPE") != 0)
        return error_set(error, ERROR_UNSUPPORTED, "%s: model type \"%s\" is not supported; there is BPE", name, type);
    const json_t *vocab = json_need(json, "vocab", JSON_OBJECT, name, error);
    const json_t *merges = vocab == NULL ? NULL : json_need(json, "merges", JSON_ARRAY, name, error);
    if (merges == NULL) return -1;
    BpeModel *m = calloc(1, sizeof *m);
    if (m == NULL) return no_memory(name, error);
    m->byte_level = byte_level;
    if (read_strings(m, vocab, name, error) != 0 || read_options(m, json, name, error) != 0 ||
        (byte_level && read_bytes(m, name, error) != 0) || read_merges(m, merges, name, error) != 0) {
        bpe_model_free(m);
        return -1;
    }
    find_symbols(m);
    find_joints(m);
    *model = m;
    return 0;
}
