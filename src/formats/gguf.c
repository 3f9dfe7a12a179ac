#include "formats/gguf.h"
#include "base/file.h"
#include "base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { T_U8, T_I8, T_U16, T_I16, T_U32, T_I32, T_F32, T_BOOL, T_STRING, T_ARRAY, T_U64, T_I64, T_F64, TYPES };

static const char *const type_names[TYPES] = {"uint8",   "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                              "boolean", "string", "array",  "uint64", "int64",  "float64"};
static const size_t type_bytes[TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8}; // strings and arrays: at least

typedef struct {
    char *key;
    uint32_t type;
    const uint8_t *value; // of an array: its u32 type
} Pair;

struct Gguf {
    char *name;
    FileMap map;
    Pair *pair; // ordered by key
    size_t pairs;
    GgufTensor *tensor; // in the order of the data
    const GgufTensor **by_name;
    size_t tensors;
};

/* What is left of the file, and where errors go. */
typedef struct {
    const uint8_t *begin, *at, *end;
    const char *name;
    Error *error;
} Reader;

static uint64_t little(const uint8_t *p, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = bytes; i > 0; i--) value = value << 8 | p[i - 1];
    return value;
}

static int no_memory(const char *name, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory for its metadata", name);
}

/* Moves over `bytes` bytes, which are at *field. */
static int take(Reader *r, uint64_t bytes, const char *what, const uint8_t **field) {
    if (bytes > (uint64_t)(r->end - r->at))
        return error_set(r->error, ERROR_INPUT,
                         "%s: at byte %zu, %s needs %" PRIu64
                         " bytes, but only %zu follow: the file is truncated or damaged; fetch it again",
                         r->name, (size_t)(r->at - r->begin), what, bytes, (size_t)(r->end - r->at));
    *field = r->at;
    r->at += bytes;
    return 0;
}

static int take_integer(Reader *r, size_t bytes, const char *what, uint64_t *value) {
    const uint8_t *p = NULL;
    if (take(r, bytes, what, &p) != 0) return -1;
    *value = little(p, bytes);
    return 0;
}

/* A key or a tensor's name, as a C string of its own. */
static int take_name(Reader *r, const char *what, char **name) {
    uint64_t bytes = 0;
    const uint8_t *p = NULL;
    size_t at = (size_t)(r->at - r->begin);
    if (take_integer(r, 8, what, &bytes) != 0 || take(r, bytes, what, &p) != 0) return -1;
    if (bytes == 0 || bytes > 65535 || memchr(p, 0, bytes) != NULL)
        return error_set(r->error, ERROR_INPUT, "%s: at byte %zu, %s must have 1 to 65535 bytes, none of them 0",
                         r->name, at, what);
    *name = strndup((const char *)p, bytes);
    return *name == NULL ? no_memory(r->name, r->error) : 0;
}

static int skip_value(Reader *r, uint32_t type, const char *key) {
    const uint8_t *p = NULL;
    uint64_t n = 0, element = 0;
    if (type == T_STRING) return take_integer(r, 8, key, &n) != 0 ? -1 : take(r, n, key, &p);
    if (type != T_ARRAY) return take(r, type_bytes[type], key, &p);
    if (take_integer(r, 4, key, &element) != 0 || take_integer(r, 8, key, &n) != 0) return -1;
    if (element >= TYPES || element == T_ARRAY)
        return error_set(r->error, ERROR_INPUT,
                         "%s: the array \"%s\" has elements of type %" PRIu64 "; 0 to %d but not %d were expected",
                         r->name, key, element, TYPES - 1, T_ARRAY);
    if (n > (uint64_t)(r->end - r->at) / type_bytes[element])
        return error_set(r->error, ERROR_INPUT,
                         "%s: the array \"%s\" should have %" PRIu64
                         " elements, more than the rest of the file can hold",
                         r->name, key, n);
    if (element != T_STRING) return take(r, n * type_bytes[element], key, &p);
    for (uint64_t i = 0; i < n; i++)
        if (skip_value(r, T_STRING, key) != 0) return -1;
    return 0;
}

static int by_key(const void *a, const void *b) { return strcmp(((const Pair *)a)->key, ((const Pair *)b)->key); }

