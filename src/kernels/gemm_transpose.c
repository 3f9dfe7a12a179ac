#include "kernels/gemm_transpose.h"

/* Eight by eight in registers that every x86-64 has: words are interleaved, then pairs of words, then pairs of pairs.
 */
typedef uint16_t Eight __attribute__((vector_size(16)));
typedef uint16_t EightAnywhere __attribute__((vector_size(16), aligned(2), may_alias));

enum { BLOCK = 8, STRIP = 16 }; // a strip's output lines fit into the first-level cache together

static inline Eight low(Eight a, Eight b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
static inline Eight high(Eight a, Eight b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }

static void transpose_eight(const bf16 *src, size_t src_row, bf16 *dst, size_t dst_row) {
    Eight r[BLOCK], s[BLOCK];
#pragma GCC unroll 8
    for (size_t i = 0; i < BLOCK; i++) r[i] = *(const EightAnywhere *)(src + i * src_row);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) s[2 * i] = low(r[i], r[i + 4]), s[2 * i + 1] = high(r[i], r[i + 4]);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) r[2 * i] = low(s[i], s[i + 4]), r[2 * i + 1] = high(s[i], s[i + 4]);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) s[2 * i] = low(r[i], r[i + 4]), s[2 * i + 1] = high(r[i], r[i + 4]);
#pragma GCC unroll 8
    for (size_t i = 0; i < BLOCK; i++) *(EightAnywhere *)(dst + i * dst_row) = s[i];
}

void gemm_transpose_bf16(size_t rows, size_t columns, const bf16 *src, size_t src_row, bf16 *dst, size_t dst_row) {
    size_t whole_rows = rows / BLOCK * BLOCK, whole_columns = columns / BLOCK * BLOCK;
    for (size_t strip = 0; strip < whole_columns; strip += STRIP)
        for (size_t i = 0; i < whole_rows; i += BLOCK)
            for (size_t j = strip; j < whole_columns && j < strip + STRIP; j += BLOCK)
                transpose_eight(src + i * src_row + j, src_row, dst + j * dst_row + i, dst_row);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            dst[j * dst_row + i] = src[i * src_row + j];
}
