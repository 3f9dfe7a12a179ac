/* kernel_cases.h - every table that this CPU can run, with one and with two threads, and random floats. */
#pragma once
#include "base/rng.h"
#include "kernels/kernel_table.h"
#include "test.h"

static inline void kernel_cases_each(void (*check)(const KernelTable *)) {
    for (Isa isa = ISA_REFERENCE; isa <= isa_of_cpu(); isa++)
        for (int threads = 1; threads <= 2; threads++) {
            KernelTable table;
            Error error = {0};
            if (kernel_table_create_capped(&table, threads, isa, &error) != 0)
                fail_msg("%s: %s", isa_name(isa), error.message);
            check(&table);
        }
}

static inline void kernel_cases_fill(size_t n, float *x, uint32_t item) {
    const RngAddress a = {.seed = 20240609, .stream = RNG_TEST, .item = item};
    for (uint32_t i = 0; i < n; i++) x[i] = (float)rng_normal(&a, i);
}
