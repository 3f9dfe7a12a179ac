/* simd_tile.h - loading, transposition and products of small matrices.
 *
 * A register tile is TILE_ROWS rows by two vectors, or a few rows by four; every step of k takes two vectors of b and
 * one broadcast element of a per row, so that loads stay below multiply-adds. The rows of a product are dealt out
 * evenly over its register tiles: 64 rows by 6 are nine tiles of 6 and two of 5, not ten of 6 and one of 4, which could
 * not hide the latency. TERMS products are summed in registers, then added to c: sums of sums round less than one long
 * sum. */

#define TILE_ROWS (SIMD_LANES == 16 ? 12 : 6)

enum { TERMS = 64 };

typedef struct {
    size_t K;
    const float *a;
    size_t a_row, a_column;
    const float *b;
    size_t b_row;
    const float *keep;
    int add; // to c, where keep is NULL
    float *c;
    size_t c_row;
} TileStep;

/* rows and vectors are constants where this is inlined. */
SIMD_INLINE void tile_step(const TileStep *t, size_t rows, size_t vectors) {
    Floats sum[TILE_ROWS][4];
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (size_t n = 0; n < vectors; n++) sum[m][n] = (Floats){0};
    const float *a = t->a, *b = t->b;
    for (size_t k = 0; k < t->K; k++, a += t->a_column, b += t->b_row) {
        Floats right[4];
#pragma GCC unroll 4
        for (size_t n = 0; n < vectors; n++) right[n] = simd_load(b + n * SIMD_LANES);
#pragma GCC unroll 12
        for (size_t m = 0; m < rows; m++) {
            Floats left = simd_all(a[m * t->a_row]);
#pragma GCC unroll 4
            for (size_t n = 0; n < vectors; n++) sum[m][n] = simd_fma(left, right[n], sum[m][n]);
        }
    }
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (size_t n = 0; n < vectors; n++) {
            float *c = t->c + m * t->c_row + n * SIMD_LANES;
            if (t->keep != NULL)
                sum[m][n] += simd_load(c) * simd_load(t->keep + n * SIMD_LANES);
            else if (t->add)
                sum[m][n] += simd_load(c);
            simd_store(c, sum[m][n]);
        }
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

SIMD_INLINE void tile_steps_wide(const TileStep *t, size_t rows) {
    if (rows == 1)
        tile_step(t, 1, 4);
    else if (rows == 2)
        tile_step(t, 2, 4);
    else
        tile_step(t, 3, 4);
}

/* All rows of a product and all columns; t->K at most TERMS. */
SIMD_INLINE void tile_terms(TileStep t, size_t M, size_t N) {
    const TileStep all = t;
    size_t tiles = (M + TILE_ROWS - 1) / TILE_ROWS;
    for (size_t n = 0; n < N;) {
        size_t vectors = (N - n) / SIMD_LANES >= 4 && M <= 3 ? 4 : (N - n) / SIMD_LANES >= 2 ? 2 : 1;
        t.b = all.b + n, t.keep = all.keep == NULL ? NULL : all.keep + n;
        for (size_t m = 0, tile = 0; tile < tiles; tile++) {
            size_t rows = M / tiles + (tile < M % tiles);
            t.a = all.a + m * t.a_row, t.c = all.c + m * t.c_row + n;
            if (vectors == 4)
                tile_steps_wide(&t, rows);
            else if (vectors == 2)
                tile_steps(&t, rows, 2);
            else
                tile_steps(&t, rows, 1);
            m += rows;
        }
        n += vectors * SIMD_LANES;
    }
}

static void simd_tile_product(size_t M, size_t N, size_t K, const float *a, size_t a_row, size_t a_column,
                              const float *b, size_t b_row, const float *keep, float *c, size_t c_row) {
    for (size_t k = 0; k == 0 || k < K; k += TERMS) {
        size_t terms = K - k < TERMS ? K - k : TERMS;
        TileStep t = {terms, a + k * a_column,     a_row, a_column, b + k * b_row,
                      b_row, k == 0 ? keep : NULL, k > 0, c,        c_row};
        tile_terms(t, M, N);
    }
}

/* Rows are short pieces far apart, which the hardware does not foresee: so many rows ahead are asked for. */
enum { PREFETCH_ROWS = 12 };

/* `type` is a constant where these are inlined; left < lanes. */
SIMD_INLINE Floats load_as(DType type, const void *src, size_t at) {
    return type == DTYPE_F32 ? simd_load((const float *)src + at) : simd_load_bf16((const bf16 *)src + at);
}
SIMD_INLINE Floats load_some_as(DType type, const void *src, size_t at, size_t left) {
    return type == DTYPE_F32 ? simd_load_some((const float *)src + at, left)
                             : simd_load_bf16_some((const bf16 *)src + at, left);
}
SIMD_INLINE void prefetch_row(DType type, const void *src, size_t at, size_t columns) {
    const char *row = (const char *)src + at * dtype_bytes(type);
    for (size_t byte = 0; byte < columns * dtype_bytes(type); byte += 64) __builtin_prefetch(row + byte);
}

SIMD_INLINE void load_rows(DType type, size_t rows, size_t columns, const void *src, size_t src_row, float *dst,
                           size_t dst_row) {
    size_t whole = columns / (2 * SIMD_LANES) * (2 * SIMD_LANES);
    for (size_t i = 0; i < rows; i++, dst += dst_row) {
        size_t at = i * src_row, j = 0;
        prefetch_row(type, src, at + PREFETCH_ROWS * src_row, columns);
        for (; j < whole; j += 2 * SIMD_LANES) {
            simd_store(dst + j, load_as(type, src, at + j));
            simd_store(dst + j + SIMD_LANES, load_as(type, src, at + j + SIMD_LANES));
        }
        for (; j + SIMD_LANES <= columns; j += SIMD_LANES) simd_store(dst + j, load_as(type, src, at + j));
        if (j < columns) simd_store_some(dst + j, columns - j, load_some_as(type, src, at + j, columns - j));
        for (j = columns; j < dst_row; j++) dst[j] = 0;
    }
}

static void simd_tile_load(size_t rows, size_t columns, DType type, const void *src, size_t src_row, float *dst,
                           size_t dst_row) {
    if (type == DTYPE_F32)
        load_rows(DTYPE_F32, rows, columns, src, src_row, dst, dst_row);
    else
        load_rows(DTYPE_BF16, rows, columns, src, src_row, dst, dst_row);
}

SIMD_INLINE Eight load_eight_as(DType type, const void *src, size_t at) {
    if (type == DTYPE_F32) return *(const EightAnywhere *)((const float *)src + at);
    const EightHalves *h = (const EightHalves *)((const bf16 *)src + at);
    return (Eight)(__builtin_convertvector(*h, EightWords) << 16);
}

/* 8 by 8 in registers: pairs, then pairs of pairs, then halves. */
SIMD_INLINE void transpose_eight(DType type, const void *src, size_t at, size_t src_row, float *dst, size_t dst_row) {
    Eight r[8], t[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) r[i] = load_eight_as(type, src, at + i * src_row);
#pragma GCC unroll 4
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        size_t from = i / 2 * 4 + i % 2, to = i / 2 * 4 + i % 2 * 2;
        r[to] = __builtin_shufflevector(t[from], t[from + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        r[to + 1] = __builtin_shufflevector(t[from], t[from + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        *(EightAnywhere *)(dst + i * dst_row) = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(EightAnywhere *)(dst + (i + 4) * dst_row) =
            __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

SIMD_INLINE void transpose_rows(DType type, size_t rows, size_t columns, const void *src, size_t src_row, float *dst,
                                size_t dst_row) {
    size_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
    for (size_t i = 0; i < whole_rows; i += 8) {
        for (size_t ahead = 0; ahead < 8; ahead++)
            prefetch_row(type, src, (i + PREFETCH_ROWS + ahead) * src_row, columns);
        for (size_t j = 0; j < whole_columns; j += 8)
            transpose_eight(type, src, i * src_row + j, src_row, dst + j * dst_row + i, dst_row);
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++) {
            size_t at = i * src_row + j;
            dst[j * dst_row + i] =
                type == DTYPE_F32 ? ((const float *)src)[at] : dtype_bf16_to_float(((const bf16 *)src)[at]);
        }
}

static void simd_tile_transpose(size_t rows, size_t columns, DType type, const void *src, size_t src_row, float *dst,
                                size_t dst_row) {
    if (type == DTYPE_F32)
        transpose_rows(DTYPE_F32, rows, columns, src, src_row, dst, dst_row);
    else
        transpose_rows(DTYPE_BF16, rows, columns, src, src_row, dst, dst_row);
}
