#include "formats/safetensors.h"
#include "base/file.h"
#include "base/json.h"
#include "base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *path;
    FileMap map;
} Shard;

struct Checkpoint {
    Shard *shard;
    size_t shards;
    TensorView *tensor; // ordered by name
    size_t tensors;
};

static int no_memory(const char *file, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory for the list of tensors", file);
}

void checkpoint_close(Checkpoint *checkpoint) {
    if (checkpoint == NULL) return;
    for (size_t i = 0; i < checkpoint->tensors; i++) free((char *)(uintptr_t)checkpoint->tensor[i].name);
    for (size_t i = 0; i < checkpoint->shards; i++) {
        file_unmap(&checkpoint->shard[i].map);
        free(checkpoint->shard[i].path);
    }
    free(checkpoint->tensor);
    free(checkpoint->shard);
    free(checkpoint);
}

/* type and shape -> elements and bytes. */
static int read_type_and_shape(const json_t *entry, TensorView *t, Error *error) {
    static const struct {
        const char *name;
        DType type;
    } types[] = {{"F32", DTYPE_F32}, {"BF16", DTYPE_BF16}, {"F16", DTYPE_F16}};
    char place[512];
    snprintf(place, sizeof place, "%s: tensor \"%s\"", t->file, t->name);
    const json_t *type = json_need(entry, "dtype", JSON_STRING, place, error);
    const json_t *shape = type == NULL ? NULL : json_need(entry, "shape", JSON_ARRAY, place, error);
    if (shape == NULL) return -1;
    size_t k = 0;
    while (k < 3 && strcmp(types[k].name, json_string_value(type)) != 0) k++;
    if (k == 3)
        return error_set(error, ERROR_UNSUPPORTED, "%s: dtype %s is not supported; supported are F32, BF16 and F16",
                         place, json_string_value(type));
    t->type = types[k].type;
    t->rank = json_array_size(shape);
    t->elements = 1;
    if (t->rank > TENSOR_MAX_RANK)
        return error_set(error, ERROR_INPUT, "%s: %zu dimensions, at most %d were expected", place, t->rank,
                         TENSOR_MAX_RANK);
    for (size_t i = 0; i < t->rank; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return error_set(error, ERROR_INPUT, "%s: dimension %zu is not a whole number >= 0", place, i);
        t->shape[i] = (size_t)json_integer_value(d);
        if (!size_multiply(t->elements, t->shape[i], &t->elements))
            return error_set(error, ERROR_INPUT, "%s: the shape's product does not fit into 64 bits", place);
    }
    if (!size_multiply(t->elements, dtype_bytes(t->type), &t->bytes))
        return error_set(error, ERROR_INPUT, "%s: the shape's size in bytes does not fit into 64 bits", place);
    return 0;
}

/* data_offsets -> data, inside the data part [data, data + size). */
static int read_offsets(const json_t *entry, TensorView *t, const uint8_t *data, size_t size, Error *error) {
    const json_t *offsets = json_need(entry, "data_offsets", JSON_ARRAY, t->file, error);
    if (offsets == NULL) return error_prefix(error, "tensor \"%s\"", t->name);
    const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(e) || json_integer_value(b) < 0 ||
        json_integer_value(e) < json_integer_value(b))
        return error_set(error, ERROR_INPUT,
                         "%s: tensor \"%s\": data_offsets must be [begin, end] with 0 <= begin <= end", t->file,
                         t->name);
    size_t begin = (size_t)json_integer_value(b), end = (size_t)json_integer_value(e);
    if (end > size)
        return error_set(error, ERROR_INPUT,
                         "%s: tensor \"%s\" ends at byte %zu of the data, but the file has only %zu: it is truncated "
                         "or its header lies; fetch it again",
                         t->file, t->name, end, size);
    if (end - begin != t->bytes)
        return error_set(error, ERROR_INPUT,
                         "%s: tensor \"%s\": data_offsets span %zu bytes, but its type and shape need %zu", t->file,
                         t->name, end - begin, t->bytes);
    t->data = data + begin;
    return 0;
}

static int by_place(const void *a, const void *b) {
    const TensorView *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const TensorView *)a)->name, ((const TensorView *)b)->name);
}

