#include "align/round_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ResponseFilter round_table_filter(const DiceRun *run) {
    const Recipe *r = run->recipe;
    size_t least = r->filter.min_responses;
    return (ResponseFilter){.above_chars = r->filter.above_chars,
                            .below_chars = r->filter.below_chars,
                            .min_responses = least < r->sample.responses ? least : r->sample.responses};
}

size_t round_table_prompts_for(const Recipe *recipe, size_t pairs) {
    return (size_t)ceil((double)pairs / (recipe->pairs.band_high - recipe->pairs.band_low));
}

void round_table_free(RoundTable *table) {
    run_store_free_responses(table->response, table->count);
    free(table->cell);
    free(table->kept);
    free(table->prompt);
    *table = (RoundTable){0};
}

static void filter_row(RoundTable *table, const ResponseFilter *filter, size_t n) {
    size_t K = table->responses, kept = 0;
    for (size_t k = 0; k < K; k++) {
        const StoredResponse *r = table->cell[n * K + k];
        bool keeps = r != NULL && response_filter_keeps(filter, r->stopped ? FINISH_STOP : FINISH_LENGTH, r->chars);
        kept += table->kept[n * K + k] = keeps;
    }
    if (kept >= filter->min_responses)
        table->usable++;
    else
        memset(table->kept + n * K, 0, K);
}

/* The stripped text's ids and the end token, in the place of the sampled ones. */
static int encode_again(const DiceRun *run, StoredResponse *r, Error *error) {
    TokenList ids = {0};
    size_t begin, end;
    int32_t last = r->length > 0 ? r->ids[r->length - 1] : -1;
    response_filter_strip(r->text, strlen(r->text), &begin, &end);
    if (tokenizer_encode(run->chat.tokenizer, r->text + begin, end - begin, false, &ids, error) != 0) return -1;
    if (r->stopped && last >= 0) token_list_push(&ids, last);
    if (ids.failed) {
        token_list_free(&ids);
        return error_set(error, ERROR_MEMORY, "no memory to encode a response again");
    }
    free(r->ids);
    free(r->logprob);
    r->ids = ids.data;
    r->length = ids.count;
    r->logprob = NULL;
    return 0;
}

static int encode_all_again(RoundTable *table, const DiceRun *run, Error *error) {
    table->encoded_again = run->recipe->sample.tokens == RECIPE_TOKENS_STRIPPED;
    for (size_t i = 0; table->encoded_again && i < table->count; i++)
        if (encode_again(run, &table->response[i], error) != 0) return -1;
    return 0;
}

int round_table_load(RoundTable *table, const DiceRun *run, uint32_t round, Error *error) {
    const ResponseFilter filter = round_table_filter(run);
    *table = (RoundTable){.responses = run->recipe->sample.responses};
    if (run_store_get_responses(run->store, round, &table->response, &table->count, error) != 0) return -1;
    size_t K = table->responses;
    table->prompt = calloc(table->count + 1, sizeof *table->prompt);
    table->cell = calloc((table->count + 1) * K, sizeof *table->cell);
    table->kept = calloc(table->count + 1, K);
    if (table->prompt == NULL || table->cell == NULL || table->kept == NULL) {
        round_table_free(table);
        return error_set(error, ERROR_MEMORY, "no memory for the table of responses");
    }
    for (size_t i = 0; i < table->count; i++) {
        const StoredResponse *r = &table->response[i];
        if (r->k >= K || r->prompt >= run->data.prompts) {
            error_set(error, ERROR_INPUT, "run.db: round %u has a response (prompt %u, k %u) that this run does not",
                      round, r->prompt, r->k);
            round_table_free(table); // after the message, which reads from it
            return -1;
        }
        if (i == 0 || r->prompt != table->response[i - 1].prompt) table->prompt[table->prompts++] = r->prompt;
        table->cell[(table->prompts - 1) * K + r->k] = r;
    }
    if (encode_all_again(table, run, error) != 0) {
        round_table_free(table);
        return -1;
    }
    for (size_t n = 0; n < table->prompts; n++) filter_row(table, &filter, n);
    return 0;
}

const StoredResponse *round_table_find(const RoundTable *table, uint32_t prompt, uint32_t k) {
    size_t n = 0;
    while (n < table->prompts && table->prompt[n] != prompt) n++;
    return n < table->prompts && k < table->responses ? table->cell[n * table->responses + k] : NULL;
}

void round_table_source(const DiceRun *run, char source[32]) {
    snprintf(source, 32, "response/%s", dtype_name(run->score_compute));
}

int round_table_sums(const RoundTable *table, const DiceRun *run, uint32_t round, const char *model, double *sums,
                     Error *error) {
    size_t count, n = 0;
    char source[32];
    StoredScore *score;
    round_table_source(run, source);
    if (run_store_get_scores(run->store, source, round, model, &score, &count, error) != 0) return -1;
    for (size_t at = 0; at < table->prompts * table->responses; at++) sums[at] = (double)NAN;
    for (size_t i = 0; i < count; i++) { // both in the order of the prompts
        while (n < table->prompts && table->prompt[n] < score[i].prompt) n++;
        if (n < table->prompts && table->prompt[n] == score[i].prompt && score[i].k < table->responses)
            sums[n * table->responses + score[i].k] = score[i].sum;
    }
    free(score);
    return 0;
}

int round_table_load_anchors(RoundTable *first, const DiceRun *run, const StoredPair *pair, size_t pairs,
                             Error *error) {
    *first = (RoundTable){0};
    for (size_t i = 0; i < pairs; i++)
        if (pair[i].rejected_age > 0) return round_table_load(first, run, 1, error);
    return 0;
}

json_t *round_table_summary(const RoundTable *table) {
    size_t tokens = 0, chars = 0, stopped = 0, kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        tokens += table->response[i].length;
        chars += table->response[i].chars;
        stopped += table->response[i].stopped;
    }
    for (size_t i = 0; i < table->prompts * table->responses; i++) kept += table->kept[i];
    double n = table->count > 0 ? (double)table->count : 1;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "prompts", (json_int_t)table->prompts,
                     "usable_prompts", (json_int_t)table->usable, "responses", (json_int_t)table->count, "kept",
                     (json_int_t)kept, "tokens", (json_int_t)tokens, "stop_rate", (double)stopped / n, "mean_chars",
                     (double)chars / n, "mean_tokens", (double)tokens / n);
}
