#include "kernels/avx512/avx512_simd.h"

#include <immintrin.h>

#define SIMD_LANES 16
#include "kernels/simd/simd_types.h"

static inline Floats simd_fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline Floats simd_max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
static inline Floats simd_min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
static inline Floats simd_round(Floats a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline Floats simd_sqrt(Floats a) { return _mm512_sqrt_ps(a); }
static inline Halves simd_halves(Words a) { return (Halves)_mm512_cvtepi32_epi16((__m512i)a); }
static inline Words simd_words(Halves a) { return (Words)_mm512_cvtepu16_epi32((__m256i)a); }

#include "kernels/simd/simd_table.h"

void avx512_simd_override(KernelTable *table) { simd_table_override(table); }