/* [ST-1] Sorted by place, each tensor begins where the one before it ends, the last at the end of the file. */
static int check_cover(TensorView *t, size_t n, const char *file, const uint8_t *data, size_t size, Error *error) {
    qsort(t, n, sizeof *t, by_place);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (t[i].data != data + at)
            return error_set(
                error, ERROR_INPUT,
                "%s: tensor \"%s\" begins at byte %zu of the data, but the one before it ends at %zu: the header lies",
                file, t[i].name, (size_t)(t[i].data - data), at);
        at += t[i].bytes;
    }
    if (at != size)
        return error_set(error, ERROR_INPUT, "%s: the tensors end at byte %zu of the data, but the file has %zu", file,
                         at, size);
    return 0;
}

/* Appends the tensors of one file. */
static int add_file(Checkpoint *c, const char *file, const uint8_t *bytes, size_t size, Error *error) {
    uint64_t length = 0;
    if (size < 8)
        return error_set(error, ERROR_INPUT,
                         "%s: %zu bytes are too few for a safetensors file (8 for the header's length alone)", file,
                         size);
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > size - 8)
        return error_set(error, ERROR_INPUT,
                         "%s: the header should have %" PRIu64
                         " bytes, but only %zu follow: not a safetensors file, or truncated",
                         file, length, size - 8);
    json_t *header = json_parse((const char *)bytes + 8, (size_t)length, file, 1, error);
    if (header == NULL) return -1;
    int result = -1;
    const uint8_t *data = bytes + 8 + length;
    size_t data_size = size - 8 - (size_t)length, first = c->tensors;
    const char *name;
    json_t *entry;
    if (!json_is_object(header)) {
        error_set(error, ERROR_INPUT, "%s: the header is %s where an object was expected", file,
                  json_type_name(json_typeof(header)));
        goto done;
    }
    TensorView *grown = realloc(c->tensor, (first + json_object_size(header) + 1) * sizeof *grown);
    if (grown == NULL) {
        no_memory(file, error);
        goto done;
    }
    c->tensor = grown;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) continue;
        TensorView *t = &c->tensor[c->tensors];
        *t = (TensorView){.name = strdup(name), .file = file};
        if (t->name == NULL) {
            no_memory(file, error);
            goto done;
        }
        c->tensors++;
        if (read_type_and_shape(entry, t, error) != 0 || read_offsets(entry, t, data, data_size, error) != 0) goto done;
    }
    result = check_cover(c->tensor + first, c->tensors - first, file, data, data_size, error);
done:
    json_decref(header);
    return result;
}

static int finish(Checkpoint *c, const char *path, Error *error) {
    qsort(c->tensor, c->tensors, sizeof *c->tensor, by_name);
    for (size_t i = 1; i < c->tensors; i++)
        if (strcmp(c->tensor[i - 1].name, c->tensor[i].name) == 0)
            return error_set(error, ERROR_INPUT, "%s: the tensor \"%s\" is there twice, in %s and %s", path,
                             c->tensor[i].name, c->tensor[i - 1].file, c->tensor[i].file);
    return 0;
}

int checkpoint_from_memory(Checkpoint **checkpoint, const void *bytes, size_t size, const char *name, Error *error) {
    Checkpoint *c = calloc(1, sizeof *c);
    if (c == NULL) return no_memory(name, error);
    if ((c->shard = calloc(1, sizeof *c->shard)) == NULL || (c->shard[0].path = strdup(name)) == NULL) {
        checkpoint_close(c);
        return no_memory(name, error);
    }
    c->shards = 1;
    if (add_file(c, c->shard[0].path, bytes, size, error) != 0 || finish(c, name, error) != 0) {
        checkpoint_close(c);
        return -1;
    }
    *checkpoint = c;
    return 0;
}

/* Takes over `path`. */
static int add_shard(Checkpoint *c, char *path, Error *error) {
    Shard *grown = path == NULL ? NULL : realloc(c->shard, (c->shards + 1) * sizeof *grown);
    if (grown == NULL) {
        free(path);
        return no_memory("checkpoint", error);
    }
    c->shard = grown;
    Shard *s = &c->shard[c->shards++];
    *s = (Shard){.path = path};
    if (file_map(&s->map, path, error) != 0) return -1;
    return add_file(c, path, s->map.data, s->map.size, error);
}

static int has_shard(const Checkpoint *c, const char *path) {
    for (size_t i = 0; i < c->shards; i++)
        if (strcmp(c->shard[i].path, path) == 0) return 1;
    return 0;
}

