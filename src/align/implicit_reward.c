#include "align/implicit_reward.h"
#include "base/size.h"

#include <stdlib.h>

double implicit_reward_sum(const float *logprob, size_t length) {
    double sum = 0;
    for (size_t t = 0; t < length; t++) sum += logprob[t];
    return sum;
}

/* A place in the work: response `response` of item `item`. */
typedef struct {
    size_t item, response;
} Place;

typedef struct {
    Model *model;
    const ScoreItem *item;
    size_t items, micro_tokens;
    Batch batch;
    const ScoreSink *sink;
    float *logprob;        // (capacity)
    TokenFigures *figures; // (capacity), in the same block; NULL where not wanted
    size_t capacity;
} Scorer;

/* Packs responses from *place on until the batch is full; *place is then where the next batch begins. */
static int pack(Scorer *scorer, Place *place, Error *error) {
    batch_clear(&scorer->batch);
    while (place->item < scorer->items) {
        const ScoreItem *item = &scorer->item[place->item];
        size_t trunk = SIZE_MAX;
        for (; place->response < item->responses; place->response++) {
            size_t length = item->length[place->response],
                   rows = trunk == SIZE_MAX ? item->prompt_length + length : length;
            if (scorer->batch.branches > 0 && scorer->batch.rows + rows > scorer->micro_tokens)
                return batch_finish(&scorer->batch, error);
            if (trunk == SIZE_MAX &&
                batch_add_trunk(&scorer->batch, item->prompt, item->prompt_length, &trunk, error) != 0)
                return -1;
            if (batch_add_branch(&scorer->batch, trunk, item->response[place->response], length, error) != 0) return -1;
        }
        *place = (Place){.item = place->item + 1};
    }
    return batch_finish(&scorer->batch, error);
}

static int compute(Scorer *scorer, Error *error) {
    size_t targets = scorer->batch.targets;
    if (targets > scorer->capacity) {
        size_t bytes;
        free(scorer->logprob);
        scorer->capacity = 0;
        scorer->logprob = size_multiply(targets, sizeof(float) + sizeof(TokenFigures), &bytes) ? malloc(bytes) : NULL;
        if (scorer->logprob == NULL)
            return error_set(error, ERROR_MEMORY, "no memory for the log-probs of %zu tokens", targets);
        scorer->capacity = targets;
    }
    scorer->figures = scorer->sink->figures ? (TokenFigures *)(scorer->logprob + scorer->capacity) : NULL;
    return model_logprob(scorer->model, &scorer->batch, scorer->logprob, NULL, scorer->figures, error);
}

static int deliver(const Scorer *scorer, Place from, Error *error) {
    const ScoreSink *sink = scorer->sink;
    for (size_t b = 0; b < scorer->batch.branches; b++) {
        const BatchBranch *branch = &scorer->batch.branch[b];
        ScoredResponse scored = {.logprob = scorer->logprob + branch->first_target};
        scored.sum = implicit_reward_sum(scored.logprob, branch->length);
        if (scorer->figures != NULL) scored.figures = scorer->figures + branch->first_target;
        while (from.response == scorer->item[from.item].responses) from = (Place){.item = from.item + 1};
        if (sink->take(sink->context, from.item, from.response, &scored, error) != 0) return -1;
        from.response++;
    }
    return 0;
}

int implicit_reward_score(Model *model, const ScoreItem *item, size_t items, size_t micro_tokens, const ScoreSink *sink,
                          const char *stage, const Log *log, Error *error) {
    Scorer scorer = {.model = model, .item = item, .items = items, .micro_tokens = micro_tokens, .sink = sink};
    Place place = {0};
    LogProgress progress = {.stage = stage, .total = items, .unit = "prompts"};
    int result = 0;
    log_progress(log, &progress);
    while (result == 0 && place.item < items) {
        Place from = place;
        if (log_interrupted(log)) result = error_set(error, ERROR_INTERRUPTED, "interrupted while scoring (%s)", stage);
        if (result == 0) result = pack(&scorer, &place, error);
        if (result == 0 && scorer.batch.branches == 0) break; // only items without responses were left
        if (result == 0) result = compute(&scorer, error);
        if (result == 0) result = deliver(&scorer, from, error);
        if (result != 0) break;
        progress.done = place.item;
        progress.tokens += (double)scorer.batch.rows;
        log_progress(log, &progress);
    }
    batch_free(&scorer.batch);
    free(scorer.logprob);
    return result;
}
