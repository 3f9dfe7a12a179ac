#include "floor.h"
#include "base/clock.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MEASURED = 64 };
typedef struct {
    size_t rows, columns, depth;
    bool gradient;
    double seconds;
} Measured;

struct Floor {
    GemmOnednn *library;
    int threads;
    DType input;
    Measured measured[MEASURED];
    size_t count;
};

int floor_create(Floor **floor, const KernelTable *kernels, DType input, Error *error) {
    Floor *f = *floor = calloc(1, sizeof *f);
    if (f == NULL) return error_set(error, ERROR_MEMORY, "no memory for the floor");
    f->threads = kernels->threads, f->input = input;
    return gemm_onednn_open(&f->library, kernels, 1, error);
}

void floor_destroy(Floor *f) {
    if (f == NULL) return;
    gemm_onednn_close(f->library);
    free(f);
}

/* Share `thread` of `threads` of n, in multiples of 16. */
static size_t share(size_t n, size_t thread, size_t threads) {
    size_t at = (n + 15) / 16 * thread / threads * 16;
    return at < n ? at : n;
}

typedef struct {
    GemmPrimitive *product;
    const char *a, *b;
    float *c;
} Part;

/* What a packed B takes at most, and where the part of a thread begins. */
static size_t packed_bytes(const Floor *f, const Measured *m, size_t columns, size_t thread) {
    return (columns + 64 * thread) * (m->depth + 64) / 64 * 64 * dtype_bytes(f->input);
}

/* Everything one thread needs for its share: A is dense, B packed, C dense. All values are zero: only the time counts.
 */
static int part_create(Floor *f, const Measured *m, bool by_rows, size_t thread, char *a, char *b, float *c, Part *part,
                       Error *error) {
    size_t n = by_rows ? m->rows : m->columns, begin = share(n, thread, (size_t)f->threads);
    size_t count = share(n, thread + 1, (size_t)f->threads) - begin;
    GemmShape shape = {.rows = by_rows ? count : m->rows,
                       .columns = by_rows ? m->columns : count,
                       .depth = m->depth,
                       .input = f->input,
                       .output = DTYPE_F32,
                       .accumulate = m->gradient};
    shape.c_row = shape.columns;
    *part = (Part){.a = a, .b = b, .c = c};
    if (count == 0) return 0;
    if (by_rows)
        part->a = a + begin * m->depth * dtype_bytes(f->input), part->c = c + begin * m->columns;
    else
        part->b = b + packed_bytes(f, m, begin, thread), part->c = c + begin * m->rows;
    return gemm_onednn_product(f->library, &shape, &part->product, error);
}

/* The fastest of several runs in which every thread computes its part. */
static double fastest(const Floor *f, const Part *part, double flops) {
    double best = 1e30, spent = 0;
    size_t repeat = (size_t)(2e8 / flops) + 1;
    for (int round = 0; round < 40 && (round < 4 || spent < 0.15); round++) {
        double start = clock_seconds();
#pragma omp parallel num_threads(f->threads)
        {
            int t = omp_get_thread_num();
            for (size_t i = 0; i < repeat && part[t].product != NULL; i++)
                gemm_onednn_multiply(part[t].product, t, part[t].a, part[t].b, part[t].c);
        }
        double seconds = clock_seconds() - start;
        spent += seconds;
        if (seconds / (double)repeat < best) best = seconds / (double)repeat;
    }
    return best;
}

