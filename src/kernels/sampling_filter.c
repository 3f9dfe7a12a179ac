#include "kernels/sampling_filter.h"

#include "base/arena.h"

#include <math.h>
#include <string.h>

/* SUM_BLOCK: weights of one partial sum, so that inversion walks sums first. MAX_BLOCK: values that are skipped at once
 * when their maximum is too small. RADIX: bits of a float that one step of the descent settles. */
enum { SUM_BLOCK = 512, MAX_BLOCK = 64, RADIX = 11, BINS = 1 << RADIX };

typedef struct {
    float *value;    // (V) x, then weights exp(x - max)
    float *kept;     // (V) weights of the candidates
    int32_t *id;     // (V) of the candidates, ascending
    double *partial; // (V / SUM_BLOCK rounded up)
    float *maximum;  // (V / MAX_BLOCK rounded up)
    double *bin;     // (BINS)
} Work;

static size_t blocks_of(size_t n, size_t block) { return (n + block - 1) / block; }
static size_t block_size(size_t n, size_t block, size_t i) { return n - i < block ? n - i : block; }

static size_t take_work(Work *w, size_t V, void *scratch) {
    Arena arena = arena_counting();
    if (scratch != NULL) arena.block = scratch;
    w->value = arena_take(&arena, V, sizeof *w->value);
    w->kept = arena_take(&arena, V, sizeof *w->kept);
    w->id = arena_take(&arena, V, sizeof *w->id);
    w->partial = arena_take(&arena, blocks_of(V, SUM_BLOCK), sizeof *w->partial);
    w->maximum = arena_take(&arena, blocks_of(V, MAX_BLOCK), sizeof *w->maximum);
    w->bin = arena_take(&arena, BINS, sizeof *w->bin);
    return arena.used;
}

size_t sampling_filter_scratch_bytes(size_t V) {
    Work unused;
    return take_work(&unused, V, NULL);
}

/* y = exp(x - shift), unless it is NULL; sums of its blocks, and their sum. */
static double weigh(const KernelTable *kernels, size_t n, const float *x, float shift, float *y, double *partial) {
    double total = 0;
    for (size_t i = 0, b = 0; i < n; i += SUM_BLOCK, b++) {
        partial[b] = kernels->exp_sum(block_size(n, SUM_BLOCK, i), x + i, shift, y == NULL ? NULL : y + i);
        total += partial[b];
    }
    return total;
}

/* The first position whose sum of weights up to and including it exceeds uniform * total; never one of weight 0. */
static size_t invert(size_t n, const float *weight, const double *partial, double total, double uniform) {
    double left = uniform * total;
    size_t b = 0;
    while (b + 1 < blocks_of(n, SUM_BLOCK) && left >= partial[b]) left -= partial[b++];
    size_t last = b * SUM_BLOCK;
    for (size_t i = last; i < n; i++) {
        if (weight[i] == 0) continue;
        last = i;
        if (left < weight[i]) return i;
        left -= weight[i];
    }
    while (weight[last] == 0) last--; // rounding of the sums ran past everything; the largest weight is 1
    return last;
}

static size_t argmax(const KernelTable *kernels, size_t n, const float *x) {
    float best = kernels->maximum(n, x);
    size_t i = 0;
    while (kernels->maximum(block_size(n, MAX_BLOCK, i), x + i) != best) i += MAX_BLOCK;
    while (x[i] != best) i++;
    return i;
}

/* Order of floats as order of integers; -0 counts as 0. */
static uint32_t key_of(float x) {
    uint32_t bits;
    x += 0.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key) {
    uint32_t bits = key >> 31 ? key & 0x7fffffffu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The largest value t with measure of {values >= t} >= goal; *above becomes the measure of {values > t}. The measure of
 * a value is itself (by_value) or 1. Where rounding keeps the whole below the goal, t is the smallest that measures.
 * Every step deals the range of the values into bins and keeps those of one bin, in `rest` (n). */
static float descend(size_t n, const float *value, int by_value, double goal, float *rest, double *bin, double *above) {
    *above = 0;
    for (;;) {
        uint32_t low = UINT32_MAX, high = 0, found = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t key = key_of(value[i]);
            low = key < low ? key : low, high = key > high ? key : high;
        }
        if (low == high) return value_of(low);
        int length = 32 - __builtin_clz(high - low), shift = length > RADIX ? length - RADIX : 0;
        memset(bin, 0, BINS * sizeof *bin);
        for (size_t i = 0; i < n; i++) bin[(key_of(value[i]) - low) >> shift] += by_value ? value[i] : 1;
        double sum = *above;
        for (uint32_t at = BINS; at-- > 0;) {
            if (bin[at] == 0) continue;
            found = at, *above = sum, sum += bin[at];
            if (sum >= goal) break;
        }
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            float x = value[i];
            rest[left] = x;
            left += (key_of(x) - low) >> shift == found;
        }
        n = left, value = rest;
    }
}

/* Copies the values >= cut, with their ids, into kept and id. Returns how many. */
static size_t collect(const KernelTable *kernels, size_t n, const float *value, float cut, Work *w) {
    size_t count = 0;
    for (size_t i = 0; i < n; i += MAX_BLOCK) {
        size_t end = i + block_size(n, MAX_BLOCK, i);
        if (kernels->maximum(end - i, value + i) < cut) continue;
        for (size_t j = i; j < end; j++) {
            w->kept[count] = value[j], w->id[count] = (int32_t)j;
            count += value[j] >= cut;
        }
    }
    return count;
}

