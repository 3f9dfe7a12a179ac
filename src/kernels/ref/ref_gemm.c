#include "kernels/ref/ref_gemm.h"

static float load(const void *x, DType type, size_t i) {
    return type == DTYPE_F32 ? ((const float *)x)[i] : dtype_bf16_to_float(((const bf16 *)x)[i]);
}

void ref_gemm_row(const RefGemm *g, const void *a, const void *b, void *c) {
    enum { BLOCK = 16 }; // columns at a time, so that B is walked along its lines whichever way it lies
    for (size_t first = 0; first < g->columns; first += BLOCK) {
        size_t count = g->columns - first < BLOCK ? g->columns - first : BLOCK;
        double sum[BLOCK] = {0};
        for (size_t k = 0; k < g->depth; k++) {
            double x = load(a, g->input, k * g->a_depth);
            for (size_t n = 0; n < count; n++)
                sum[n] += x * load(b, g->input, k * g->b_depth + (first + n) * g->b_column);
        }
        for (size_t n = 0; n < count; n++) {
            float *whole = (float *)c + first + n;
            if (g->output != DTYPE_F32)
                ((bf16 *)c)[first + n] = dtype_bf16_from_float((float)sum[n]);
            else
                *whole = (float)(g->accumulate ? *whole + sum[n] : sum[n]);
        }
    }
}
