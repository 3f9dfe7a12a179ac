/* sampler.h - many draws from rows of logits at once, each with its own random number.
 *
 * A draw is addressed by what it is for, (seed, round, item, k, position), so its result does not depend on which draws
 * are made beside it, in what order or by how many threads [SA-1].
 * Memory: scratch, one piece a thread, is carved from an arena that outlives the sampler.
 * Claims: [SA-n] are checked by tests/unit/test_sampler.c. */
#pragma once
#include "base/arena.h"
#include "base/rng.h"
#include "kernels/sampling_filter.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const KernelTable *kernels;
    SamplingFilter filter;
    size_t vocabulary;   // V
    const int32_t *stop; // stop tokens, borrowed
    size_t stop_count;
    unsigned char *scratch; // (threads, scratch_bytes)
    size_t scratch_bytes;
} Sampler;

/* The distinct tokens of a text, for the repetition penalty. */
typedef struct {
    int32_t *ids; // room for the whole text
    size_t count;
} SeenTokens;

typedef struct {
    const float *logits; // (V)
    SeenTokens seen;     // count 0 where the penalty is off
    RngAddress address;
    uint32_t position;   // of the token in its response
    SampledToken *token; // receives the result
} SamplerDraw;

void sampler_carve(Sampler *sampler, Arena *arena);
/* Makes all draws. ERROR_NUMERIC, naming prompt, response and position, where logits are not finite. */
int sampler_draw(const Sampler *sampler, const SamplerDraw *draw, size_t draws, Error *error);
bool sampler_stops(const Sampler *sampler, int32_t token);
bool sampler_needs_seen(const Sampler *sampler); // whether the filters look at seen tokens at all
void sampler_see(SeenTokens *seen, int32_t token);
