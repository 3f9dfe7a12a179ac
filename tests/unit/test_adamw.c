#include "kernel_cases.h"
#include "kernels/adamw.h"

#include <math.h>
#include <string.h>

enum { N = 2 * 65536 + 333 };
static float w[N], m[N], v[N], g[N];

/* Three steps against the formula in double. */
static void check(const KernelTable *k) {
    static double W[N], M[N], V[N];
    kernel_cases_fill(N, w, 1);
    memset(m, 0, sizeof m), memset(v, 0, sizeof v);
    for (size_t i = 0; i < N; i++) W[i] = w[i], M[i] = V[i] = 0;
    for (int t = 1; t <= 3; t++) {
        kernel_cases_fill(N, g, (uint32_t)t + 1);
        const AdamwStep s = {
            1e-2f, 0.9, 0.999, 1e-8f, 0.01f, 0.5f, (float)(1 - pow(0.9, t)), (float)(1 - pow(0.999, t))};
        adamw_update(k, N, &s, w, m, v, g);
        for (size_t i = 0; i < N; i++) {
            double d = 0.5 * g[i];
            M[i] = 0.9 * M[i] + 0.1 * d, V[i] = 0.999 * V[i] + 0.001 * d * d;
            W[i] *= 1 - 1e-2 * 0.01;
            W[i] -= 1e-2 / (1 - pow(0.9, t)) * M[i] / (sqrt(V[i] / (1 - pow(0.999, t))) + 1e-8);
        }
    }
    for (size_t i = 0; i < N; i++)
        assert_true(fabs(W[i] - w[i]) < 3e-6 && fabs(M[i] - m[i]) < 1e-6 && fabs(V[i] - v[i]) < 1e-6 * V[i]);
}

static void follows_the_formula(void **state) {
    (void)state;
    kernel_cases_each(check);
}

static void sum_of_squares_does_not_depend_on_threads(void **state) {
    (void)state;
    double exact = 0, first = 0;
    kernel_cases_fill(N, g, 9);
    for (size_t i = 0; i < N; i++) exact += (double)g[i] * g[i];
    for (int threads = 1; threads <= 4; threads++) {
        KernelTable k;
        assert_int_equal(kernel_table_create(&k, threads, NULL), 0);
        double sum = adamw_sum_squares(&k, N, g);
        if (threads == 1) first = sum;
        assert_true(sum == first && fabs(sum / exact - 1) < 1e-12);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows_the_formula),
                                       cmocka_unit_test(sum_of_squares_does_not_depend_on_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
