#include "align/loss_reference.h"

#include "align/implicit_reward.h"

#include <math.h>
#include <stdlib.h>

static bool is_known(const EncodedPair *pair) { return isfinite(pair->reference[0]) && isfinite(pair->reference[1]); }

typedef struct {
    const PreferenceData *data;
    const PreferenceLoss *loss;
    ReferenceSums *sums;
    const size_t *pair; // (items)
} Sink;

static int put(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    (void)error;
    const Sink *sink = context;
    size_t i = sink->pair[item];
    ReferenceSums *r = &sink->sums[i];
    *(response == 0 ? &r->chosen : &r->rejected) =
        dpo_objective_sum(sink->loss, scored->logprob, sink->data->pair[i].length, (int)response);
    return 0;
}

int loss_reference_sums(Model *model, const PreferenceData *data, const PreferenceLoss *loss, bool recompute,
                        size_t micro_tokens, ReferenceSums *sums, const Log *log, Error *error) {
    size_t items = 0;
    if (preference_loss_is_reference_free(loss)) return 0;
    ScoreItem *item = calloc(data->pairs + 1, sizeof *item);
    size_t *pair = calloc(data->pairs + 1, sizeof *pair);
    int result = item == NULL || pair == NULL ? error_set(error, ERROR_MEMORY, "no memory for the loss reference") : 0;
    for (size_t i = 0; i < data->pairs && result == 0; i++) {
        const EncodedPair *p = &data->pair[i];
        sums[i] = (ReferenceSums){p->reference[0], p->reference[1]};
        if (is_known(p) && !recompute && loss->ld_alpha == 1) continue;
        pair[items] = i;
        item[items++] = (ScoreItem){.prompt = p->prompt,
                                    .prompt_length = p->prompt_length,
                                    .response = (const int32_t *const *)p->response,
                                    .length = p->length,
                                    .responses = 2};
    }
    Sink taken = {.data = data, .loss = loss, .sums = sums, .pair = pair};
    const ScoreSink sink = {.take = put, .context = &taken};
    if (result == 0) result = implicit_reward_score(model, item, items, micro_tokens, &sink, "reference", log, error);
    free(item);
    free(pair);
    return result;
}
