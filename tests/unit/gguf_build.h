/* gguf_build.h - writes small GGUF files for tests: pairs and tensors in any order, then gguf_build_finish. */
#pragma once
#include "base/buffer.h"
#include "test.h"

#include <string.h>

typedef struct {
    Buffer pairs, tensors, data; // data: of the tensors
    uint64_t pair_count, tensor_count;
    uint32_t version;
} GgufBuild;

static inline void gguf_build_u32(Buffer *b, uint32_t x) { buffer_append(b, &x, 4); }
static inline void gguf_build_u64(Buffer *b, uint64_t x) { buffer_append(b, &x, 8); }

static inline void gguf_build_text(Buffer *b, const char *text) {
    gguf_build_u64(b, strlen(text));
    buffer_append_text(b, text);
}

/* A pair whose value is these bytes. Types: 4 uint32, 5 int32, 6 float32, 7 bool, 8 string, 9 array. */
static inline void gguf_build_pair(GgufBuild *g, const char *key, uint32_t type, const void *value, size_t bytes) {
    gguf_build_text(&g->pairs, key);
    gguf_build_u32(&g->pairs, type);
    buffer_append(&g->pairs, value, bytes);
    g->pair_count++;
}

static inline void gguf_build_integer(GgufBuild *g, const char *key, uint32_t value) {
    gguf_build_pair(g, key, 4, &value, 4);
}
static inline void gguf_build_float(GgufBuild *g, const char *key, float value) {
    gguf_build_pair(g, key, 6, &value, 4);
}
static inline void gguf_build_bool(GgufBuild *g, const char *key, uint8_t value) {
    gguf_build_pair(g, key, 7, &value, 1);
}

static inline void gguf_build_string(GgufBuild *g, const char *key, const char *value) {
    gguf_build_pair(g, key, 8, NULL, 0);
    gguf_build_text(&g->pairs, value);
}

static inline void gguf_build_strings(GgufBuild *g, const char *key, const char *const *value, size_t count) {
    gguf_build_pair(g, key, 9, NULL, 0);
    gguf_build_u32(&g->pairs, 8);
    gguf_build_u64(&g->pairs, count);
    for (size_t i = 0; i < count; i++) gguf_build_text(&g->pairs, value[i]);
}

static inline void gguf_build_numbers(GgufBuild *g, const char *key, uint32_t type, const void *value, size_t count) {
    gguf_build_pair(g, key, 9, NULL, 0);
    gguf_build_u32(&g->pairs, type);
    gguf_build_u64(&g->pairs, count);
    buffer_append(&g->pairs, value, 4 * count);
}

/* columns: the fastest dimension; rows 0: a vector. */
static inline void gguf_build_tensor(GgufBuild *g, const char *name, uint32_t type, size_t columns, size_t rows,
                                     const void *data, size_t bytes) {
    gguf_build_text(&g->tensors, name);
    gguf_build_u32(&g->tensors, rows == 0 ? 1 : 2);
    gguf_build_u64(&g->tensors, columns);
    if (rows > 0) gguf_build_u64(&g->tensors, rows);
    gguf_build_u32(&g->tensors, type);
    gguf_build_u64(&g->tensors, g->data.size);
    buffer_append(&g->data, data, bytes);
    while (g->data.size % 32 != 0) buffer_append(&g->data, "", 1);
    g->tensor_count++;
}

/* The whole file, to be freed by buffer_free; what was given is freed. */
static inline Buffer gguf_build_finish(GgufBuild *g) {
    Buffer file = {0};
    buffer_append_text(&file, "GGUF");
    gguf_build_u32(&file, g->version == 0 ? 3 : g->version);
    gguf_build_u64(&file, g->tensor_count);
    gguf_build_u64(&file, g->pair_count);
    buffer_append(&file, g->pairs.data, g->pairs.size);
    buffer_append(&file, g->tensors.data, g->tensors.size);
    while (file.size % 32 != 0) buffer_append(&file, "", 1);
    buffer_append(&file, g->data.data, g->data.size);
    buffer_free(&g->pairs);
    buffer_free(&g->tensors);
    buffer_free(&g->data);
    *g = (GgufBuild){0};
    return file;
}
