/* ref_gemm.h - one plain matrix product for all uses: sums run in double, front to back. */
#pragma once
#include "base/dtype.h"
#include <stdbool.h>
#include <stddef.h>

/* Both inputs have the type `input`; strides are in elements. */
typedef struct {
    size_t columns, depth;
    size_t a_depth;           // stride of A along depth
    size_t b_depth, b_column; // strides of B
    DType input, output;
    bool accumulate;
} RefGemm;

/* One row: c (columns) = a (depth) B (depth, columns) [+ c]. */
void ref_gemm_row(const RefGemm *gemm, const void *a, const void *b, void *c);
