#include "align/length_regularize.h"
#include "align/pair_select.h"
#include "align/rank_agreement.h"
#include "align/response_filter.h"
#include "cli/command.h"
#include "cli/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *data, *out, *alpha, *select, *soft_label;
    uint64_t above_chars, below_chars, min_responses, seed;
    double min_gap, beta, band_low, band_high;
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
    {"select", 0, OPTION_CHOICE, offsetof(Values, select), "best_worst|mean_2sd|random", "best_worst", 0, 0,
     "which two: best and worst; best and the nearest to mean - 2 sd; two at random"},
    {"seed", 0, OPTION_WHOLE, offsetof(Values, seed), "N", "0", 0, 18446744073709551615.0, "of --select random"},
    {"band-low", 0, OPTION_REAL, offsetof(Values, band_low), "SHARE", "0", 0, 1,
     "share of the pairs with the smallest gaps that is left out"},
    {"band-high", 0, OPTION_REAL, offsetof(Values, band_high), "SHARE", "1", 0, 1,
     "share of the pairs, in the order of their gaps, behind which the others are left out"},
    {"soft-label", 0, OPTION_CHOICE, offsetof(Values, soft_label), "none|prompt|round", "none", 0, 0,
     "adds \"doubt\" to pairs: 1 - how far \"rewards\" and \"previous_rewards\" rank the responses alike"},
    {"beta", 0, OPTION_REAL, offsetof(Values, beta), "BETA", "0.1", 1e-9, 1000,
     "of the paper's alpha, which is beta times ours"},
};

/* The file as a table of N prompts and K responses, K the largest number there is. */
typedef struct {
    json_t **row; // (N) objects
    ScoredResponses scored;
    double *reward, *previous; // previous: NULL without --soft-label
    int32_t *chars;
    uint8_t *kept;
    const char **text;
    size_t dropped_responses;
} Table;

static void table_free(Table *t) {
    free(t->reward);
    free(t->previous);
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
                 *given = per_response(row->source, "kept", K), *chars = per_response(row->source, "chars", K),
                 *previous = per_response(row->source, "previous_rewards", K);
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
        if (t->previous != NULL && keeps && !json_is_number(json_array_get(previous, k)))
            return error_set(
                error, ERROR_INPUT,
                "%s:%zu: --soft-label needs \"previous_rewards\", a list of %zu numbers beside \"rewards\"", place,
                row->line, K);
        if (t->previous != NULL) t->previous[base + k] = json_number_value(json_array_get(previous, k));
        t->chars[base + k] = (int32_t)(length > INT32_MAX ? INT32_MAX : length);
        t->text[base + k] = text;
        kept += t->kept[base + k] = keeps && isfinite(row->rewards[k]);
    }
    t->dropped_responses += K - kept;
    if (given == NULL && kept < (filter->min_responses < K ? filter->min_responses : K)) memset(t->kept + base, 0, K);
    return 0;
}

static int fill(Table *t, const PreferenceFile *file, const ResponseFilter *filter, bool soft, Error *error) {
    size_t N = file->count, K = 2;
    for (size_t n = 0; n < N; n++)
        if (json_array_size(file->rows[n].responses) > K) K = json_array_size(file->rows[n].responses);
    *t = (Table){.reward = calloc(N * K, sizeof *t->reward),
                 .previous = soft ? calloc(N * K, sizeof *t->previous) : NULL,
                 .chars = calloc(N * K, sizeof *t->chars),
                 .kept = calloc(N, K),
                 .text = calloc(N * K, sizeof *t->text)};
    if (t->reward == NULL || (soft && t->previous == NULL) || t->chars == NULL || t->kept == NULL || t->text == NULL)
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
    *fit = length_regularize_fixed(scored, value);
    return 0;
}

static int write_pairs(const Values *v, const Table *t, const PreferenceFile *file, const SelectedPair *pair,
                       const double *doubt, size_t pairs, Error *error) {
    RowWriter writer;
    if (rows_open_writer(&writer, v->out, error) != 0) return -1;
    int result = 0;
    for (size_t i = 0; i < pairs && result == 0; i++) {
        const PreferenceRow *row = &file->rows[pair[i].prompt];
        size_t base = pair[i].prompt * t->scored.responses;
        json_t *line =
            json_pack("{s:O, s:O, s:O, s:I, s:I, s:f, s:f, s:f, s:f}", "prompt", row->prompt, "chosen",
                      json_array_get(row->responses, pair[i].chosen), "rejected",
                      json_array_get(row->responses, pair[i].rejected), "chosen_index", (json_int_t)pair[i].chosen,
                      "rejected_index", (json_int_t)pair[i].rejected, "chosen_reward", t->reward[base + pair[i].chosen],
                      "rejected_reward", t->reward[base + pair[i].rejected], "score_chosen", pair[i].chosen_score,
                      "score_rejected", pair[i].rejected_score);
        if (t->previous != NULL) json_object_set_new(line, "doubt", json_real(doubt[i]));
        result = rows_write(&writer, line, error);
    }
    return rows_close_writer(&writer, result, error);
}

