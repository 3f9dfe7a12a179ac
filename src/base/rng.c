#include "base/rng.h"

#include <math.h>

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)b, c2 = n2, c3 = (uint32_t)a;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* The counter has four words and the address five numbers: the stream, which is small, shares a word with k. `round`
 * and `position` get a word each, `attempt` of rng_below and rng_normal is folded into the key's upper half. */
static void block(const RngAddress *a, uint32_t position, uint32_t attempt, uint32_t out[4]) {
    uint32_t counter[4] = {position, (uint32_t)a->stream << 24 ^ a->k, a->item, a->round};
    uint32_t key[2] = {(uint32_t)a->seed, (uint32_t)(a->seed >> 32) ^ attempt * 0x85EBCA6Bu};
    rng_philox(counter, key, out);
}

static uint64_t attempt_u64(const RngAddress *a, uint32_t position, uint32_t attempt) {
    uint32_t out[4];
    block(a, position, attempt, out);
    return (uint64_t)out[1] << 32 | out[0];
}

uint64_t rng_u64(const RngAddress *address, uint32_t position) { return attempt_u64(address, position, 0); }

double rng_uniform(const RngAddress *address, uint32_t position) {
    return (double)(rng_u64(address, position) >> 11) * 0x1p-53;
}

uint64_t rng_below(const RngAddress *address, uint32_t position, uint64_t n) {
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    for (uint32_t attempt = 0;; attempt++) {
        uint64_t x = attempt_u64(address, position, attempt);
        if (x < limit) return x % n;
    }
}

double rng_normal(const RngAddress *address, uint32_t position) {
    uint32_t o[4];
    block(address, position, 0, o);
    double u = ((double)(((uint64_t)o[1] << 32 | o[0]) >> 11) + 1.0) * 0x1p-53; // (0, 1]
    double v = (double)(((uint64_t)o[3] << 32 | o[2]) >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

void rng_permutation(const RngAddress *address, size_t n, size_t *index) {
    for (size_t i = 0; i < n; i++) {
        size_t j = (size_t)rng_below(address, (uint32_t)i, i + 1);
        index[i] = index[j];
        index[j] = i;
    }
}