/* Tokens with x >= the k-th largest x. The k-th largest block maximum bounds that from below, and few reach it. */
static size_t keep_top_k(const KernelTable *kernels, size_t V, size_t k, Work *w) {
    size_t blocks = blocks_of(V, MAX_BLOCK);
    double above;
    float cut = -INFINITY;
    for (size_t b = 0; b < blocks; b++)
        w->maximum[b] = kernels->maximum(block_size(V, MAX_BLOCK, b * MAX_BLOCK), w->value + b * MAX_BLOCK);
    if (k <= blocks) cut = descend(blocks, w->maximum, 0, (double)k, w->kept, w->bin, &above);
    size_t n = collect(kernels, V, w->value, cut, w), count = 0;
    cut = descend(n, w->kept, 0, (double)k, w->value, w->bin, &above);
    for (size_t i = 0; i < n; i++)
        if (w->kept[i] >= cut) w->kept[count] = w->kept[i], w->id[count++] = w->id[i];
    return count;
}

/* Of n candidates, those that top-p and min-p leave. total: of all weights that top-p speaks of. */
static size_t keep_probable(size_t n, double total, const SamplingFilter *filter, Work *w) {
    double goal = filter->top_p * total, above;
    float end = -1; // weights above it stay, and so many of those that equal it; one at least, so that something does
    size_t equals = 0, count = 0;
    if (filter->top_p < 1) {
        end = descend(n, w->kept, 1, goal, w->value, w->bin, &above);
        equals = (size_t)fmax(1, ceil((goal - above) / end));
    }
    for (size_t i = 0; i < n; i++) { // without branches, which would be guesses
        float weight = w->kept[i];
        size_t equal = weight == end && equals > 0;
        equals -= equal;
        w->kept[count] = weight, w->id[count] = w->id[i];
        count += ((weight > end) | equal) & (weight >= filter->min_p); // the largest weight is exp(0) = 1
    }
    return count;
}

/* The token for w->value = x, which it overwrites. */
static int32_t draw_filtered(const KernelTable *kernels, const SamplingFilter *filter, size_t V, double uniform,
                             Work *w) {
    float best = kernels->maximum(V, w->value);
    int limited = filter->top_k != 0 && filter->top_k < V, probable = filter->top_p < 1 || filter->min_p > 0;
    size_t n;
    double total;
    if (limited) {
        n = keep_top_k(kernels, V, filter->top_k, w);
        total = weigh(kernels, n, w->kept, best, w->kept, w->partial);
    } else {
        total = weigh(kernels, V, w->value, best, w->value, w->partial);
        if (!probable) return (int32_t)invert(V, w->value, w->partial, total, uniform);
        // All tokens below (1 - top_p) / V together do not make up what top-p drops, so it drops them; half for
        // rounding.
        double cut = (1 - filter->top_p) * total / (double)V / 2;
        n = collect(kernels, V, w->value, fminf(1, fmaxf((float)cut, filter->min_p)), w);
    }
    if (probable) {
        n = keep_probable(n, total, filter, w), total = 0;
        for (size_t i = 0, b = 0; i < n; i += SUM_BLOCK, total += w->partial[b++]) {
            w->partial[b] = 0;
            for (size_t j = i; j < i + block_size(n, SUM_BLOCK, i); j++) w->partial[b] += w->kept[j];
        }
    }
    return w->id[invert(n, w->kept, w->partial, total, uniform)];
}

SampledToken sampling_filter_draw(const KernelTable *kernels, const SamplingFilter *filter, size_t V,
                                  const float *logits, const int32_t *seen, size_t seen_count, double uniform,
                                  void *scratch) {
    Work w;
    SampledToken out;
    take_work(&w, V, scratch);
    float best = kernels->maximum(V, logits), penalty = filter->repetition_penalty;
    int plain = filter->temperature == 1 && (penalty == 1 || seen_count == 0) &&
                (filter->top_k == 0 || filter->top_k >= V) && filter->top_p >= 1 && filter->min_p <= 0;
    double total = weigh(kernels, V, logits, best, plain ? w.value : NULL, w.partial);
    out.logsumexp = (float)(best + log(total));
    if (!isfinite(out.logsumexp)) return (SampledToken){.token = 0, .logprob = NAN, .logsumexp = out.logsumexp};
    if (plain)
        out.token = (int32_t)invert(V, w.value, w.partial, total, uniform);
    else {
        memcpy(w.value, logits, V * sizeof *logits);
        for (size_t i = 0; penalty != 1 && i < seen_count; i++) {
            float *x = &w.value[seen[i]];
            *x = *x > 0 ? *x / penalty : *x * penalty;
        }
        if (filter->temperature == 0)
            out.token = (int32_t)argmax(kernels, V, w.value);
        else {
            kernels->scale(V, 1 / fmaxf(filter->temperature, 1e-30f), w.value);
            out.token = draw_filtered(kernels, filter, V, uniform, &w);
        }
    }
    out.logprob = logits[out.token] - out.logsumexp;
    return out;
}
