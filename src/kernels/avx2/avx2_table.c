#include "kernels/avx2/avx2_table.h"

#include "kernels/avx2/avx2_simd.h"
#include "kernels/avx2/avx2_vector.h"

void avx2_table_override(KernelTable *table) {
    table->to_bf16 = avx2_vector_to_bf16;
    table->to_f32 = avx2_vector_to_f32;
    table->add = avx2_vector_add;
    table->scale = avx2_vector_scale;
    table->axpy = avx2_vector_axpy;
    table->dot = avx2_vector_dot;
    table->dot_bf16 = avx2_vector_dot_bf16;
    table->axpy_bf16 = avx2_vector_axpy_bf16;
    table->maximum = avx2_vector_maximum;
    table->exp_sum = avx2_vector_exp_sum;
    table->sum_squares = avx2_vector_sum_squares;
    avx2_simd_override(table);
}
