#include "align/dice_run.h"

#include "align/implicit_reward.h"
#include "align/round_table.h"
#include "base/clock.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scoring has two parts. The audit computes a share of the sampler's log-probs again with the scoring forward pass: the
 * differences are the score noise (METHOD, section 8). Where they are too large, or where scoring has another precision
 * than sampling, all policy sums are computed again. Then the reward reference scores every kept response. */
typedef struct {
    DiceRun *run;
    uint32_t round;
    const RoundTable *table;
    Model *loaded;         // policy, then reward reference: one at a time
    Hash model;            // its hash
    char source[32];       // of the scores: "response/float32"
    ScoreItem *item;       // (items)
    const int32_t **ids;   // (cells) responses of the items, in order
    size_t *length, *cell; // (cells)
    size_t *first;         // (items) of ids, length, cell
    size_t items;
    double sum, sum_squares, most; // of audit differences
    size_t compared, tokens;
} Scoring;

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory for the list of scores"); }

static void scoring_free(Scoring *s) {
    model_free(s->loaded);
    free(s->item);
    free(s->ids);
    free(s->length);
    free(s->cell);
    free(s->first);
}

static int scoring_create(Scoring *s, DiceRun *run, uint32_t round, const RoundTable *table, Error *error) {
    size_t cells = table->prompts * table->responses + 1, items = table->prompts + 1;
    *s = (Scoring){.run = run,
                   .round = round,
                   .table = table,
                   .item = calloc(items, sizeof *s->item),
                   .ids = calloc(cells, sizeof *s->ids),
                   .length = calloc(cells, sizeof *s->length),
                   .cell = calloc(cells, sizeof *s->cell),
                   .first = calloc(items, sizeof *s->first)};
    round_table_source(run, s->source);
    if (s->item != NULL && s->ids != NULL && s->length != NULL && s->cell != NULL && s->first != NULL) return 0;
    scoring_free(s);
    return no_memory(error);
}

/* Items from the cells that are wanted (N, K). */
static void list_items(Scoring *s, const uint8_t *wanted) {
    const RoundTable *t = s->table;
    size_t used = 0;
    s->items = 0;
    for (size_t n = 0; n < t->prompts; n++) {
        size_t first = used;
        for (size_t at = n * t->responses; at < (n + 1) * t->responses; at++) {
            if (!wanted[at]) continue;
            s->ids[used] = t->cell[at]->ids;
            s->length[used] = t->cell[at]->length;
            s->cell[used++] = at;
        }
        if (used == first) continue;
        const EncodedPrompt *prompt = &s->run->data.prompt[t->prompt[n]];
        s->first[s->items] = first;
        s->item[s->items++] = (ScoreItem){.prompt = prompt->ids,
                                          .prompt_length = prompt->length,
                                          .response = s->ids + first,
                                          .length = s->length + first,
                                          .responses = used - first};
    }
}

static int compare(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    (void)error;
    Scoring *s = context;
    const StoredResponse *r = s->table->cell[s->cell[s->first[item] + response]];
    double difference = scored->sum - implicit_reward_sum(r->logprob, r->length);
    s->sum += fabs(difference);
    s->sum_squares += difference * difference;
    s->most = fmax(s->most, fabs(difference));
    s->compared++;
    s->tokens += r->length;
    return 0;
}

static int put(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    Scoring *s = context;
    const StoredResponse *r = s->table->cell[s->cell[s->first[item] + response]];
    StoredScore score = {.round = s->round, .prompt = r->prompt, .k = r->k, .sum = scored->sum, .tokens = r->length};
    memcpy(score.source, s->source, sizeof score.source);
    memcpy(score.model, s->model.hex, sizeof score.model);
    s->tokens += r->length;
    return run_store_put_score(s->run->store, &score, error) == 0 ? run_store_save(s->run->store, error) : -1;
}

static size_t micro_tokens(const Scoring *s) { return s->run->recipe->train.micro_tokens; }

/* The kept cells that have no score by this model yet. */
static int list_missing(const Scoring *s, uint8_t *wanted, Error *error) {
    size_t cells = s->table->prompts * s->table->responses;
    double *sums = malloc((cells + 1) * sizeof *sums);
    if (sums == NULL) return no_memory(error);
    int result = round_table_sums(s->table, s->run, s->round, s->model.hex, sums, error);
    for (size_t at = 0; at < cells && result == 0; at++) wanted[at] = s->table->kept[at] && isnan(sums[at]);
    free(sums);
    return result;
}

/* Sums of all kept responses under a model that is loaded. */
static int score_kept(Scoring *s, Model *model, const char *stage, Error *error) {
    uint8_t *wanted = malloc(s->table->prompts * s->table->responses + 1);
    if (wanted == NULL) return no_memory(error);
    int result = list_missing(s, wanted, error);
    if (result == 0) {
        list_items(s, wanted);
        result = run_store_begin(s->run->store, error);
    }
    if (result == 0) {
        const ScoreSink sink = {.take = put, .context = s};
        result = implicit_reward_score(model, s->item, s->items, micro_tokens(s), &sink, stage, s->run->log, error);
        result = run_store_keep(s->run->store, result, error);
    }
    free(wanted);
    return result;
}

