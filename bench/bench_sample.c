/* bench_sample - response tokens a second, against the floor of their products (bench/floor.h).
 *
 * K = 16, 64 responses in flight, 128 + 128 tokens, no stop token. Attention and sampling are measured alone, in the
 * middle of the responses; the rest is what they and the floor leave of the wall time. Processor time (of all threads)
 * tells what the run would take on a machine of its own, where others share this one: then set OMP_WAIT_POLICY=passive.
 * usage: bench_sample [CHECKPOINT|-] [PROMPTS] [THREADS]   -: random weights of SmolLM2-135M's shape */
#include "base/clock.h"
#include "base/file.h"
#include "floor.h"
#include "kernels/attention.h"
#include "random_model.h"
#include "sample/generate.h"
#include "sample/sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { K = 16, BRANCHES = 64, TRUNKS = BRANCHES / K, PROMPT = 128, TOKENS = 128, PIECE = 256, REPEATS = 20 };

static void check(int result, const Error *error) {
    if (result == 0) return;
    fprintf(stderr, "%s\n", error->message);
    exit(1);
}

static void *zeros(size_t count, size_t element) {
    void *p = aligned_alloc(64, (count * element + 127) / 64 * 64);
    if (p == NULL) exit(1);
    return memset(p, 0, count * element);
}

/* Attention of all layers in one step. */
static double time_attention(const KernelTable *kernels, const HfConfig *c, DType type) {
    size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim, n = 0,
           rows = TRUNKS * PROMPT + BRANCHES * TOKENS;
    AttentionSegment segment[BRANCHES + TRUNKS];
    for (size_t p = 0; p < TRUNKS; p++) {
        int32_t trunk = (int32_t)n;
        segment[n++] = (AttentionSegment){p * K, 0, p * PROMPT, PROMPT, -1};
        for (size_t b = p * K; b < (p + 1) * K; b++)
            segment[n++] = (AttentionSegment){b, 1, TRUNKS * PROMPT + b * TOKENS, TOKENS / 2, trunk};
    }
    AttentionShape shape = {
        .heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim, .q_stride = q, .k_stride = kv};
    shape.v_stride = kv, shape.o_stride = q, shape.scale = 1, shape.type = type;
    size_t layer = rows * kv * dtype_bytes(type); // each layer has its own keys, or the caches would hold them all
    char *key = zeros(c->layers, layer), *value = zeros(c->layers, layer), *x = zeros(BRANCHES * q, 4),
         *o = zeros(BRANCHES * q, 4);
    char *scratch = zeros(attention_scratch_bytes(kernels, &shape, segment, n, 0), 1);
    double best = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        double start = clock_seconds();
        for (size_t l = 0; l < c->layers; l++)
            attention_forward(kernels, &shape, segment, n, x, key + l * layer, value + l * layer, o, NULL, scratch);
        best = fmin(best, clock_seconds() - start);
    }
    free(key), free(value), free(x), free(o), free(scratch);
    return best;
}

/* All draws of one step. */
static double time_sampling(const KernelTable *kernels, size_t V) {
    Sampler sampler = {.kernels = kernels, .filter = {1, 0, 1, 0, 1}, .vocabulary = V};
    Arena arena = arena_counting();
    Error error;
    sampler_carve(&sampler, &arena);
    check(arena_create(&arena, arena.used, &error), &error);
    sampler_carve(&sampler, &arena);
    float *logits = zeros(BRANCHES * V, sizeof *logits);
    SampledToken token[BRANCHES];
    SamplerDraw draw[BRANCHES];
    for (uint32_t i = 0; i < BRANCHES; i++)
        draw[i] = (SamplerDraw){logits + i * V, {NULL, 0}, {1, RNG_SAMPLE, 0, 0, i}, 0, &token[i]};
    double best = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        double start = clock_seconds();
        check(sampler_draw(&sampler, draw, BRANCHES, &error), &error);
        best = fmin(best, clock_seconds() - start);
    }
    free(logits);
    arena_destroy(&arena);
    return best;
}

static double processor_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int count_tokens(void *context, const GeneratedResponse *response, Error *error) {
    (void)error;
    *(size_t *)context += response->length;
    return 0;
}