static int read_pairs(Gguf *g, Reader *r, size_t count) {
    if ((g->pair = calloc(count + 1, sizeof *g->pair)) == NULL) return no_memory(r->name, r->error);
    for (size_t i = 0; i < count; i++) {
        Pair *pair = &g->pair[i];
        uint64_t type = 0;
        if (take_name(r, "a key", &pair->key) != 0) return -1;
        g->pairs++;
        if (take_integer(r, 4, pair->key, &type) != 0) return -1;
        if (type >= TYPES)
            return error_set(r->error, ERROR_INPUT, "%s: \"%s\" has the type %" PRIu64 "; 0 to %d were expected",
                             r->name, pair->key, type, TYPES - 1);
        pair->type = (uint32_t)type;
        pair->value = r->at;
        if (skip_value(r, pair->type, pair->key) != 0) return -1;
    }
    qsort(g->pair, count, sizeof *g->pair, by_key);
    for (size_t i = 1; i < count; i++) // [GG-3]
        if (strcmp(g->pair[i - 1].key, g->pair[i].key) == 0)
            return error_set(r->error, ERROR_INPUT, "%s: the key \"%s\" is there twice", r->name, g->pair[i].key);
    return 0;
}

/* Shape, type -> elements, bytes; *offset from the beginning of the data. */
static int read_tensor(Reader *r, GgufTensor *t, uint64_t *offset) {
    uint64_t rank = 0, type = 0;
    t->elements = 1;
    if (take_integer(r, 4, t->name, &rank) != 0) return -1;
    if (rank > GGUF_MAX_RANK)
        return error_set(r->error, ERROR_INPUT,
                         "%s: tensor \"%s\" has %" PRIu64 " dimensions, at most %d were expected", r->name, t->name,
                         rank, GGUF_MAX_RANK);
    t->rank = (size_t)rank;
    for (size_t i = 0; i < GGUF_MAX_RANK; i++) {
        uint64_t n = 1;
        if (i < t->rank && take_integer(r, 8, t->name, &n) != 0) return -1;
        t->shape[i] = (size_t)n;
        if (n == 0 || !size_multiply(t->elements, t->shape[i], &t->elements))
            return error_set(r->error, ERROR_INPUT,
                             "%s: tensor \"%s\": dimension %zu is 0, or the shape's product does not fit into 64 bits",
                             r->name, t->name, i);
    }
    if (take_integer(r, 4, t->name, &type) != 0 || take_integer(r, 8, t->name, offset) != 0) return -1;
    t->format = gguf_format((uint32_t)type);
    if (t->format->bytes == 0)
        return error_set(r->error, ERROR_UNSUPPORTED,
                         "%s: tensor \"%s\" has type %" PRIu64
                         " (%s), which is not supported; supported are " GGUF_TENSOR_TYPES,
                         r->name, t->name, type, t->format->name == NULL ? "unknown" : t->format->name);
    if (t->shape[0] % t->format->elements != 0)
        return error_set(r->error, ERROR_INPUT,
                         "%s: tensor \"%s\": rows of %zu numbers are no whole blocks of %zu, which %s asks for",
                         r->name, t->name, t->shape[0], t->format->elements, t->format->name);
    if (!size_multiply(t->elements / t->format->elements, t->format->bytes, &t->bytes))
        return error_set(r->error, ERROR_INPUT, "%s: tensor \"%s\": its size in bytes does not fit into 64 bits",
                         r->name, t->name);
    return 0;
}

static int by_place(const void *a, const void *b) {
    const GgufTensor *x = a, *y = b;
    return x->data != y->data ? (x->data < y->data ? -1 : 1) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const GgufTensor *const *)a)->name, (*(const GgufTensor *const *)b)->name);
}

