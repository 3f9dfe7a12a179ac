/* Times one draw from a row of 49152 logits, in microseconds, for the filters that matter and for rows like a trained
 * and like an untrained model's. usage: bench_sampling_filter */
#include "base/clock.h"
#include "base/rng.h"
#include "kernels/sampling_filter.h"

#include <stdio.h>
#include <stdlib.h>

enum { V = 49152, ROWS = 16, REPEATS = 12 };

static double row_us(const KernelTable *kernels, const SamplingFilter *filter, const float *logits, void *scratch) {
    double best = 1e9;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = clock_seconds();
        for (size_t r = 0; r < ROWS; r++)
            sampling_filter_draw(kernels, filter, V, logits + r * V, NULL, 0, (double)r / ROWS, scratch);
        double took = (clock_seconds() - start) / ROWS;
        if (took < best) best = took;
    }
    return best * 1e6;
}

int main(void) {
    static const struct {
        const char *name;
        SamplingFilter filter;
    } cases[] = {{"temperature 1", {1, 0, 1, 0, 1}},
                 {"temperature 0.9", {0.9f, 0, 1, 0, 1}},
                 {"temperature 0.7 top_p 0.9", {0.7f, 0, 0.9f, 0, 1}},
                 {"top_k 50", {1, 50, 1, 0, 1}},
                 {"temperature 0.7 top_k 50 top_p 0.9", {0.7f, 50, 0.9f, 0, 1}},
                 {"min_p 0.05", {1, 0, 1, 0.05f, 1}},
                 {"greedy", {0, 0, 1, 0, 1}}};
    KernelTable kernels;
    Error error;
    if (kernel_table_create(&kernels, 1, &error) != 0) return fprintf(stderr, "%s\n", error.message), 2;
    float *logits = malloc(sizeof *logits * ROWS * V);
    void *scratch = malloc(sampling_filter_scratch_bytes(V));
    if (logits == NULL || scratch == NULL) return 5;
    for (int flat = 0; flat < 2; flat++) {
        RngAddress address = {.seed = 1, .stream = RNG_TEST};
        for (uint32_t i = 0; i < ROWS * V; i++) logits[i] = (float)(rng_normal(&address, i) * (flat ? 0.3 : 3));
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
            printf("%-10s %-36s %s row %6.1f us\n", flat ? "untrained" : "trained", cases[c].name,
                   isa_name(kernels.isa), row_us(&kernels, &cases[c].filter, logits, scratch));
    }
    free(scratch), free(logits);
    return 0;
}
