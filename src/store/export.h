/* export.h - a round of a run store as JSON lines in the layouts that other tools read.
 *
 *   responses  a line for each prompt with responses, K entries in each list, ordered by k
 *     {"prompt": P, "prompt_id": n, "responses": [A, ...], "rewards": [nats or null, ...], "logps": [nats, ...],
 *      "tokens": [count, ...], "chars": [count, ...], "finish_reasons": ["stop" or "length", ...], "k": [k, ...]}
 *   pairs      a line for each pair: TRL's preference layout, conversational or standard, and what chose the pair
 *     {"prompt": P, "chosen": C, "rejected": C, "chosen_reward": nats, "rejected_reward": nats,
 *      "score_chosen": nats, "score_rejected": nats, "chosen_k": k, "rejected_k": k, "prompt_id": n}
 *   scores     a line for each score
 *     {"source": "response", "round": t, "prompt_id": n, "k": k, "model": hash, "logp": nats, "tokens": count}
 *
 * P is the prompt as it was put: a list of messages, or a text. A is a text; C is [{"role": "assistant", "content": A}]
 * where P is messages, A where it is a text. logps are sums of the sampler's log-probs; rewards are log(pi/ref), not
 * times beta; score_* are rewards after length regularisation. dice itself reads the first two layouts [EX-1].
 *
 * Every file is written atomically [EX-2], row by row: memory does not grow with the round. A prompt whose text is not
 * JSON is ERROR_INPUT. Claims: [EX-n] are checked by tests/unit/test_export.c. */
#pragma once
#include "store/run_store.h"

/* rewards: (count) one for each response in the order of run_store_get_responses, NaN becomes null; NULL: the key is
 * left out. Another count than there are responses is ERROR_INTERNAL. *rows (may be NULL): lines written. */
int export_responses(RunStore *store, uint32_t round, const double *rewards, size_t count, const char *path,
                     size_t *rows, Error *error);
int export_pairs(RunStore *store, uint32_t round, const char *path, size_t *rows, Error *error);
int export_scores(RunStore *store, uint32_t round, const char *path, size_t *rows, Error *error);
