/* avx2_exp.h - e^x of 8 floats, within 2 units in the last place; shared by the kernels of this folder.
 *
 * As avx512_exp.h; 2^n is applied as two factors, so that subnormal results are rounded once and right. */
#pragma once
#include <immintrin.h>

static inline __m256 avx2_power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

static inline __m256 avx2_exp(__m256 x) {
    // Operand order matters: max and min return their second operand when one is NaN.
    x = _mm256_min_ps(_mm256_set1_ps(130.0f), _mm256_max_ps(_mm256_set1_ps(-110.0f), x));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), 0x08);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(1.0f / 5040), r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    __m256 scaled = _mm256_mul_ps(_mm256_add_ps(p, _mm256_set1_ps(1.0f)), avx2_power_of_two(half));
    return _mm256_mul_ps(scaled, avx2_power_of_two(_mm256_sub_epi32(whole, half)));
}
