#include "kernels/swiglu.h"

void swiglu_forward(const KernelTable *kernels, size_t T, size_t F, DType type, const void *gate_up, void *out) {
    size_t bytes = F * dtype_bytes(type);
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t t = 0; t < T; t++) {
        const char *gate = (const char *)gate_up + 2 * t * bytes;
        kernels->swiglu(F, type, gate, gate + bytes, (char *)out + t * bytes);
    }
}

void swiglu_backward(const KernelTable *kernels, size_t T, size_t F, DType type, const void *gate_up, const void *dout,
                     void *dgate_up) {
    size_t bytes = F * dtype_bytes(type);
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t t = 0; t < T; t++) {
        const char *gate = (const char *)gate_up + 2 * t * bytes;
        char *dgate = (char *)dgate_up + 2 * t * bytes;
        kernels->swiglu_backward(F, type, gate, gate + bytes, (const char *)dout + t * bytes, dgate, dgate + bytes);
    }
}
