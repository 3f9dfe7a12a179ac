#include "kernel_cases.h"
#include "kernels/rmsnorm.h"

#include <math.h>
#include <string.h>

enum { T = 150, C = 77 };
static float x[T * C], w[C], dy[T * C], y[T * C], dx[T * C], dw[C], inverse[T], scratch[3 * C];
static const float eps = 1e-5f;

static double norm(const double *row, size_t c) {
    double s = 0;
    for (size_t i = 0; i < C; i++) s += row[i] * row[i];
    return row[c] * w[c] / sqrt(s / C + eps);
}

/* sum_c dy_c y_c of one row, in double, with x[at] moved by h. */
static double dotted(size_t t, size_t at, double h) {
    double row[C], s = 0;
    for (size_t i = 0; i < C; i++) row[i] = (double)x[t * C + i] + (i == at ? h : 0);
    for (size_t i = 0; i < C; i++) s += dy[t * C + i] * norm(row, i);
    return s;
}

static void check(const KernelTable *k) {
    rmsnorm_forward(k, T, C, x, w, eps, y, DTYPE_F32, inverse);
    memset(dx, 0, sizeof dx), memset(dw, 0, sizeof dw);
    assert_true(rmsnorm_scratch_bytes(T, C) == sizeof scratch);
    rmsnorm_backward(k, T, C, x, w, inverse, dy, dx, dw, scratch);
    double expected_dw[C] = {0};
    for (size_t t = 0; t < T; t++) {
        double row[C];
        for (size_t i = 0; i < C; i++) row[i] = x[t * C + i];
        for (size_t i = 0; i < C; i++) {
            double value = norm(row, i);
            assert_true(fabs(value - y[t * C + i]) < 1e-5);
            expected_dw[i] += dy[t * C + i] * value / w[i];
        }
        for (size_t i = t % 5; i < C; i += 5) {
            double slope = (dotted(t, i, 1e-4) - dotted(t, i, -1e-4)) / 2e-4;
            assert_true(fabs(slope - dx[t * C + i]) < 2e-5);
        }
    }
    for (size_t i = 0; i < C; i++) assert_true(fabs(expected_dw[i] - dw[i]) < 1e-4);
}

static void values_and_gradients(void **state) {
    (void)state;
    kernel_cases_fill(T * C, x, 1), kernel_cases_fill(C, w, 2), kernel_cases_fill(T * C, dy, 3);
    kernel_cases_each(check);
}

static void threads_change_no_bit(void **state) {
    (void)state;
    KernelTable k;
    float first[C];
    kernel_cases_fill(T * C, x, 1), kernel_cases_fill(C, w, 2), kernel_cases_fill(T * C, dy, 3);
    for (int threads = 1; threads <= 4; threads++) {
        assert_int_equal(kernel_table_create(&k, threads, NULL), 0);
        rmsnorm_forward(&k, T, C, x, w, eps, y, DTYPE_F32, inverse);
        memset(dw, 0, sizeof dw);
        rmsnorm_backward(&k, T, C, x, w, inverse, dy, dx, dw, scratch);
        if (threads == 1) memcpy(first, dw, sizeof dw);
        assert_memory_equal(first, dw, sizeof dw);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_and_gradients), cmocka_unit_test(threads_change_no_bit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
