#include "store/run_store.h"
#include "base/clock.h"
#include "base/size.h"
#include "store/schema.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every put is one statement: an insert that, where the key is there, touches the row if its content is the same. So
 * one changed row means success, none means that the store holds something else. */

struct RunStore {
    Database db;
    Buffer ids, logprob; // scratch of puts: little-endian words
    double began_s;      // when the open transaction began
};

static const double save_every_s = 1.0;

struct Database *run_store_database(RunStore *store) {
    return &store->db;
}

static int no_memory(const RunStore *store, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory for a row of the run store", store->db.path);
}

static int open_store(RunStore **store, const char *path, bool read_only, Error *error) {
    RunStore *s = calloc(1, sizeof *s);
    if (s == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory", path);
    if (database_open(&s->db, path, read_only, error) != 0) {
        free(s);
        return -1;
    }
    if (schema_open(&s->db, read_only, error) != 0) {
        run_store_close(s);
        return -1;
    }
    *store = s;
    return 0;
}

int run_store_open(RunStore **store, const char *path, Error *error) { return open_store(store, path, false, error); }

int run_store_open_reader(RunStore **store, const char *path, Error *error) {
    return open_store(store, path, true, error);
}

void run_store_close(RunStore *store) {
    if (store == NULL) return;
    database_close(&store->db);
    buffer_free(&store->ids);
    buffer_free(&store->logprob);
    free(store);
}

int run_store_begin(RunStore *store, Error *error) {
    store->began_s = clock_seconds();
    return database_run(&store->db, "BEGIN IMMEDIATE", NULL, 0, NULL, error);
}

int run_store_commit(RunStore *store, Error *error) { return database_run(&store->db, "COMMIT", NULL, 0, NULL, error); }

void run_store_rollback(RunStore *store) {
    if (!sqlite3_get_autocommit(store->db.handle)) database_run(&store->db, "ROLLBACK", NULL, 0, NULL, NULL);
}

int run_store_finish(RunStore *store, int result, Error *error) {
    if (result == 0 && run_store_commit(store, error) == 0) return 0;
    run_store_rollback(store);
    return -1;
}

int run_store_keep(RunStore *store, int result, Error *error) {
    Error second; // the first failure is the one to tell
    if (run_store_commit(store, result == 0 ? error : &second) == 0) return result;
    run_store_rollback(store);
    return -1;
}

int run_store_save(RunStore *store, Error *error) {
    if (clock_seconds() - store->began_s < save_every_s) return 0;
    return run_store_commit(store, error) == 0 ? run_store_begin(store, error) : -1;
}

/* Words of 4 bytes as little-endian bytes. */
static Value words(Buffer *scratch, const void *values, size_t count) {
    buffer_clear(scratch);
    buffer_append(scratch, values, 4 * count);
    for (size_t i = 0; i + 4 <= scratch->size; i += 4) {
        uint32_t w;
        memcpy(&w, scratch->data + i, 4);
        const uint8_t bytes[4] = {(uint8_t)w, (uint8_t)(w >> 8), (uint8_t)(w >> 16), (uint8_t)(w >> 24)};
        memcpy(scratch->data + i, bytes, 4);
    }
    return value_blob(scratch->data, scratch->size);
}

/* A text column as a new string. */
static int read_text(const Query *query, int column, char **out, Error *error) {
    const char *text;
    if (query_text(query, column, &text, error) != 0) return -1;
    *out = strdup(text);
    return *out != NULL ? 0 : error_set(error, ERROR_MEMORY, "%s: no memory for a text", query->db->path);
}

/* Runs a put; `what` names the row in the message of a mismatch. */
static int put(RunStore *store, const char *sql, const Value *values, size_t count, const char *what, Error *error) {
    size_t changes;
    if (database_run(&store->db, sql, values, count, &changes, error) != 0) return -1;
    if (changes > 0) return 0;
    return error_set(error, ERROR_MISMATCH,
                     "%s: %s is there already with another content: this run directory was begun with "
                     "another recipe, model or data; begin a new one",
                     store->db.path, what);
}

static int not_finite(const RunStore *store, const char *what, Error *error) {
    return error_set(error, ERROR_NUMERIC,
                     "%s: %s has a value that is not finite: the model's weights or the step that "
                     "computed it are broken",
                     store->db.path, what);
}

/* Room for one more row in an array that doubles: whenever its count is 0 or a power of two it is full. */
static void *grow(void *rows, size_t count, size_t element) {
    size_t bytes;
    if (count != 0 && (count & (count - 1)) != 0) return rows;
    return size_multiply(count == 0 ? 1 : 2 * count, element, &bytes) ? realloc(rows, bytes) : NULL;
}

typedef int (*ReadRow)(const Query *query, void *row, Error *error);

/* All rows of a query as an array of elements that `read` fills. A row that fails is freed by `read` itself; the others
 * are handed back with their number also on failure, for the caller to free. */
static int get_rows(RunStore *store, const char *sql, const Value *values, size_t count, size_t element, ReadRow read,
                    void **rows, size_t *found, Error *error) {
    Query query;
    bool more;
    *rows = NULL, *found = 0;
    if (query_begin(&query, &store->db, sql, values, count, error) != 0) return -1;
    for (;;) {
        if (query_next(&query, &more, error) != 0) return -1;
        if (!more) return 0;
        void *grown = grow(*rows, *found, element);
        int result = grown == NULL ? no_memory(store, error) : 0;
        if (grown != NULL) {
            *rows = grown;
            result = read(&query, (char *)grown + *found * element, error);
        }
        if (result != 0) {
            query_end(&query);
            return -1;
        }
        ++*found;
    }
}

/* get_rows for rows that own nothing. */
static int get_plain(RunStore *store, const char *sql, const Value *values, size_t count, size_t element, ReadRow read,
                     void **rows, size_t *found, Error *error) {
    void *list;
    size_t n;
    if (get_rows(store, sql, values, count, element, read, &list, &n, error) != 0) {
        free(list);
        return -1;
    }
    *rows = list, *found = n;
    return 0;
}

/* The only text of a query; NULL where it has no row. */
static int get_text(RunStore *store, const char *sql, const Value *values, size_t count, char **out, Error *error) {
    Query query;
    bool row;
    char *text = NULL;
    if (query_begin(&query, &store->db, sql, values, count, error) != 0 || query_next(&query, &row, error) != 0)
        return -1;
    if (row) {
        int result = read_text(&query, 0, &text, error);
        query_end(&query);
        if (result != 0) return -1;
    }
    *out = text;
    return 0;
}

int run_store_put_meta(RunStore *store, const char *key, const char *value, Error *error) {
    char what[160];
    snprintf(what, sizeof what, "the fact \"%.120s\"", key);
    const Value values[] = {value_text(key), value_text(value)};
    return put(store,
               "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value WHERE value = excluded.value",
               values, 2, what, error);
}

int run_store_get_meta(RunStore *store, const char *key, char **value, Error *error) {
    const Value values[] = {value_text(key)};
    return get_text(store, "SELECT value FROM meta WHERE key = ?", values, 1, value, error);
}

int run_store_put_prompt(RunStore *store, uint32_t prompt, const int32_t *ids, size_t length, const char *messages,
                         Error *error) {
    char what[40];
    snprintf(what, sizeof what, "prompt %" PRIu32, prompt);
    const Value values[] = {value_whole(prompt), words(&store->ids, ids, length), value_text(messages)};
    if (store->ids.failed) return no_memory(store, error);
    return put(store,
               "INSERT INTO prompts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET ids = ids "
               "WHERE ids = excluded.ids AND messages = excluded.messages",
               values, 3, what, error);
}

static int read_prompt(const Query *query, void *row, Error *error) {
    StoredPrompt p = {0};
    void *ids = NULL;
    if (query_u32(query, 0, &p.prompt, error) != 0 || query_words(query, 1, &ids, &p.length, error) != 0 ||
        read_text(query, 2, &p.messages, error) != 0) {
        free(ids);
        return -1;
    }
    p.ids = ids;
    *(StoredPrompt *)row = p;
    return 0;
}

void run_store_free_prompts(StoredPrompt *prompts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(prompts[i].ids);
        free(prompts[i].messages);
    }
    free(prompts);
}