/* 1 - agreement of each pair; the mean agreement, or NaN. */
static int doubt_pairs(const Values *v, const Table *t, double alpha, const SelectedPair *pair, size_t pairs,
                       double *doubt, double *agreement, Error *error) {
    ScoredResponses before = t->scored;
    LengthFit fit;
    *agreement = (double)NAN;
    if (t->previous == NULL) return 0;
    before.reward_nats = t->previous;
    if (fit_alpha(v->alpha, &before, &fit, error) != 0) return -1;
    *agreement = rank_agreement_mean(&t->scored, alpha, &before, fit.alpha);
    for (size_t i = 0; i < pairs; i++)
        doubt[i] = 1 - (strcmp(v->soft_label, "round") == 0
                            ? *agreement
                            : rank_agreement(&t->scored, alpha, &before, fit.alpha, pair[i].prompt));
    return 0;
}

/* What was found, for programs and for people. */
typedef struct {
    LengthFit fit;
    PairCounts counts;
    double pair_gap, agreement;
} Findings;

static json_t *figures(const Values *v, const Table *t, const Findings *f) {
    const LengthFit *fit = &f->fit;
    const PairCounts *c = &f->counts;
    json_t *o =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "pairs", (json_int_t)c->pairs,
                  "dropped_band", (json_int_t)c->banded, "dropped_responses", (json_int_t)t->dropped_responses,
                  "dropped_few", (json_int_t)c->few, "dropped_ties", (json_int_t)c->ties, "dropped_equal",
                  (json_int_t)c->equal, "dropped_gap", (json_int_t)c->noisy, "alpha", fit->alpha, "alpha_low",
                  fit->alpha_low, "alpha_times_beta", fit->alpha * v->beta, "gap_before_chars", fit->gap_before_chars,
                  "gap_chars", fit->gap_chars, "pair_gap_chars", f->pair_gap);
    if (!isnan(f->agreement)) json_object_set_new(o, "rank_agreement", json_real(f->agreement));
    json_object_set_new(o, "alpha_high", isfinite(fit->alpha_high) ? json_real(fit->alpha_high) : json_null());
    return o;
}

static PairRules rules_of(const Values *v) {
    return (PairRules){.rule = strcmp(v->select, "mean_2sd") == 0 ? PAIR_MEAN_2SD
                               : strcmp(v->select, "random") == 0 ? PAIR_RANDOM
                                                                  : PAIR_BEST_WORST,
                       .min_responses = 2,
                       .min_gap = v->min_gap,
                       .band_low = v->band_low,
                       .band_high = v->band_high,
                       .seed = v->seed};
}

static void say(const Session *session, const Values *v, const Findings *f) {
    const LengthFit *fit = &f->fit;
    log_say(&session->log, LOG_INFO,
            "alpha %.6g nats a character (optimal from %.6g to %.6g; times beta %.6g): length gap %+.1f -> %+.1f "
            "characters\n"
            "%zu pairs; prompts dropped: %zu with too few responses, %zu with equal scores, %zu with equal texts, "
            "%zu below the gap, %zu outside of the band",
            fit->alpha, fit->alpha_low, fit->alpha_high, fit->alpha * v->beta, fit->gap_before_chars, fit->gap_chars,
            f->counts.pairs, f->counts.few, f->counts.ties, f->counts.equal, f->counts.noisy, f->counts.banded);
    if (strcmp(v->select, "best_worst") != 0)
        log_say(&session->log, LOG_INFO, "length gap of the pairs as selected: %+.1f characters", f->pair_gap);
    if (!isnan(f->agreement))
        log_say(&session->log, LOG_INFO, "both rewards order %.1f %% of the responses alike", 100 * f->agreement);
}

static int make_pairs(const Values *v, Session *session, const PreferenceFile *file, Error *error) {
    const ResponseFilter filter = {
        .above_chars = v->above_chars, .below_chars = v->below_chars, .min_responses = v->min_responses};
    const PairRules rules = rules_of(v);
    Table t = {0};
    Findings f = {0};
    SelectedPair *pair = calloc(file->count + 1, sizeof *pair);
    double *doubt = calloc(file->count + 1, sizeof *doubt);
    int result = pair == NULL || doubt == NULL ? error_set(error, ERROR_MEMORY, "no memory for the pairs")
                                               : fill(&t, file, &filter, strcmp(v->soft_label, "none") != 0, error);
    if (result == 0) result = fit_alpha(v->alpha, &t.scored, &f.fit, error);
    if (result == 0) result = pair_select(&t.scored, f.fit.alpha, t.text, &rules, pair, &f.counts, error);
    if (result == 0) result = doubt_pairs(v, &t, f.fit.alpha, pair, f.counts.pairs, doubt, &f.agreement, error);
    if (result == 0) f.pair_gap = pair_select_gap(&t.scored, pair, f.counts.pairs);
    if (result == 0 && strcmp(v->out, "none") != 0)
        result = write_pairs(v, &t, file, pair, doubt, f.counts.pairs, error);
    if (result == 0 && v->common.json)
        result = command_print_json(figures(v, &t, &f), error);
    else if (result == 0)
        say(session, v, &f);
    table_free(&t);
    free(pair);
    free(doubt);
    return result;
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    const PreferenceOptions use = {.use = PREFERENCE_RESPONSES};
    PreferenceFile file;
    if (v->data == NULL) return error_set(error, ERROR_USAGE, "dice pairs needs --data; see `dice pairs --help`");
    if (v->band_low >= v->band_high)
        return error_set(error, ERROR_USAGE, "--band-low %g is not below --band-high %g: no pair would be left",
                         v->band_low, v->band_high);
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
