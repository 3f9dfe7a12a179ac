#include "align/dice_run.h"
#include "align/round_table.h"

#include "align/replay_mix.h"
#include "align/response_filter.h"
#include "base/clock.h"
#include "base/rng.h"
#include "model/cost.h"
#include "sample/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Prompts are sampled in an order drawn from the seed, as many as the mix needs plus `sample.spare`; where the filters
 * left too few of them, more follow. So the set is a function of the seed and the responses, and a resumed run finds it
 * again. */
typedef struct {
    DiceRun *run;
    uint32_t round;
    Model *model;
    Hash policy;
    size_t responses;
    size_t *order; // (prompts) places in run->prompt
    uint8_t *done; // (prompts in the run's data, K)
    GeneratePrompt *batch;
    size_t *batch_place; // (batch) place in run->prompt
    Buffer text;
    size_t tokens; // sampled by this call
} Sampling;

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory for the list of responses"); }

static int store_response(void *context, const GeneratedResponse *response, Error *error) {
    Sampling *s = context;
    const DiceRun *run = s->run;
    buffer_clear(&s->text);
    if (chat_decode_response(&run->chat, response->ids, response->length, &s->text, error) != 0) return -1;
    if (s->text.failed) return no_memory(error);
    StoredResponse stored = {.round = s->round,
                             .prompt = run->prompt[s->batch_place[response->prompt]],
                             .k = response->k,
                             .ids = (int32_t *)(uintptr_t)response->ids,
                             .logprob = (float *)(uintptr_t)response->logprob,
                             .length = response->length,
                             .text = s->text.data == NULL ? (char *)(uintptr_t) "" : s->text.data,
                             .chars = response_filter_length(s->text.data == NULL ? "" : s->text.data, s->text.size),
                             .stopped = response->finish == FINISH_STOP};
    memcpy(stored.model, s->policy.hex, sizeof stored.model);
    s->tokens += response->length;
    return run_store_put_response(run->store, &stored, error) == 0 ? run_store_save(run->store, error) : -1;
}

/* Samples places [first, end) of the order, as far as they are missing. */
static int sample_range(Sampling *s, size_t first, size_t end, Error *error) {
    const DiceRun *run = s->run;
    const Recipe *r = run->recipe;
    const GenerateSettings settings = {.filter = {.temperature = (float)r->sample.temperature,
                                                  .top_k = r->sample.top_k,
                                                  .top_p = (float)r->sample.top_p,
                                                  .min_p = (float)r->sample.min_p,
                                                  .repetition_penalty = (float)r->sample.repetition_penalty},
                                       .responses = s->responses,
                                       .max_new_tokens = r->sample.max_new_tokens,
                                       .max_branches = r->sample.branches,
                                       .stop = run->chat.stop,
                                       .stop_count = run->chat.stop_count,
                                       .seed = r->seed,
                                       .round = s->round};
    size_t n = 0;
    if (run_store_get_done(run->store, s->round, run->data.prompts, s->responses, s->done, error) != 0) return -1;
    for (size_t i = first; i < end; i++) {
        uint32_t number = run->prompt[s->order[i]];
        const uint8_t *done = s->done + number * s->responses;
        if (memchr(done, 0, s->responses) == NULL) continue;
        const EncodedPrompt *prompt = &run->data.prompt[number];
        s->batch_place[n] = s->order[i];
        s->batch[n++] = (GeneratePrompt){.item = number, .ids = prompt->ids, .length = prompt->length, .done = done};
    }
    if (n == 0) return 0;
    if (s->model == NULL &&
        dice_run_load(run, (int)s->round - 1, run->compute, false, &s->model, &s->policy, error) != 0)
        return -1;
    if (run_store_begin(run->store, error) != 0) return -1;
    int result = generate(s->model, &settings, s->batch, n, store_response, s, run->log, error);
    return run_store_keep(run->store, result, error);
}

static size_t with_spare(size_t pairs, double spare, size_t most) {
    double wanted = ceil((double)pairs * (1 + spare));
    return wanted < (double)most ? (size_t)wanted : most;
}

/* Samples until enough prompts are usable; *table is then what there is. */
static int sample_all(Sampling *s, RoundTable *table, Error *error) {
    const DiceRun *run = s->run;
    const Recipe *r = run->recipe;
    size_t offline = run->train_pairs > 0 ? run->train_pairs : run->prompts;
    ReplayCounts counts;
    if (replay_mix_counts(offline, run->prompts, r->mix.gamma, &counts, error) != 0) return -1;
    size_t needed = round_table_prompts_for(r, counts.generated);
    size_t end = r->sample.all ? run->prompts : with_spare(needed, r->sample.spare, run->prompts);
    for (size_t first = 0;;) {
        if (sample_range(s, first, end, error) != 0) return -1;
        round_table_free(table);
        if (round_table_load(table, run, s->round, error) != 0) return -1;
        if (table->usable >= needed || end == run->prompts) return 0;
        first = end;
        end += with_spare(needed - table->usable, r->sample.spare, run->prompts - end);
    }
}

/* Operations a sampled token, with its share of the prompts' prefill. */
static double flops_per_token(const DiceRun *run, const RoundTable *table) {
    double flops = 0, tokens = 0;
    for (size_t n = 0; n < table->prompts; n++) {
        double prompt = (double)run->data.prompt[table->prompt[n]].length;
        flops += cost_forward(&run->config, prompt, prompt / 2, 1);
    }
    for (size_t i = 0; i < table->count; i++) {
        double length = (double)table->response[i].length,
               prompt = (double)run->data.prompt[table->response[i].prompt].length;
        tokens += length;
        flops += cost_forward(&run->config, length, prompt + length / 2, length);
    }
    return tokens > 0 ? flops / tokens : 0;
}

int dice_sample(DiceRun *run, uint32_t round, Error *error) {
    int done = dice_run_is_done(run, round, "sample", error);
    if (done != 0 || !dice_run_generates(run)) return done < 0 ? -1 : 0;
    double start = clock_seconds();
    size_t K = run->recipe->sample.responses;
    RoundTable table = {0};
    Sampling s = {.run = run,
                  .round = round,
                  .responses = K,
                  .order = malloc((run->prompts + 1) * sizeof *s.order),
                  .done = calloc(run->data.prompts + 1, K),
                  .batch = calloc(run->prompts + 1, sizeof *s.batch),
                  .batch_place = malloc((run->prompts + 1) * sizeof *s.batch_place)};
    int result = -1;
    if (s.order == NULL || s.done == NULL || s.batch == NULL || s.batch_place == NULL) {
        no_memory(error);
    } else {
        const RngAddress address = {.seed = run->recipe->seed, .stream = RNG_REPLAY, .round = round, .k = 1};
        rng_permutation(&address, run->prompts, s.order);
        result = sample_all(&s, &table, error);
    }
    if (result == 0) {
        double seconds = clock_seconds() - start;
        json_t *summary = round_table_summary(&table);
        double rate = s.tokens > 0 ? (double)s.tokens / seconds : 0; // of this call: a resumed one did only a part
        if (summary != NULL) {
            json_object_set_new(summary, "tokens_per_second", json_real(rate));
            json_object_set_new(summary, "flops_per_second", json_real(rate * flops_per_token(run, &table)));
        }
        result = dice_run_finish(run, round, "sample", summary, error);
    }
    round_table_free(&table);
    model_free(s.model);
    buffer_free(&s.text);
    free(s.order);
    free(s.done);
    free(s.batch);
    free(s.batch_place);
    return result;
}
