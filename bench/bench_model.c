/* bench_model - the model's passes at the shape of SmolLM2-135M, each against its floor (bench/floor.h).
 * usage: bench_model [CHECKPOINT]   without one, random weights of that shape are written under the build directory */
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "floor.h"
#include "model/model.h"
#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { PROMPT = 128, RESPONSE = 128, PAIRS = 8, SCORED = 16, BRANCHES = 64, REPEATS = 3 };

static void check(int result, const Error *error) {
    if (result == 0) return;
    fprintf(stderr, "%s\n", error->message);
    exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = calloc(bytes + 64, 1);
    if (memory == NULL) exit(1);
    return memory;
}

static void fill(Batch *batch, size_t prompts, size_t branches, size_t vocabulary) {
    Error error;
    const RngAddress a = {.seed = 1, .stream = RNG_TEST};
    int32_t ids[PROMPT > RESPONSE ? PROMPT : RESPONSE];
    uint32_t at = 0;
    for (size_t p = 0; p < prompts; p++) {
        size_t trunk;
        for (size_t i = 0; i < PROMPT; i++) ids[i] = (int32_t)rng_below(&a, at++, vocabulary);
        check(batch_add_trunk(batch, ids, PROMPT, &trunk, &error), &error);
        for (size_t b = 0; b < branches; b++) {
            for (size_t i = 0; i < RESPONSE; i++) ids[i] = (int32_t)rng_below(&a, at++, vocabulary);
            check(batch_add_branch(batch, trunk, ids, RESPONSE, &error), &error);
        }
    }
    check(batch_finish(batch, &error), &error);
}

/* Pairs of query and key that see each other in `trunks` prompts of `branches` responses. */
static double pairs_of(double trunks, double branches) {
    return trunks * (0.5 * PROMPT * (PROMPT + 1) + branches * (RESPONSE * PROMPT + 0.5 * RESPONSE * (RESPONSE + 1)));
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double tokens, double *seconds, const FloorCost *floor, double peak) {
    qsort(seconds, REPEATS, sizeof *seconds, by_value);
    double median = seconds[REPEATS / 2];
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-28s %9.0f tokens/s %8.1f ms   floor %8.1f ms   efficiency %.2f   MFU %.2f   peak memory %.2f GiB\n", what,
           tokens / median, median * 1e3, floor->seconds * 1e3, floor->seconds / median, floor->flops / median / peak,
           (double)usage.ru_maxrss / 1048576);
    fflush(stdout);
}

/* adapter: no gradients of the weights, so that the floor is that of two forward passes. */
static void bench_training(Model *model, bool adapter, Floor *floor, double peak) {
    Error error;
    Batch batch = {0};
    Activations *activations = NULL;
    FloorCost cost;
    double both[REPEATS], forward[REPEATS];
    fill(&batch, PAIRS, 2, model_config(model)->vocabulary);
    float *logprob = allocate(batch.targets * sizeof *logprob), *dlogprob = allocate(batch.targets * sizeof *dlogprob);
    for (size_t i = 0; i < batch.targets; i++) dlogprob[i] = (i / RESPONSE) % 2 == 0 ? -0.01f : 0.01f;
    for (int r = -1; r < REPEATS; r++) {
        double start = clock_seconds();
        check(model_forward(model, &batch, &activations, logprob, NULL, &error), &error);
        double middle = clock_seconds();
        check(model_backward(model, &batch, activations, dlogprob, &error), &error);
        if (r >= 0) both[r] = clock_seconds() - start, forward[r] = middle - start;
    }
    check(
        floor_model(floor, model_config(model), batch.rows, batch.head_rows, pairs_of(PAIRS, 2), false, &cost, &error),
        &error);
    report("  forward alone", (double)batch.rows, forward, &cost, peak);
    if (adapter)
        cost = (FloorCost){2 * cost.seconds, 2 * cost.flops};
    else
        check(floor_model(floor, model_config(model), batch.rows, batch.head_rows, pairs_of(PAIRS, 2), true, &cost,
                          &error),
              &error);
    report(adapter ? "training an adapter, 8 pairs" : "training, 8 pairs", (double)batch.rows, both, &cost, peak);
    activations_free(activations);
    batch_free(&batch);
    free(logprob), free(dlogprob);
}

static void bench_scoring(Model *model, Floor *floor, double peak) {
    Error error;
    Batch batch = {0};
    FloorCost cost;
    double seconds[REPEATS];
    fill(&batch, 1, SCORED, model_config(model)->vocabulary);
    float *logprob = allocate(batch.targets * sizeof *logprob);
    for (int r = -1; r < REPEATS; r++) {
        double start = clock_seconds();
        check(model_logprob(model, &batch, logprob, NULL, NULL, &error), &error);
        if (r >= 0) seconds[r] = clock_seconds() - start;
    }
    check(
        floor_model(floor, model_config(model), batch.rows, batch.head_rows, pairs_of(1, SCORED), false, &cost, &error),
        &error);
    report("scoring, 16 branches", (double)batch.rows, seconds, &cost, peak);
    batch_free(&batch);
    free(logprob);
}

