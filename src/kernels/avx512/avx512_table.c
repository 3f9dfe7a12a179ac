#include "kernels/avx512/avx512_table.h"

#include "kernels/avx512/avx512_simd.h"
#include "kernels/avx512/avx512_vector.h"

void avx512_table_override(KernelTable *table) {
    table->to_bf16 = avx512_vector_to_bf16;
    table->to_f32 = avx512_vector_to_f32;
    table->add = avx512_vector_add;
    table->scale = avx512_vector_scale;
    table->axpy = avx512_vector_axpy;
    table->dot = avx512_vector_dot;
    table->dot_bf16 = avx512_vector_dot_bf16;
    table->axpy_bf16 = avx512_vector_axpy_bf16;
    table->maximum = avx512_vector_maximum;
    table->exp_sum = avx512_vector_exp_sum;
    table->sum_squares = avx512_vector_sum_squares;
    avx512_simd_override(table);
}
