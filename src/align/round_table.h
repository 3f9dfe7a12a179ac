/* round_table.h - the responses of a round as a table, prompts by K, with the filters applied.
 *
 * A cell is kept if its response passes the filters and its prompt has enough that do (METHOD, section 3), so what is
 * not kept is never scored. With `sample.tokens: stripped` the ids of a response are those of its stripped text,
 * encoded alone, and the end token that it was sampled with: what a program sees that gets texts. Memory: the table
 * owns the responses. */
#pragma once
#include "align/dice_run.h"
#include "align/response_filter.h"

typedef struct {
    StoredResponse *response; // (count) ordered by prompt and k
    size_t count;
    size_t prompts, responses;   // N with at least one response, K
    const StoredResponse **cell; // (N, K) NULL: not sampled
    uint8_t *kept;               // (N, K)
    uint32_t *prompt;            // (N) numbers of the run
    size_t usable;               // prompts with kept responses
    bool encoded_again;          // ids are not those that were sampled, and have no log-probs (NULL)
} RoundTable;

ResponseFilter round_table_filter(const DiceRun *run);
int round_table_load(RoundTable *table, const DiceRun *run, uint32_t round, Error *error);
void round_table_free(RoundTable *table);
/* Response k to a prompt, NULL where it is not there. */
const StoredResponse *round_table_find(const RoundTable *table, uint32_t prompt, uint32_t k);
/* Loads into *first the table of round 1 where a pair has its rejected response from there; empty otherwise. */
int round_table_load_anchors(RoundTable *first, const DiceRun *run, const StoredPair *pair, size_t pairs, Error *error);
/* What the store calls the sums of a run's sampled responses: "response/float32", after the precision of scoring. */
void round_table_source(const DiceRun *run, char source[32]);
/* sums: (N, K) log-probs of the responses under the model of this hash, in nats, from the store; NaN: not there. */
int round_table_sums(const RoundTable *table, const DiceRun *run, uint32_t round, const char *model, double *sums,
                     Error *error);
/* Prompts that must be usable for so many generated pairs, when a band of gaps leaves some out. */
size_t round_table_prompts_for(const Recipe *recipe, size_t pairs);
/* {"prompts", "usable_prompts", "responses", "kept", "tokens", "stop_rate", "mean_chars", "mean_tokens"}; a new
 * reference. */
json_t *round_table_summary(const RoundTable *table);
