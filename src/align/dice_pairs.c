#include "align/dice_run.h"

#include "align/implicit_reward.h"
#include "align/pair_select.h"
#include "align/rank_agreement.h"
#include "align/replay_mix.h"
#include "align/round_export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    DiceRun *run;
    uint32_t round;
    RoundTable table;
    double *reward, *policy, *reference; // (N, K) nats
    double *before;                      // (N, K) nats: the reward of the round before; NULL where it is not asked for
    int32_t *chars;                      // (N, K)
    const char **text;                   // (N, K)
    SelectedPair *pair;                  // (N)
    StoredPair *stored;                  // (N) the pairs as they will be kept
    PairCounts counts;
    size_t anchored;       // pairs whose rejected response is of round 1
    double agreement;      // mean over the prompts; NaN where it was not asked for
    double pair_gap_chars; // of the pairs as they are
    LengthFit fit;
    double noise_sd;
} Pairing;

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory for the table of rewards"); }

static void pairing_free(Pairing *p) {
    round_table_free(&p->table);
    free(p->reward);
    free(p->policy);
    free(p->reference);
    free(p->chars);
    free(p->text);
    free(p->pair);
    free(p->before);
    free(p->stored);
}

static int pairing_create(Pairing *p, DiceRun *run, uint32_t round, Error *error) {
    *p = (Pairing){.run = run, .round = round, .agreement = NAN};
    if (round_table_load(&p->table, run, round, error) != 0) return -1;
    size_t cells = p->table.prompts * p->table.responses + 1;
    p->reward = calloc(cells, sizeof *p->reward);
    p->policy = calloc(cells, sizeof *p->policy);
    p->reference = calloc(cells, sizeof *p->reference);
    p->chars = calloc(cells, sizeof *p->chars);
    p->text = calloc(cells, sizeof *p->text);
    p->pair = calloc(p->table.prompts + 1, sizeof *p->pair);
    p->stored = calloc(p->table.prompts + 1, sizeof *p->stored);
    if (p->stored != NULL && p->reward != NULL && p->policy != NULL && p->reference != NULL && p->chars != NULL &&
        p->text != NULL && p->pair != NULL)
        return 0;
    return no_memory(error);
}

/* Sums of the kept cells under one model from the store; every one must be there. */
static int read_sums(Pairing *p, const char *model, double *sums, Error *error) {
    const RoundTable *t = &p->table;
    if (round_table_sums(t, p->run, p->round, model, sums, error) != 0) return -1;
    for (size_t at = 0; at < t->prompts * t->responses; at++)
        if (t->kept[at] && !isfinite(sums[at]))
            return error_set(error, ERROR_NUMERIC, "prompt %u, response %u has no finite log-prob under model %s",
                             t->cell[at]->prompt, t->cell[at]->k, model);
    return 0;
}

/* p->before: log pi(t-2) - log pi(t-3), or - log pi(-1); one side of it is there, `model` gave the other. */
static int read_previous(Pairing *p, const char *model, Error *error) {
    size_t cells = p->table.prompts * p->table.responses;
    bool initial = p->run->recipe->reward.reference == RECIPE_REFERENCE_INITIAL;
    if ((p->before = calloc(cells + 1, sizeof *p->before)) == NULL) return no_memory(error);
    if (read_sums(p, model, p->before, error) != 0) return -1;
    for (size_t at = 0; at < cells; at++)
        p->before[at] = initial ? p->before[at] - p->reference[at] : p->reference[at] - p->before[at];
    return 0;
}