static int measure(Floor *f, Measured *m, Error *error) {
    size_t a_bytes = m->rows * m->depth * dtype_bytes(f->input),
           b_bytes = packed_bytes(f, m, m->columns, (size_t)f->threads);
    char *a = calloc(a_bytes + 64, 1), *b = calloc(b_bytes + 64, 1);
    float *c = calloc(m->rows * m->columns + 16, sizeof *c);
    Part *part = calloc((size_t)f->threads, sizeof *part);
    int result = a == NULL || b == NULL || c == NULL || part == NULL
                     ? error_set(error, ERROR_MEMORY, "no memory for the floor")
                     : 0;
    m->seconds = 1e30;
    for (int by_rows = 0; result == 0 && by_rows < 2; by_rows++) {
        for (int t = 0; result == 0 && t < f->threads; t++)
            result = part_create(f, m, by_rows, (size_t)t, a, b, c, &part[t], error);
        double seconds =
            result == 0 ? fastest(f, part, 2.0 * (double)m->rows * (double)m->columns * (double)m->depth) : 0;
        if (result == 0 && seconds < m->seconds) m->seconds = seconds;
        for (int t = 0; t < f->threads; t++) {
            gemm_onednn_destroy(part[t].product);
            part[t] = (Part){0};
        }
    }
    free(a), free(b), free(c), free(part);
    return result;
}

static int add(Floor *f, Measured m, double times, FloorCost *cost, Error *error) {
    size_t i = 0;
    while (i < f->count && (f->measured[i].rows != m.rows || f->measured[i].columns != m.columns ||
                            f->measured[i].depth != m.depth || f->measured[i].gradient != m.gradient))
        i++;
    if (m.rows == 0) return 0;
    if (i == f->count) {
        if (measure(f, &m, error) != 0) return -1;
        if (f->count < MEASURED) f->measured[f->count++] = m;
    } else
        m = f->measured[i];
    cost->seconds += times * m.seconds;
    cost->flops += times * 2.0 * (double)m.rows * (double)m.columns * (double)m.depth;
    return 0;
}

int floor_product(Floor *f, size_t rows, size_t columns, size_t depth, FloorCost *cost, Error *error) {
    return add(f, (Measured){.rows = rows, .columns = columns, .depth = depth}, 1, cost, error);
}

int floor_gradient(Floor *f, size_t rows, size_t columns, size_t depth, FloorCost *cost, Error *error) {
    return add(f, (Measured){.rows = rows, .columns = columns, .depth = depth, .gradient = true}, 1, cost, error);
}

/* `times` products with a weight (out, in), and when training the two gradients. */
static int weight(Floor *f, double times, size_t rows, size_t out, size_t in, bool training, FloorCost *cost,
                  Error *error) {
    if (add(f, (Measured){.rows = rows, .columns = out, .depth = in}, times, cost, error) != 0) return -1;
    if (!training) return 0;
    if (add(f, (Measured){.rows = rows, .columns = in, .depth = out}, times, cost, error) != 0) return -1;
    return add(f, (Measured){.rows = out, .columns = in, .depth = rows, .gradient = true}, times, cost, error);
}

int floor_model(Floor *f, const HfConfig *c, size_t rows, size_t head_rows, double pairs, bool training,
                FloorCost *cost, Error *error) {
    double L = (double)c->layers;
    size_t C = c->channels, HD = c->heads * c->head_dim, QKV = HD + 2 * c->kv_heads * c->head_dim, F = c->feed_forward;
    *cost = (FloorCost){0};
    if (weight(f, L, rows, QKV, C, training, cost, error) != 0 ||
        weight(f, L, rows, C, HD, training, cost, error) != 0 ||
        weight(f, L, rows, 2 * F, C, training, cost, error) != 0 ||
        weight(f, L, rows, C, F, training, cost, error) != 0 ||
        weight(f, 1, head_rows, c->vocabulary, C, training, cost, error) != 0)
        return -1;
    /* Attention at the rate of tiles of its depth: 2 products forward, 4 more backward, each 2 D operations a pair. */
    FloorCost tile = {0};
    if (floor_product(f, 512, 512, c->head_dim, &tile, error) != 0) return -1;
    double flops = (training ? 12.0 : 4.0) * (double)c->head_dim * (double)c->heads * L * pairs;
    cost->flops += flops, cost->seconds += flops / tile.flops * tile.seconds;
    return 0;
}

int floor_peak(Floor *f, double *flops_per_second, Error *error) {
    FloorCost cost = {0};
    if (floor_product(f, 2048, 2048, 2048, &cost, error) != 0) return -1;
    *flops_per_second = cost.flops / cost.seconds;
    return 0;
}