/* Offsets -> data, from the multiple of the alignment that follows the list. */
static int place_tensors(Gguf *g, Reader *r, const uint64_t *offset) {
    int64_t alignment = 32;
    if (gguf_integer(g, "general.alignment", 1, 1 << 20, &alignment, r->error) != 0) return -1;
    if (alignment % 8 != 0)
        return error_set(r->error, ERROR_INPUT, "%s: general.alignment is %" PRId64 "; a multiple of 8 was expected",
                         r->name, alignment);
    size_t size = (size_t)(r->end - r->begin), start = size_round_up((size_t)(r->at - r->begin), (size_t)alignment);
    for (size_t i = 0; i < g->tensors; i++) {
        GgufTensor *t = &g->tensor[i];
        if (offset[i] % (uint64_t)alignment != 0)
            return error_set(r->error, ERROR_INPUT,
                             "%s: tensor \"%s\" begins at byte %" PRIu64
                             " of the data, no multiple of the alignment %" PRId64,
                             r->name, t->name, offset[i], alignment);
        if (start > size || offset[i] > size - start || t->bytes > size - start - (size_t)offset[i])
            return error_set(r->error, ERROR_INPUT,
                             "%s: tensor \"%s\" (%zu bytes at %" PRIu64
                             " of the data) goes beyond the end of the file (%zu bytes): it is "
                             "truncated or damaged; fetch it again",
                             r->name, t->name, t->bytes, offset[i], size);
        t->data = r->begin + start + offset[i];
    }
    qsort(g->tensor, g->tensors, sizeof *g->tensor, by_place);
    for (size_t i = 1; i < g->tensors; i++) // [GG-2]
        if (g->tensor[i].data < g->tensor[i - 1].data + g->tensor[i - 1].bytes)
            return error_set(r->error, ERROR_INPUT, "%s: the tensors \"%s\" and \"%s\" overlap", r->name,
                             g->tensor[i - 1].name, g->tensor[i].name);
    for (size_t i = 0; i < g->tensors; i++) g->by_name[i] = &g->tensor[i];
    qsort(g->by_name, g->tensors, sizeof *g->by_name, by_name);
    for (size_t i = 1; i < g->tensors; i++) // [GG-3]
        if (strcmp(g->by_name[i - 1]->name, g->by_name[i]->name) == 0)
            return error_set(r->error, ERROR_INPUT, "%s: the tensor \"%s\" is there twice", r->name,
                             g->by_name[i]->name);
    return 0;
}

static int read_tensors(Gguf *g, Reader *r, size_t count) {
    uint64_t *offset = calloc(count + 1, sizeof *offset);
    int result = -1;
    g->tensor = calloc(count + 1, sizeof *g->tensor);
    g->by_name = calloc(count + 1, sizeof *g->by_name);
    if (offset == NULL || g->tensor == NULL || g->by_name == NULL) {
        no_memory(r->name, r->error);
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        g->tensor[i].file = g->name;
        if (take_name(r, "a tensor's name", &g->tensor[i].name) != 0) goto done;
        g->tensors++;
        if (read_tensor(r, &g->tensor[i], &offset[i]) != 0) goto done;
    }
    result = place_tensors(g, r, offset);
done:
    free(offset);
    return result;
}

/* Magic, version, counts. A pair has at least 13 bytes, a tensor 24: larger counts than fit are lies. */
static int read_head(Reader *r, size_t *tensors, size_t *pairs) {
    enum { LEAST_PAIR = 13, LEAST_TENSOR = 24 };
    uint64_t magic = 0, version = 0, t = 0, p = 0;
    if (take_integer(r, 4, "the magic", &magic) != 0) return -1;
    if (memcmp(r->begin, "GGUF", 4) != 0)
        return error_set(r->error, ERROR_INPUT, "%s: does not begin with \"GGUF\": it is no GGUF file", r->name);
    if (take_integer(r, 4, "the version", &version) != 0) return -1;
    if (version != 0 && (version & 0xffff) == 0)
        return error_set(r->error, ERROR_UNSUPPORTED,
                         "%s: is a big-endian GGUF file; only little-endian ones are supported", r->name);
    if (version < 2 || version > 3)
        return error_set(r->error, ERROR_UNSUPPORTED,
                         "%s: GGUF version %" PRIu64 " is not supported; supported are 2 and 3", r->name, version);
    if (take_integer(r, 8, "the number of tensors", &t) != 0 || take_integer(r, 8, "the number of keys", &p) != 0)
        return -1;
    uint64_t left = (uint64_t)(r->end - r->at);
    if (t > left / LEAST_TENSOR || p > left / LEAST_PAIR)
        return error_set(r->error, ERROR_INPUT,
                         "%s: should have %" PRIu64 " tensors and %" PRIu64 " keys, more than its %" PRIu64
                         " bytes can hold",
                         r->name, t, p, left);
    *tensors = (size_t)t;
    *pairs = (size_t)p;
    return 0;
}

