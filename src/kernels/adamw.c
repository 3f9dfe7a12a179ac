#include "kernels/adamw.h"

/* Elements of one piece of work, and of one partial sum: fixed, so that sums do not depend on the threads. */
enum { BLOCK = 1 << 16 };

static size_t block_size(size_t n, size_t b) { return (b + 1) * BLOCK <= n ? BLOCK : n - b * BLOCK; }

void adamw_update(const KernelTable *kernels, size_t n, const AdamwStep *step, float *w, float *m, float *v,
                  const float *g) {
    size_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t b = 0; b < blocks; b++) {
        size_t at = b * BLOCK;
        kernels->adamw(block_size(n, b), step, w + at, m + at, v + at, g + at);
    }
}

double adamw_sum_squares(const KernelTable *kernels, size_t n, const float *g) {
    enum { GROUP = 64 }; // partial sums live on the stack
    double sum = 0, partial[GROUP];
    size_t blocks = (n + BLOCK - 1) / BLOCK;
    for (size_t first = 0; first < blocks; first += GROUP) {
        size_t count = blocks - first < GROUP ? blocks - first : GROUP;
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
        for (size_t b = 0; b < count; b++)
            partial[b] = kernels->sum_squares(block_size(n, first + b), g + (first + b) * BLOCK);
        for (size_t b = 0; b < count; b++) sum += partial[b];
    }
    return sum;
}