int run_store_get_prompts(RunStore *store, StoredPrompt **prompts, size_t *count, Error *error) {
    void *rows;
    size_t n;
    int result = get_rows(store, "SELECT prompt, ids, messages FROM prompts ORDER BY prompt", NULL, 0, sizeof **prompts,
                          read_prompt, &rows, &n, error);
    if (result == 0)
        *prompts = rows, *count = n;
    else
        run_store_free_prompts(rows, n);
    return result;
}

int run_store_put_response(RunStore *store, const StoredResponse *r, Error *error) {
    char what[80];
    snprintf(what, sizeof what, "response %" PRIu32 " to prompt %" PRIu32 " in round %" PRIu32, r->k, r->prompt,
             r->round);
    for (size_t i = 0; i < r->length; i++)
        if (!isfinite(r->logprob[i])) return not_finite(store, what, error);
    const Value values[] = {value_whole(r->round),
                            value_whole(r->prompt),
                            value_whole(r->k),
                            words(&store->ids, r->ids, r->length),
                            words(&store->logprob, r->logprob, r->length),
                            value_text(r->text),
                            value_whole(r->chars),
                            value_whole(r->stopped),
                            value_text(r->model)};
    if (store->ids.failed || store->logprob.failed) return no_memory(store, error);
    return put(
        store,
        "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET chars = chars "
        "WHERE ids = excluded.ids AND logprob = excluded.logprob AND text = excluded.text AND chars = excluded.chars "
        "AND stopped = excluded.stopped AND model = excluded.model",
        values, 9, what, error);
}

