#include "align/length_regularize.h"
#include "align/pair_select.h"
#include "align/response_filter.h"
#include "cli/command.h"
#include "cli/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *data, *out, *alpha;
    uint64_t above_chars, below_chars, min_responses;
    double min_gap, beta;
} Values;

static const Option options[] = {
    {"data", 'd', OPTION_TEXT, offsetof(Values, data), "FILE", NULL, 0, 0,
     "rows of {\"prompt\", \"responses\", \"rewards\"} (needed)"},
    {"out", 'o', OPTION_TEXT, offsetof(Values, out), "FILE", "-", 0, 0,
     "pairs as JSON lines; -: standard output; none: no pairs, only the figures"},
    {"alpha", 'a', OPTION_TEXT, offsetof(Values, alpha), "exact|grid|NUMBER", "exact", 0, 0,
     "charge for length in nats a character: solved, searched in steps of 0.001, or given"},
    {"above-chars", 0, OPTION_WHOLE, offsetof(Values, above_chars), "N", "3", 0, 1e9,
     "a response must be longer than this (code points)"},
    {"below-chars", 0, OPTION_WHOLE, offsetof(Values, below_chars), "N", "6700", 1, 1e9,
     "a response must be shorter than this"},
    {"min-responses", 0, OPTION_WHOLE, offsetof(Values, min_responses), "N", "8", 2, 1024,
     "a prompt with fewer responses left is dropped; capped at K"},
    {"min-gap", 0, OPTION_REAL, offsetof(Values, min_gap), "NATS", "0", 0, 1e9, "a pair with a smaller gap is dropped"},
    {"beta", 0, OPTION_REAL, offsetof(Values, beta), "BETA", "0.1", 1e-9, 1000,
     "of the paper's alpha, which is beta times ours"},
};

/* The file as a table of N prompts and K responses, K the largest number there is. */
typedef struct {
    json_t **row; // (N) objects
    ScoredResponses scored;
    double *reward;
    int32_t *chars;
    uint8_t *kept;
    const char **text;
    size_t dropped_responses;
} Table;

static void table_free(Table *t) {
    free(t->reward);
    free(t->chars);
    free(t->kept);
    free(t->text);
}

/* A member that says something of each response, or NULL. */
static const json_t *per_response(const json_t *row, const char *key, size_t n) {
    const json_t *list = json_object_get(row, key);
    return json_is_array(list) && json_array_size(list) == n ? list : NULL;
}

static int fill_row(Table *t, size_t n, const PreferenceRow *row, const ResponseFilter *filter, const char *place,
                    Error *error) {
    size_t K = json_array_size(row->responses), base = n * t->scored.responses, kept = 0;
    const json_t *own = per_response(row->source, "finish", K),
                 *finish = own != NULL ? own : per_response(row->source, "finish_reasons", K),
                 *given = per_response(row->source, "kept", K), *chars = per_response(row->source, "chars", K);
    if (row->responses == NULL || row->rewards == NULL)
        return error_set(error, ERROR_INPUT,
                         "%s:%zu: a row of \"responses\" with \"rewards\" was expected (`dice score` writes them)",
                         place, row->line);
    for (size_t k = 0; k < K; k++) {
        size_t bytes;
        const char *text = preference_row_answer(json_array_get(row->responses, k), &bytes),
                   *end = json_string_value(json_array_get(finish, k));
        size_t length = json_is_integer(json_array_get(chars, k)) ? (size_t)json_integer_value(json_array_get(chars, k))
                                                                  : response_filter_length(text, bytes);
        bool cut = end != NULL && strcmp(end, "length") == 0;
        bool keeps = given != NULL ? json_is_true(json_array_get(given, k))
                                   : response_filter_keeps(filter, cut ? FINISH_LENGTH : FINISH_STOP, length);
        t->reward[base + k] = row->rewards[k];
        t->chars[base + k] = (int32_t)(length > INT32_MAX ? INT32_MAX : length);
        t->text[base + k] = text;
        kept += t->kept[base + k] = keeps && isfinite(row->rewards[k]);
    }
    t->dropped_responses += K - kept;
    if (given == NULL && kept < (filter->min_responses < K ? filter->min_responses : K)) memset(t->kept + base, 0, K);
    return 0;
}

static int fill(Table *t, const PreferenceFile *file, const ResponseFilter *filter, Error *error) {
    size_t N = file->count, K = 2;
    for (size_t n = 0; n < N; n++)
        if (json_array_size(file->rows[n].responses) > K) K = json_array_size(file->rows[n].responses);
    *t = (Table){.reward = calloc(N * K, sizeof *t->reward),
                 .chars = calloc(N * K, sizeof *t->chars),
                 .kept = calloc(N, K),
                 .text = calloc(N * K, sizeof *t->text)};
    if (t->reward == NULL || t->chars == NULL || t->kept == NULL || t->text == NULL)
        return error_set(error, ERROR_MEMORY, "%s: no memory for its table", file->name);
    t->scored = (ScoredResponses){
        .reward_nats = t->reward, .length_chars = t->chars, .kept = t->kept, .prompts = N, .responses = K};
    for (size_t n = 0; n < N; n++)
        if (fill_row(t, n, &file->rows[n], filter, file->name, error) != 0) return -1;
    return 0;
}

