/* run_store.h - everything a run has produced so far, in one SQLite file that survives being killed.
 *
 * Tables (schema.h): meta, prompts, responses, scores, pairs, mix, steps, evaluations, stages, checkpoints. Every put
 * is a transaction of its own unless it stands between run_store_begin and run_store_commit; what a call outside of
 * them or run_store_commit returned 0 for is there after SIGKILL, whole, and nothing else is [RS-1]. A put of something
 * that is there already with the same content is a success; with another content it is ERROR_MISMATCH: a store never
 * changes what it said [RS-2]. A response needs its prompt, a pair its two responses, to be there before
 * (ERROR_INTERNAL) [RS-3]. Log-probs, rewards and scores must be finite (ERROR_NUMERIC) [RS-4]. A file that a stranger
 * made is refused or read, never believed: lengths and ranges are checked [RS-5]. One process writes a run directory at
 * a time [RS-6]. Model hashes (32 hexadecimal digits) name weights; log-probs are kept under the hash of the model that
 * gave them. Not thread-safe. This is the only room that names sqlite3. Memory: what a get fills belongs to the caller
 * (free with the named function); after a failure it is untouched. Claims: [RS-n] are checked by
 * tests/unit/test_run_store.c. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RunStore RunStore;

/* Opens or creates `path`. A file of another schema version or that is no run store is ERROR_MISMATCH / ERROR_INPUT;
 * one that another process is writing is ERROR_IO and says so. Disk full, corruption: the error names the file and what
 * to do. */
int run_store_open(RunStore **store, const char *path, Error *error);
/* Opens an existing file for the gets alone, also while another process is running the directory. */
int run_store_open_reader(RunStore **store, const char *path, Error *error);
void run_store_close(RunStore *store); // NULL is fine; rolls back what was begun and not committed
int run_store_begin(RunStore *store, Error *error);
int run_store_commit(RunStore *store, Error *error);
void run_store_rollback(RunStore *store);
/* The end of what run_store_begin began, when the work in between came out as `result` (0 or -1, with its error).
 * finish: all or nothing. keep: rows that each stand for themselves, so those of failed work stay too. Both return
 * `result`, or -1 with the error of the commit. */
int run_store_finish(RunStore *store, int result, Error *error);
int run_store_keep(RunStore *store, int result, Error *error);
/* For work that puts rows one by one for long: when a second has passed since the last begin, commits and begins again,
 * so that a kill loses a second of work and a commit is not paid for every row. */
int run_store_save(RunStore *store, Error *error);

/* meta: facts about the run, e.g. "recipe", "model", "data/offline". get: *value NULL where absent, else free() it. */
int run_store_put_meta(RunStore *store, const char *key, const char *value, Error *error);
int run_store_get_meta(RunStore *store, const char *key, char **value, Error *error);

/* A prompt of the run: its number, its rendered token ids, its messages as JSON text. */
int run_store_put_prompt(RunStore *store, uint32_t prompt, const int32_t *ids, size_t length, const char *messages,
                         Error *error);

typedef struct {
    uint32_t prompt;
    int32_t *ids; // (length)
    size_t length;
    char *messages;
} StoredPrompt;

/* All, ordered by number. Free with run_store_free_prompts. */
int run_store_get_prompts(RunStore *store, StoredPrompt **prompts, size_t *count, Error *error);
void run_store_free_prompts(StoredPrompt *prompts, size_t count);

typedef struct {
    uint32_t round, prompt, k;
    int32_t *ids;   // (length) stop token included
    float *logprob; // (length) raw log-probs under `model`
    size_t length;
    char *text;     // decoded, without the stop token; UTF-8
    size_t chars;   // code points of the stripped text
    bool stopped;   // false: cut by the token limit
    char model[33]; // hash of the sampler's weights
} StoredResponse;

