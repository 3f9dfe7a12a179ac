/* simd_wide.h - the kernels of kernels/simd at 16 lanes with plain operations, so that what AVX-512 runs is tested on
 * every CPU. */
#pragma once
#include <math.h>

#define SIMD_LANES 16
#include "kernels/simd/simd_types.h"

#define WIDE static __attribute__((noinline)) // 16 scalars each: inlined a thousand times they would choke the compiler

WIDE Floats simd_fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < SIMD_LANES; i++) c[i] = fmaf(a[i], b[i], c[i]);
    return c;
}
WIDE Floats simd_max(Floats a, Floats b) {
    for (int i = 0; i < SIMD_LANES; i++) b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}
WIDE Floats simd_min(Floats a, Floats b) {
    for (int i = 0; i < SIMD_LANES; i++) b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}
WIDE Floats simd_round(Floats a) {
    for (int i = 0; i < SIMD_LANES; i++) a[i] = rintf(a[i]);
    return a;
}
WIDE Floats simd_sqrt(Floats a) {
    for (int i = 0; i < SIMD_LANES; i++) a[i] = sqrtf(a[i]);
    return a;
}
WIDE Halves simd_halves(Words a) { return __builtin_convertvector(a, Halves); }
WIDE Words simd_words(Halves a) { return __builtin_convertvector(a, Words); }

#include "kernels/simd/simd_table.h"

static inline KernelTable simd_wide_table(int threads) {
    KernelTable table;
    if (kernel_table_create_capped(&table, threads, ISA_REFERENCE, NULL) == 0) simd_table_override(&table);
    return table;
}
