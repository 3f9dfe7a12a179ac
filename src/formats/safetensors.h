/* safetensors.h - the tensors of a Hugging Face checkpoint, mapped.
 *
 * File: u64 little-endian header length, then the header, JSON
 *   {name: {dtype, shape, data_offsets: [begin, end)}, "__metadata__": {...}}
 * then the data. Large checkpoints are several files with an index, {"weight_map": {name: file}}.
 * Everything a header says is checked before it is used: a tensor's bytes lie inside the file, their number is what
 * type and shape ask for, the tensors cover the data part without holes or overlaps [ST-1], and every tensor of the
 * index is in the file that the index names [ST-2].
 * Source: github.com/huggingface/safetensors, "Format". Claims: tests/unit/test_safetensors.c. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_MAX_RANK = 8 };

typedef struct {
    const char *name, *file; // owned by the checkpoint
    DType type;
    size_t rank, shape[TENSOR_MAX_RANK];
    size_t elements, bytes;
    const uint8_t *data; // little-endian, row-major, any alignment
} TensorView;

typedef struct Checkpoint Checkpoint;

/* path: a directory with model.safetensors or model.safetensors.index.json, or one .safetensors file. */
int checkpoint_open(Checkpoint **checkpoint, const char *path, Error *error);
/* One file's content in memory, which must outlive the checkpoint; `name` stands in messages. */
int checkpoint_from_memory(Checkpoint **checkpoint, const void *bytes, size_t size, const char *name, Error *error);
void checkpoint_close(Checkpoint *checkpoint); // NULL is fine

size_t checkpoint_count(const Checkpoint *checkpoint);
const TensorView *checkpoint_at(const Checkpoint *checkpoint, size_t index);       // ordered by name
const TensorView *checkpoint_find(const Checkpoint *checkpoint, const char *name); // NULL where there is none

/* Exact conversion of elements [first, first + count) to float32; ERROR_NUMERIC names the first NaN or infinity. */
int tensor_read_f32(const TensorView *tensor, size_t first, size_t count, float *out, Error *error);