int run_store_put_response(RunStore *store, const StoredResponse *response, Error *error);
/* All of a round, ordered by (prompt, k). Free with run_store_free_responses. */
int run_store_get_responses(RunStore *store, uint32_t round, StoredResponse **responses, size_t *count, Error *error);
void run_store_free_responses(StoredResponse *responses, size_t count);
/* done[prompt * responses + k] = 1 for every response of the round that is there; done has prompts * responses entries.
 */
int run_store_get_done(RunStore *store, uint32_t round, size_t prompts, size_t responses, uint8_t *done, Error *error);

/* The summed log-prob (nats) of a response under a model. `source` tells apart what is scored: "response" (round,
 * prompt, k as sampled), "chosen" and "rejected" (prompt = the offline row, round and k 0), "validation/chosen", ... */
typedef struct {
    char source[32], model[33];
    uint32_t round, prompt, k;
    double sum;
    size_t tokens;
} StoredScore;

int run_store_put_score(RunStore *store, const StoredScore *score, Error *error);
/* All scores of a source, round and model, ordered by (prompt, k). free() the array. */
int run_store_get_scores(RunStore *store, const char *source, uint32_t round, const char *model, StoredScore **scores,
                         size_t *count, Error *error);

/* A pair that a round generated; indices k of its responses. The rejected one may be of an earlier round. */
typedef struct {
    uint32_t round, prompt, chosen_k, rejected_k;
    double chosen_reward, rejected_reward; // nats, not times beta, before length regularisation
    double chosen_score, rejected_score;   // after it
    uint32_t rejected_age;                 // rounds since the rejected response was sampled; 0: in this one
    double doubt;                          // share of the loss that takes the pair the other way round, 0 to 1; 0: none
} StoredPair;

int run_store_put_pair(RunStore *store, const StoredPair *pair, Error *error);
int run_store_get_pairs(RunStore *store, uint32_t round, StoredPair **pairs, size_t *count, Error *error); // by prompt

/* One row of a round's training set, in order: a generated pair (prompt) or an offline row. */
typedef struct {
    uint32_t round, position;
    bool offline;
    uint32_t row; // offline row, or prompt of the generated pair
} StoredMix;

int run_store_put_mix(RunStore *store, const StoredMix *mix, Error *error);
int run_store_get_mix(RunStore *store, uint32_t round, StoredMix **mix, size_t *count, Error *error);

/* Metrics of a training step as a JSON object. A step that is done again after a crash may replace its line: the same
 * numbers come out, wall times do not. get: one JSON object a line, ordered by step; free() the text. */
int run_store_put_step(RunStore *store, uint32_t round, uint32_t step, const char *metrics, Error *error);
int run_store_get_steps(RunStore *store, uint32_t round, char **lines, Error *error);

/* An evaluation's result as JSON, by name; like put_step it may be replaced. get: NULL where absent. */
int run_store_put_evaluation(RunStore *store, uint32_t round, const char *name, const char *result, Error *error);
int run_store_get_evaluation(RunStore *store, uint32_t round, const char *name, char **result, Error *error);

/* A finished stage of a round ("sample", "score", "pairs", "mix", "train", ...) with a JSON summary. get: NULL: not
 * done. */
int run_store_put_stage(RunStore *store, uint32_t round, const char *stage, const char *summary, Error *error);
int run_store_get_stage(RunStore *store, uint32_t round, const char *stage, char **summary, Error *error);

/* A complete checkpoint on disk. `step` UINT32_MAX: the end of the round. get: the newest of the round; found false:
 * none. */
typedef struct {
    uint32_t round, step;
    char directory[256]; // relative to the run directory
    char model[33];
} StoredCheckpoint;

int run_store_put_checkpoint(RunStore *store, const StoredCheckpoint *checkpoint, Error *error);
int run_store_get_checkpoint(RunStore *store, uint32_t round, StoredCheckpoint *checkpoint, bool *found, Error *error);

/* The database behind, for the files of this room. */
struct Database *run_store_database(RunStore *store);

/* "3.40.1": the SQLite that runs; a constant. */
const char *run_store_library_version(void);
