/* dtype.h - the element types of tensors and their scalar conversions (exact, or rounded to nearest, ties to even). */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum { DTYPE_F32, DTYPE_BF16, DTYPE_F16 } DType;
typedef uint16_t bf16; // upper half of a float32

static inline size_t dtype_bytes(DType type) { return type == DTYPE_F32 ? 4 : 2; }
static inline const char *dtype_name(DType type) {
    return type == DTYPE_F32 ? "float32" : type == DTYPE_BF16 ? "bfloat16" : "float16";
}

static inline float dtype_bf16_to_float(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline bf16 dtype_bf16_from_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bf16)(bits >> 16 | 0x40u); // NaN stays NaN
    return (bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float dtype_f16_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 0x3ffu, bits;
    if (exponent == 31)
        bits = sign | 0x7f800000u | mantissa << 13;
    else if (exponent != 0)
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    else { // zero or subnormal: mantissa * 2^-24 is exact in float32
        float f = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &f, 4);
        bits |= sign;
    }
    float f;
    memcpy(&f, &bits, 4);
    return f;
}
