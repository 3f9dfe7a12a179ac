/* ref_attention.h - the plain version of the tiles of attention; meanings in kernels/kernel_table.h. */
#pragma once
#include "kernels/kernel_table.h"

/* Sets the entries tile_* and softmax_*. */
void ref_attention_fill(KernelTable *table);