static int read_rewards(Pairing *p, Error *error) {
    const RoundTable *t = &p->table;
    json_t *summary = dice_run_summary(p->run, p->round, "score", error);
    if (summary == NULL) return -1;
    const char *reference = json_string_value(json_object_get(summary, "reward_reference"));
    const char *policy = json_string_value(json_object_get(summary, "policy"));
    bool rescored = json_is_true(json_object_get(summary, "rescored"));
    p->noise_sd = json_number_value(json_object_get(summary, "noise_sd"));
    int result = read_sums(p, reference == NULL ? "" : reference, p->reference, error);
    if (result == 0 && rescored) result = read_sums(p, policy == NULL ? "" : policy, p->policy, error);
    const char *previous = json_string_value(json_object_get(summary, "previous"));
    if (result == 0 && previous != NULL && previous[0] != 0) result = read_previous(p, previous, error);
    json_decref(summary);
    if (result != 0) return -1;
    for (size_t at = 0; at < t->prompts * t->responses; at++) {
        const StoredResponse *r = t->cell[at];
        if (!t->kept[at]) continue;
        if (!rescored) p->policy[at] = implicit_reward_sum(r->logprob, r->length);
        p->reward[at] = p->policy[at] - p->reference[at];
        p->chars[at] = (int32_t)r->chars;
        p->text[at] = r->text;
    }
    return 0;
}

static int fit_alpha(const Recipe *r, const ScoredResponses *scored, LengthFit *fit, Error *error) {
    if (r->reward.alpha == RECIPE_ALPHA_EXACT) return length_regularize_fit(scored, fit, error);
    if (r->reward.alpha == RECIPE_ALPHA_GRID) return length_regularize_fit_grid(scored, fit, error);
    *fit = length_regularize_fixed(scored, r->reward.alpha_value);
    return 0;
}

/* Mean over prompts of the standard deviation of the rewards within a prompt: what the noise is to be held against. */
static double reward_spread(const ScoredResponses *s) {
    double total = 0;
    size_t counted = 0;
    for (size_t n = 0; n < s->prompts; n++) {
        double sum = 0, squares = 0;
        size_t count = 0;
        for (size_t at = n * s->responses; at < (n + 1) * s->responses; at++)
            if (s->kept[at]) sum += s->reward_nats[at], count++;
        if (count < 2) continue;
        for (size_t at = n * s->responses; at < (n + 1) * s->responses; at++)
            if (s->kept[at]) squares += pow(s->reward_nats[at] - sum / (double)count, 2);
        total += sqrt(squares / (double)(count - 1));
        counted++;
    }
    return counted == 0 ? 0 : total / (double)counted;
}

/* The selected pairs as they will be kept. */
static void list_pairs(Pairing *p) {
    size_t K = p->table.responses;
    for (size_t i = 0; i < p->counts.pairs; i++) {
        const SelectedPair *s = &p->pair[i];
        p->stored[i] = (StoredPair){.round = p->round,
                                    .prompt = p->table.prompt[s->prompt],
                                    .chosen_k = (uint32_t)s->chosen,
                                    .rejected_k = (uint32_t)s->rejected,
                                    .chosen_reward = p->reward[s->prompt * K + s->chosen],
                                    .rejected_reward = p->reward[s->prompt * K + s->rejected],
                                    .chosen_score = s->chosen_score,
                                    .rejected_score = s->rejected_score};
    }
}

/* [CREAM] Soft labels: the agreement of this round's reward with the one before. */
static int doubt_pairs(Pairing *p, const ScoredResponses *scored, Error *error) {
    ScoredResponses before = *scored;
    LengthFit fit;
    if (p->before == NULL) return 0;
    before.reward_nats = p->before;
    if (fit_alpha(p->run->recipe, &before, &fit, error) != 0) return -1;
    p->agreement = rank_agreement_mean(scored, p->fit.alpha, &before, fit.alpha);
    for (size_t i = 0; i < p->counts.pairs; i++)
        p->stored[i].doubt = 1 - (p->run->recipe->pairs.soft_label == RECIPE_SOFT_LABEL_ROUND
                                      ? p->agreement
                                      : rank_agreement(scored, p->fit.alpha, &before, fit.alpha, p->pair[i].prompt));
    return 0;
}

/* The rejected response of a prompt's pair in round 1 takes the place of this round's, unless it is the chosen text.
 * Its reward and score stay those of its own round. */