/* One step of 64 branches on 4 prompts, in the middle of responses of 128 tokens. */
static void bench_decoding(Model *model, Floor *floor, double peak) {
    enum {
        PROMPTS = 4,
        EACH = BRANCHES / PROMPTS,
        ROWS = PROMPTS * PROMPT + BRANCHES * RESPONSE,
        AT = RESPONSE / 2,
        STEPS = 8
    };
    const HfConfig *c = model_config(model);
    Error error;
    size_t bytes = model_kv_bytes(c, model_options(model), ROWS) / (2 * c->layers);
    KvArrays cache = {
        .key = allocate(c->layers * sizeof(void *)), .value = allocate(c->layers * sizeof(void *)), .rows = ROWS};
    for (size_t l = 0; l < c->layers; l++) cache.key[l] = allocate(bytes), cache.value[l] = allocate(bytes);
    int32_t token[BRANCHES], position[BRANCHES], cache_row[BRANCHES], logit_row[BRANCHES];
    AttentionSegment segment[PROMPTS + BRANCHES];
    float *logits = allocate(BRANCHES * c->vocabulary * sizeof *logits);
    double seconds[REPEATS];
    for (int r = -1; r < REPEATS; r++) {
        double start = clock_seconds();
        for (size_t s = 0; s < STEPS; s++) {
            for (size_t p = 0; p < PROMPTS; p++)
                segment[p] = (AttentionSegment){.key_row = p * PROMPT, .key_length = PROMPT, .parent = -1};
            for (size_t b = 0; b < BRANCHES; b++) {
                size_t row = PROMPTS * PROMPT + b * RESPONSE;
                token[b] = (int32_t)(b * 7 + s), position[b] = (int32_t)(PROMPT + AT + s), logit_row[b] = (int32_t)b;
                cache_row[b] = (int32_t)(row + AT + s);
                segment[PROMPTS + b] = (AttentionSegment){.query_row = b,
                                                          .query_length = 1,
                                                          .key_row = row,
                                                          .key_length = AT + s + 1,
                                                          .parent = (int32_t)(b / EACH)};
            }
            DecodeInput input = {.rows = BRANCHES,
                                 .token = token,
                                 .position = position,
                                 .cache_row = cache_row,
                                 .segment = segment,
                                 .segments = PROMPTS + BRANCHES,
                                 .logit_row = logit_row,
                                 .logit_rows = BRANCHES};
            check(model_decode(model, &cache, &input, logits, &error), &error);
        }
        if (r >= 0) seconds[r] = (clock_seconds() - start) / STEPS;
    }
    FloorCost cost;
    check(floor_model(floor, c, BRANCHES, BRANCHES, BRANCHES * (PROMPT + AT + STEPS / 2.0), false, &cost, &error),
          &error);
    report("decoding, 64 branches", BRANCHES, seconds, &cost, peak);
    for (size_t l = 0; l < c->layers; l++) free(cache.key[l]), free(cache.value[l]);
    free(cache.key), free(cache.value), free(logits);
}

static void bench(const char *directory, const KernelTable *kernels, DType compute) {
    Error error;
    Floor *floor;
    double peak;
    check(floor_create(&floor, kernels, compute, &error), &error);
    check(floor_peak(floor, &peak, &error), &error);
    printf("%s, %s, %d threads, 2048 square product %.0f GFLOP/s\n", isa_name(kernels->isa), dtype_name(compute),
           kernels->threads, peak / 1e9);
    ModelOptions options = {.kernels = kernels, .compute = compute};
    Model *model;
    double start = clock_seconds();
    check(model_load(&model, directory, &options, &error), &error);
    printf("loading %.2f s\n", clock_seconds() - start);
    bench_decoding(model, floor, peak);
    bench_scoring(model, floor, peak);
    model_free(model);
    options.lora = (LoraSettings){.r = 16, .alpha = 32, .targets = PEFT_ALL_LINEAR};
    check(model_load(&model, directory, &options, &error), &error);
    printf("with an adapter of rank 16 on all linear layers:\n");
    bench_decoding(model, floor, peak);
    model_free(model);
    options.trainable = true;
    check(model_load(&model, directory, &options, &error), &error);
    bench_training(model, true, floor, peak);
    model_free(model);
    options.lora.r = 0;
    printf("without:\n");
    check(model_load(&model, directory, &options, &error), &error);
    bench_training(model, false, floor, peak);
    model_free(model);
    floor_destroy(floor);
}

int main(int count, char **argument) {
    const char *build = getenv("DICE_BUILD");
    char directory[512];
    KernelTable kernels;
    Error error;
    snprintf(directory, sizeof directory, "%s/bench/model.tmp", build != NULL ? build : "build");
    if (count < 2) check(random_model_write(directory, &error), &error);
    check(kernel_table_create(&kernels, 0, &error), &error);
    bench(count > 1 ? argument[1] : directory, &kernels, DTYPE_F32);
    if (isa_has_bf16(kernels.isa)) bench(count > 1 ? argument[1] : directory, &kernels, DTYPE_BF16);
    if (count < 2) check(file_remove_tree(directory, &error), &error);
    return 0;
}
