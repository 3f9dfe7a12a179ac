/* simd_exp.h - e^x of SIMD_LANES floats, within 2 units in the last place.
 *
 * simd_exp: any x. simd_exp_weight: for weights of a softmax, x <= 88, where what is below e^-87 (1e-38) does not
 * matter; a larger x, as that of a key that is masked afterwards, gives any bits.
 *
 * x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7 (remainder below 1e-8); times 2^n as
 * two factors, so that subnormal results are rounded once and right. NaN stays NaN, -inf gives 0, +inf gives +inf. */

SIMD_INLINE Floats simd_power_of_two(Ints n) { return (Floats)((n + 127) << 23); }

/* e^(x - n ln 2) for the integers n nearest to x / ln 2. */
SIMD_INLINE Floats simd_exp_fraction(Floats x, Floats n) {
    // ln 2 in two parts; the first has few enough bits that n times it is exact.
    Floats r = simd_fma(n, simd_all(-0x1.62e4p-1f), x);
    r = simd_fma(n, simd_all(-0x1.7f7d1cp-20f), r);
    Floats p = simd_fma(simd_all(1.0f / 5040), r, simd_all(1.0f / 720));
    p = simd_fma(p, r, simd_all(1.0f / 120));
    p = simd_fma(p, r, simd_all(1.0f / 24));
    p = simd_fma(p, r, simd_all(1.0f / 6));
    p = simd_fma(p, r, simd_all(0.5f));
    return simd_fma(p, r * r, r) + 1.0f;
}

SIMD_INLINE Floats simd_exp(Floats x) {
    x = simd_min(simd_all(130.0f), simd_max(simd_all(-110.0f), x));
    Floats n = simd_round(x * 0x1.715476p+0f);
    Ints whole = __builtin_convertvector(n, Ints), half = whole >> 1;
    return simd_exp_fraction(x, n) * simd_power_of_two(half) * simd_power_of_two(whole - half);
}

SIMD_INLINE Floats simd_exp_weight(Floats x) {
    x = simd_max(simd_all(-87.0f), x);
    Floats n = simd_round(x * 0x1.715476p+0f);
    return (Floats)((Bits)simd_exp_fraction(x, n) + ((Bits) __builtin_convertvector(n, Ints) << 23));
}