static int read_response(const Query *query, void *row, Error *error) {
    StoredResponse r = {0};
    void *ids = NULL, *logprob = NULL;
    size_t logprobs;
    uint64_t chars, stopped;
    if (query_u32(query, 0, &r.round, error) != 0 || query_u32(query, 1, &r.prompt, error) != 0 ||
        query_u32(query, 2, &r.k, error) != 0 || query_words(query, 3, &ids, &r.length, error) != 0 ||
        query_words(query, 4, &logprob, &logprobs, error) != 0 ||
        query_whole(query, 6, INT32_MAX, &chars, error) != 0 || query_whole(query, 7, 1, &stopped, error) != 0 ||
        query_copy(query, 8, r.model, sizeof r.model, error) != 0)
        goto failed;
    if (logprobs != r.length) {
        database_damaged(query->db, "a response has more or fewer log-probs than tokens", error);
        goto failed;
    }
    for (size_t t = 0; t < logprobs; t++)
        if (!isfinite(((const float *)logprob)[t])) {
            database_damaged(query->db, "a log-prob is not finite", error);
            goto failed;
        }
    if (read_text(query, 5, &r.text, error) != 0) goto failed;
    r.ids = ids, r.logprob = logprob, r.chars = (size_t)chars, r.stopped = stopped != 0;
    *(StoredResponse *)row = r;
    return 0;
failed:
    free(ids);
    free(logprob);
    return -1;
}

void run_store_free_responses(StoredResponse *responses, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(responses[i].ids);
        free(responses[i].logprob);
        free(responses[i].text);
    }
    free(responses);
}

