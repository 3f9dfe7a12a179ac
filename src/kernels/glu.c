#include "kernels/glu.h"

void glu_forward(const KernelTable *kernels, Glu glu, size_t T, size_t F, DType type, const void *gate_up, void *out) {
    size_t bytes = F * dtype_bytes(type);
    void (*row)(size_t, DType, const void *, const void *, void *) = glu == GLU_SILU ? kernels->swiglu : kernels->geglu;
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t t = 0; t < T; t++) {
        const char *gate = (const char *)gate_up + 2 * t * bytes;
        row(F, type, gate, gate + bytes, (char *)out + t * bytes);
    }
}

void glu_backward(const KernelTable *kernels, Glu glu, size_t T, size_t F, DType type, void *gate_up, void *out,
                  const void *dout) {
    size_t bytes = F * dtype_bytes(type);
    void (*row)(size_t, DType, const void *, const void *, void *) = glu == GLU_SILU ? kernels->swiglu : kernels->geglu;
    void (*back)(size_t, DType, const void *, const void *, const void *, void *, void *) =
        glu == GLU_SILU ? kernels->swiglu_backward : kernels->geglu_backward;
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t t = 0; t < T; t++) {
        char *gate = (char *)gate_up + 2 * t * bytes;
        row(F, type, gate, gate + bytes, (char *)out + t * bytes);
        back(F, type, gate, gate + bytes, (const char *)dout + t * bytes, gate, gate + bytes);
    }
}