static int open_index(Checkpoint *c, const char *directory, const char *index_path, Error *error) {
    json_t *index = json_parse_file(index_path, error);
    if (index == NULL) return -1;
    int result = -1;
    const char *name;
    json_t *file, *map = json_need(index, "weight_map", JSON_OBJECT, index_path, error);
    if (map == NULL) goto done;
    json_object_foreach(map, name, file) {
        const char *text = json_string_value(file);
        if (text == NULL || text[0] == 0 || strchr(text, '/') != NULL || strcmp(text, "..") == 0) {
            error_set(error, ERROR_INPUT, "%s: weight_map of \"%s\" must be the name of a file beside the index",
                      index_path, name);
            goto done;
        }
        char *path = file_join(directory, text);
        if (path != NULL && has_shard(c, path))
            free(path);
        else if (add_shard(c, path, error) != 0)
            goto done;
    }
    qsort(c->tensor, c->tensors, sizeof *c->tensor, by_name);
    json_object_foreach(map, name, file) { // [ST-2]
        const TensorView *t = checkpoint_find(c, name);
        const char *base = t == NULL ? NULL : strrchr(t->file, '/') + 1;
        if (t == NULL || strcmp(base, json_string_value(file)) != 0) {
            error_set(error, ERROR_INPUT, "%s: the tensor \"%s\" is not in %s", index_path, name,
                      json_string_value(file));
            goto done;
        }
    }
    result = 0;
done:
    json_decref(index);
    return result;
}

int checkpoint_open(Checkpoint **checkpoint, const char *path, Error *error) {
    Checkpoint *c = calloc(1, sizeof *c);
    char *single = file_join(path, "model.safetensors"), *index = file_join(path, "model.safetensors.index.json");
    int result = -1;
    if (c == NULL || single == NULL || index == NULL)
        no_memory(path, error);
    else if (!file_is_directory(path))
        result = add_shard(c, strdup(path), error);
    else if (file_exists(index))
        result = open_index(c, path, index, error);
    else if (file_exists(single))
        result = add_shard(c, strdup(single), error);
    else
        error_set(error, ERROR_IO,
                  "%s: has neither model.safetensors nor model.safetensors.index.json; give a Hugging Face checkpoint "
                  "directory",
                  path);
    if (result == 0) result = finish(c, path, error);
    free(single);
    free(index);
    if (result == 0)
        *checkpoint = c;
    else
        checkpoint_close(c);
    return result;
}

size_t checkpoint_count(const Checkpoint *checkpoint) { return checkpoint->tensors; }

const TensorView *checkpoint_at(const Checkpoint *checkpoint, size_t index) { return &checkpoint->tensor[index]; }

const TensorView *checkpoint_find(const Checkpoint *checkpoint, const char *name) {
    TensorView key = {.name = name};
    if (checkpoint->tensors == 0) return NULL;
    return bsearch(&key, checkpoint->tensor, checkpoint->tensors, sizeof key, by_name);
}

/* Elements as float32, unchecked. The loops are vectors for the compiler. */
static void convert(const TensorView *tensor, size_t first, size_t count, float *out) {
    const uint8_t *p = tensor->data + first * dtype_bytes(tensor->type);
    if (tensor->type == DTYPE_F32) {
        memcpy(out, p, count * sizeof *out);
    } else if (tensor->type == DTYPE_BF16) {
#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            bf16 x;
            memcpy(&x, p + 2 * i, 2);
            out[i] = dtype_bf16_to_float(x);
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            uint16_t x;
            memcpy(&x, p + 2 * i, 2);
            out[i] = dtype_f16_to_float(x);
        }
    }
}

int tensor_read_f32(const TensorView *tensor, size_t first, size_t count, float *out, Error *error) {
    int32_t largest = 0; // magnitude bits: at least 0x7f800000 for an infinity or a NaN, and only for these
    convert(tensor, first, count, out);
#pragma omp simd reduction(max : largest)
    for (size_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, out + i, 4);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    if (largest < 0x7f800000) return 0;
    size_t at = 0;
    while (isfinite(out[at])) at++;
    return error_set(error, ERROR_NUMERIC, "%s: tensor \"%s\", element %zu is %s: the checkpoint is broken",
                     tensor->file, tensor->name, first + at, isnan(out[at]) ? "not a number" : "infinite");
}