static void bench(const char *directory, const KernelTable *kernels, DType compute, size_t prompts) {
    Error error;
    Model *model;
    ModelOptions options = {.kernels = kernels, .compute = compute};
    check(model_load(&model, directory, &options, &error), &error);
    const HfConfig *c = model_config(model);
    const GenerateSettings settings = {
        .filter = {1, 0, 1, 0, 1}, .responses = K, .max_new_tokens = TOKENS, .max_branches = BRANCHES};
    GeneratePrompt *prompt = zeros(prompts, sizeof *prompt);
    int32_t *ids = zeros(prompts * PROMPT, sizeof *ids);
    for (size_t i = 0; i < prompts * PROMPT; i++) ids[i] = (int32_t)(i * 7919 % c->vocabulary);
    for (size_t n = 0; n < prompts; n++) prompt[n] = (GeneratePrompt){(uint32_t)n, ids + n * PROMPT, PROMPT, NULL};
    size_t tokens = 0;
    double begin = processor_seconds(), start = clock_seconds();
    check(generate(model, &settings, prompt, prompts, count_tokens, &tokens, NULL, &error), &error);
    double wall = clock_seconds() - start, processor = processor_seconds() - begin;

    Floor *f;
    FloorCost step, piece;
    double peak, pairs = BRANCHES * (PROMPT + TOKENS / 2.0), piece_pairs = PIECE * (PROMPT + 1) / 2.0;
    check(floor_create(&f, kernels, compute, &error), &error);
    check(floor_peak(f, &peak, &error), &error);
    check(floor_model(f, c, BRANCHES, BRANCHES, pairs, false, &step, &error), &error);
    check(floor_model(f, c, PIECE, PIECE / PROMPT, piece_pairs, false, &piece, &error), &error);
    double steps = (double)prompts * K * (TOKENS - 1) / BRANCHES, pieces = (double)prompts * PROMPT / PIECE;
    double floor = steps * step.seconds + pieces * piece.seconds, flops = steps * step.flops + pieces * piece.flops;
    double attention = steps * time_attention(kernels, c, compute),
           sampling = steps * time_sampling(kernels, c->vocabulary);
    printf("%s, %s, %d threads, 2048 square product %.0f GFLOP/s; %zu prompts, %.0f MiB beside the weights\n",
           isa_name(kernels->isa), dtype_name(compute), kernels->threads, peak / 1e9, prompts,
           (double)generate_bytes(c, &options, &settings, PROMPT) / 1048576);
    printf("sampling, 64 in flight %9.0f tokens/s %8.2f s   floor %8.2f s   efficiency %.2f   MFU %.2f\n",
           (double)tokens / wall, wall, floor, floor / wall, flops / wall / peak);
    printf("  by processor time    %9.0f tokens/s %8.2f s                      efficiency %.2f\n",
           (double)tokens * kernels->threads / processor, processor / kernels->threads,
           floor * kernels->threads / processor);
    printf("  of %.2f s: products %.2f, attention %.2f, sampling %.2f, rest %.2f\n", wall, floor, attention, sampling,
           wall - floor - attention - sampling);
    floor_destroy(f);
    free(prompt), free(ids);
    model_free(model);
}

int main(int count, char **argument) {
    const char *build = getenv("DICE_BUILD");
    char directory[512];
    KernelTable kernels;
    Error error;
    bool own = count < 2 || strcmp(argument[1], "-") == 0;
    size_t prompts = count > 2 ? strtoul(argument[2], NULL, 10) : 8;
    snprintf(directory, sizeof directory, "%s/bench/sample.tmp", build != NULL ? build : "build");
    if (own) check(random_model_write(directory, &error), &error);
    check(kernel_table_create(&kernels, count > 3 ? atoi(argument[3]) : 0, &error), &error);
    bench(own ? directory : argument[1], &kernels, DTYPE_F32, prompts);
    if (isa_has_bf16(kernels.isa)) bench(own ? directory : argument[1], &kernels, DTYPE_BF16, prompts);
    if (own) check(file_remove_tree(directory, &error), &error);
    return 0;
}
