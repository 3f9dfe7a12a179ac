/* simd_table.h - the kernels of this folder, and the entries that they fill. Include once, after the operations that
 * simd_types.h asks for. */
#include "kernels/kernel_table.h"

// clang-format off
#include "kernels/simd/simd_exp.h"
#include "kernels/simd/simd_bf16.h"
#include "kernels/simd/simd_tile.h"
#include "kernels/simd/simd_softmax.h"
#include "kernels/simd/simd_rows.h"
// clang-format on

static void simd_table_override(KernelTable *table) {
    table->rmsnorm_row = simd_rmsnorm_row;
    table->rmsnorm_row_backward = simd_rmsnorm_row_backward;
    table->swiglu = simd_swiglu;
    table->swiglu_backward = simd_swiglu_backward;
    table->geglu = simd_geglu;
    table->geglu_backward = simd_geglu_backward;
    table->rope_row = simd_rope_row;
    table->adamw = simd_adamw;
    table->tile_load = simd_tile_load;
    table->tile_transpose = simd_tile_transpose;
    table->tile_product = simd_tile_product;
    table->softmax_columns = simd_softmax_columns;
    table->softmax_rows = simd_softmax_rows;
    table->softmax_columns_backward = simd_softmax_columns_backward;
}
