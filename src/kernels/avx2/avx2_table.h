/* avx2_table.h - entries for CPUs with AVX2, FMA and F16C. */
#pragma once
#include "kernels/kernel_table.h"

/* Overrides the entries that AVX2 does better. Call only where isa_of_cpu() >= ISA_AVX2. */
void avx2_table_override(KernelTable *table);