static void anchor_pair(Pairing *p, size_t i, const RoundTable *first, const StoredPair *anchor) {
    StoredPair *pair = &p->stored[i];
    const StoredResponse *r = round_table_find(first, anchor->prompt, anchor->rejected_k);
    if (r == NULL || strcmp(r->text, p->text[p->pair[i].prompt * p->table.responses + pair->chosen_k]) == 0) return;
    const SelectedPair *s = &p->pair[i];
    p->pair_gap_chars +=
        ((double)p->chars[s->prompt * p->table.responses + s->rejected] - (double)r->chars) / (double)p->counts.pairs;
    pair->rejected_k = anchor->rejected_k;
    pair->rejected_reward = anchor->rejected_reward;
    pair->rejected_score = anchor->rejected_score;
    pair->rejected_age = p->round - 1;
    p->anchored++;
}

static int anchor_pairs(Pairing *p, Error *error) {
    RoundTable first;
    StoredPair *anchor = NULL;
    size_t anchors, a = 0;
    if (p->run->recipe->pairs.select != RECIPE_SELECT_ANCHORED || p->round < 2) return 0;
    if (run_store_get_pairs(p->run->store, 1, &anchor, &anchors, error) != 0) return -1;
    int result = round_table_load(&first, p->run, 1, error);
    for (size_t i = 0; i < p->counts.pairs && result == 0; i++) { // both in the order of the prompts
        while (a < anchors && anchor[a].prompt < p->stored[i].prompt) a++;
        if (a < anchors && anchor[a].prompt == p->stored[i].prompt) anchor_pair(p, i, &first, &anchor[a]);
    }
    if (result == 0) round_table_free(&first);
    free(anchor);
    if (result == 0)
        log_say(p->run->log, LOG_INFO, "%zu of %zu pairs have round 1's rejected response; the others had no pair then",
                p->anchored, p->counts.pairs);
    return result;
}

static int put_pairs(const Pairing *p, Error *error) {
    int result = 0;
    if (run_store_begin(p->run->store, error) != 0) return -1;
    for (size_t i = 0; i < p->counts.pairs && result == 0; i++)
        result = run_store_put_pair(p->run->store, &p->stored[i], error);
    return run_store_finish(p->run->store, result, error);
}

static json_t *describe(const Pairing *p, const ScoredResponses *scored) {
    json_t *summary = json_pack(
        "{s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "pairs",
        (json_int_t)p->counts.pairs, "dropped_band", (json_int_t)p->counts.banded, "anchored", (json_int_t)p->anchored,
        "pair_gap_chars", p->pair_gap_chars, "dropped_few", (json_int_t)p->counts.few, "dropped_ties",
        (json_int_t)p->counts.ties, "dropped_equal", (json_int_t)p->counts.equal, "dropped_noisy",
        (json_int_t)p->counts.noisy, "alpha_nats_per_char", p->fit.alpha, "alpha_low", p->fit.alpha_low,
        "alpha_times_beta", p->fit.alpha * p->run->recipe->train.beta, "gap_before_chars", p->fit.gap_before_chars,
        "gap_after_chars", p->fit.gap_chars, "reward_spread_nats", reward_spread(scored), "noise_sd_nats", p->noise_sd);
    if (summary != NULL && !isnan(p->agreement))
        json_object_set_new(summary, "rank_agreement", json_real(p->agreement));
    if (summary != NULL)
        json_object_set_new(summary, "alpha_high",
                            isfinite(p->fit.alpha_high) ? json_real(p->fit.alpha_high) : json_null());
    return summary;
}

static int no_pairs(const Pairing *p, Error *error) {
    return error_set(
        error, ERROR_INPUT,
        "round %u: none of %zu prompts has %zu responses that pass the filters: raise sample.max_new_tokens, lower "
        "filter.min_responses, or look at %s/round-%u/responses.jsonl",
        p->round, p->table.prompts, round_table_filter(p->run).min_responses, p->run->recipe->output, p->round);
}

