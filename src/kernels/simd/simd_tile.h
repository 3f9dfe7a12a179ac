/* simd_tile.h - products of small matrices and transposition.
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
