/* implicit_reward.h - the summed log-probs that implicit rewards are made of.
 *
 *   reward(x, y) = log pi(y | x) - log ref(y | x), in nats, NOT times beta
 * The log-prob of a response is the sum over its tokens, end-of-turn token included, prompt excluded, temperature 1,
 * summed in double in the order of the tokens. Responses to one prompt are scored as branches over one trunk, so the
 * prompt is computed once; a response's sum does not depend on what it shared a batch with. Source: DICE, arXiv
 * 2406.09760, eq. 3; Rafailov et al., arXiv 2305.18290. */
#pragma once
#include "base/log.h"
#include "model/model.h"

typedef struct {
    const int32_t *prompt;
    size_t prompt_length;
    const int32_t *const *response; // (responses)
    const size_t *length;           // (responses) tokens of each, >= 1
    size_t responses;
} ScoreItem;

/* What a model makes of a response; the arrays (its tokens) are valid during the call that brings them. */
typedef struct {
    double sum; // nats
    const float *logprob;
    const TokenFigures *figures; // NULL unless asked for
} ScoredResponse;

/* Receives every response in order. */
typedef struct {
    int (*take)(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error);
    void *context;
    bool figures; // it wants those
} ScoreSink;

double implicit_reward_sum(const float *logprob, size_t length);

/* Batches hold at most micro_tokens tokens (one prompt with one response may be longer). ERROR_INTERRUPTED where the
 * log says so: what the sink got is complete. `stage` names the work in progress messages. */
int implicit_reward_score(Model *model, const ScoreItem *item, size_t items, size_t micro_tokens, const ScoreSink *sink,
                          const char *stage, const Log *log, Error *error);
