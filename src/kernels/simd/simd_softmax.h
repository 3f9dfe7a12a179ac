/* simd_softmax.h - online softmax of a tile. Down columns a query is a lane and nothing is summed across lanes; along
 * rows a key is a lane. Both do the same arithmetic in the same order: key k goes to partial sum k mod 8. */

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
            Floats value = simd_exp_weight(simd_load(s + (k + j) * s_row) - shift);
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

/* The largest of s[0..keys); no result depends on the order. */
SIMD_INLINE float softmax_maximum(size_t keys, const float *s) {
    const float lowest = -__builtin_inff();
    Floats best = simd_all(lowest);
    size_t k = 0;
    for (; k + SIMD_LANES <= keys; k += SIMD_LANES) best = simd_max(simd_load(s + k), best);
    float largest = lowest;
    for (; k < keys; k++) largest = s[k] > largest ? s[k] : largest;
#pragma GCC unroll 16
    for (size_t i = 0; i < SIMD_LANES; i++) largest = best[i] > largest ? best[i] : largest;
    return largest;
}

SIMD_INLINE float softmax_total(size_t keys, const float *s) {
    Eight partial = {0}, rest = {0};
    size_t k = 0;
    for (; k + SUMS <= keys; k += SUMS) partial += *(const EightAnywhere *)(s + k);
    memcpy(&rest, s + k, (keys - k) * sizeof *s);
    partial += rest;
    return ((partial[0] + partial[4]) + (partial[2] + partial[6])) +
           ((partial[1] + partial[5]) + (partial[3] + partial[7]));
}

static void simd_softmax_rows(size_t rows, size_t keys, float *s, size_t s_row, const int32_t *first,
                              const int32_t *end, float *maximum, float *sum, float *keep) {
    for (size_t q = 0; q < rows; q++, s += s_row) {
        size_t from = first == NULL ? 0 : (size_t)first[q], to = first == NULL ? keys : (size_t)end[q];
        float old = maximum[q], seen = softmax_maximum(to - from, s + from), best = seen > old ? seen : old;
        float shift = best != -__builtin_inff() ? best : 0;
        for (size_t k = 0; k < keys; k += SIMD_LANES) {
            size_t left = keys - k;
            if (left >= SIMD_LANES)
                simd_store(s + k, simd_exp_weight(simd_load(s + k) - shift));
            else
                simd_store_some(s + k, left, simd_exp_weight(simd_load_some(s + k, left) - shift));
        }
        memset(s, 0, from * sizeof *s), memset(s + to, 0, (keys - to) * sizeof *s);
        keep[q] = simd_exp(simd_all(old - shift))[0];
        sum[q] = sum[q] * keep[q] + softmax_total(keys, s);
        maximum[q] = best;
    }
}

static void simd_softmax_columns_backward(size_t keys, size_t columns, float *s, float *ds, size_t s_row,
                                          const int32_t *first, const int32_t *end, const float *lse,
                                          const float *delta) {
    for (size_t q = 0; q < columns; q += SIMD_LANES) {
        Floats shift = simd_load(lse + q), less = simd_load(delta + q);
        for (size_t k = 0; k < keys; k++) {
            float *at = s + k * s_row + q, *slope = ds + k * s_row + q;
            Floats p = simd_exp_weight(simd_load(at) - shift), d = p * (simd_load(slope) - less);
            if (first != NULL) {
                Ints visible = softmax_sees(k, first + q, end + q);
                p = simd_where(visible, p), d = simd_where(visible, d);
            }
            simd_store(at, p), simd_store(slope, d);
        }
    }
}
