/* gguf_dequantize.h - the number formats of GGUF tensors, and their exact values as float32.
 *
 * Quantised tensors are rows of blocks. A block of the "_0" formats holds a scale d for 32 numbers, y = d q; of the
 * "_1" formats also an offset m, y = d q + m. The "_K" formats have 256 numbers in groups of 16 or 32, each group with
 * its own small scale s (and offset m) under one d (and dmin) of the block: y = (d s) q, or (d s) q - (dmin m). Every
 * product and sum is rounded to float32 on its own, in this order, as the plain C of ggml does it [GD-1]. Source:
 * github.com/ggml-org/ggml, ggml-common.h (blocks), the `gguf` package's quants.py (values). Claims:
 * tests/unit/test_gguf_dequantize.c. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Numbers as in the file. */
typedef enum {
    GGUF_F32 = 0,
    GGUF_F16 = 1,
    GGUF_Q4_0 = 2,
    GGUF_Q4_1 = 3,
    GGUF_Q5_0 = 6,
    GGUF_Q5_1 = 7,
    GGUF_Q8_0 = 8,
    GGUF_Q2_K = 10,
    GGUF_Q3_K = 11,
    GGUF_Q4_K = 12,
    GGUF_Q5_K = 13,
    GGUF_Q6_K = 14,
    GGUF_BF16 = 30
} GgufTensorType;

#define GGUF_TENSOR_TYPES "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K"

typedef struct {
    const char *name;                                     // NULL: not a type that ggml has
    size_t elements;                                      // in a block
    size_t bytes;                                         // of a block; 0: known by name, but not supported
    void (*dequantize)(const uint8_t *block, float *out); // one block
} GgufFormat;

/* Never NULL; `type` is any number that a file may hold. */
const GgufFormat *gguf_format(uint32_t type);

/* `blocks` blocks, one after another, of a supported format. out has blocks * elements numbers. */
void gguf_dequantize(const GgufFormat *format, const uint8_t *block, size_t blocks, float *out);
