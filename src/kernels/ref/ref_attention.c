#include "kernels/ref/ref_attention.h"

#include <math.h>

static float load(const void *src, DType type, size_t i) {
    return type == DTYPE_F32 ? ((const float *)src)[i] : dtype_bf16_to_float(((const bf16 *)src)[i]);
}

static void tile_load(size_t rows, size_t columns, DType type, const void *src, size_t src_row, float *dst,
                      size_t dst_row) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < dst_row; j++) dst[i * dst_row + j] = j < columns ? load(src, type, i * src_row + j) : 0;
}

static void tile_transpose(size_t rows, size_t columns, DType type, const void *src, size_t src_row, float *dst,
                           size_t dst_row) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) dst[j * dst_row + i] = load(src, type, i * src_row + j);
}

static void tile_product(size_t M, size_t N, size_t K, const float *a, size_t a_row, size_t a_column, const float *b,
                         size_t b_row, const float *keep, float *c, size_t c_row) {
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            double sum = keep == NULL ? 0 : c[m * c_row + n] * keep[n];
            for (size_t k = 0; k < K; k++) sum += (double)a[m * a_row + k * a_column] * b[k * b_row + n];
            c[m * c_row + n] = (float)sum;
        }
}

static int sees(size_t key, size_t query, const int32_t *first, const int32_t *end) {
    return first == NULL || ((int32_t)key >= first[query] && (int32_t)key < end[query]);
}

/* One query, its scores `step` apart. A query that has seen nothing yet keeps the maximum -inf; its shift is 0, so that
 * exp(-inf - 0) is 0 and not NaN. */
static void softmax_query(size_t keys, float *s, size_t step, size_t q, const int32_t *first, const int32_t *end,
                          float *maximum, float *sum, float *keep) {
    float best = maximum[q];
    for (size_t k = 0; k < keys; k++)
        if (sees(k, q, first, end) && s[k * step] > best) best = s[k * step];
    float shift = best == -INFINITY ? 0 : best;
    double total = 0;
    for (size_t k = 0; k < keys; k++) {
        s[k * step] = sees(k, q, first, end) ? expf(s[k * step] - shift) : 0;
        total += s[k * step];
    }
    keep[q] = expf(maximum[q] - shift);
    sum[q] = (float)((double)sum[q] * keep[q] + total);
    maximum[q] = best;
}

static void softmax_columns(size_t keys, size_t columns, float *s, size_t s_row, const int32_t *first,
                            const int32_t *end, float *maximum, float *sum, float *keep) {
    for (size_t q = 0; q < columns; q++) softmax_query(keys, s + q, s_row, q, first, end, maximum, sum, keep);
}

static void softmax_rows(size_t rows, size_t keys, float *s, size_t s_row, const int32_t *first, const int32_t *end,
                         float *maximum, float *sum, float *keep) {
    for (size_t q = 0; q < rows; q++) softmax_query(keys, s + q * s_row, 1, q, first, end, maximum, sum, keep);
}

static void softmax_columns_backward(size_t keys, size_t columns, float *s, float *ds, size_t s_row,
                                     const int32_t *first, const int32_t *end, const float *lse, const float *delta) {
    for (size_t k = 0; k < keys; k++)
        for (size_t q = 0; q < columns; q++) {
            size_t at = k * s_row + q;
            s[at] = sees(k, q, first, end) ? expf(s[at] - lse[q]) : 0;
            ds[at] = s[at] == 0 ? 0 : s[at] * (ds[at] - delta[q]);
        }
}

void ref_attention_fill(KernelTable *table) {
    table->tile_load = tile_load;
    table->tile_transpose = tile_transpose;
    table->tile_product = tile_product;
    table->softmax_columns = softmax_columns;
    table->softmax_rows = softmax_rows;
    table->softmax_columns_backward = softmax_columns_backward;
}
