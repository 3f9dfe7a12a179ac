#include "kernels/avx2/avx2_simd.h"

#include <immintrin.h>

#define SIMD_LANES 8
#include "kernels/simd/simd_types.h"

static inline Floats simd_fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
static inline Floats simd_max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
static inline Floats simd_min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
static inline Floats simd_round(Floats a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline Floats simd_sqrt(Floats a) { return _mm256_sqrt_ps(a); }
static inline Halves simd_halves(Words a) {
    __m256i x = (__m256i)a;
    return (Halves)_mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}
static inline Words simd_words(Halves a) { return (Words)_mm256_cvtepu16_epi32((__m128i)a); }

#include "kernels/simd/simd_table.h"

void avx2_simd_override(KernelTable *table) { simd_table_override(table); }
