#include "store/export.h"
#include "base/file.h"
#include "base/json.h"
#include "store/database.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Database *db;
    FileWriter file;
    size_t rows;
    Error *error;
} Export;

/* Writes an object as a line; takes it over. NULL, or a value that could not be made, is a lack of memory. */
static int write_line(Export *x, json_t *line) {
    char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);
    json_decref(line);
    if (text == NULL) return error_set(x->error, ERROR_MEMORY, "%s: no memory for a line", x->file.path);
    fputs(text, x->file.stream); // commit tells of a failure
    fputc('\n', x->file.stream);
    free(text);
    x->rows++;
    return 0;
}

/* Sets a member that may be NULL for lack of memory; then the whole object becomes NULL. */
static json_t *with(json_t *object, const char *key, json_t *value) {
    if (object != NULL && json_object_set_new(object, key, value) == 0) return object;
    if (object == NULL) json_decref(value);
    json_decref(object);
    return NULL;
}

static json_t *whole(uint64_t value) { return json_integer((json_int_t)value); }

static int begin(Export *x, RunStore *store, const char *path, Error *error) {
    *x = (Export){.db = run_store_database(store), .error = error};
    return file_writer_open(&x->file, path, error);
}

static int end(Export *x, int result, size_t *rows) {
    if (result == 0)
        result = file_writer_commit(&x->file, x->error);
    else
        file_writer_abort(&x->file);
    if (result == 0 && rows != NULL) *rows = x->rows;
    return result;
}

/* The prompt in a column, parsed; a new reference. */
static json_t *read_prompt(Export *x, const Query *query, int column, uint32_t prompt) {
    const char *text;
    char name[64];
    if (query_text(query, column, &text, x->error) != 0) return NULL;
    snprintf(name, sizeof name, "prompt %" PRIu32, prompt);
    json_t *value = json_parse(text, strlen(text), name, 1, x->error);
    if (value == NULL) error_prefix(x->error, "%s", x->db->path);
    return value;
}

/* A text column as JSON; a new reference. */
static json_t *read_answer(Export *x, const Query *query, int column) {
    const char *text;
    if (query_text(query, column, &text, x->error) != 0) return NULL;
    json_t *value = json_string(text);
    if (value == NULL) database_damaged(x->db, "a text is not UTF-8", x->error);
    return value;
}

/* The lists of one prompt's line, in the order of the layout. */
enum { RESPONSES, REWARDS, LOGPS, TOKENS, CHARS, FINISH, KS, LISTS };
static const char *const list_names[LISTS] = {"responses", "rewards",        "logps", "tokens",
                                              "chars",     "finish_reasons", "k"};

typedef struct {
    json_t *line;        // NULL before the first prompt
    json_t *list[LISTS]; // borrowed from line
    uint32_t prompt;
} Group;

static int flush_group(Export *x, Group *group) {
    json_t *line = group->line;
    *group = (Group){0};
    return line == NULL ? 0 : write_line(x, line);
}

static int begin_group(Export *x, Group *group, const Query *query, uint32_t prompt, bool rewards) {
    if (flush_group(x, group) != 0) return -1;
    json_t *messages = read_prompt(x, query, 0, prompt);
    if (messages == NULL) return -1;
    json_t *line = with(with(json_object(), "prompt", messages), "prompt_id", whole(prompt));
    for (int i = 0; i < LISTS; i++) {
        if (i == REWARDS && !rewards) continue;
        line = with(line, list_names[i], json_array());
        group->list[i] = json_object_get(line, list_names[i]);
    }
    group->line = line, group->prompt = prompt;
    return line != NULL ? 0 : error_set(x->error, ERROR_MEMORY, "%s: no memory for a line", x->file.path);
}

/* The sum of the log-probs in a column, in their order, in double. */
static int sum_logprobs(Export *x, const Query *query, int column, double *sum, size_t *tokens) {
    void *words;
    *sum = 0, *tokens = 0;
    if (query_words(query, column, &words, tokens, x->error) != 0) return -1;
    const float *logprob = words;
    for (size_t t = 0; t < *tokens; t++) *sum += (double)logprob[t];
    free(words);
    return isfinite(*sum) ? 0 : database_damaged(x->db, "a log-prob is not finite", x->error);
}