/* Draws the audited responses and compares. */
static int audit(Scoring *s, Model *model, Error *error) {
    const RoundTable *t = s->table;
    size_t cells = t->prompts * t->responses, drawn = 0;
    uint8_t *wanted = calloc(cells + 1, 1);
    if (wanted == NULL) return no_memory(error);
    for (size_t at = 0; at < cells; at++) {
        if (!t->kept[at]) continue;
        const RngAddress address = {.seed = s->run->recipe->seed,
                                    .stream = RNG_AUDIT,
                                    .round = s->round,
                                    .item = t->cell[at]->prompt,
                                    .k = t->cell[at]->k};
        drawn += wanted[at] = rng_uniform(&address, 0) < s->run->recipe->reward.audit_share;
    }
    for (size_t at = 0; at < cells && drawn == 0 && s->run->recipe->reward.audit_share > 0; at++)
        drawn += wanted[at] = t->kept[at]; // at least one
    list_items(s, wanted);
    free(wanted);
    const ScoreSink sink = {.take = compare, .context = s};
    return implicit_reward_score(model, s->item, s->items, micro_tokens(s), &sink, "audit", s->run->log, error);
}

/* Audit, and the policy's sums again where that is needed. */
static int check_policy(Scoring *s, bool *rescored, Error *error) {
    const Recipe *r = s->run->recipe;
    *rescored = s->run->score_compute != s->run->compute || s->table->encoded_again;
    if (!*rescored && r->reward.audit_share == 0) return 0;
    if (dice_run_load(s->run, (int)s->round - 1, s->run->score_compute, false, &s->loaded, &s->model, error) != 0)
        return -1;
    int result = s->table->encoded_again ? 0 : audit(s, s->loaded, error);
    if (result == 0 && s->compared > 0) {
        double mean = s->sum / (double)s->compared;
        log_say(s->run->log, LOG_INFO,
                "audit: %zu responses computed again differ by %.2g nats on average, %.2g at most", s->compared, mean,
                s->most);
        if (mean > r->reward.audit_threshold) {
            *rescored = true;
            log_say(s->run->log, LOG_WARNING, "that is above reward.audit_threshold %g: all responses are rescored",
                    r->reward.audit_threshold);
        }
    }
    return result == 0 && *rescored ? score_kept(s, s->loaded, "rescore", error) : result;
}

/* [CREAM] The model whose sums, beside those that a round has anyway, give the implicit reward of the round before:
 * log pi(t-2) - log pi(t-3), or log pi(t-2) - log pi(-1). */
static int score_previous(Scoring *s, Error *error) {
    const Recipe *r = s->run->recipe;
    int index = r->reward.reference == RECIPE_REFERENCE_INITIAL ? (int)s->round - 2 : (int)s->round - 3;
    if (dice_run_load(s->run, index, s->run->score_compute, false, &s->loaded, &s->model, error) != 0) return -1;
    return score_kept(s, s->loaded, "score previous", error);
}

static int score_round(Scoring *s, Error *error) {
    int index = s->run->recipe->reward.reference == RECIPE_REFERENCE_INITIAL ? -1 : (int)s->round - 2;
    double start = clock_seconds();
    bool rescored = false;
    if (check_policy(s, &rescored, error) != 0) return -1;
    char policy[33];
    memcpy(policy, s->model.hex, sizeof policy);
    if (dice_run_load(s->run, index, s->run->score_compute, false, &s->loaded, &s->model, error) != 0 ||
        score_kept(s, s->loaded, "score", error) != 0)
        return -1;
    char reference[33], previous[33] = "";
    memcpy(reference, s->model.hex, sizeof reference);
    if (s->run->recipe->pairs.soft_label != RECIPE_SOFT_LABEL_NONE && s->round >= 2) {
        if (score_previous(s, error) != 0) return -1;
        memcpy(previous, s->model.hex, sizeof previous);
    }
    double n = s->compared > 0 ? (double)s->compared : 1;
    return dice_run_finish(s->run, s->round, "score",
                           json_pack("{s:s, s:s, s:s, s:b, s:I, s:f, s:f, s:f, s:f}", "reward_reference", reference,
                                     "previous", previous, "policy", rescored ? policy : "", "rescored", rescored,
                                     "audited", (json_int_t)s->compared, "audit_mean", s->sum / n, "audit_max", s->most,
                                     "noise_sd", sqrt(s->sum_squares / n), "tokens_per_second",
                                     (double)s->tokens / (clock_seconds() - start)),
                           error);
}

int dice_score(DiceRun *run, uint32_t round, Error *error) {
    int done = dice_run_is_done(run, round, "score", error);
    if (done != 0 || !dice_run_generates(run)) return done < 0 ? -1 : 0;
    RoundTable table;
    Scoring s;
    if (dice_run_require(run, round, "sample", error) != 0 || round_table_load(&table, run, round, error) != 0)
        return -1;
    int result = scoring_create(&s, run, round, &table, error);
    if (result == 0) {
        result = score_round(&s, error);
        scoring_free(&s);
    }
    round_table_free(&table);
    return result;
}
