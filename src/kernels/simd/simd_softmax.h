/* simd_softmax.h - softmax down the columns of a tile: a column is a query, so nothing is summed across lanes. */

/* Partial sums of a block: key k goes to number k mod SUMS, which hides latency and rounds less than one long sum. */
enum { SUMS = 8 };

SIMD_INLINE Ints softmax_sees(size_t key, const int32_t *first, const int32_t *end) {
    return (simd_load_ints(first) <= (int32_t)key) & (simd_load_ints(end) > (int32_t)key);
}

/* One vector of columns. A column that has seen nothing keeps the maximum -inf; its shift is 0, so that exp(-inf - 0)
 * is 0 and not NaN. `masked` is a constant where this is inlined. */
SIMD_INLINE void softmax_lanes(size_t keys, float *s, size_t s_row, const int32_t *first, const int32_t *end,
                               float *maximum, float *sum, float *keep, int masked) {
    const Floats lowest = simd_all(-__builtin_inff());
    Floats old = simd_load(maximum), best = old;
    for (size_t k = 0; k < keys; k++) {
        Floats value = simd_load(s + k * s_row);
        if (masked) value = simd_select(softmax_sees(k, first, end), value, lowest);
        best = simd_max(value, best);
    }
    Floats shift = simd_where(best != lowest, best), partial[SUMS] = {{0}};
    for (size_t k = 0; k < keys; k += SUMS)
#pragma GCC unroll 8
        for (size_t j = 0; j < SUMS; j++) {
            if (k + j >= keys) break;
            Floats value = simd_exp(simd_load(s + (k + j) * s_row) - shift);
            if (masked) value = simd_where(softmax_sees(k + j, first, end), value);
            simd_store(s + (k + j) * s_row, value);
            partial[j] += value;
        }
    Floats total = ((partial[0] + partial[4]) + (partial[2] + partial[6])) +
                   ((partial[1] + partial[5]) + (partial[3] + partial[7]));
    Floats factor = simd_exp(old - shift);
    simd_store(keep, factor);
    simd_store(sum, simd_load(sum) * factor + total);
    simd_store(maximum, best);
}

static void simd_softmax_columns(size_t keys, size_t columns, float *s, size_t s_row, const int32_t *first,
                                 const int32_t *end, float *maximum, float *sum, float *keep) {
    for (size_t q = 0; q < columns; q += SIMD_LANES)
        if (first == NULL)
            softmax_lanes(keys, s + q, s_row, NULL, NULL, maximum + q, sum + q, keep + q, 0);
        else
            softmax_lanes(keys, s + q, s_row, first + q, end + q, maximum + q, sum + q, keep + q, 1);
}

static void simd_softmax_columns_backward(size_t keys, size_t columns, float *s, float *ds, size_t s_row,
                                          const int32_t *first, const int32_t *end, const float *lse,
                                          const float *delta) {
    for (size_t q = 0; q < columns; q += SIMD_LANES) {
        Floats shift = simd_load(lse + q), less = simd_load(delta + q);
        for (size_t k = 0; k < keys; k++) {
            float *at = s + k * s_row + q, *slope = ds + k * s_row + q;
            Floats p = simd_exp(simd_load(at) - shift), d = p * (simd_load(slope) - less);
            if (first != NULL) {
                Ints visible = softmax_sees(k, first + q, end + q);
                p = simd_where(visible, p), d = simd_where(visible, d);
            }
            simd_store(at, p), simd_store(slope, d);
        }
    }
}
