#include "kernels/avx512/avx512_vector.h"

#include "kernels/avx512/avx512_exp.h"

/* Tails are masked loads of the same loop body, so every element gets the same arithmetic wherever it stands.
 * bfloat16 goes through integer arithmetic, not VCVTNEPS2BF16 and VDPBF16PS, which take subnormals for zero: one result
 * on every CPU. */

static __mmask16 mask_of(size_t left) { return left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1); }

static __m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }

static __m256i narrow(__m512 x) {
    __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
    __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

void avx512_vector_to_bf16(size_t n, const float *src, bf16 *dst) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        _mm256_mask_storeu_epi16(dst + i, m, narrow(_mm512_maskz_loadu_ps(m, src + i)));
    }
}

void avx512_vector_to_f32(size_t n, const bf16 *src, float *dst) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        _mm512_mask_storeu_ps(dst + i, m, widen(_mm256_maskz_loadu_epi16(m, src + i)));
    }
}

void avx512_vector_add(size_t n, const float *x, float *y) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(m, y + i), _mm512_maskz_loadu_ps(m, x + i));
        _mm512_mask_storeu_ps(y + i, m, sum);
    }
}

void avx512_vector_scale(size_t n, float a, float *y) {
    __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, y + i), factor));
    }
}

void avx512_vector_axpy(size_t n, float a, const float *x, float *y) {
    __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        __m512 sum = _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i));
        _mm512_mask_storeu_ps(y + i, m, sum);
    }
}

void avx512_vector_axpy_bf16(size_t n, float a, const bf16 *x, float *y) {
    __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        __m512 sum =
            _mm512_fmadd_ps(factor, widen(_mm256_maskz_loadu_epi16(m, x + i)), _mm512_maskz_loadu_ps(m, y + i));
        _mm512_mask_storeu_ps(y + i, m, sum);
    }
}

/* Four running sums hide the latency of the multiply-add. */
static float total(const __m512 sum[4]) {
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

float avx512_vector_dot(size_t n, const float *x, const float *y) {
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        sum[0] = _mm512_fmadd_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i), sum[0]);
        sum[1] = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(y + i + 16), sum[1]);
        sum[2] = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 32), _mm512_loadu_ps(y + i + 32), sum[2]);
        sum[3] = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 48), _mm512_loadu_ps(y + i + 48), sum[3]);
    }
    for (; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        sum[0] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i), sum[0]);
    }
    return total(sum);
}

static __m512 widen_at(const bf16 *x) { return widen(_mm256_loadu_si256((const __m256i *)(const void *)x)); }

float avx512_vector_dot_bf16(size_t n, const bf16 *x, const bf16 *y) {
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        sum[0] = _mm512_fmadd_ps(widen_at(x + i), widen_at(y + i), sum[0]);
        sum[1] = _mm512_fmadd_ps(widen_at(x + i + 16), widen_at(y + i + 16), sum[1]);
        sum[2] = _mm512_fmadd_ps(widen_at(x + i + 32), widen_at(y + i + 32), sum[2]);
        sum[3] = _mm512_fmadd_ps(widen_at(x + i + 48), widen_at(y + i + 48), sum[3]);
    }
    for (; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        __m512 a = widen(_mm256_maskz_loadu_epi16(m, x + i)), b = widen(_mm256_maskz_loadu_epi16(m, y + i));
        sum[0] = _mm512_fmadd_ps(a, b, sum[0]);
    }
    return total(sum);
}

/* max(x, best) returns best when x is NaN, as the reference does. */
float avx512_vector_maximum(size_t n, const float *x) {
    __m512 lowest = _mm512_set1_ps(-__builtin_inff());
    __m512 best[4] = {lowest, lowest, lowest, lowest};
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (int k = 0; k < 4; k++) best[k] = _mm512_max_ps(_mm512_loadu_ps(x + i + 16 * k), best[k]);
    for (; i < n; i += 16) best[0] = _mm512_max_ps(_mm512_mask_loadu_ps(lowest, mask_of(n - i), x + i), best[0]);
    return _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(best[0], best[1]), _mm512_max_ps(best[2], best[3])));
}

float avx512_vector_exp_sum(size_t n, const float *x, float shift, float *y) {
    __m512 less = _mm512_set1_ps(shift), even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 a = avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(x + i), less));
        __m512 b = avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(x + i + 16), less));
        even = _mm512_add_ps(even, a), odd = _mm512_add_ps(odd, b);
        if (y != NULL) _mm512_storeu_ps(y + i, a), _mm512_storeu_ps(y + i + 16, b);
    }
    for (; i < n; i += 16) {
        __mmask16 m = mask_of(n - i);
        __m512 a = avx512_exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), less));
        even = _mm512_mask_add_ps(even, m, even, a);
        if (y != NULL) _mm512_mask_storeu_ps(y + i, m, a);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
}

double avx512_vector_sum_squares(size_t n, const float *x) {
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(mask_of(n - i), x + i);
        __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v)), b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
        low = _mm512_fmadd_pd(a, a, low), high = _mm512_fmadd_pd(b, b, high);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}
