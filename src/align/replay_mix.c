#include "align/replay_mix.h"

#include <math.h>
#include <stdlib.h>

int replay_mix_counts(size_t offline_rows, size_t generated_available, double gamma, ReplayCounts *counts,
                      Error *error) {
    if (!(gamma >= 0 && gamma <= 1))
        return error_set(error, ERROR_USAGE, "gamma is %g where a share from 0 to 1 was expected", gamma);
    const unsigned __int128 whole = 1000000000, part = (unsigned __int128)llround(gamma * 1e9);
    if (part == whole) {
        *counts = (ReplayCounts){.generated = 0, .offline = offline_rows};
        return 0;
    }
    size_t wanted = (size_t)(offline_rows * (whole - part) / whole);
    counts->generated = wanted < generated_available ? wanted : generated_available;
    counts->offline = (size_t)(part * counts->generated / (whole - part));
    return 0;
}

int replay_mix_draw(const size_t *generated_prompt, size_t generated_available, const size_t *offline_prompt,
                    size_t offline_rows, size_t prompts, double gamma, uint64_t seed, uint32_t round, size_t *generated,
                    size_t *offline, ReplayCounts *counts, Error *error) {
    ReplayCounts planned;
    if (replay_mix_counts(offline_rows, generated_available, gamma, &planned, error) != 0) return -1;
    unsigned char *taken = calloc(prompts + 1, 1);
    if (taken == NULL) return error_set(error, ERROR_MEMORY, "no memory to mark %zu prompts", prompts);
    /* item 0 and 1: the two permutations of one round are independent draws. */
    RngAddress address = {.seed = seed, .stream = RNG_REPLAY, .round = round, .item = 0};
    rng_permutation(&address, generated_available, generated);
    for (size_t i = 0; i < planned.generated; i++) taken[generated_prompt[generated[i]]] = 1;
    address.item = 1;
    rng_permutation(&address, offline_rows, offline);
    size_t kept = 0;
    for (size_t i = 0; i < offline_rows && kept < planned.offline; i++) // kept <= i: compacts in place
        if (!taken[offline_prompt[offline[i]]]) offline[kept++] = offline[i];
    free(taken);
    *counts = (ReplayCounts){.generated = planned.generated, .offline = kept};
    return 0;
}
