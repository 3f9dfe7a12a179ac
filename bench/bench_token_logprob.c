/* Log-probs, their gradients and whole rows of logits of SmolLM2-135M's head (49152 x 576): GFLOP/s of the products
 * that must be done (forward one, backward two, or one where the head is frozen; logits computed again are not
 * counted), and the same of one plain product of that many rows with a chunk of the head in the same run. usage:
 * bench_token_logprob [THREADS] */
#include "base/clock.h"
#include "base/rng.h"
#include "kernels/token_logprob.h"

#include <stdio.h>
#include <stdlib.h>

enum { V = 49152, C = 576, CHUNK = 1792, MOST = 896, REPEATS = 3 };

typedef struct {
    KernelTable kernels;
    GemmContext *gemm;
    DType type;
    TokenHead *head;
    GemmWeight *chunk;
    void *hidden;
    float *logits, *dhead, *dhidden, *logsumexp, *logprob, *dlogprob;
    TokenFigures *figures;
    TokenTarget *target;
    size_t R;
} Bench;

static void stop(const Error *error) {
    fprintf(stderr, "%s\n", error->message);
    exit(2);
}

static void run_forward(const Bench *b, Error *e) {
    if (token_logprob_forward(b->gemm, &b->kernels, b->head, b->R, b->hidden, b->R, b->target, b->logprob, b->logsumexp,
                              NULL, e) != 0)
        stop(e);
}

static void run_figures(const Bench *b, Error *e) {
    if (token_logprob_forward(b->gemm, &b->kernels, b->head, b->R, b->hidden, b->R, b->target, b->logprob, b->logsumexp,
                              b->figures, e) != 0)
        stop(e);
}

static void run_backward(const Bench *b, Error *e) {
    if (token_logprob_backward(b->gemm, &b->kernels, b->head, b->R, b->hidden, b->R, b->target, b->dlogprob,
                               b->logsumexp, b->dhidden, b->dhead, e) != 0)
        stop(e);
}

static void run_frozen(const Bench *b, Error *e) {
    if (token_logprob_backward(b->gemm, &b->kernels, b->head, b->R, b->hidden, b->R, b->target, b->dlogprob,
                               b->logsumexp, b->dhidden, NULL, e) != 0)
        stop(e);
}

static void run_logits(const Bench *b, Error *e) {
    if (token_logits(b->gemm, b->head, b->R, b->hidden, b->logits, e) != 0) stop(e);
}

static void run_product(const Bench *b, Error *e) {
    if (gemm_forward(b->gemm, b->chunk, b->R, b->hidden, C, b->logits, CHUNK, DTYPE_F32, false, e) != 0) stop(e);
}

static double fastest(const Bench *b, void (*run)(const Bench *, Error *)) {
    Error error;
    double best = 1e9;
    for (int i = 0; i < REPEATS; i++) {
        double start = clock_seconds();
        run(b, &error);
        double took = clock_seconds() - start;
        if (took < best) best = took;
    }
    return best;
}

static void measure(Bench *b, size_t R) {
    b->R = R;
    double flops = 2e-9 * (double)R * V * C, plain = flops / V * CHUNK / fastest(b, run_product);
    double forward = flops / fastest(b, run_forward), figures = flops / fastest(b, run_figures);
    double backward = 2 * flops / fastest(b, run_backward);
    double frozen = flops / fastest(b, run_frozen), logits = flops / fastest(b, run_logits);
    printf("%-8s %5zu rows: forward %7.1f  with figures %7.1f  backward %7.1f  head frozen %7.1f  logits %7.1f  one "
           "product %7.1f GFLOP/s\n",
           dtype_name(b->type), R, forward, figures, backward, frozen, logits, plain);
}

static void create(Bench *b, DType type) {
    Error error;
    const RngAddress address = {.seed = 1, .stream = RNG_TEST};
    float *head = b->dhead; // any values do
    for (size_t i = 0; i < (size_t)V * C; i++)
        head[i] = i < 4096 ? 0.1f * (float)rng_normal(&address, (uint32_t)i) : head[i % 4093];
    if (type == DTYPE_F32)
        for (size_t i = 0; i < MOST * C; i++) ((float *)b->hidden)[i] = head[i + 7];
    else
        b->kernels.to_bf16(MOST * C, head + 7, b->hidden);
    b->type = type;
    if (token_head_create(b->gemm, V, C, type, TOKEN_HEAD_TRAINED, &b->head, &error) != 0 ||
        token_head_pack(b->gemm, b->head, head, DTYPE_F32, &error) != 0 ||
        gemm_weight_create(b->gemm, CHUNK, C, type, GEMM_FORWARD, &b->chunk, &error) != 0 ||
        gemm_weight_pack(b->gemm, b->chunk, head, DTYPE_F32, &error) != 0)
        stop(&error);
}

int main(int argc, char **argv) {
    Bench b = {0};
    Error error;
    if (kernel_table_create(&b.kernels, argc > 1 ? atoi(argv[1]) : 0, &error) != 0 ||
        gemm_create(&b.gemm, &b.kernels, &error) != 0)
        stop(&error);
    b.hidden = malloc(sizeof(float) * MOST * C), b.dhidden = malloc(sizeof(float) * MOST * C);
    b.logits = malloc(sizeof(float) * MOST * V), b.dhead = calloc((size_t)V * C, sizeof(float));
    b.logprob = malloc(sizeof(float) * MOST), b.logsumexp = malloc(sizeof(float) * MOST);
    b.figures = malloc(sizeof *b.figures * MOST);
    b.dlogprob = malloc(sizeof(float) * MOST), b.target = malloc(sizeof *b.target * MOST);
    for (size_t i = 0; i < MOST; i++)
        b.target[i] = (TokenTarget){(int32_t)i, (int32_t)(i * 48 % V)}, b.dlogprob[i] = 0.5f;
    printf("%s, %d threads\n", isa_name(b.kernels.isa), b.kernels.threads);
    for (int type = DTYPE_F32; type <= (isa_has_bf16(b.kernels.isa) ? DTYPE_BF16 : DTYPE_F32); type++) {
        static const size_t rows[] = {16, 64, 448, MOST};
        create(&b, (DType)type);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) measure(&b, rows[i]);
        token_head_destroy(b.head), gemm_weight_destroy(b.chunk);
    }
    gemm_destroy(b.gemm);
    free(b.hidden), free(b.dhidden), free(b.logits), free(b.dhead);
    free(b.logprob), free(b.logsumexp), free(b.figures), free(b.dlogprob), free(b.target);
    return 0;
}
