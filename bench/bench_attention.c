/* Attention in the shapes of the job, SmolLM2-135M's heads (9 on 3 of 64): GFLOP/s of the multiply-adds that the mask
 * leaves, against the float32 peak of one core in the same run. usage: bench_attention [THREADS] */
#include "base/rng.h"
#include "bench_peak.h"
#include "kernels/attention.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 256, REPEATS = 40 };

typedef struct {
    const char *name;
    AttentionSegment segment[MOST];
    size_t n, query_rows, key_rows;
    double pairs; // of query and key
} Case;

/* `trunks` times a trunk of `trunk` keys with `branches` branches; queries: all rows, or only the last of each branch.
 */
static Case make_case(const char *name, size_t trunks, size_t trunk, size_t branches, size_t branch, int decode) {
    Case c = {.name = name};
    for (size_t t = 0; t < trunks; t++) {
        size_t root = c.n;
        for (size_t b = 0; b <= branches; b++) {
            size_t keys = b == 0 ? trunk : branch, before = b == 0 ? 0 : trunk;
            size_t queries = !decode ? keys : b == 0 ? 0 : 1;
            c.segment[c.n++] = (AttentionSegment){c.query_rows, queries, c.key_rows, keys, b == 0 ? -1 : (int32_t)root};
            c.query_rows += queries, c.key_rows += keys;
            c.pairs += decode ? (double)queries * (double)(before + keys)
                              : (double)keys * ((double)before + (double)(keys + 1) / 2);
        }
    }
    return c;
}

static void *random_rows(size_t n, DType type, uint32_t item) {
    RngAddress address = {.seed = 1, .stream = RNG_TEST, .item = item};
    char *x = malloc(n * dtype_bytes(type));
    for (uint32_t i = 0; x != NULL && i < n; i++) {
        float value = (float)(2 * rng_uniform(&address, i) - 1);
        if (type == DTYPE_F32)
            ((float *)(void *)x)[i] = value;
        else
            ((bf16 *)(void *)x)[i] = dtype_bf16_from_float(value);
    }
    return x;
}

/* Rows of q, k, v as the model has them: side by side when all are new, k and v in a cache when decoding. */
static void run(const KernelTable *kernels, const Case *c, DType type, double peak) {
    int backward = c->query_rows == c->key_rows;
    size_t rows = c->key_rows, stride = backward ? 960 : 192;
    const AttentionShape shape = {.heads = 9,
                                  .kv_heads = 3,
                                  .head_dim = 64,
                                  .q_stride = backward ? 960 : 576,
                                  .k_stride = stride,
                                  .v_stride = stride,
                                  .o_stride = 576,
                                  .scale = 0.125f,
                                  .type = type};
    char *qkv = random_rows(rows * 960, type, 0), *dqkv = random_rows(rows * 960, type, 1);
    void *dout = random_rows(rows * 576, type, 2), *o = random_rows(rows * 576, type, 3);
    float *lse = malloc(rows * 9 * sizeof *lse);
    void *scratch = malloc(attention_scratch_bytes(kernels, &shape, c->segment, c->n, backward));
    size_t width = dtype_bytes(type), k = backward ? 576 * width : rows * 576 * width, v = k + rows * 192 * width;
    if (backward) v = 768 * width;
    double best[2] = {1e9, 1e9};
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = clock_seconds();
        attention_forward(kernels, &shape, c->segment, c->n, qkv, qkv + k, qkv + v, o, lse, scratch);
        double middle = clock_seconds();
        if (backward)
            attention_backward(kernels, &shape, c->segment, c->n, qkv, qkv + k, qkv + v, o, lse, dout, dqkv, dqkv + k,
                               dqkv + v, scratch);
        double end = clock_seconds();
        if (middle - start < best[0]) best[0] = middle - start;
        if (end - middle < best[1]) best[1] = end - middle;
    }
    double product = 2 * c->pairs * 64 * 9 * 1e-9; // GFLOP of one of the matrix products
    for (int pass = 0; pass <= backward; pass++) {
        double rate = product * (pass == 0 ? 2 : 5) / best[pass];
        printf("%-28s %-8s %-8s %8.3f ms %7.1f GFLOP/s  %4.0f %% of peak\n", c->name, dtype_name(type),
               pass == 0 ? "forward" : "backward", best[pass] * 1e3, rate, 100 * rate / (peak * kernels->threads));
    }
    free(qkv), free(dqkv), free(dout), free(o), free(lse), free(scratch);
}

int main(int argc, char **argv) {
    KernelTable kernels;
    Error error;
    if (kernel_table_create(&kernels, argc > 1 ? atoi(argv[1]) : 1, &error) != 0)
        return fprintf(stderr, "%s\n", error.message), 2;
    double peak = bench_peak_gflops(kernels.isa);
    printf("%s, %d threads, float32 peak of one core %.1f GFLOP/s\n", isa_name(kernels.isa), kernels.threads, peak);
    for (int type = DTYPE_F32; type <= DTYPE_BF16; type++) {
        Case training = make_case("training 8 x (128 + 2 x 128)", 8, 128, 2, 128, 0);
        Case scoring = make_case("scoring 128 + 16 x 128", 1, 128, 16, 128, 0);
        Case decode = make_case("decode 4 x (128 + 16 x 64)", 4, 128, 16, 64, 1);
        run(&kernels, &training, (DType)type, peak), run(&kernels, &scoring, (DType)type, peak);
        run(&kernels, &decode, (DType)type, peak);
    }
    return 0;
}