/* Prompts had enough responses, but selection left no pair of them. */
static int no_pair_left(const Pairing *p, Error *error) {
    return error_set(
        error, ERROR_INPUT,
        "round %u: no pair is left of %zu prompts: %zu have too few responses, %zu have scores that tie, %zu equal "
        "texts, "
        "%zu a gap below reward.min_gap_noise, %zu one outside of pairs.band_low to pairs.band_high: loosen what took "
        "them, raise sample.responses, or look at %s/round-%u/responses.jsonl",
        p->round, p->table.prompts, p->counts.few, p->counts.ties, p->counts.equal, p->counts.noisy, p->counts.banded,
        p->run->recipe->output, p->round);
}

static PairRules rules_of(const Pairing *p) {
    const Recipe *r = p->run->recipe;
    return (PairRules){.rule = r->pairs.select == RECIPE_SELECT_MEAN_2SD ? PAIR_MEAN_2SD
                               : r->pairs.select == RECIPE_SELECT_RANDOM ? PAIR_RANDOM
                                                                         : PAIR_BEST_WORST,
                       .min_responses = 2,
                       .min_gap = r->reward.min_gap_noise * p->noise_sd,
                       .band_low = r->pairs.band_low,
                       .band_high = r->pairs.band_high,
                       .seed = r->seed,
                       .round = p->round,
                       .number = p->table.prompt};
}

/* What the options of pair selection did, where they did something. */
static void say_options(const Pairing *p) {
    const Log *log = p->run->log;
    if (p->counts.banded > 0)
        log_say(log, LOG_INFO, "%zu pairs have a gap outside of the band from pairs.band_low to pairs.band_high",
                p->counts.banded);
    if (p->counts.noisy > 0)
        log_say(log, LOG_INFO, "%zu pairs have a gap below reward.min_gap_noise times the score noise",
                p->counts.noisy);
    if (p->run->recipe->pairs.select != RECIPE_SELECT_BEST_WORST)
        log_say(log, LOG_INFO, "length gap of the pairs as selected: %+.1f characters", p->pair_gap_chars);
    if (!isnan(p->agreement))
        log_say(log, LOG_INFO, "this and the previous round's reward order %.1f %% of the responses alike",
                100 * p->agreement);
}

static int make_pairs(Pairing *p, Error *error) {
    const Recipe *r = p->run->recipe;
    const RoundTable *t = &p->table;
    if (read_rewards(p, error) != 0) return -1;
    const ScoredResponses scored = {.reward_nats = p->reward,
                                    .length_chars = p->chars,
                                    .kept = t->kept,
                                    .prompts = t->prompts,
                                    .responses = t->responses};
    const bool needed = r->mix.gamma < 1; // else they are sampled only to be looked at
    const PairRules rules = rules_of(p);
    if (t->usable > 0 && (fit_alpha(r, &scored, &p->fit, error) != 0 ||
                          pair_select(&scored, p->fit.alpha, p->text, &rules, p->pair, &p->counts, error) != 0))
        return -1;
    if (p->counts.pairs == 0 && needed) {
        if (round_export_scored(p->run, p->round, t, p->reward, error) != 0) return -1;
        return t->usable == 0 ? no_pairs(p, error) : no_pair_left(p, error);
    }
    p->pair_gap_chars = pair_select_gap(&scored, p->pair, p->counts.pairs);
    list_pairs(p);
    if (doubt_pairs(p, &scored, error) != 0 || anchor_pairs(p, error) != 0 || put_pairs(p, error) != 0 ||
        round_export_scored(p->run, p->round, t, p->reward, error) != 0)
        return -1;
    log_say(p->run->log, LOG_INFO,
            "alpha %.4g nats per character (paper's units, times beta: %.4g): length gap %+.1f -> %+.1f characters, "
            "%zu pairs",
            p->fit.alpha, p->fit.alpha * r->train.beta, p->fit.gap_before_chars, p->fit.gap_chars, p->counts.pairs);
    say_options(p);
    return dice_run_finish(p->run, p->round, "pairs", describe(p, &scored), error);
}

