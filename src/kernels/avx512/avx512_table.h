/* avx512_table.h - entries for CPUs with AVX-512 F, BW, VL and DQ. */
#pragma once
#include "kernels/kernel_table.h"

/* Overrides the entries that AVX-512 does better. Call only where isa_of_cpu() >= ISA_AVX512. */
void avx512_table_override(KernelTable *table);
