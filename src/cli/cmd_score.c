#include "align/implicit_reward.h"
#include "cli/command.h"
#include "cli/rows.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *model, *adapter, *reference, *reference_adapter, *data, *out, *system, *response_end;
    bool per_token;
    double beta;
    uint64_t batch_tokens;
} Values;

static const Option options[] = {
    {"model", 'm', OPTION_TEXT, offsetof(Values, model), "DIRECTORY", NULL, 0, 0,
     "Hugging Face checkpoint, pi (needed)"},
    {"adapter", 0, OPTION_TEXT, offsetof(Values, adapter), "DIRECTORY", NULL, 0, 0,
     "PEFT directory: LoRA adapter of the model"},
    {"reference", 'r', OPTION_TEXT, offsetof(Values, reference), "DIRECTORY", NULL, 0, 0,
     "second checkpoint, ref: gives implicit rewards"},
    {"reference-adapter", 0, OPTION_TEXT, offsetof(Values, reference_adapter), "DIRECTORY", NULL, 0, 0,
     "PEFT directory: adapter of --reference, or of the model where that is not given"},
    {"data", 'd', OPTION_TEXT, offsetof(Values, data), "FILE", NULL, 0, 0,
     "rows with answers: pairs, responses, or token ids (needed)"},
    {"out", 'o', OPTION_TEXT, offsetof(Values, out), "FILE", "-", 0, 0, "JSON lines; -: standard output"},
    {"per-token", 0, OPTION_FLAG, offsetof(Values, per_token), NULL, NULL, 0, 0,
     "adds the log-prob of every token, and ln sum p^2 at its place"},
    {"beta", 0, OPTION_REAL, offsetof(Values, beta), "BETA", "0.1", 1e-9, 1000, "of the margin that is printed"},
    {"response-end", 0, OPTION_CHOICE, offsetof(Values, response_end), "stop_token|template", "stop_token", 0, 0,
     "count up to the stop token, or also what the template puts behind it (as TRL does)"},
    {"system", 0, OPTION_TEXT, offsetof(Values, system), "TEXT", "", 0, 0,
     "system message for conversations without one"},
    {"batch-tokens", 0, OPTION_WHOLE, offsetof(Values, batch_tokens), "N", "4096", 1, 1073741824,
     "tokens of one forward pass: speed and memory"},
};

/* Sums and per-token log-probs of all answers under one model. */
typedef struct {
    double **sum;     // (rows) arrays of answers
    json_t **tokens;  // (rows) arrays of arrays, NULL: not wanted
    json_t **squares; // likewise, ln sum p^2; of the policy alone
} Scores;

static void scores_free(Scores *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (s->sum != NULL) free(s->sum[i]);
        if (s->tokens != NULL) json_decref(s->tokens[i]);
        if (s->squares != NULL) json_decref(s->squares[i]);
    }
    free(s->sum);
    free(s->tokens);
    free(s->squares);
    *s = (Scores){0};
}

typedef struct {
    Scores *scores;
    const Rows *rows;
} Taken;

/* x: n floats, `step` apart. */
static int append_floats(json_t *lists, const float *x, size_t n, size_t step, Error *error) {
    json_t *list = json_array();
    for (size_t t = 0; t < n; t++) json_array_append_new(list, json_real((double)x[t * step]));
    return json_array_append_new(lists, list) == 0 ? 0 : error_set(error, ERROR_MEMORY, "no memory for the log-probs");
}

static int take(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    const Taken *taken = context;
    Scores *scores = taken->scores;
    size_t n = taken->rows->answer[item][response].count;
    scores->sum[item][response] = scored->sum;
    if (scores->tokens != NULL && append_floats(scores->tokens[item], scored->logprob, n, 1, error) != 0) return -1;
    return scores->squares == NULL ? 0
                                   : append_floats(scores->squares[item], &scored->figures->log_sum_square, n,
                                                   sizeof *scored->figures / sizeof(float), error);
}

static int score_rows(const Values *v, Session *session, ModelPlace place, bool policy, const Rows *rows, Model **model,
                      Scores *scores, Error *error) {
    size_t n = rows->file.count, answers = 0, at = 0;
    for (size_t i = 0; i < n; i++) answers += rows->answers[i];
    ScoreItem *item = calloc(n + 1, sizeof *item);
    const int32_t **ids = calloc(answers + 1, sizeof *ids);
    size_t *length = calloc(answers + 1, sizeof *length);
    scores->sum = calloc(n + 1, sizeof *scores->sum);
    if (v->per_token) scores->tokens = calloc(n + 1, sizeof *scores->tokens);
    if (v->per_token && policy) scores->squares = calloc(n + 1, sizeof *scores->squares);
    int result = item == NULL || ids == NULL || length == NULL || scores->sum == NULL
                     ? error_set(error, ERROR_MEMORY, "no memory for %zu rows", n)
                     : 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        scores->sum[i] = calloc(rows->answers[i] + 1, sizeof **scores->sum);
        if (scores->tokens != NULL) scores->tokens[i] = json_array();
        if (scores->squares != NULL) scores->squares[i] = json_array();
        if (scores->sum[i] == NULL) result = error_set(error, ERROR_MEMORY, "no memory for %zu rows", n);
        item[i] = (ScoreItem){.prompt = rows->prompt[i].data,
                              .prompt_length = rows->prompt[i].count,
                              .response = ids + at,
                              .length = length + at,
                              .responses = rows->answers[i]};
        for (size_t k = 0; k < rows->answers[i]; k++, at++)
            ids[at] = rows->answer[i][k].data, length[at] = rows->answer[i][k].count;
    }
    Taken taken = {.scores = scores, .rows = rows};
    const ScoreSink sink = {.take = take, .context = &taken, .figures = scores->squares != NULL};
    if (result == 0) result = command_load_model(session, place, false, model, error);
    if (result == 0) result = rows_check_model(rows, model_config(*model), error);
    if (result == 0)
        result = implicit_reward_score(*model, item, n, v->batch_tokens, &sink, policy ? "score" : "reference",
                                       &session->log, error);
    terminal_clear(&session->terminal);
    free(item);
    free(ids);
    free(length);
    return result;
}

