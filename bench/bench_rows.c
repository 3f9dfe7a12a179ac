/* Row kernels in the shapes of SmolLM2-135M on one core: GB/s of what they must read and write, against memcpy over as
 * much memory in the same run. Rows that stay in the cache, since the layers hand them on, and AdamW over memory.
 * usage: bench_rows */
#include "bench_peak.h"
#include "kernels/adamw.h"
#include "kernels/rope.h"

#include <stdio.h>
#include <stdlib.h>

enum { C = 576, F = 1536, D = 64, HEADS = 12, ROWS = 64, REPEATS = 40, PARAMETERS = 1 << 22 };

typedef struct {
    KernelTable kernels;
    DType type;
    float *x, *y, *dx, *dy, *weight, *dweight, *turn; // ROWS x 2F each, or a row
} Rows;

static void rmsnorm(Rows *r) {
    for (size_t t = 0; t < ROWS; t++)
        r->kernels.rmsnorm_row(C, r->x + t * C, r->weight, 1e-5f, (char *)r->y + t * C * dtype_bytes(r->type), r->type);
}
static void rmsnorm_back(Rows *r) {
    for (size_t t = 0; t < ROWS; t++)
        r->kernels.rmsnorm_row_backward(C, r->x + t * C, r->weight, 0.9f, r->dy + t * C, r->dx + t * C, r->dweight);
}
static void *row_of(const Rows *r, float *x, size_t elements) { return (char *)x + elements * dtype_bytes(r->type); }
static void swiglu(Rows *r) {
    for (size_t t = 0; t < ROWS; t++)
        r->kernels.swiglu(F, r->type, row_of(r, r->x, 2 * t * F), row_of(r, r->x, (2 * t + 1) * F),
                          row_of(r, r->y, t * F));
}
static void swiglu_back(Rows *r) {
    for (size_t t = 0; t < ROWS; t++)
        r->kernels.swiglu_backward(F, r->type, row_of(r, r->x, 2 * t * F), row_of(r, r->x, (2 * t + 1) * F),
                                   row_of(r, r->dy, t * F), row_of(r, r->dx, 2 * t * F),
                                   row_of(r, r->dx, (2 * t + 1) * F));
}
static void geglu(Rows *r) {
    for (size_t t = 0; t < ROWS; t++)
        r->kernels.geglu(F, r->type, row_of(r, r->x, 2 * t * F), row_of(r, r->x, (2 * t + 1) * F),
                         row_of(r, r->y, t * F));
}
static void geglu_back(Rows *r) {
    for (size_t t = 0; t < ROWS; t++)
        r->kernels.geglu_backward(F, r->type, row_of(r, r->x, 2 * t * F), row_of(r, r->x, (2 * t + 1) * F),
                                  row_of(r, r->dy, t * F), row_of(r, r->dx, 2 * t * F),
                                  row_of(r, r->dx, (2 * t + 1) * F));
}
static void rope(Rows *r) {
    for (size_t t = 0; t < ROWS; t++)
        r->kernels.rope_row(HEADS, D / 2, r->type, r->turn, r->turn + D / 2, t % 2 ? 1.0f : -1.0f,
                            row_of(r, r->x, t * HEADS * D));
}

static double best_seconds(void (*work)(Rows *), Rows *rows) {
    double best = 1e9;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = clock_seconds();
        for (int again = 0; again < 10; again++) work(rows);
        double took = (clock_seconds() - start) / 10;
        if (took < best) best = took;
    }
    return best;
}

static float *filled(size_t n) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; x != NULL && i < n; i++) x[i] = 0.25f + (float)(i % 97) / 97;
    return x;
}

static void report(const char *name, DType type, double bytes, double seconds, double ceiling) {
    printf("%-18s %-8s %8.2f us %6.1f GB/s  %4.0f %% of memcpy\n", name, dtype_name(type), seconds * 1e6,
           bytes / seconds * 1e-9, 100 * bytes / seconds * 1e-9 / ceiling);
}

static void bench_adamw(const KernelTable *kernels) {
    const AdamwStep step = {1e-6f, 0.9, 0.999, 1e-8f, 0, 1, 0.1f, 0.001f};
    float *w = filled(PARAMETERS), *m = filled(PARAMETERS), *v = filled(PARAMETERS), *g = filled(PARAMETERS);
    if (w == NULL || m == NULL || v == NULL || g == NULL) return;
    double ceiling = bench_peak_copy(w, m, PARAMETERS * sizeof *w), best = 1e9;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = clock_seconds();
        adamw_update(kernels, PARAMETERS, &step, w, m, v, g);
        double took = clock_seconds() - start;
        if (took < best) best = took;
    }
    report("adamw", DTYPE_F32, 28.0 * PARAMETERS, best, ceiling);
    free(w), free(m), free(v), free(g);
}

int main(void) {
    Rows r = {.x = filled(ROWS * 2 * F),
              .y = filled(ROWS * 2 * F),
              .dx = filled(ROWS * 2 * F),
              .dy = filled(ROWS * 2 * F),
              .weight = filled(C),
              .dweight = filled(C),
              .turn = filled(D)};
    Error error;
    if (kernel_table_create(&r.kernels, 1, &error) != 0) return fprintf(stderr, "%s\n", error.message), 2;
    double ceiling = bench_peak_copy(r.y, r.x, ROWS * F * sizeof(float));
    printf("%s, one thread; memcpy of %d KiB in cache %.1f GB/s\n", isa_name(r.kernels.isa), ROWS * F * 4 / 1024,
           ceiling);
    for (int type = DTYPE_F32; type <= DTYPE_BF16; type++) {
        double width = (double)dtype_bytes((DType)type);
        r.type = (DType)type;
        report("rmsnorm", r.type, ROWS * C * (4 + width), best_seconds(rmsnorm, &r), ceiling);
        report("swiglu", r.type, ROWS * F * 3 * width, best_seconds(swiglu, &r), ceiling);
        report("swiglu backward", r.type, ROWS * F * 5 * width, best_seconds(swiglu_back, &r), ceiling);
        report("geglu", r.type, ROWS * F * 3 * width, best_seconds(geglu, &r), ceiling);
        report("geglu backward", r.type, ROWS * F * 5 * width, best_seconds(geglu_back, &r), ceiling);
        report("rope", r.type, ROWS * HEADS * D * 2 * width, best_seconds(rope, &r), ceiling);
        float *all[] = {r.x, r.dx, r.dy}; // the next type reads the same memory
        for (size_t a = 0; a < 3; a++)
            for (size_t i = 0; i < ROWS * 2 * F; i++)
                ((bf16 *)(void *)all[a])[i] = dtype_bf16_from_float((float)(i % 97) / 97);
    }
    report("rmsnorm backward", DTYPE_F32, ROWS * C * 16.0, best_seconds(rmsnorm_back, &r), ceiling);
    bench_adamw(&r.kernels);
    free(r.x), free(r.y), free(r.dx), free(r.dy), free(r.weight), free(r.dweight), free(r.turn);
    return 0;
}
