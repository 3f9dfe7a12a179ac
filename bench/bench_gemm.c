/* Matrix products in the shapes of SmolLM2-135M: our GFLOP/s, those that oneDNN reaches for exactly that product by
 * itself with the same number of threads (weights packed, its own splitting), and their ratio; packing; one large
 * square. usage: bench_gemm [THREADS] [f32|bf16] */
#include "base/clock.h"
#include "base/rng.h"
#include "kernels/gemm.h"
#include "kernels/gemm_onednn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { FORWARD, DATA_GRADIENT, WEIGHT_GRADIENT, PASSES } Pass;
static const char *const pass_names[] = {"forward", "data gradient", "weight gradient"};

typedef struct {
    KernelTable kernels;
    GemmContext *context;
    GemmOnednn *alone; // oneDNN with all threads inside one product
    DType type;
    void *a, *b; // random inputs, large enough for all
    float *c;
} Bench;

enum { ROWS = 1024, WIDE = 49152, CHANNELS = 576, SQUARE = 2048 };

static void stop(const Error *error) {
    fprintf(stderr, "%s\n", error->message);
    exit(2);
}

static void *random_array(const KernelTable *kernels, size_t n, DType type, uint32_t item) {
    const RngAddress address = {.seed = 1, .stream = RNG_TEST, .item = item};
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = i < 4096 ? (float)rng_normal(&address, (uint32_t)i) : x[i % 4093];
    if (type == DTYPE_F32) return x;
    bf16 *narrow = malloc(n * sizeof *narrow);
    kernels->to_bf16(n, x, narrow);
    free(x);
    return narrow;
}

/* One pass over a weight (out, in) by our doors, or by oneDNN alone. */
typedef struct {
    Pass pass;
    size_t T, out, in;
    GemmWeight *weight;
    GemmPrimitive *product, *packer;
    void *packed;
} Case;

static void run_ours(const Bench *b, const Case *c) {
    Error error;
    int status;
    if (c->pass == FORWARD)
        status = gemm_forward(b->context, c->weight, c->T, b->a, c->in, b->c, c->out, b->type, false, &error);
    else if (c->pass == DATA_GRADIENT)
        status = gemm_data_gradient(b->context, c->weight, c->T, b->a, c->out, b->c, c->in, b->type, false, &error);
    else
        status =
            gemm_weight_gradient(b->context, c->T, c->out, c->in, b->type, b->a, c->out, b->b, c->in, b->c, &error);
    if (status != 0) stop(&error);
}

static void create_alone(const Bench *b, Case *c) {
    Error error;
    bool weights = c->pass == WEIGHT_GRADIENT;
    size_t columns = c->pass == FORWARD ? c->out : c->in, depth = weights ? c->T : c->pass == FORWARD ? c->in : c->out;
    const GemmShape shape = {.rows = weights ? c->out : c->T,
                             .columns = columns,
                             .depth = depth,
                             .c_row = columns,
                             .input = b->type,
                             .output = weights ? DTYPE_F32 : b->type,
                             .accumulate = weights};
    const GemmPacking packing = {
        .depth = depth, .columns = columns, .type = b->type, .depth_stride = columns, .column_stride = 1};
    if (gemm_onednn_product(b->alone, &shape, &c->product, &error) != 0 ||
        gemm_onednn_packing(b->alone, &packing, &c->packer, &error) != 0)
        stop(&error);
    c->packed = aligned_alloc(64, gemm_onednn_packed_bytes(c->packer));
    gemm_onednn_pack(c->packer, 0, b->b, c->packed);
}

static void destroy_alone(Case *c) {
    gemm_onednn_destroy(c->product), gemm_onednn_destroy(c->packer);
    free(c->packed);
}

static void run_alone(const Bench *b, const Case *c) { gemm_onednn_multiply(c->product, 0, b->a, c->packed, b->c); }

static double seconds(const Bench *b, const Case *c, void (*run)(const Bench *, const Case *), double best) {
    double start = clock_seconds();
    run(b, c);
    double took = clock_seconds() - start;
    return took < best ? took : best;
}

