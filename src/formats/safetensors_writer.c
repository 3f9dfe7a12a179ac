#include "formats/safetensors_writer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int bytes_of(const TensorSource *t, size_t *bytes, Error *error) {
    size_t n = dtype_bytes(t->type);
    for (size_t i = 0; i < t->rank; i++)
        if (!size_multiply(n, t->shape[i], &n))
            return error_set(error, ERROR_INPUT, "tensor \"%s\": its size does not fit into 64 bits", t->name);
    *bytes = n;
    return 0;
}

/* The header of tensors in the given order (a new reference). */
static json_t *make_header(const TensorSource *tensor, size_t count, Error *error) {
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    size_t at = 0, bytes = 0;
    for (size_t i = 0; header != NULL && i < count; i++) {
        const TensorSource *t = &tensor[i];
        if (bytes_of(t, &bytes, error) != 0) {
            json_decref(header);
            return NULL;
        }
        json_t *shape = json_array();
        for (size_t d = 0; d < t->rank; d++) json_array_append_new(shape, json_integer((json_int_t)t->shape[d]));
        json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->type == DTYPE_F32 ? "F32" : "BF16", "shape",
                                  shape, "data_offsets", (json_int_t)at, (json_int_t)(at + bytes));
        if (json_object_set_new(header, t->name, entry) != 0) {
            json_decref(header);
            header = NULL;
        }
        at += bytes;
    }
    if (header == NULL) error_set(error, ERROR_MEMORY, "no memory for the header of a safetensors file");
    return header;
}

/* The first failed write is remembered by the stream; commit reports it. */
static void write_values(FILE *stream, DType type, const float *values, size_t n) {
    enum { CHUNK = 4096 };
    if (type == DTYPE_F32) {
        fwrite(values, sizeof(float), n, stream);
        return;
    }
    bf16 chunk[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t k = n - i < CHUNK ? n - i : CHUNK;
        for (size_t j = 0; j < k; j++) chunk[j] = dtype_bf16_from_float(values[i + j]);
        fwrite(chunk, sizeof(bf16), k, stream);
    }
}

static int write_tensor(FILE *stream, const TensorSource *t, Error *error) {
    size_t row = t->rank == 0 ? 1 : t->shape[t->rank - 1], rows = 1;
    for (size_t i = 0; i + 1 < t->rank; i++) rows *= t->shape[i];
    if (t->values != NULL || row == 0) {
        write_values(stream, t->type, t->values, rows * row);
        return 0;
    }
    float *values = calloc(row, sizeof *values);
    if (values == NULL) return error_set(error, ERROR_MEMORY, "tensor \"%s\": no memory for a row", t->name);
    int result = 0;
    for (size_t r = 0; r < rows && result == 0 && !ferror(stream); r++) {
        result = t->read_row(t->context, r, values, error);
        if (result == 0) write_values(stream, t->type, values, row);
    }
    free(values);
    return result;
}

int safetensors_write_file(const char *path, const TensorSource *tensor, size_t count, Error *error) {
    json_t *header = make_header(tensor, count, error);
    if (header == NULL) return error_prefix(error, "%s", path);
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (text == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for the header", path);
    FileWriter writer;
    int result = file_writer_open(&writer, path, error);
    if (result == 0) {
        size_t length = strlen(text), padded = size_round_up(length, 8); // data begins on a multiple of 8
        uint8_t prefix[8];
        for (int i = 0; i < 8; i++) prefix[i] = (uint8_t)((uint64_t)padded >> 8 * i);
        fwrite(prefix, 1, 8, writer.stream);
        fwrite(text, 1, length, writer.stream);
        for (size_t i = length; i < padded; i++) fputc(' ', writer.stream);
        for (size_t i = 0; i < count && result == 0 && !ferror(writer.stream); i++)
            result = write_tensor(writer.stream, &tensor[i], error);
        if (result == 0)
            result = file_writer_commit(&writer, error);
        else
            file_writer_abort(&writer);
    }
    free(text);
    return result;
}

/* The end of the shard that begins at `first`: at least one tensor, at most shard_bytes where that is possible. */
static size_t shard_end(const TensorSource *tensor, size_t count, size_t first, size_t shard_bytes) {
    size_t end = first, sum = 0, bytes = 0;
    while (end < count && bytes_of(&tensor[end], &bytes, NULL) == 0 && size_add(sum, bytes, &bytes) &&
           (end == first || bytes <= shard_bytes))
        sum = bytes, end++;
    return end;
}

static char *shard_path(const char *directory, size_t shard, size_t shards) {
    char name[64];
    snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
    return file_join(directory, name);
}

static int write_shards(const char *directory, const TensorSource *tensor, size_t count, size_t shard_bytes,
                        size_t shards, json_t *map, Error *error) {
    size_t first = 0;
    for (size_t s = 0; s < shards; s++) {
        size_t end = shard_end(tensor, count, first, shard_bytes);
        char *path = shard_path(directory, s, shards);
        if (path == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", directory);
        int result = safetensors_write_file(path, tensor + first, end - first, error);
        for (size_t i = first; i < end; i++)
            json_object_set_new(map, tensor[i].name, json_string(strrchr(path, '/') + 1));
        free(path);
        if (result != 0) return -1;
        first = end;
    }
    return 0;
}

static int write_index(const char *directory, json_t *map, size_t total, Error *error) {
    json_t *index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    char *text = index == NULL ? NULL : json_dumps(index, JSON_INDENT(2) | JSON_SORT_KEYS);
    char *path = file_join(directory, "model.safetensors.index.json");
    int result = text == NULL || path == NULL ? error_set(error, ERROR_MEMORY, "%s: no memory for the index", directory)
                                              : file_write(path, text, strlen(text), error);
    free(path);
    free(text);
    json_decref(index);
    return result;
}

int safetensors_write(const char *directory, const TensorSource *tensor, size_t count, size_t shard_bytes,
                      Error *error) {
    if (shard_bytes == 0) shard_bytes = 5000000000u;
    size_t shards = 0, total = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (bytes_of(&tensor[i], &bytes, error) != 0) return -1;
        if (!size_add(total, bytes, &total))
            return error_set(error, ERROR_INPUT, "%s: the checkpoint's size does not fit into 64 bits", directory);
    }
    for (size_t first = 0; first < count; shards++) first = shard_end(tensor, count, first, shard_bytes);
    if (shards <= 1) {
        char *path = file_join(directory, "model.safetensors");
        int result = path == NULL ? error_set(error, ERROR_MEMORY, "%s: no memory", directory)
                                  : safetensors_write_file(path, tensor, count, error);
        free(path);
        return result;
    }
    json_t *map = json_object();
    int result = write_shards(directory, tensor, count, shard_bytes, shards, map, error);
    if (result == 0) result = write_index(directory, map, total, error);
    for (size_t s = 0; result != 0 && s < shards; s++) {
        char *path = shard_path(directory, s, shards);
        if (path != NULL) unlink(path);
        free(path);
    }
    json_decref(map);
    return result;
}
