/* simd_tile.h - loading, transposition and products of small matrices.
 *
 * A register tile is TILE_ROWS rows by two vectors; every step of k takes two vectors of b and one broadcast element of
 * a per row, so that loads stay below multiply-adds. The rows of a product are dealt out evenly over its register
 * tiles: 64 rows by 6 are nine tiles of 6 and two of 5, not ten of 6 and one of 4, which could not hide the latency. */

#define TILE_ROWS (SIMD_LANES == 16 ? 12 : 6)

typedef struct {
    size_t K;
    const float *a;
    size_t a_row, a_column;
    const float *b;
    size_t b_row;
    const float *keep;
    float *c;
    size_t c_row;
} TileStep;

/* rows and vectors are constants where this is inlined. */
SIMD_INLINE void tile_step(const TileStep *t, size_t rows, size_t vectors) {
    Floats sum[TILE_ROWS][2];
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (size_t n = 0; n < vectors; n++) {
            sum[m][n] = (Floats){0};
            if (t->keep != NULL)
                sum[m][n] = simd_load(t->c + m * t->c_row + n * SIMD_LANES) * simd_load(t->keep + n * SIMD_LANES);
        }
    const float *a = t->a, *b = t->b;
    for (size_t k = 0; k < t->K; k++, a += t->a_column, b += t->b_row) {
        Floats right[2];
#pragma GCC unroll 2
        for (size_t n = 0; n < vectors; n++) right[n] = simd_load(b + n * SIMD_LANES);
#pragma GCC unroll 12
        for (size_t m = 0; m < rows; m++) {
            Floats left = simd_all(a[m * t->a_row]);
#pragma GCC unroll 2
            for (size_t n = 0; n < vectors; n++) sum[m][n] = simd_fma(left, right[n], sum[m][n]);
        }
    }
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (size_t n = 0; n < vectors; n++) simd_store(t->c + m * t->c_row + n * SIMD_LANES, sum[m][n]);
}

SIMD_INLINE void tile_steps(const TileStep *t, size_t rows, size_t vectors) {
    switch (rows) {
    case 1:
        tile_step(t, 1, vectors);
        break;
    case 2:
        tile_step(t, 2, vectors);
        break;
    case 3:
        tile_step(t, 3, vectors);
        break;
    case 4:
        tile_step(t, 4, vectors);
        break;
    case 5:
        tile_step(t, 5, vectors);
        break;
    case 6:
        tile_step(t, 6, vectors);
        break;
#if SIMD_LANES == 16
    case 7:
        tile_step(t, 7, vectors);
        break;
    case 8:
        tile_step(t, 8, vectors);
        break;
    case 9:
        tile_step(t, 9, vectors);
        break;
    case 10:
        tile_step(t, 10, vectors);
        break;
    case 11:
        tile_step(t, 11, vectors);
        break;
    case 12:
        tile_step(t, 12, vectors);
        break;
#endif
    default:
        break;
    }
}

static void simd_tile_product(size_t M, size_t N, size_t K, const float *a, size_t a_row, size_t a_column,
                              const float *b, size_t b_row, const float *keep, float *c, size_t c_row) {
    size_t tiles = (M + TILE_ROWS - 1) / TILE_ROWS;
    for (size_t n = 0; n < N;) {
        size_t vectors = N - n >= 2 * SIMD_LANES ? 2 : 1;
        for (size_t m = 0, tile = 0; tile < tiles; tile++) {
            size_t rows = M / tiles + (tile < M % tiles);
            TileStep t = {
                K,    a + m * a_row, a_row, a_column, b + n, b_row, keep == NULL ? NULL : keep + n, c + m * c_row + n,
                c_row};
            if (vectors == 2)
                tile_steps(&t, rows, 2);
            else
                tile_steps(&t, rows, 1);
            m += rows;
        }
        n += vectors * SIMD_LANES;
    }
}

static void simd_tile_load(size_t rows, size_t columns, DType type, const void *src, size_t src_row, float *dst,
                           size_t dst_row) {
    for (size_t i = 0; i < rows; i++, dst += dst_row) {
        const float *x = (const float *)src + i * src_row;
        const bf16 *h = (const bf16 *)src + i * src_row;
        size_t j = 0;
        if (type == DTYPE_F32)
            for (; j + SIMD_LANES <= columns; j += SIMD_LANES) simd_store(dst + j, simd_load(x + j));
        else
            for (; j + SIMD_LANES <= columns; j += SIMD_LANES) simd_store(dst + j, simd_load_bf16(h + j));
        if (j < columns) {
            size_t left = columns - j;
            Floats v = type == DTYPE_F32 ? simd_load_some(x + j, left) : simd_load_bf16_some(h + j, left);
            simd_store_some(dst + j, left, v);
        }
        if (columns < dst_row) memset(dst + columns, 0, (dst_row - columns) * sizeof *dst);
    }
}

/* 8 by 8 in registers: pairs, then pairs of pairs, then halves. */
SIMD_INLINE void transpose_eight(const float *src, size_t src_row, float *dst, size_t dst_row) {
    Eight r[8], t[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) r[i] = *(const EightAnywhere *)(src + i * src_row);
#pragma GCC unroll 4
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        size_t at = i / 2 * 4 + i % 2;
        r[i / 2 * 4 + i % 2 * 2] = __builtin_shufflevector(t[at], t[at + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        r[i / 2 * 4 + i % 2 * 2 + 1] = __builtin_shufflevector(t[at], t[at + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        *(EightAnywhere *)(dst + i * dst_row) = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(EightAnywhere *)(dst + (i + 4) * dst_row) =
            __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

static void simd_tile_transpose(size_t rows, size_t columns, const float *src, size_t src_row, float *dst,
                                size_t dst_row) {
    size_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
    for (size_t i = 0; i < whole_rows; i += 8)
        for (size_t j = 0; j < whole_columns; j += 8)
            transpose_eight(src + i * src_row + j, src_row, dst + j * dst_row + i, dst_row);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            dst[j * dst_row + i] = src[i * src_row + j];
}