int run_store_get_responses(RunStore *store, uint32_t round, StoredResponse **responses, size_t *count, Error *error) {
    void *rows;
    size_t n;
    const Value values[] = {value_whole(round)};
    int result = get_rows(store,
                          "SELECT round, prompt, k, ids, logprob, text, chars, stopped, model FROM responses "
                          "WHERE round = ? ORDER BY prompt, k",
                          values, 1, sizeof **responses, read_response, &rows, &n, error);
    if (result == 0)
        *responses = rows, *count = n;
    else
        run_store_free_responses(rows, n);
    return result;
}

int run_store_get_done(RunStore *store, uint32_t round, size_t prompts, size_t responses, uint8_t *done, Error *error) {
    Query query;
    bool row;
    const Value values[] = {value_whole(round)};
    memset(done, 0, prompts * responses);
    if (query_begin(&query, &store->db, "SELECT prompt, k FROM responses WHERE round = ?", values, 1, error) != 0)
        return -1;
    for (;;) {
        uint64_t prompt, k;
        if (query_next(&query, &row, error) != 0) return -1;
        if (!row) return 0;
        if (query_whole(&query, 0, UINT32_MAX, &prompt, error) != 0 ||
            query_whole(&query, 1, UINT32_MAX, &k, error) != 0)
            break;
        if (prompt >= prompts || k >= responses) {
            error_set(
                error, ERROR_MISMATCH,
                "%s: round %" PRIu32 " has response %" PRIu64 " to prompt %" PRIu64 ", but this "
                "recipe has %zu prompts and %zu responses to each: this run directory was begun with another recipe",
                store->db.path, round, k, prompt, prompts, responses);
            break;
        }
        done[prompt * responses + k] = 1;
    }
    query_end(&query);
    return -1;
}

int run_store_put_score(RunStore *store, const StoredScore *s, Error *error) {
    char what[120];
    snprintf(what, sizeof what, "the score of %.31s %" PRIu32 "/%" PRIu32 " in round %" PRIu32, s->source, s->prompt,
             s->k, s->round);
    if (!isfinite(s->sum)) return not_finite(store, what, error);
    const Value values[] = {value_text(s->source), value_whole(s->round), value_text(s->model),  value_whole(s->prompt),
                            value_whole(s->k),     value_real(s->sum),    value_whole(s->tokens)};
    return put(store,
               "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET tokens = tokens "
               "WHERE sum = excluded.sum AND tokens = excluded.tokens",
               values, 7, what, error);
}

static int read_score(const Query *query, void *row, Error *error) {
    StoredScore *s = row;
    uint64_t tokens;
    if (query_copy(query, 0, s->source, sizeof s->source, error) != 0 || query_u32(query, 1, &s->round, error) != 0 ||
        query_copy(query, 2, s->model, sizeof s->model, error) != 0 || query_u32(query, 3, &s->prompt, error) != 0 ||
        query_u32(query, 4, &s->k, error) != 0 || query_real(query, 5, &s->sum, error) != 0 ||
        query_whole(query, 6, INT64_MAX, &tokens, error) != 0)
        return -1;
    s->tokens = (size_t)tokens;
    return 0;
}

int run_store_get_scores(RunStore *store, const char *source, uint32_t round, const char *model, StoredScore **scores,
                         size_t *count, Error *error) {
    const Value values[] = {value_text(source), value_whole(round), value_text(model)};
    void *rows;
    int result = get_plain(store,
                           "SELECT source, round, model, prompt, k, sum, tokens FROM scores "
                           "WHERE source = ? AND round = ? AND model = ? ORDER BY prompt, k",
                           values, 3, sizeof **scores, read_score, &rows, count, error);
    if (result == 0) *scores = rows;
    return result;
}