static json_t *reals(const double *x, size_t n, const double *minus) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(x[i] - (minus == NULL ? 0 : minus[i])));
    return list;
}

static json_t *lengths(const TokenList *answer, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer((json_int_t)answer[i].count));
    return list;
}

/* The row as it was read, with what was found. For pairs the two answers are chosen and rejected, in this order. */
static json_t *result_row(const Rows *rows, size_t i, const Scores *policy, const Scores *reference) {
    const PreferenceRow *row = &rows->file.rows[i];
    size_t n = rows->answers[i];
    json_t *out = json_pack("{s:O}", preference_row_is_tokens(row->prompt) ? "prompt_ids" : "prompt", row->prompt);
    if (row->responses != NULL)
        json_object_set(out, preference_row_is_tokens(row->prompt) ? "response_ids" : "responses", row->responses);
    if (row->chosen != NULL && !preference_row_is_tokens(row->prompt)) json_object_set(out, "chosen", row->chosen);
    if (row->rejected != NULL && !preference_row_is_tokens(row->prompt))
        json_object_set(out, "rejected", row->rejected);
    json_object_set_new(out, "tokens", lengths(rows->answer[i], n));
    json_object_set_new(out, "logprobs", reals(policy->sum[i], n, NULL));
    if (policy->tokens != NULL) json_object_set(out, "token_logprobs", policy->tokens[i]);
    if (policy->squares != NULL) json_object_set(out, "token_log_sum_squares", policy->squares[i]);
    if (reference->sum == NULL) return out;
    json_object_set_new(out, "reference_logprobs", reals(reference->sum[i], n, NULL));
    json_object_set_new(out, "rewards", reals(policy->sum[i], n, reference->sum[i]));
    if (reference->tokens != NULL) json_object_set(out, "reference_token_logprobs", reference->tokens[i]);
    return out;
}

static void summarize(const Values *v, Session *session, const Rows *rows, const Scores *policy,
                      const Scores *reference) {
    size_t pairs = 0, right = 0;
    double margin = 0;
    for (size_t i = 0; i < rows->file.count; i++) {
        if (rows->file.rows[i].rejected == NULL) continue;
        const double *p = policy->sum[i], *r = reference->sum == NULL ? NULL : reference->sum[i];
        double gap = p[0] - p[1] - (r == NULL ? 0 : r[0] - r[1]);
        pairs++;
        right += gap > 0;
        margin += gap;
    }
    if (pairs > 0)
        log_say(&session->log, LOG_INFO,
                "%zu pairs: chosen is above rejected in %.1f %%, mean gap %+.4f nats (times beta: %+.4f)%s", pairs,
                100 * (double)right / (double)pairs, margin / (double)pairs, v->beta * margin / (double)pairs,
                reference->sum == NULL ? "; by log-prob alone, since no --reference is given" : "");
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    if (v->model == NULL || v->data == NULL)
        return error_set(error, ERROR_USAGE, "dice score needs --model and --data; see `dice score --help`");
    Chat chat = {0};
    Rows rows = {0};
    Scores policy = {0}, reference = {0};
    RowWriter writer;
    ChatEnd end = strcmp(v->response_end, "template") == 0 ? CHAT_END_TEMPLATE : CHAT_END_STOP;
    int result = rows_load_chat(&chat, v->model, error);
    if (result == 0) result = rows_read(&rows, v->data, &chat, v->system, end, true, &session->log, error);
    size_t n = rows.file.count;
    const ModelPlace pi = {v->model, v->adapter},
                     ref = {v->reference != NULL ? v->reference : v->model, v->reference_adapter};
    Model *model = NULL;
    if (result == 0) result = score_rows(v, session, pi, true, &rows, &model, &policy, error);
    if (result == 0 && (v->reference != NULL || v->reference_adapter != NULL))
        result = score_rows(v, session, ref, false, &rows, &model, &reference, error);
    model_free(model);
    if (result == 0) result = rows_open_writer(&writer, v->out, error);
    if (result == 0) {
        for (size_t i = 0; i < n && result == 0; i++)
            result = rows_write(&writer, result_row(&rows, i, &policy, &reference), error);
        result = rows_close_writer(&writer, result, error);
    }
    if (result == 0) summarize(v, session, &rows, &policy, &reference);
    scores_free(&policy, n);
    scores_free(&reference, n);
    rows_free(&rows);
    chat_free(&chat);
    return result;
}

COMMAND_DEFINE(
    score, Values, options, .summary = "log-probs of answers, and implicit rewards against a reference",
    .arguments = "", .least = 0, .most = 0,
    .description =
        "For each row of --data (pairs, {\"prompt\", \"responses\"}, or token ids) the summed log-prob of every answer "
        "in nats,\n"
        "in the order chosen, rejected or as in \"responses\"; with --reference also rewards = log pi - log ref in "
        "nats (NOT\n"
        "times beta). The end-of-turn token counts, the prompt does not. Answers to one prompt share its computation.",
    .examples = "  dice score --model DPO_MODEL --reference SFT_MODEL --data pairs.jsonl --out scored.jsonl\n"
                "  dice score --model MODEL --data responses.jsonl --per-token\n"
                "  dice score --model BASE --adapter LORA --reference BASE --data pairs.jsonl");