static int parse(Gguf **gguf, Gguf *g, const uint8_t *bytes, size_t size, Error *error) {
    Reader r = {bytes, bytes, bytes + size, g->name, error};
    size_t tensors = 0, pairs = 0;
    if (read_head(&r, &tensors, &pairs) != 0 || read_pairs(g, &r, pairs) != 0 || read_tensors(g, &r, tensors) != 0) {
        gguf_close(g);
        return -1;
    }
    *gguf = g;
    return 0;
}

static Gguf *create(const char *name, Error *error) {
    Gguf *g = calloc(1, sizeof *g);
    if (g != NULL && (g->name = strdup(name)) != NULL) return g;
    free(g);
    no_memory(name, error);
    return NULL;
}

int gguf_from_memory(Gguf **gguf, const void *bytes, size_t size, const char *name, Error *error) {
    Gguf *g = create(name, error);
    return g == NULL ? -1 : parse(gguf, g, bytes, size, error);
}

int gguf_open(Gguf **gguf, const char *path, Error *error) {
    Gguf *g = create(path, error);
    if (g == NULL) return -1;
    if (file_map(&g->map, path, error) != 0) {
        gguf_close(g);
        return -1;
    }
    return parse(gguf, g, g->map.data == NULL ? (const uint8_t *)"" : g->map.data, g->map.size, error);
}

void gguf_close(Gguf *gguf) {
    if (gguf == NULL) return;
    for (size_t i = 0; i < gguf->pairs; i++) free(gguf->pair[i].key);
    for (size_t i = 0; i < gguf->tensors; i++) free(gguf->tensor[i].name);
    free(gguf->pair);
    free(gguf->tensor);
    free(gguf->by_name);
    free(gguf->name);
    file_unmap(&gguf->map);
    free(gguf);
}

const char *gguf_name(const Gguf *gguf) { return gguf->name; }

size_t gguf_tensors(const Gguf *gguf) { return gguf->tensors; }

const GgufTensor *gguf_tensor_at(const Gguf *gguf, size_t index) { return &gguf->tensor[index]; }

const GgufTensor *gguf_tensor(const Gguf *gguf, const char *name) {
    GgufTensor wanted = {.name = (char *)(uintptr_t)name};
    const GgufTensor *key = &wanted;
    const GgufTensor **found =
        gguf->tensors == 0 ? NULL : bsearch(&key, gguf->by_name, gguf->tensors, sizeof key, by_name);
    return found == NULL ? NULL : *found;
}

static const Pair *find(const Gguf *gguf, const char *key) {
    Pair wanted = {.key = (char *)(uintptr_t)key};
    return gguf->pairs == 0 ? NULL : bsearch(&wanted, gguf->pair, gguf->pairs, sizeof wanted, by_key);
}

bool gguf_has(const Gguf *gguf, const char *key) { return find(gguf, key) != NULL; }

static int wrong_type(const Gguf *gguf, const Pair *pair, const char *expected, Error *error) {
    return error_set(error, ERROR_INPUT, "%s: \"%s\" is of type %s where %s was expected", gguf->name, pair->key,
                     type_names[pair->type], expected);
}

static bool is_signed(uint32_t type) { return type == T_I8 || type == T_I16 || type == T_I32 || type == T_I64; }

static bool is_integer(uint32_t type) {
    return is_signed(type) || type == T_U8 || type == T_U16 || type == T_U32 || type == T_U64;
}

static bool is_number(uint32_t type) { return is_integer(type) || type == T_F32 || type == T_F64; }

/* A signed number's bits, extended to 64. */
static int64_t to_signed(uint32_t type, const uint8_t *value) {
    size_t unused = 64 - 8 * type_bytes[type];
    return (int64_t)(little(value, type_bytes[type]) << unused) >> unused;
}

static double to_double(uint32_t type, const uint8_t *value) {
    uint64_t bits = little(value, type_bytes[type]);
    uint32_t bits32 = (uint32_t)bits;
    float single;
    double number;
    memcpy(&single, &bits32, 4);
    memcpy(&number, &bits, 8);
    return type == T_F32     ? (double)single
           : type == T_F64   ? number
           : is_signed(type) ? (double)to_signed(type, value)
                             : (double)bits;
}