int run_store_put_pair(RunStore *store, const StoredPair *p, Error *error) {
    char what[80];
    snprintf(what, sizeof what, "the pair of prompt %" PRIu32 " in round %" PRIu32, p->prompt, p->round);
    if (!isfinite(p->chosen_reward) || !isfinite(p->rejected_reward) || !isfinite(p->chosen_score) ||
        !isfinite(p->rejected_score) || !(p->doubt >= 0 && p->doubt <= 1))
        return not_finite(store, what, error);
    const Value values[] = {
        value_whole(p->round),       value_whole(p->prompt),        value_whole(p->chosen_k),
        value_whole(p->rejected_k),  value_real(p->chosen_reward),  value_real(p->rejected_reward),
        value_real(p->chosen_score), value_real(p->rejected_score), value_whole(p->round - p->rejected_age),
        value_real(p->doubt)};
    return put(
        store,
        "INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET chosen_score = chosen_score "
        "WHERE chosen_k = excluded.chosen_k AND rejected_k = excluded.rejected_k AND "
        "chosen_reward = excluded.chosen_reward AND rejected_reward = excluded.rejected_reward AND "
        "chosen_score = excluded.chosen_score AND rejected_score = excluded.rejected_score AND "
        "rejected_round = excluded.rejected_round AND doubt = excluded.doubt",
        values, 10, what, error);
}

static int read_pair(const Query *query, void *row, Error *error) {
    StoredPair *p = row;
    uint32_t *const numbers[] = {&p->round, &p->prompt, &p->chosen_k, &p->rejected_k};
    double *const reals[] = {&p->chosen_reward, &p->rejected_reward, &p->chosen_score, &p->rejected_score};
    for (int i = 0; i < 4; i++)
        if (query_u32(query, i, numbers[i], error) != 0 || query_real(query, 4 + i, reals[i], error) != 0) return -1;
    if (query_u32(query, 8, &p->rejected_age, error) != 0 || query_real(query, 9, &p->doubt, error) != 0) return -1;
    if (p->doubt >= 0 && p->doubt <= 1) return 0;
    return database_damaged(query->db, "impossible value in column doubt", error);
}

int run_store_get_pairs(RunStore *store, uint32_t round, StoredPair **pairs, size_t *count, Error *error) {
    const Value values[] = {value_whole(round)};
    void *rows;
    int result = get_plain(store,
                           "SELECT round, prompt, chosen_k, rejected_k, chosen_reward, rejected_reward, chosen_score, "
                           "rejected_score, round - rejected_round, doubt FROM pairs WHERE round = ? ORDER BY prompt",
                           values, 1, sizeof **pairs, read_pair, &rows, count, error);
    if (result == 0) *pairs = rows;
    return result;
}

int run_store_put_mix(RunStore *store, const StoredMix *mix, Error *error) {
    char what[80];
    snprintf(what, sizeof what, "training row %" PRIu32 " of round %" PRIu32, mix->position, mix->round);
    const Value values[] = {value_whole(mix->round), value_whole(mix->position), value_whole(mix->offline),
                            value_whole(mix->row)};
    return put(store,
               "INSERT INTO mix VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET row = row "
               "WHERE offline = excluded.offline AND row = excluded.row",
               values, 4, what, error);
}

static int read_mix(const Query *query, void *row, Error *error) {
    StoredMix *m = row;
    uint64_t offline;
    if (query_u32(query, 0, &m->round, error) != 0 || query_u32(query, 1, &m->position, error) != 0 ||
        query_whole(query, 2, 1, &offline, error) != 0 || query_u32(query, 3, &m->row, error) != 0)
        return -1;
    m->offline = offline != 0;
    return 0;
}

int run_store_get_mix(RunStore *store, uint32_t round, StoredMix **mix, size_t *count, Error *error) {
    const Value values[] = {value_whole(round)};
    void *rows;
    int result = get_plain(store, "SELECT round, position, offline, row FROM mix WHERE round = ? ORDER BY position",
                           values, 1, sizeof **mix, read_mix, &rows, count, error);
    if (result == 0) *mix = rows;
    return result;
}

int run_store_put_step(RunStore *store, uint32_t round, uint32_t step, const char *metrics, Error *error) {
    const Value values[] = {value_whole(round), value_whole(step), value_text(metrics)};
    return database_run(&store->db, "INSERT OR REPLACE INTO steps VALUES (?, ?, ?)", values, 3, NULL, error);
}