/* Best of several, ours and oneDNN's in turn, so that a busy neighbour disturbs both. */
static void measure(const Bench *b, Case *c) {
    double ours = 1e9, alone = 1e9, end = clock_seconds() + 0.12;
    create_alone(b, c);
    run_ours(b, c), run_alone(b, c);
    for (int i = 0; i < 3 || (i < 2000 && clock_seconds() < end); i++) {
        ours = seconds(b, c, run_ours, ours);
        alone = seconds(b, c, run_alone, alone);
    }
    double flops = 2e-9 * (double)c->T * (double)c->out * (double)c->in;
    printf("%-9s %-15s %4zu x %4zu -> %5zu  %8.1f of %8.1f GFLOP/s  %4.0f %%\n", dtype_name(b->type),
           pass_names[c->pass], c->T, c->in, c->out, flops / ours, flops / alone, 100 * alone / ours);
    destroy_alone(c);
}

static void measure_shape(const Bench *b, size_t out, size_t in) {
    static const size_t rows[] = {16, 64, 256, ROWS};
    Error error;
    Case c = {.out = out, .in = in};
    bool head = out == WIDE; // its data gradient runs in chunks of words: see bench_token_logprob
    if (gemm_weight_create(b->context, out, in, b->type, head ? GEMM_FORWARD : GEMM_FORWARD | GEMM_DATA_GRADIENT,
                           &c.weight, &error) != 0)
        stop(&error);
    double best = 1e9;
    for (int i = 0; i < 4; i++) {
        double start = clock_seconds();
        if (gemm_weight_pack(b->context, c.weight, b->c, DTYPE_F32, &error) != 0) stop(&error);
        if (clock_seconds() - start < best) best = clock_seconds() - start;
    }
    printf("%-9s %-15s %12zu -> %5zu  %8.3f ms, %.1f GB/s of float32 read\n", dtype_name(b->type), "pack", in, out,
           best * 1e3, 4e-9 * (double)out * (double)in / best);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (Pass pass = FORWARD; pass < PASSES; pass++) {
            c.pass = pass, c.T = rows[i];
            if (!head || pass != DATA_GRADIENT) measure(b, &c);
        }
    gemm_weight_destroy(c.weight);
}

static void measure_square(const Bench *b) {
    Case c = {.pass = FORWARD, .T = SQUARE, .out = SQUARE, .in = SQUARE};
    create_alone(b, &c);
    double best = 1e9;
    for (int i = 0; i < 6; i++) best = seconds(b, &c, run_alone, best);
    printf("%-9s square of %d: %.1f GFLOP/s\n", dtype_name(b->type), SQUARE, 2e-9 * SQUARE * SQUARE * SQUARE / best);
    destroy_alone(&c);
}

static void measure_type(Bench *b, DType type) {
    static const size_t shapes[][2] = {{576, 576},  {192, 576},  {960, 576},      {1536, 576},
                                       {3072, 576}, {576, 1536}, {WIDE, CHANNELS}};
    size_t most = ROWS * WIDE;
    b->type = type;
    b->a = random_array(&b->kernels, most, type, 1), b->b = random_array(&b->kernels, (size_t)WIDE * CHANNELS, type, 2);
    measure_square(b);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) measure_shape(b, shapes[i][0], shapes[i][1]);
    free(b->a), free(b->b);
}

int main(int argc, char **argv) {
    Bench b = {0};
    Error error;
    if (kernel_table_create(&b.kernels, argc > 1 ? atoi(argv[1]) : 0, &error) != 0) stop(&error);
    if (b.kernels.isa == ISA_REFERENCE) return printf("the reference has no matrix product worth timing\n"), 0;
    KernelTable one = b.kernels;
    one.threads = 1;
    if (gemm_create(&b.context, &b.kernels, &error) != 0) stop(&error);
    if (gemm_onednn_open(&b.alone, &one, b.kernels.threads, &error) != 0) stop(&error);
    b.c = calloc((size_t)ROWS * WIDE, sizeof *b.c);
    printf("%s, %d threads; ours of oneDNN alone\n", isa_name(b.kernels.isa), b.kernels.threads);
    if (argc < 3 || strcmp(argv[2], "f32") == 0) measure_type(&b, DTYPE_F32);
    if (gemm_onednn_has_bf16(b.alone) && (argc < 3 || strcmp(argv[2], "bf16") == 0)) measure_type(&b, DTYPE_BF16);
    free(b.c);
    gemm_onednn_close(b.alone);
    gemm_destroy(b.context);
    return 0;
}