int gguf_integer(const Gguf *gguf, const char *key, int64_t low, int64_t high, int64_t *value, Error *error) {
    const Pair *pair = find(gguf, key);
    if (pair == NULL) return 0;
    if (!is_integer(pair->type)) return wrong_type(gguf, pair, "a whole number", error);
    uint64_t bits = little(pair->value, type_bytes[pair->type]);
    int64_t number = is_signed(pair->type) ? to_signed(pair->type, pair->value)
                     : bits > INT64_MAX    ? INT64_MAX
                                           : (int64_t)bits;
    if (number < low || number > high)
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %" PRId64 ", outside %" PRId64 " .. %" PRId64, gguf->name,
                         key, number, low, high);
    *value = number;
    return 0;
}

int gguf_number(const Gguf *gguf, const char *key, double *value, Error *error) {
    const Pair *pair = find(gguf, key);
    if (pair == NULL) return 0;
    if (!is_number(pair->type)) return wrong_type(gguf, pair, "a number", error);
    double number = to_double(pair->type, pair->value);
    if (!isfinite(number)) return error_set(error, ERROR_INPUT, "%s: \"%s\" is not finite", gguf->name, key);
    *value = number;
    return 0;
}

int gguf_bool(const Gguf *gguf, const char *key, bool *value, Error *error) {
    const Pair *pair = find(gguf, key);
    if (pair == NULL) return 0;
    if (pair->type != T_BOOL) return wrong_type(gguf, pair, "a boolean", error);
    *value = *pair->value != 0;
    return 0;
}

int gguf_string(const Gguf *gguf, const char *key, GgufString *value, Error *error) {
    const Pair *pair = find(gguf, key);
    if (pair == NULL) return 0;
    if (pair->type != T_STRING) return wrong_type(gguf, pair, "a string", error);
    *value = (GgufString){(const char *)pair->value + 8, (size_t)little(pair->value, 8)};
    return 0;
}

static int get_array(const Gguf *gguf, const char *key, bool strings, GgufArray *array, Error *error) {
    const Pair *pair = find(gguf, key);
    *array = (GgufArray){0};
    if (pair == NULL) return 0;
    const char *expected = strings ? "an array of strings" : "an array of numbers";
    if (pair->type != T_ARRAY) return wrong_type(gguf, pair, expected, error);
    uint32_t type = (uint32_t)little(pair->value, 4);
    if (strings ? type != T_STRING : !is_number(type))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is an array of type %s where %s was expected", gguf->name, key,
                         type_names[type], expected);
    *array = (GgufArray){(size_t)little(pair->value + 4, 8), type, pair->value + 12};
    return 0;
}

int gguf_strings(const Gguf *gguf, const char *key, GgufArray *array, Error *error) {
    return get_array(gguf, key, true, array, error);
}

int gguf_numbers(const Gguf *gguf, const char *key, GgufArray *array, Error *error) {
    return get_array(gguf, key, false, array, error);
}

GgufString gguf_next_string(GgufArray *array) {
    GgufString string = {(const char *)array->at + 8, (size_t)little(array->at, 8)};
    array->at += 8 + string.bytes;
    array->count--;
    return string;
}

double gguf_next_number(GgufArray *array) {
    double number = to_double(array->type, array->at);
    array->at += type_bytes[array->type];
    array->count--;
    return number;
}

int gguf_read_f32(const GgufTensor *tensor, size_t first, size_t count, float *out, Error *error) {
    size_t row = tensor->shape[0], blocks = row / tensor->format->elements;
    gguf_dequantize(tensor->format, tensor->data + first * blocks * tensor->format->bytes, count * blocks, out);
    for (size_t i = 0; i < count * row; i++)
        if (!isfinite(out[i]))
            return error_set(error, ERROR_NUMERIC,
                             "%s: tensor \"%s\" (%s), row %zu, column %zu is %s: the file is broken", tensor->file,
                             tensor->name, tensor->format->name, first + i / row, i % row,
                             isnan(out[i]) ? "not a number" : "infinite");
    return 0;
}
