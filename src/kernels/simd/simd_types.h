/* simd_types.h - vectors of SIMD_LANES floats, in the vector extensions of gcc and clang.
 *
 * The kernels of this folder are written once for any width. A file of kernels/avx2 or avx512 defines SIMD_LANES,
 * includes this header, defines the few operations that the extensions lack, and includes simd_table.h:
 *   simd_fma(a, b, c) = a b + c rounded once; simd_max, simd_min: the second operand where one is NaN; simd_round: to
 * the nearest integer, ties to even. A unit test does the same with 16 lanes and plain operations, so that the wide
 * version runs on every CPU. This header has no include guard on purpose: one file, one width. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Everything is inlined, so how two compilers would pass a wide vector (-Wno-psabi in the Makefile) does not matter.
#define SIMD_INLINE static inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(4 * SIMD_LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * SIMD_LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * SIMD_LANES)));
typedef float FloatsAnywhere __attribute__((vector_size(4 * SIMD_LANES), aligned(4), may_alias));
typedef int32_t IntsAnywhere __attribute__((vector_size(4 * SIMD_LANES), aligned(4), may_alias));

// Half of a cache line; the width of what must not depend on SIMD_LANES.
typedef float Eight __attribute__((vector_size(32)));
typedef float EightAnywhere __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t EightWords __attribute__((vector_size(32)));
typedef uint16_t EightHalves __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint16_t Halves __attribute__((vector_size(2 * SIMD_LANES)));
typedef uint16_t HalvesAnywhere __attribute__((vector_size(2 * SIMD_LANES), aligned(2), may_alias));
typedef uint32_t Words __attribute__((vector_size(4 * SIMD_LANES)));

SIMD_INLINE Floats simd_load(const float *x) { return *(const FloatsAnywhere *)x; }
SIMD_INLINE void simd_store(float *x, Floats v) { *(FloatsAnywhere *)x = v; }
SIMD_INLINE Ints simd_load_ints(const int32_t *x) { return *(const IntsAnywhere *)x; }
SIMD_INLINE Floats simd_all(float a) { return a - (Floats){0}; }

/* The first `left` < SIMD_LANES elements; the others are 0, or not written. */
SIMD_INLINE Floats simd_load_some(const float *x, size_t left) {
    Floats v = {0};
    memcpy(&v, x, left * sizeof *x);
    return v;
}
SIMD_INLINE void simd_store_some(float *x, size_t left, Floats v) { memcpy(x, &v, left * sizeof *x); }

/* a where the mask is all ones, 0 where it is 0. */
SIMD_INLINE Floats simd_where(Ints mask, Floats a) { return (Floats)(mask & (Ints)a); }
SIMD_INLINE Floats simd_select(Ints mask, Floats a, Floats b) { return (Floats)((mask & (Ints)a) | (~mask & (Ints)b)); }
