/* generate.h - K responses to each prompt: one prefill a prompt, K branches over it, many prompts in flight.
 *
 * Continuous batching: whenever branches finish, the next prompt is pre-filled and takes their place, so that every
 * decode step works on about max_branches rows. Token and log-prob of (prompt, k, position) depend on the prompt, the
 * settings and (seed, round, item, k, position) only: not on batching, order or thread count [GE-1]. A response holds
 * the tokens as sampled, stop token included, with the raw log-prob of each (temperature 1, whole vocabulary), which is
 * the policy's score and the loss reference later on. */
#pragma once
#include "base/error.h"
#include "base/log.h"
#include "kernels/sampling_filter.h"
#include "model/model.h"

/* FINISH_STOP: ended with a stop token. FINISH_LENGTH: cut at max_new_tokens or at the end of the context. */
typedef enum { FINISH_STOP, FINISH_LENGTH } FinishReason;

typedef struct {
    SamplingFilter filter;
    size_t responses;      // K >= 1
    size_t max_new_tokens; // >= 1
    size_t max_branches;   // in flight; >= 1, rounded up to whole prompts
    const int32_t *stop;   // stop tokens
    size_t stop_count;
    uint64_t seed;
    uint32_t round;
} GenerateSettings;

typedef struct {
    uint32_t item;       // the prompt's number in the run: part of the random address
    const int32_t *ids;  // borrowed until generate returns
    size_t length;       // >= 1, < the model's context
    const uint8_t *done; // (K) 1: this response is there already (resume); NULL: none is
} GeneratePrompt;

typedef struct {
    size_t prompt; // index into the prompts of the call
    uint32_t k;
    const int32_t *ids;   // (length) stop token included; valid during the call
    const float *logprob; // (length) nats
    size_t length;
    FinishReason finish;
} GeneratedResponse;

/* Receives every response as it finishes, in an order that may vary. Non-zero stops generation with that error. */
typedef int (*GenerateSink)(void *context, const GeneratedResponse *response, Error *error);

/* ERROR_INTERRUPTED where the log says so: what was handed to the sink is complete. */
int generate(Model *model, const GenerateSettings *settings, const GeneratePrompt *prompt, size_t prompts,
             GenerateSink sink, void *context, const Log *log, Error *error);
/* Memory of a call whose longest prompt has `longest` tokens, for plans. */
size_t generate_bytes(const HfConfig *config, const ModelOptions *options, const GenerateSettings *settings,
                      size_t longest);
