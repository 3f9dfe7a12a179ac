#include "sample/sampler.h"
#include "base/size.h"

#include <math.h>
#include <omp.h>

void sampler_carve(Sampler *sampler, Arena *arena) {
    sampler->scratch_bytes = size_round_up(sampling_filter_scratch_bytes(sampler->vocabulary), 64);
    sampler->scratch = arena_take(arena, (size_t)sampler->kernels->threads, sampler->scratch_bytes);
}

int sampler_draw(const Sampler *sampler, const SamplerDraw *draw, size_t draws, Error *error) {
#pragma omp parallel for schedule(dynamic) num_threads(sampler->kernels->threads) if (draws > 1)
    for (size_t i = 0; i < draws; i++) {
        const SamplerDraw *d = &draw[i];
        void *scratch = sampler->scratch + (size_t)omp_get_thread_num() * sampler->scratch_bytes;
        *d->token = sampling_filter_draw(sampler->kernels, &sampler->filter, sampler->vocabulary, d->logits,
                                         d->seen.ids, d->seen.count, rng_uniform(&d->address, d->position), scratch);
    }
    for (size_t i = 0; i < draws; i++) // a NaN or an infinity anywhere in the row makes its log-sum-exp one
        if (!isfinite(draw[i].token->logsumexp) || !isfinite(draw[i].token->logprob))
            return error_set(error, ERROR_NUMERIC,
                             "prompt %u, response %u, token %u: the model's logits are not finite; its weights are "
                             "damaged, or too large for the compute precision",
                             draw[i].address.item, draw[i].address.k, draw[i].position);
    return 0;
}

bool sampler_stops(const Sampler *sampler, int32_t token) {
    for (size_t i = 0; i < sampler->stop_count; i++)
        if (sampler->stop[i] == token) return true;
    return false;
}

bool sampler_needs_seen(const Sampler *sampler) { return sampler->filter.repetition_penalty != 1; }

void sampler_see(SeenTokens *seen, int32_t token) {
    for (size_t i = 0; i < seen->count; i++)
        if (seen->ids[i] == token) return;
    seen->ids[seen->count++] = token;
}
