/* ref_table.h - the plain version of every table entry: what an entry means, and what the others are held against. */
#pragma once
#include "kernels/kernel_table.h"

/* Fills every function pointer; leaves isa and threads alone. */
void ref_table_fill(KernelTable *table);
