#include "kernels/rmsnorm.h"

#include <string.h>

/* Rows of one partial sum of dweight. Fixed, so that the order of the sum does not depend on the threads. */
enum { BLOCK = 64 };

static size_t blocks_of(size_t T) { return (T + BLOCK - 1) / BLOCK; }

void rmsnorm_forward(const KernelTable *kernels, size_t T, size_t C, const float *x, const float *weight, float eps,
                     void *y, DType y_type, float *inverse_rms) {
    size_t row_bytes = C * dtype_bytes(y_type);
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t t = 0; t < T; t++) {
        float inverse = kernels->rmsnorm_row(C, x + t * C, weight, eps, (char *)y + t * row_bytes, y_type);
        if (inverse_rms != NULL) inverse_rms[t] = inverse;
    }
}

size_t rmsnorm_scratch_bytes(size_t T, size_t C) { return blocks_of(T) * C * sizeof(float); }

void rmsnorm_backward(const KernelTable *kernels, size_t T, size_t C, const float *x, const float *weight,
                      const float *inverse_rms, const float *dy, float *dx, float *dweight, void *scratch) {
    float *partial = scratch; // (blocks, C)
    size_t blocks = blocks_of(T);
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t b = 0; b < blocks; b++) {
        size_t end = (b + 1) * BLOCK < T ? (b + 1) * BLOCK : T;
        memset(partial + b * C, 0, C * sizeof *partial);
        for (size_t t = b * BLOCK; t < end; t++)
            kernels->rmsnorm_row_backward(C, x + t * C, weight, inverse_rms[t], dy + t * C, dx + t * C,
                                          partial + b * C);
    }
    if (dweight == NULL) return;
    for (size_t b = 0; b < blocks; b++) kernels->add(C, partial + b * C, dweight);
}
