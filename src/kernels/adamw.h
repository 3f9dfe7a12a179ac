/* adamw.h - decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), in the order of torch.optim.AdamW:
 *   w *= 1 - lr * decay;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w -= lr / c1 * m / (sqrt(v / c2) + eps)
 * with g scaled first by gradient_scale (clipping), c1 = 1 - b1^t, c2 = 1 - b2^t. All arrays float32. The betas are in
 * double: 1 - 0.999f is 1.3e-5 off 0.001, which would scale every update. */
#pragma once
#include "kernels/kernel_table.h"

typedef struct AdamwStep {
    float learning_rate;
    double beta1, beta2;
    float eps, weight_decay, gradient_scale;
    float correction1, correction2; // c1 and c2 of this step, computed by the caller in double
} AdamwStep;

/* One update of n elements, split over the threads. */
void adamw_update(const KernelTable *kernels, size_t n, const AdamwStep *step, float *w, float *m, float *v,
                  const float *g);
/* Sum of squares in double, in an order that does not depend on the thread count. */
double adamw_sum_squares(const KernelTable *kernels, size_t n, const float *g);
