/* avx512_simd.h - the entries that kernels/simd writes for any width, compiled for AVX-512. */
#pragma once
#include "kernels/kernel_table.h"

void avx512_simd_override(KernelTable *table);
