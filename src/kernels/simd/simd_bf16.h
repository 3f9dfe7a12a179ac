/* simd_bf16.h - bfloat16 is the upper half of a float. Rounding to nearest even, NaN stays NaN, subnormals are kept. */

SIMD_INLINE Floats simd_widen(Halves x) { return (Floats)(simd_words(x) << 16); }
SIMD_INLINE Floats simd_load_bf16(const uint16_t *x) { return simd_widen(*(const HalvesAnywhere *)x); }
SIMD_INLINE Floats simd_load_bf16_some(const uint16_t *x, size_t left) {
    Halves v = {0};
    memcpy(&v, x, left * sizeof *x);
    return simd_widen(v);
}

SIMD_INLINE Halves simd_narrow(Floats x) {
    Words bits = (Words)x, rounded = bits + ((bits >> 16) & 1) + 0x7fff, quiet = bits | 0x400000;
    Words wrong = (Words)(x != x);
    return simd_halves(((wrong & quiet) | (~wrong & rounded)) >> 16);
}