int run_store_get_steps(RunStore *store, uint32_t round, char **lines, Error *error) {
    Query query;
    bool row;
    Buffer out = {0};
    const Value values[] = {value_whole(round)};
    if (query_begin(&query, &store->db, "SELECT metrics FROM steps WHERE round = ? ORDER BY step", values, 1, error) !=
        0)
        return -1;
    for (;;) {
        const char *metrics;
        if (query_next(&query, &row, error) != 0) goto failed;
        if (!row) break;
        if (query_text(&query, 0, &metrics, error) != 0) goto failed;
        buffer_append_text(&out, metrics);
        buffer_append_text(&out, "\n");
    }
    char *text = buffer_take(&out);
    if (text == NULL) return no_memory(store, error);
    *lines = text;
    return 0;
failed:
    query_end(&query);
    buffer_free(&out);
    return -1;
}

int run_store_put_evaluation(RunStore *store, uint32_t round, const char *name, const char *result, Error *error) {
    const Value values[] = {value_whole(round), value_text(name), value_text(result)};
    return database_run(&store->db, "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?)", values, 3, NULL, error);
}

int run_store_get_evaluation(RunStore *store, uint32_t round, const char *name, char **result, Error *error) {
    const Value values[] = {value_whole(round), value_text(name)};
    return get_text(store, "SELECT result FROM evaluations WHERE round = ? AND name = ?", values, 2, result, error);
}

int run_store_put_stage(RunStore *store, uint32_t round, const char *stage, const char *summary, Error *error) {
    char what[120];
    snprintf(what, sizeof what, "stage \"%.60s\" of round %" PRIu32, stage, round);
    const Value values[] = {value_whole(round), value_text(stage), value_text(summary)};
    return put(store,
               "INSERT INTO stages VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET summary = summary "
               "WHERE summary = excluded.summary",
               values, 3, what, error);
}

int run_store_get_stage(RunStore *store, uint32_t round, const char *stage, char **summary, Error *error) {
    const Value values[] = {value_whole(round), value_text(stage)};
    return get_text(store, "SELECT summary FROM stages WHERE round = ? AND stage = ?", values, 2, summary, error);
}

int run_store_put_checkpoint(RunStore *store, const StoredCheckpoint *c, Error *error) {
    char what[80];
    snprintf(what, sizeof what, "the checkpoint of step %" PRIu32 " in round %" PRIu32, c->step, c->round);
    const Value values[] = {value_whole(c->round), value_whole(c->step), value_text(c->directory),
                            value_text(c->model)};
    return put(store,
               "INSERT INTO checkpoints VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET model = model "
               "WHERE directory = excluded.directory AND model = excluded.model",
               values, 4, what, error);
}

static int read_checkpoint(const Query *query, void *row, Error *error) {
    StoredCheckpoint *c = row;
    return query_u32(query, 0, &c->round, error) != 0 || query_u32(query, 1, &c->step, error) != 0 ||
                   query_copy(query, 2, c->directory, sizeof c->directory, error) != 0 ||
                   query_copy(query, 3, c->model, sizeof c->model, error) != 0
               ? -1
               : 0;
}

int run_store_get_checkpoint(RunStore *store, uint32_t round, StoredCheckpoint *checkpoint, bool *found, Error *error) {
    void *rows;
    size_t n;
    const Value values[] = {value_whole(round)};
    if (get_plain(store,
                  "SELECT round, step, directory, model FROM checkpoints WHERE round = ? ORDER BY step DESC LIMIT 1",
                  values, 1, sizeof *checkpoint, read_checkpoint, &rows, &n, error) != 0)
        return -1;
    *found = n > 0;
    if (n > 0) memcpy(checkpoint, rows, sizeof *checkpoint);
    free(rows);
    return 0;
}

const char *run_store_library_version(void) { return sqlite3_libversion(); }
