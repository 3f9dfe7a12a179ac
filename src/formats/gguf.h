/* gguf.h - a GGUF file, mapped: its metadata by key, its tensors by name.
 *
 * File, little-endian: magic "GGUF", u32 version (2 or 3), u64 tensors, u64 pairs; the pairs {string key, u32 type,
 * value}; the tensors {string name, u32 rank, u64 shape[rank], u32 type, u64 offset}; zeros up to a multiple of the
 * alignment (general.alignment, 32); the data. A string is {u64 bytes, the bytes}; an array {u32 type, u64 count,
 * values}. Everything a file says is checked before it is used: each count, string and tensor lies inside the file
 * [GG-1], offsets are aligned and tensors do not overlap [GG-2], keys and names are there once [GG-3]. Memory: a Gguf
 * owns map and lists; strings, arrays and tensors point into the map. Source: github.com/ggml-org/ggml, docs/gguf.md.
 * Claims: tests/unit/test_gguf.c. */
#pragma once
#include "base/error.h"
#include "formats/gguf_dequantize.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GGUF_MAX_RANK = 4 };

typedef struct Gguf Gguf;

typedef struct {
    const char *text; // not terminated
    size_t bytes;
} GgufString;

typedef struct {
    char *name;       // owned by the Gguf
    const char *file; // likewise
    const GgufFormat *format;
    size_t rank, shape[GGUF_MAX_RANK]; // shape[0] is the fastest dimension: a matrix is (shape[1], shape[0]); others 1
    size_t elements, bytes;
    const uint8_t *data;
} GgufTensor;

/* Array of strings, whole numbers or numbers; a cursor that hands out one after another. */
typedef struct {
    size_t count; // that are left
    uint32_t type;
    const uint8_t *at;
} GgufArray;

int gguf_open(Gguf **gguf, const char *path, Error *error);
/* A file's content in memory, which must outlive the Gguf; `name` stands in messages. */
int gguf_from_memory(Gguf **gguf, const void *bytes, size_t size, const char *name, Error *error);
void gguf_close(Gguf *gguf); // NULL is fine

const char *gguf_name(const Gguf *gguf);
size_t gguf_tensors(const Gguf *gguf);
const GgufTensor *gguf_tensor_at(const Gguf *gguf, size_t index);  // in the order of the data
const GgufTensor *gguf_tensor(const Gguf *gguf, const char *name); // NULL where there is none

/* Each leaves *value alone where the key is absent, and is ERROR_INPUT where it has another type or range. */
bool gguf_has(const Gguf *gguf, const char *key);
int gguf_integer(const Gguf *gguf, const char *key, int64_t low, int64_t high, int64_t *value, Error *error);
int gguf_number(const Gguf *gguf, const char *key, double *value, Error *error);
int gguf_bool(const Gguf *gguf, const char *key, bool *value, Error *error);
int gguf_string(const Gguf *gguf, const char *key, GgufString *value, Error *error);
/* Absent: an array of none. */
int gguf_strings(const Gguf *gguf, const char *key, GgufArray *array, Error *error);
int gguf_numbers(const Gguf *gguf, const char *key, GgufArray *array, Error *error); // of any number type

/* The next element; only while count > 0, and of the kind that the array was asked for. */
GgufString gguf_next_string(GgufArray *array);
double gguf_next_number(GgufArray *array);

/* Rows [first, first + count) as float32; a row has shape[0] numbers. ERROR_NUMERIC at the first NaN or infinity, with
 * its place. */
int gguf_read_f32(const GgufTensor *tensor, size_t first, size_t count, float *out, Error *error);