static int fit_alpha(const char *alpha, const ScoredResponses *scored, LengthFit *fit, Error *error) {
    char *end;
    if (strcmp(alpha, "exact") == 0) return length_regularize_fit(scored, fit, error);
    if (strcmp(alpha, "grid") == 0) return length_regularize_fit_grid(scored, fit, error);
    double value = strtod(alpha, &end);
    if (end == alpha || *end != 0 || !isfinite(value) || value < 0)
        return error_set(error, ERROR_USAGE, "--alpha is \"%.60s\" where exact, grid or a number >= 0 was expected",
                         alpha);
    *fit = (LengthFit){.alpha = value,
                       .alpha_low = value,
                       .alpha_high = value,
                       .gap_chars = length_regularize_gap(scored, value),
                       .gap_before_chars = length_regularize_gap(scored, 0)};
    return 0;
}

static int write_pairs(const Values *v, const Table *t, const PreferenceFile *file, const SelectedPair *pair,
                       size_t pairs, Error *error) {
    RowWriter writer;
    if (rows_open_writer(&writer, v->out, error) != 0) return -1;
    int result = 0;
    for (size_t i = 0; i < pairs && result == 0; i++) {
        const PreferenceRow *row = &file->rows[pair[i].prompt];
        size_t base = pair[i].prompt * t->scored.responses;
        result = rows_write(&writer,
                            json_pack("{s:O, s:O, s:O, s:I, s:I, s:f, s:f, s:f, s:f}", "prompt", row->prompt, "chosen",
                                      json_array_get(row->responses, pair[i].chosen), "rejected",
                                      json_array_get(row->responses, pair[i].rejected), "chosen_index",
                                      (json_int_t)pair[i].chosen, "rejected_index", (json_int_t)pair[i].rejected,
                                      "chosen_reward", t->reward[base + pair[i].chosen], "rejected_reward",
                                      t->reward[base + pair[i].rejected], "score_chosen", pair[i].chosen_score,
                                      "score_rejected", pair[i].rejected_score),
                            error);
    }
    return rows_close_writer(&writer, result, error);
}

static json_t *figures(const Values *v, const Table *t, const LengthFit *fit, const PairCounts *c) {
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "pairs", (json_int_t)c->pairs,
                          "dropped_responses", (json_int_t)t->dropped_responses, "dropped_few", (json_int_t)c->few,
                          "dropped_ties", (json_int_t)c->ties, "dropped_equal", (json_int_t)c->equal, "dropped_gap",
                          (json_int_t)c->noisy, "alpha", fit->alpha, "alpha_low", fit->alpha_low, "alpha_times_beta",
                          fit->alpha * v->beta, "gap_before_chars", fit->gap_before_chars, "gap_chars", fit->gap_chars);
    json_object_set_new(o, "alpha_high", isfinite(fit->alpha_high) ? json_real(fit->alpha_high) : json_null());
    return o;
}

static int make_pairs(const Values *v, Session *session, const PreferenceFile *file, Error *error) {
    const ResponseFilter filter = {
        .above_chars = v->above_chars, .below_chars = v->below_chars, .min_responses = v->min_responses};
    Table t = {0};
    LengthFit fit;
    PairCounts counts;
    SelectedPair *pair = calloc(file->count + 1, sizeof *pair);
    int result =
        pair == NULL ? error_set(error, ERROR_MEMORY, "no memory for the pairs") : fill(&t, file, &filter, error);
    if (result == 0) result = fit_alpha(v->alpha, &t.scored, &fit, error);
    if (result == 0) {
        pair_select(&t.scored, fit.alpha, t.text, 2, v->min_gap, pair, &counts);
        if (strcmp(v->out, "none") != 0) result = write_pairs(v, &t, file, pair, counts.pairs, error);
    }
    if (result == 0 && v->common.json)
        result = command_print_json(figures(v, &t, &fit, &counts), error);
    else if (result == 0)
        log_say(&session->log, LOG_INFO,
                "alpha %.6g nats a character (optimal from %.6g to %.6g; times beta %.6g): length gap %+.1f -> %+.1f "
                "characters\n"
                "%zu pairs; prompts dropped: %zu with too few responses, %zu with equal scores, %zu with equal texts, "
                "%zu below the gap",
                fit.alpha, fit.alpha_low, fit.alpha_high, fit.alpha * v->beta, fit.gap_before_chars, fit.gap_chars,
                counts.pairs, counts.few, counts.ties, counts.equal, counts.noisy);
    table_free(&t);
    free(pair);
    return result;
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    const PreferenceOptions use = {.use = PREFERENCE_RESPONSES};
    PreferenceFile file;
    if (v->data == NULL) return error_set(error, ERROR_USAGE, "dice pairs needs --data; see `dice pairs --help`");
    if (preference_file_read(&file, v->data, &use, error) != 0) return -1;
    int result = make_pairs(v, session, &file, error);
    preference_file_free(&file);
    return result;
}

COMMAND_DEFINE(pairs, Values, options, .summary = "scored responses -> preference pairs, corrected for length",
               .arguments = "", .least = 0, .most = 0,
               .description = "Takes the bonus for verbosity out of the rewards (score = reward - alpha characters, "
                              "alpha solved so that chosen and\n"
                              "rejected are equally long on average), then pairs the best with the worst response of "
                              "each prompt. \"rewards\" are in\n"
                              "nats, NOT times beta, as `dice score --reference` writes them. A response with "
                              "\"finish\": \"length\" was cut and is left out.",
               .examples = "  dice pairs --data scored.jsonl --out pairs.jsonl\n  dice pairs --data scored.jsonl "
                           "--alpha grid --json --out none");
