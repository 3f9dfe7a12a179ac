/* safetensors_writer.h - writes checkpoints that formats/safetensors.h, Hugging Face transformers and others read. */
#pragma once
#include "formats/safetensors.h"

/* A tensor to be written: values float32, stored as `type` (float32 or bfloat16, rounded to nearest even). They are in
 * memory, or made row by row (a row is the last dimension), so that a checkpoint larger than the memory can be written.
 */
typedef struct {
    const char *name;
    DType type;
    size_t rank, shape[TENSOR_MAX_RANK];
    const float *values; // borrowed until the call returns; NULL: read_row makes them
    int (*read_row)(const void *context, size_t row, float *out, Error *error);
    const void *context;
} TensorSource;

/* Writes directory/model.safetensors, or shards of at most shard_bytes (0: 5 GB) and the index. Atomic file by file,
 * the index last; a failure removes what this call wrote. */
int safetensors_write(const char *directory, const TensorSource *tensor, size_t count, size_t shard_bytes,
                      Error *error);
/* One file at `path`. */
int safetensors_write_file(const char *path, const TensorSource *tensor, size_t count, Error *error);
