#include "floor.h"
#include "base/clock.h"
#include "kernels/gemm.h"
#include "kernels/gemm_onednn.h"

#include <stdlib.h>
#include <string.h>

enum { MEASURED = 64 };
/* rows x depth times depth x columns, packed; gradient: depth x rows, transposed, times depth x columns, added up. */
typedef struct {
    size_t rows, columns, depth;
    bool gradient;
    double seconds;
} Measured;

struct Floor {
    GemmOnednn *library; // with all threads inside a product
    GemmContext *context;
    DType compute;
    Measured measured[MEASURED];
    size_t count;
};

int floor_create(Floor **floor, const KernelTable *kernels, DType compute, Error *error) {
    Floor *f = *floor = calloc(1, sizeof *f);
    if (f == NULL) return error_set(error, ERROR_MEMORY, "no memory for the floor");
    f->compute = compute;
    if (gemm_create(&f->context, kernels, error) != 0) return -1;
    return gemm_onednn_open(&f->library, kernels, kernels->threads, error);
}

void floor_destroy(Floor *f) {
    if (f == NULL) return;
    gemm_onednn_close(f->library);
    gemm_destroy(f->context);
    free(f);
}

/* One shape in the two ways of computing it. */
typedef struct {
    const Floor *floor;
    const Measured *shape;
    void *a, *b, *packed;
    float *c;
    GemmWeight *weight;
    GemmPrimitive *product, *packer;
} Job;

static int run_pieces(const Job *j, Error *error) {
    const Measured *m = j->shape;
    if (m->gradient)
        return gemm_weight_gradient(j->floor->context, m->depth, m->rows, m->columns, j->floor->compute, j->a, m->rows,
                                    j->b, m->columns, j->c, error);
    return gemm_forward(j->floor->context, j->weight, m->rows, j->a, m->depth, j->c, m->columns, DTYPE_F32, false,
                        error);
}

/* A is dense and B packed, also where a gradient would have to transpose and to pack them first. */
static int run_alone(const Job *j, Error *error) {
    int status = gemm_onednn_multiply(j->product, 0, j->a, j->packed, j->c);
    return status == 0 ? 0 : error_set(error, ERROR_INTERNAL, "oneDNN failed with status %d", status);
}

static int job_create(Floor *f, const Measured *m, Job *j, Error *error) {
    size_t size = dtype_bytes(f->compute), a = m->rows * m->depth, b = m->depth * m->columns, c = m->rows * m->columns;
    const GemmShape shape = {.rows = m->rows,
                             .columns = m->columns,
                             .depth = m->depth,
                             .c_row = m->columns,
                             .input = f->compute,
                             .output = DTYPE_F32,
                             .accumulate = m->gradient};
    const GemmPacking packing = {
        .depth = m->depth, .columns = m->columns, .type = f->compute, .depth_stride = m->columns, .column_stride = 1};
    *j = (Job){.floor = f, .shape = m, .a = malloc(a * size + 64), .b = malloc(b * size + 64), .c = malloc(c * 4 + 64)};
    if (j->a == NULL || j->b == NULL || j->c == NULL) return error_set(error, ERROR_MEMORY, "no memory for the floor");
    memset(j->a, 0x3c, a * size), memset(j->b, 0x3c, b * size); // 0.0115 in either type
    memset(j->c, 0, c * sizeof *j->c);
    if (gemm_onednn_product(f->library, &shape, &j->product, error) != 0 ||
        gemm_onednn_packing(f->library, &packing, &j->packer, error) != 0)
        return -1;
    j->packed = aligned_alloc(64, gemm_onednn_packed_bytes(j->packer));
    if (j->packed == NULL) return error_set(error, ERROR_MEMORY, "no memory for the floor");
    int status = gemm_onednn_pack(j->packer, 0, j->b, j->packed);
    if (status != 0) return gemm_onednn_failed(&shape, status, error);
    if (m->gradient) return 0;
    if (gemm_weight_create(f->context, m->columns, m->depth, f->compute, GEMM_FORWARD, &j->weight, error) != 0)
        return -1;
    return gemm_weight_pack(f->context, j->weight, j->b, f->compute, error);
}

static void job_destroy(Job *j) {
    gemm_weight_destroy(j->weight);
    gemm_onednn_destroy(j->product);
    gemm_onednn_destroy(j->packer);
    free(j->a), free(j->b), free(j->c), free(j->packed);
}

/* Best of both ways, in turns, so that a busy machine hits both. */
static int measure(Floor *f, Measured *m, Error *error) {
    Job job;
    int result = job_create(f, m, &job, error);
    size_t repeat = (size_t)(2e8 / (2.0 * (double)m->rows * (double)m->columns * (double)m->depth)) + 1;
    double begin = clock_seconds();
    m->seconds = 1e30;
    for (int round = 0; result == 0 && (round < 6 || (round < 60 && clock_seconds() - begin < 0.3)); round++) {
        double start = clock_seconds();
        for (size_t i = 0; result == 0 && i < repeat; i++)
            result = round % 2 == 0 ? run_pieces(&job, error) : run_alone(&job, error);
        double seconds = (clock_seconds() - start) / (double)repeat;
        if (seconds < m->seconds) m->seconds = seconds;
    }
    job_destroy(&job);
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
    if (add(f, (Measured){.rows = 512, .columns = 512, .depth = c->head_dim}, 1, &tile, error) != 0) return -1;
    double flops = (training ? 12.0 : 4.0) * (double)c->head_dim * (double)c->heads * L * pairs;
    cost->flops += flops, cost->seconds += flops / tile.flops * tile.seconds;
    return 0;
}

int floor_peak(Floor *f, double *flops_per_second, Error *error) {
    FloorCost cost = {0};
    if (add(f, (Measured){.rows = 2048, .columns = 2048, .depth = 2048}, 1, &cost, error) != 0) return -1;
    *flops_per_second = cost.flops / cost.seconds;
    return 0;
}
