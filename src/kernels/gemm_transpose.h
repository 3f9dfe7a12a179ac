/* gemm_transpose.h - dY (T, out) becomes dY^T, so that a weight gradient is a product like the others. */
#pragma once
#include "base/dtype.h"
#include <stddef.h>

/* dst (columns, rows) = src (rows, columns) transposed; x_row is the row length of x in elements. */
void gemm_transpose_bf16(size_t rows, size_t columns, const bf16 *src, size_t src_row, bf16 *dst, size_t dst_row);
