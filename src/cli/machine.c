#include "cli/machine.h"

#include "base/arena.h"
#include "base/clock.h"
#include "kernels/gemm.h"
#include "store/run_store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the fastest run: the first ones warm up, and on a busy machine any may be slow. */
static int time_matmul(GemmContext *gemm, const GemmWeight *weight, size_t n, const void *x, void *y, double *flops,
                       Error *error) {
    double best = 0, start = clock_seconds(), now = start;
    for (int run = 0; run < 3 || now - start < 0.4; run++) {
        double begin = now;
        if (gemm_forward(gemm, weight, n, x, n, y, n, DTYPE_F32, false, error) != 0) return -1;
        now = clock_seconds();
        best = fmax(best, 2.0 * (double)n * (double)n * (double)n / (now - begin));
        if (now - start > 4) break; // a very slow path
    }
    *flops = best;
    return 0;
}

int machine_matmul_rate(const KernelTable *kernels, DType compute, double *flops, Error *error) {
    size_t n = kernels->isa == ISA_REFERENCE ? 256 : 2048;
    GemmContext *gemm = NULL;
    GemmWeight *weight = NULL;
    Arena arena = {0};
    int result = -1;
    if (arena_create(&arena, n * n * 10 + 1024, error) != 0) return -1;
    void *x = arena_take(&arena, n * n, dtype_bytes(compute)), *y = arena_take(&arena, n * n, sizeof(float));
    if (gemm_create(&gemm, kernels, error) == 0 &&
        gemm_weight_create(gemm, n, n, compute, GEMM_FORWARD, &weight, error) == 0 &&
        gemm_weight_pack(gemm, weight, x, compute, error) == 0)
        result = time_matmul(gemm, weight, n, x, y, flops, error);
    gemm_weight_destroy(weight);
    gemm_destroy(gemm);
    arena_destroy(&arena);
    return result;
}

static double read_number(const char *path, const char *key) {
    FILE *file = fopen(path, "re");
    char line[256];
    double value = 0;
    while (file != NULL && value == 0 && fgets(line, sizeof line, file) != NULL) {
        size_t length = strlen(key);
        if (strncmp(line, key, length) == 0) value = strtod(line + length, NULL);
    }
    if (file != NULL) fclose(file);
    return value;
}

void machine_memory(double *total, double *available) {
    *total = read_number("/proc/meminfo", "MemTotal:") * 1024;
    *available = read_number("/proc/meminfo", "MemAvailable:") * 1024;
    double limit = read_number("/sys/fs/cgroup/memory.max", ""),
           used = read_number("/sys/fs/cgroup/memory.current", "");
    if (limit > 0 && limit < *total) *total = limit;
    if (limit > 0 && limit - used < *available) *available = limit - used;
}

void machine_cpu_name(char *out, size_t capacity) {
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    snprintf(out, capacity, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, capacity, "%s", colon + 2);
        break;
    }
    if (file != NULL) fclose(file);
}

json_t *machine_libraries(void) {
    char onednn[32];
    gemm_library_version(onednn, sizeof onednn);
    return json_pack("{s:s, s:s, s:s}", "oneDNN", onednn, "SQLite", run_store_library_version(), "jansson",
                     JANSSON_VERSION);
}