static json_t *real_or_null(double value) { return isfinite(value) ? json_real(value) : json_null(); }

/* Columns: messages, prompt, k, logprob, text, chars, stopped. */
static int add_response(Export *x, Group *group, const Query *query, const double *reward) {
    uint32_t prompt, k;
    uint64_t chars, stopped;
    double sum;
    size_t tokens;
    if (query_u32(query, 1, &prompt, x->error) != 0 || query_u32(query, 2, &k, x->error) != 0 ||
        sum_logprobs(x, query, 3, &sum, &tokens) != 0 || query_whole(query, 5, INT64_MAX, &chars, x->error) != 0 ||
        query_whole(query, 6, 1, &stopped, x->error) != 0)
        return -1;
    if ((group->line == NULL || group->prompt != prompt) && begin_group(x, group, query, prompt, reward != NULL) != 0)
        return -1;
    json_t *answer = read_answer(x, query, 4);
    if (answer == NULL) return -1;
    json_t *values[LISTS] = {answer,       reward == NULL ? NULL : real_or_null(*reward), json_real(sum), whole(tokens),
                             whole(chars), json_string(stopped ? "stop" : "length"),      whole(k)};
    int result = 0;
    for (int i = 0; i < LISTS; i++)
        if (group->list[i] != NULL && json_array_append_new(group->list[i], values[i]) != 0) result = -1;
    return result == 0 ? 0 : error_set(x->error, ERROR_MEMORY, "%s: no memory for a line", x->file.path);
}

static int write_responses(Export *x, uint32_t round, const double *rewards, size_t count) {
    Query query;
    Group group = {0};
    size_t n = 0;
    int result = -1;
    const Value values[] = {value_whole(round)};
    if (query_begin(&query, x->db,
                    "SELECT messages, responses.prompt, k, logprob, text, chars, stopped "
                    "FROM responses LEFT JOIN prompts USING (prompt) WHERE round = ? ORDER BY responses.prompt, k",
                    values, 1, x->error) != 0)
        return -1;
    for (;; n++) {
        bool row;
        if (query_next(&query, &row, x->error) != 0) goto done;
        if (!row) break;
        bool missing = rewards != NULL && n == count;
        if (missing || add_response(x, &group, &query, rewards == NULL ? NULL : &rewards[n]) != 0) {
            if (missing)
                error_set(x->error, ERROR_INTERNAL, "%s: there are more responses than the %zu rewards", x->file.path,
                          count);
            goto done;
        }
    }
    if (rewards != NULL && n != count)
        error_set(x->error, ERROR_INTERNAL, "%s: there are %zu rewards for %zu responses", x->file.path, count, n);
    else
        result = flush_group(x, &group);
done:
    query_end(&query);
    json_decref(group.line);
    return result;
}

int export_responses(RunStore *store, uint32_t round, const double *rewards, size_t count, const char *path,
                     size_t *rows, Error *error) {
    Export x;
    if (begin(&x, store, path, error) != 0) return -1;
    return end(&x, write_responses(&x, round, rewards, count), rows);
}

/* An answer as TRL wants it beside this prompt; takes over the answer. */
static json_t *completion(const json_t *prompt, json_t *answer) {
    if (json_is_string(prompt)) return answer;
    json_t *message = with(with(json_object(), "role", json_string("assistant")), "content", answer);
    json_t *list = json_array();
    if (message != NULL && list != NULL && json_array_append_new(list, message) == 0) return list;
    if (list == NULL) json_decref(message);
    json_decref(list);
    return NULL;
}

/* Columns: messages, chosen text, rejected text, prompt, chosen_k, rejected_k, two rewards, two scores, rounds since
 * the rejected answer was sampled, doubt; the last two are written where they are not 0. */
