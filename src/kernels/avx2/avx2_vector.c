#include "kernels/avx2/avx2_vector.h"

#include "kernels/avx2/avx2_exp.h"

/* Tails are padded copies of the same loop body, so every element gets the same arithmetic wherever it stands. */

static __m256 widen(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
static __m256 widen_at(const bf16 *x) { return widen(_mm_loadu_si128((const __m128i *)(const void *)x)); }

static __m128i narrow(__m256 x) {
    __m256i bits = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    rounded = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}

/* Lanes below `left` are all ones. */
static __m256i mask_of(size_t left) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(left < 8 ? left : 8)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static __m256 load_tail(const float *x, size_t left) { return _mm256_maskload_ps(x, mask_of(left)); }
static void store_tail(float *y, size_t left, __m256 v) { _mm256_maskstore_ps(y, mask_of(left), v); }

static __m256 widen_tail(const bf16 *x, size_t left) {
    bf16 padded[8] = {0};
    memcpy(padded, x, left * sizeof *x);
    return widen_at(padded);
}

static float total(__m256 v) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}

void avx2_vector_to_bf16(size_t n, const float *src, bf16 *dst) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm_storeu_si128((__m128i *)(void *)(dst + i), narrow(_mm256_loadu_ps(src + i)));
    if (i == n) return;
    bf16 padded[8];
    _mm_storeu_si128((__m128i *)(void *)padded, narrow(load_tail(src + i, n - i)));
    memcpy(dst + i, padded, (n - i) * sizeof *dst);
}

void avx2_vector_to_f32(size_t n, const bf16 *src, float *dst) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(dst + i, widen_at(src + i));
    if (i < n) store_tail(dst + i, n - i, widen_tail(src + i, n - i));
}

void avx2_vector_add(size_t n, const float *x, float *y) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    if (i < n) store_tail(y + i, n - i, _mm256_add_ps(load_tail(y + i, n - i), load_tail(x + i, n - i)));
}

void avx2_vector_scale(size_t n, float a, float *y) {
    __m256 factor = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(y + i), factor));
    if (i < n) store_tail(y + i, n - i, _mm256_mul_ps(load_tail(y + i, n - i), factor));
}

void avx2_vector_axpy(size_t n, float a, const float *x, float *y) {
    __m256 factor = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    if (i < n) store_tail(y + i, n - i, _mm256_fmadd_ps(factor, load_tail(x + i, n - i), load_tail(y + i, n - i)));
}

void avx2_vector_axpy_bf16(size_t n, float a, const bf16 *x, float *y) {
    __m256 factor = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(factor, widen_at(x + i), _mm256_loadu_ps(y + i)));
    if (i < n) store_tail(y + i, n - i, _mm256_fmadd_ps(factor, widen_tail(x + i, n - i), load_tail(y + i, n - i)));
}

float avx2_vector_dot(size_t n, const float *x, const float *y) {
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 4; k++)
            sum[k] = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8 * k), _mm256_loadu_ps(y + i + 8 * k), sum[k]);
    for (; i < n; i += 8) sum[0] = _mm256_fmadd_ps(load_tail(x + i, n - i), load_tail(y + i, n - i), sum[0]);
    return total(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

float avx2_vector_dot_bf16(size_t n, const bf16 *x, const bf16 *y) {
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 4; k++) sum[k] = _mm256_fmadd_ps(widen_at(x + i + 8 * k), widen_at(y + i + 8 * k), sum[k]);
    for (; i + 8 <= n; i += 8) sum[0] = _mm256_fmadd_ps(widen_at(x + i), widen_at(y + i), sum[0]);
    if (i < n) sum[1] = _mm256_fmadd_ps(widen_tail(x + i, n - i), widen_tail(y + i, n - i), sum[1]);
    return total(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

/* max(x, best) returns best when x is NaN, as the reference does. */
float avx2_vector_maximum(size_t n, const float *x) {
    __m256 lowest = _mm256_set1_ps(-__builtin_inff()), best[2] = {lowest, lowest};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 2; k++) best[k] = _mm256_max_ps(_mm256_loadu_ps(x + i + 8 * k), best[k]);
    for (; i < n; i += 8) {
        __m256 v = _mm256_blendv_ps(lowest, load_tail(x + i, n - i), _mm256_castsi256_ps(mask_of(n - i)));
        best[0] = _mm256_max_ps(v, best[0]);
    }
    __m256 both = _mm256_max_ps(best[0], best[1]);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

float avx2_vector_exp_sum(size_t n, const float *x, float shift, float *y) {
    __m256 less = _mm256_set1_ps(shift), even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(x + i), less));
        __m256 b = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(x + i + 8), less));
        even = _mm256_add_ps(even, a), odd = _mm256_add_ps(odd, b);
        if (y != NULL) _mm256_storeu_ps(y + i, a), _mm256_storeu_ps(y + i + 8, b);
    }
    for (; i < n; i += 8) {
        __m256 a = avx2_exp(_mm256_sub_ps(load_tail(x + i, n - i), less));
        a = _mm256_and_ps(a, _mm256_castsi256_ps(mask_of(n - i)));
        even = _mm256_add_ps(even, a);
        if (y != NULL) store_tail(y + i, n - i, a);
    }
    return total(_mm256_add_ps(even, odd));
}

double avx2_vector_sum_squares(size_t n, const float *x) {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = n - i >= 8 ? _mm256_loadu_ps(x + i) : load_tail(x + i, n - i);
        __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v)), b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        low = _mm256_fmadd_pd(a, a, low), high = _mm256_fmadd_pd(b, b, high);
    }
    low = _mm256_add_pd(low, high);
    __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(low), _mm256_extractf128_pd(low, 1));
    return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
}