/* Without sampled prompts (gamma 1) there is nothing to pair. */
static int pairs_stage(DiceRun *run, uint32_t round, Error *error) {
    int done = dice_run_is_done(run, round, "pairs", error);
    if (done != 0) return done < 0 ? -1 : 0;
    if (!dice_run_generates(run)) return dice_run_finish(run, round, "pairs", json_pack("{s:i}", "pairs", 0), error);
    Pairing p;
    int result = pairing_create(&p, run, round, error);
    if (result == 0) result = make_pairs(&p, error);
    pairing_free(&p);
    return result;
}

static int put_mix(DiceRun *run, uint32_t round, const StoredPair *pair, const size_t *generated, const size_t *offline,
                   const ReplayCounts *counts, Error *error) {
    StoredMix mix = {.round = round};
    int result = 0;
    if (run_store_begin(run->store, error) != 0) return -1;
    for (size_t i = 0; i < counts->generated + counts->offline && result == 0; i++) {
        mix.position = (uint32_t)i;
        mix.offline = i >= counts->generated;
        mix.row = mix.offline ? (uint32_t)offline[i - counts->generated] : pair[generated[i]].prompt;
        result = run_store_put_mix(run->store, &mix, error);
    }
    return run_store_finish(run->store, result, error);
}

static int draw_mix(DiceRun *run, uint32_t round, const StoredPair *pair, size_t pairs, Error *error) {
    const Recipe *r = run->recipe;
    size_t rows = run->train_pairs > 0 ? run->train_pairs : run->prompts; // without offline pairs, one each prompt
    size_t *pair_prompt = malloc((pairs + 1) * sizeof *pair_prompt), *row_prompt = calloc(rows + 1, sizeof *row_prompt);
    size_t *generated = malloc((pairs + 1) * sizeof *generated), *offline = malloc((rows + 1) * sizeof *offline);
    ReplayCounts counts = {0};
    int result = -1;
    if (pair_prompt == NULL || row_prompt == NULL || generated == NULL || offline == NULL) {
        no_memory(error);
        goto done;
    }
    for (size_t i = 0; i < pairs; i++) pair_prompt[i] = pair[i].prompt;
    for (size_t i = 0; i < run->train_pairs; i++) row_prompt[i] = run->train_pair[i]->prompt_number;
    if (replay_mix_draw(pair_prompt, pairs, row_prompt, rows, run->data.prompts, r->mix.gamma, r->seed, round,
                        generated, offline, &counts, error) != 0)
        goto done;
    if (run->train_pairs == 0) counts.offline = 0;
    if (counts.generated + counts.offline == 0) {
        error_set(error, ERROR_INPUT, "round %u has no pairs to train on", round);
        goto done;
    }
    result = put_mix(run, round, pair, generated, offline, &counts, error);
    if (result == 0) result = round_export_mix(run, round, error);
    if (result == 0)
        result = dice_run_finish(
            run, round, "mix",
            json_pack("{s:I, s:I}", "generated", (json_int_t)counts.generated, "offline", (json_int_t)counts.offline),
            error);
done:
    free(pair_prompt);
    free(row_prompt);
    free(generated);
    free(offline);
    return result;
}

int dice_pairs(DiceRun *run, uint32_t round, Error *error) {
    if (pairs_stage(run, round, error) != 0) return -1;
    int done = dice_run_is_done(run, round, "mix", error);
    if (done != 0) return done < 0 ? -1 : 0;
    StoredPair *pair;
    size_t pairs;
    if (run_store_get_pairs(run->store, round, &pair, &pairs, error) != 0) return -1;
    int result = 0;
    for (size_t i = 0; i < pairs && result == 0; i++)
        if (pair[i].prompt >= run->data.prompts)
            result =
                error_set(error, ERROR_INPUT, "run.db: round %u has a pair of prompt %u, which this run does not have",
                          round, pair[i].prompt);
    if (result == 0) result = draw_mix(run, round, pair, pairs, error);
    free(pair);
    return result;
}
