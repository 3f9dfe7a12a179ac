/* generate.h - K responses to each prompt: one prefill a prompt, K branches over it, many prompts in flight.
 *
 * Continuous batching: each step is one call of the model on the newest token of every response in flight and on what
 * is left of the next prompts. When a response ends, the next one takes its place in the following step: the first
 * tokens of all K responses are drawn from the one row of logits at the prompt's end, and the responses then start as
 * places come free. So every token goes through the model once [GE-3], and every step computes max_branches rows until
 * the work runs out [GE-4].
 *
 * Token and log-prob of (prompt, k, position) depend on the prompt, the settings and (seed, round, item, k, position)
 * only: not on batching, order, thread count or what was done before a restart [GE-1]. A response holds the tokens as
 * sampled, stop token included, with the raw log-prob of each (temperature 1, whole vocabulary), which is the policy's
 * score and the loss reference later on [GE-2].
 * Claims: [GE-n] are checked by tests/unit/test_generate.c and test_generate_batching.c. */
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
    size_t max_branches;   // responses in flight at most; >= 1
    size_t cache_bytes;    // the key-value cache at most (fewer responses are in flight then); 0: no limit
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

/* ERROR_INPUT for an empty prompt, one that leaves no room in the model's context, and unknown token ids; ERROR_NUMERIC
 * for logits that are not finite; ERROR_INTERRUPTED where the log says so: what was handed to the sink is complete. */
int generate(Model *model, const GenerateSettings *settings, const GeneratePrompt *prompt, size_t prompts,
             GenerateSink sink, void *context, const Log *log, Error *error);
/* Memory of a call whose longest prompt has `longest` tokens, for plans; SIZE_MAX where cache_bytes is too little. */
size_t generate_bytes(const HfConfig *config, const ModelOptions *options, const GenerateSettings *settings,
                      size_t longest);
