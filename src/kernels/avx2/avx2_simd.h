/* avx2_simd.h - the entries that kernels/simd writes for any width, compiled for AVX2. */
#pragma once
#include "kernels/kernel_table.h"

void avx2_simd_override(KernelTable *table);
