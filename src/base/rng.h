/* rng.h - random numbers by counter, not by state.
 *
 * Philox4x32-10 maps (key, counter) to 128 random bits. We key by seed and count by what the number is for: (stream,
 * round, prompt, response k, position). So a draw does not depend on thread count, batch composition, order of work,
 * or what was drawn before a restart.
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; test vectors of Random123 1.09
 * (kat_vectors, philox4x32 10). Claims: [RNG-n] are checked by tests/unit/test_rng.c. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* One block of 128 bits [RNG-1]. */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* What a number is for. Two different addresses give independent numbers. */
typedef enum {
    RNG_SAMPLE = 1,
    RNG_SHUFFLE = 2,
    RNG_REPLAY = 3,
    RNG_AUDIT = 4,
    RNG_SPLIT = 5,
    RNG_INIT = 6,
    RNG_TEST = 7,
    RNG_PAIRS = 8,
    RNG_DROPOUT = 9
} RngStream;
typedef struct {
    uint64_t seed;
    RngStream stream;
    uint32_t round, item, k; // e.g. item = prompt, k = response; 0 where it does not apply
} RngAddress;

/* 64 bits at a position of an address. */
uint64_t rng_u64(const RngAddress *address, uint32_t position);
/* Uniform in [0, 1) with 53 bits [RNG-2]. */
double rng_uniform(const RngAddress *address, uint32_t position);
/* Uniform in 0 .. n-1 without modulo bias; n >= 1. */
uint64_t rng_below(const RngAddress *address, uint32_t position, uint64_t n);
/* Standard normal (Box-Muller on one 128-bit block). */
double rng_normal(const RngAddress *address, uint32_t position);
/* index[0..n) becomes a uniformly random permutation of 0..n-1 (Fisher-Yates) [RNG-3]. */
void rng_permutation(const RngAddress *address, size_t n, size_t *index);