static int write_pair(Export *x, const Query *query) {
    static const char *const real_names[4] = {"chosen_reward", "rejected_reward", "score_chosen", "score_rejected"};
    uint32_t number[3], age;
    double real[4], doubt;
    for (int i = 0; i < 3; i++)
        if (query_u32(query, 3 + i, &number[i], x->error) != 0) return -1;
    for (int i = 0; i < 4; i++)
        if (query_real(query, 6 + i, &real[i], x->error) != 0) return -1;
    if (query_u32(query, 10, &age, x->error) != 0 || query_real(query, 11, &doubt, x->error) != 0) return -1;
    json_t *prompt = read_prompt(x, query, 0, number[0]);
    json_t *chosen = prompt == NULL ? NULL : read_answer(x, query, 1);
    json_t *rejected = chosen == NULL ? NULL : read_answer(x, query, 2);
    if (rejected == NULL) {
        json_decref(prompt);
        json_decref(chosen);
        return -1;
    }
    chosen = completion(prompt, chosen), rejected = completion(prompt, rejected);
    json_t *line = with(with(with(json_object(), "prompt", prompt), "chosen", chosen), "rejected", rejected);
    for (int i = 0; i < 4; i++) line = with(line, real_names[i], json_real(real[i]));
    line = with(with(line, "chosen_k", whole(number[1])), "rejected_k", whole(number[2]));
    if (age > 0) line = with(line, "rejected_age", whole(age));
    if (doubt > 0) line = with(line, "doubt", json_real(doubt));
    return write_line(x, with(line, "prompt_id", whole(number[0])));
}

/* Columns: source, round, prompt, k, model, sum, tokens. */
static int write_score(Export *x, const Query *query) {
    uint32_t round, prompt, k;
    double sum;
    uint64_t tokens;
    if (query_u32(query, 1, &round, x->error) != 0 || query_u32(query, 2, &prompt, x->error) != 0 ||
        query_u32(query, 3, &k, x->error) != 0 || query_real(query, 5, &sum, x->error) != 0 ||
        query_whole(query, 6, INT64_MAX, &tokens, x->error) != 0)
        return -1;
    json_t *source = read_answer(x, query, 0), *model = source == NULL ? NULL : read_answer(x, query, 4);
    if (model == NULL) {
        json_decref(source);
        return -1;
    }
    json_t *line = with(with(json_object(), "source", source), "round", whole(round));
    line = with(with(with(line, "prompt_id", whole(prompt)), "k", whole(k)), "model", model);
    return write_line(x, with(with(line, "logp", json_real(sum)), "tokens", whole(tokens)));
}

/* Opens the file and writes one line for each row of the query. */
static int write_rows(RunStore *store, uint32_t round, const char *sql, int (*write)(Export *, const Query *),
                      const char *path, size_t *rows, Error *error) {
    Export x;
    Query query;
    const Value values[] = {value_whole(round)};
    if (begin(&x, store, path, error) != 0) return -1;
    int result = query_begin(&query, x.db, sql, values, 1, error);
    for (bool row = true; result == 0;) {
        result = query_next(&query, &row, error);
        if (result != 0 || !row) break;
        result = write(&x, &query);
    }
    query_end(&query);
    return end(&x, result, rows);
}

int export_pairs(RunStore *store, uint32_t round, const char *path, size_t *rows, Error *error) {
    return write_rows(
        store, round,
        "SELECT messages, c.text, r.text, p.prompt, chosen_k, rejected_k, chosen_reward, rejected_reward, "
        "chosen_score, rejected_score, p.round - rejected_round, doubt FROM pairs p LEFT JOIN prompts m ON m.prompt = "
        "p.prompt "
        "LEFT JOIN responses c ON c.round = p.round AND c.prompt = p.prompt AND c.k = chosen_k "
        "LEFT JOIN responses r ON r.round = rejected_round AND r.prompt = p.prompt AND r.k = rejected_k "
        "WHERE p.round = ? ORDER BY p.prompt",
        write_pair, path, rows, error);
}

int export_scores(RunStore *store, uint32_t round, const char *path, size_t *rows, Error *error) {
    return write_rows(store, round,
                      "SELECT source, round, prompt, k, model, sum, tokens FROM scores WHERE round = ? "
                      "ORDER BY source, model, prompt, k",
                      write_score, path, rows, error);
}
