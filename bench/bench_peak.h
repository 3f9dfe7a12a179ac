/* bench_peak.h - what one core can do at most, measured in the same run: float32 multiply-adds in registers, and
 * memory traffic. Everything takes the best of several runs, since the machine may be shared. */
#pragma once
#include "base/clock.h"
#include "kernels/kernel_table.h"

#include <immintrin.h>
#include <string.h>

enum { PEAK_STEPS = 1 << 18, PEAK_REPEATS = 20 };

__attribute__((target("avx512f"))) static float peak_steps_avx512(void) {
    __m512 sum[20], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
#pragma GCC unroll 20
    for (int i = 0; i < 20; i++) sum[i] = _mm512_set1_ps((float)i);
    for (int step = 0; step < PEAK_STEPS; step++)
#pragma GCC unroll 20
        for (int i = 0; i < 20; i++) sum[i] = _mm512_fmadd_ps(sum[i], a, b);
    float total = 0;
#pragma GCC unroll 20
    for (int i = 0; i < 20; i++) total += _mm512_reduce_add_ps(sum[i]);
    return total;
}

__attribute__((target("avx2,fma"))) static float peak_steps_avx2(void) {
    __m256 sum[12], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) sum[i] = _mm256_set1_ps((float)i);
    for (int step = 0; step < PEAK_STEPS; step++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) sum[i] = _mm256_fmadd_ps(sum[i], a, b);
    float total[8], all = 0;
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) {
        _mm256_storeu_ps(total, sum[i]);
        all += total[0];
    }
    return all;
}

/* GFLOP/s of one core, a multiply-add counted as two; 0 for the reference, which has no unit of its own. */
static inline double bench_peak_gflops(Isa isa) {
    double best = 0;
    for (int repeat = 0; repeat < PEAK_REPEATS && isa >= ISA_AVX2; repeat++) {
        double start = clock_seconds();
        volatile float kept = isa >= ISA_AVX512 ? peak_steps_avx512() : peak_steps_avx2();
        (void)kept;
        double flops = 2.0 * PEAK_STEPS * (isa >= ISA_AVX512 ? 20 * 16 : 12 * 8),
               rate = flops / (clock_seconds() - start);
        if (rate > best) best = rate;
    }
    return best * 1e-9;
}

/* GB/s of memcpy between two arrays of `bytes`, read and written bytes added. */
static inline double bench_peak_copy(void *dst, const void *src, size_t bytes) {
    double best = 0;
    for (int repeat = 0; repeat < PEAK_REPEATS; repeat++) {
        double start = clock_seconds();
        memcpy(dst, src, bytes);
        double rate = 2.0 * (double)bytes / (clock_seconds() - start);
        if (rate > best) best = rate;
    }
    return best * 1e-9;
}
