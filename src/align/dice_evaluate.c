#include "align/dice_run.h"

#include "align/implicit_reward.h"
#include "align/response_filter.h"
#include "base/clock.h"
#include "sample/generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a model of the run does, held against pi(-1), the start:
 *
 *   pairs     implicit reward log pi - log pi(-1) of held-out pairs: share with chosen above rejected (accuracy), mean
 *             gap (margin, times beta); and, defined for the start too, the share whose chosen answer is likelier
 *   samples   one answer at temperature 1 to each of report.prompts prompts: length, stop rate, and the estimate of
 *             KL(pi | pi(-1)) that is the mean of log pi - log pi(-1) over them
 *   answers   greedy, to the first report.show prompts, for a person to read */
typedef struct {
    DiceRun *run;
    int index;
    Model *model;
    Hash hash;
    double (*sum)[2];       // (validations) chosen, rejected; NaN: not known yet
    size_t *place;          // (items) validation pair of what is scored
    GeneratePrompt *prompt; // (prompts)
    const char **prompt_text;
    size_t prompts;
    ScoreItem *sample; // (prompts) as drawn
    int32_t **ids;     // (prompts) owned
    size_t *length;    // (prompts)
    double *nats;      // (prompts) of each sample under the model
    double start_nats; // of all samples under the start
    size_t drawn, tokens, chars, stopped;
    json_t **answer; // (prompts)
    double start_s;
} Evaluation;

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory to evaluate a model"); }

static void evaluation_free(Evaluation *e) {
    model_free(e->model);
    for (size_t i = 0; i < e->prompts && e->ids != NULL; i++) free(e->ids[i]);
    for (size_t i = 0; i < e->prompts && e->answer != NULL; i++) json_decref(e->answer[i]);
    free(e->sum);
    free(e->place);
    free(e->prompt);
    free(e->prompt_text);
    free(e->sample);
    free(e->ids);
    free(e->length);
    free(e->nats);
    free(e->answer);
}

/* The first prompts of the validation pairs, or of those to sample for where there are none. */
static int choose_prompts(Evaluation *e, Error *error) {
    const DiceRun *run = e->run;
    const Recipe *r = run->recipe;
    size_t wanted = r->report.prompts > r->report.show ? r->report.prompts : r->report.show;
    size_t available = run->validations > 0 ? run->validations : run->prompts,
           n = wanted < available ? wanted : available;
    const PreferenceData *data = run->validations > 0 && r->data.validation != NULL ? &run->held_out : &run->data;
    e->prompt = calloc(n + 1, sizeof *e->prompt);
    e->prompt_text = calloc(n + 1, sizeof *e->prompt_text);
    e->sample = calloc(n + 1, sizeof *e->sample);
    e->ids = calloc(n + 1, sizeof *e->ids);
    e->length = calloc(n + 1, sizeof *e->length);
    e->nats = calloc(n + 1, sizeof *e->nats);
    e->answer = calloc(n + 1, sizeof(json_t *));
    if (e->prompt == NULL || e->prompt_text == NULL || e->sample == NULL || e->ids == NULL || e->length == NULL ||
        e->nats == NULL || e->answer == NULL)
        return no_memory(error);
    for (size_t i = 0; i < n; i++) {
        const EncodedPrompt *p =
            &data->prompt[run->validations > 0 ? run->validation[i]->prompt_number : run->prompt[i]];
        if (p->ids == NULL) continue;
        e->prompt_text[e->prompts] = p->text;
        e->prompt[e->prompts++] =
            (GeneratePrompt){.item = 0x80000000u + (uint32_t)i, .ids = p->ids, .length = p->length};
    }
    return 0;
}

static int take_sample(void *context, const GeneratedResponse *response, Error *error) {
    Evaluation *e = context;
    size_t i = response->prompt;
    Buffer text = {0};
    e->ids[i] = malloc(response->length * sizeof **e->ids);
    int result = e->ids[i] == NULL ? no_memory(error)
                                   : chat_decode_response(&e->run->chat, response->ids, response->length, &text, error);
    if (result == 0) {
        memcpy(e->ids[i], response->ids, response->length * sizeof **e->ids);
        e->length[i] = response->length;
        e->nats[i] = implicit_reward_sum(response->logprob, response->length);
        e->tokens += response->length;
        e->stopped += response->finish == FINISH_STOP;
        if (text.data != NULL) e->chars += response_filter_length(text.data, text.size);
    }
    buffer_free(&text);
    return result;
}

static int take_answer(void *context, const GeneratedResponse *response, Error *error) {
    Evaluation *e = context;
    Buffer text = {0};
    int result = chat_decode_response(&e->run->chat, response->ids, response->length, &text, error);
    json_t *prompt = json_loads(e->prompt_text[response->prompt], JSON_DECODE_ANY, NULL);
    json_t **answer = &e->answer[response->prompt];
    if (result == 0 && prompt != NULL)
        *answer = json_pack("{s:I, s:O, s:s, s:b}", "place", (json_int_t)response->prompt, "prompt", prompt, "answer",
                            text.data == NULL ? "" : text.data, "cut", response->finish == FINISH_LENGTH);
    json_decref(prompt);
    if (result == 0 && *answer == NULL) result = no_memory(error);
    buffer_free(&text);
    return result;
}

static int draw(Evaluation *e, Error *error) {
    const DiceRun *run = e->run;
    const Recipe *r = run->recipe;
    size_t samples = e->prompts < r->report.prompts ? e->prompts : r->report.prompts;
    size_t shown = e->prompts < r->report.show ? e->prompts : r->report.show;
    GenerateSettings settings = {.filter = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
                                 .responses = 1,
                                 .max_new_tokens = r->sample.max_new_tokens,
                                 .max_branches = r->sample.branches,
                                 .stop = run->chat.stop,
                                 .stop_count = run->chat.stop_count,
                                 .seed = r->seed,
                                 .round = (uint32_t)(e->index + 1)};
    if (samples > 0 && generate(e->model, &settings, e->prompt, samples, take_sample, e, run->log, error) != 0)
        return -1;
    e->drawn = samples;
    settings.filter.temperature = 0;
    settings.max_new_tokens = r->report.show_tokens;
    return shown == 0 ? 0 : generate(e->model, &settings, e->prompt, shown, take_answer, e, run->log, error);
}

static void source_name(const Evaluation *e, bool chosen, char out[32]) {
    snprintf(out, 32, "validation/%s/%s", chosen ? "chosen" : "rejected", dtype_name(e->run->compute));
}

/* Sums of the held-out pairs under a model, as far as the store has them. */
static int read_sums(const Evaluation *e, const char *model, double (*sum)[2], Error *error) {
    for (size_t i = 0; i < e->run->validations; i++) sum[i][0] = sum[i][1] = NAN;
    for (int response = 0; response < 2; response++) {
        StoredScore *score;
        size_t count;
        char source[32];
        source_name(e, response == 0, source);
        if (run_store_get_scores(e->run->store, source, 0, model, &score, &count, error) != 0) return -1;
        for (size_t i = 0; i < count; i++)
            if (score[i].prompt < e->run->validations) sum[score[i].prompt][response] = score[i].sum;
        free(score);
    }
    return 0;
}

static int put_sum(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    Evaluation *e = context;
    size_t pair = e->place[item];
    if (!isnan(e->sum[pair][response])) return 0; // an earlier start had come as far as this one
    StoredScore score = {
        .prompt = (uint32_t)pair, .sum = scored->sum, .tokens = e->run->validation[pair]->length[response]};
    source_name(e, response == 0, score.source);
    memcpy(score.model, e->hash.hex, sizeof score.model);
    e->sum[pair][response] = scored->sum;
    return run_store_put_score(e->run->store, &score, error) == 0 ? run_store_save(e->run->store, error) : -1;
}

static int score_pairs(Evaluation *e, Error *error) {
    const DiceRun *run = e->run;
    size_t n = run->validations, items = 0;
    ScoreItem *item = calloc(n + 1, sizeof *item);
    e->sum = calloc(n + 1, sizeof *e->sum);
    e->place = calloc(n + 1, sizeof *e->place);
    int result = item == NULL || e->sum == NULL || e->place == NULL ? no_memory(error)
                                                                    : read_sums(e, e->hash.hex, e->sum, error);
    for (size_t i = 0; i < n && result == 0; i++) {
        const EncodedPair *p = run->validation[i];
        if (!isnan(e->sum[i][0]) && !isnan(e->sum[i][1])) continue;
        e->place[items] = i;
        item[items++] = (ScoreItem){.prompt = p->prompt,
                                    .prompt_length = p->prompt_length,
                                    .response = (const int32_t *const *)p->response,
                                    .length = p->length,
                                    .responses = 2};
    }
    if (result == 0) result = run_store_begin(run->store, error);
    if (result == 0) {
        const ScoreSink sink = {.take = put_sum, .context = e};
        result = implicit_reward_score(e->model, item, items, run->recipe->train.micro_tokens, &sink, "evaluate",
                                       run->log, error);
        result = run_store_keep(run->store, result, error);
    }
    free(item);
    return result;
}

static int add_start_sample(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *error) {
    (void)item, (void)response, (void)error;
    ((Evaluation *)context)->start_nats += scored->sum;
    return 0;
}

static double policy_nats(const Evaluation *e) {
    double sum = 0;
    for (size_t i = 0; i < e->drawn; i++) sum += e->nats[i]; // in this order, not in that in which they finished
    return sum;
}

/* The model's own samples under the start model, for the KL. */
static int score_samples(Evaluation *e, Error *error) {
    size_t n = 0;
    Hash hash;
    for (size_t i = 0; i < e->drawn; i++)
        if (e->ids[i] != NULL)
            e->sample[n++] = (ScoreItem){.prompt = e->prompt[i].ids,
                                         .prompt_length = e->prompt[i].length,
                                         .response = (const int32_t *const *)&e->ids[i],
                                         .length = &e->length[i],
                                         .responses = 1};
    if (e->index < 0 || n == 0) {
        e->start_nats = policy_nats(e);
        return 0;
    }
    if (dice_run_load(e->run, -1, e->run->compute, false, &e->model, &hash, error) != 0) return -1;
    const ScoreSink sink = {.take = add_start_sample, .context = e};
    return implicit_reward_score(e->model, e->sample, n, e->run->recipe->train.micro_tokens, &sink, "evaluate",
                                 e->run->log, error);
}

/* Sums of the held-out pairs under the start model; every one must be there. */
static int read_start(Evaluation *e, double (*start)[2], Error *error) {
    json_t *summary = dice_run_summary(e->run, 0, "evaluate-start", error);
    if (summary == NULL) return -1;
    const char *model = json_string_value(json_object_get(summary, "model"));
    int result = read_sums(e, model == NULL ? "" : model, start, error);
    for (size_t i = 0; i < e->run->validations && result == 0; i++)
        if (isnan(start[i][0]) || isnan(start[i][1]))
            result = error_set(error, ERROR_INPUT,
                               "%s/run.db: held-out pair %zu has no log-prob under the start model: put back a copy of "
                               "the file, or begin a new run directory",
                               e->run->recipe->output, i);
    json_decref(summary);
    return result;
}

static int summarize(Evaluation *e, json_t **summary, Error *error) {
    size_t n = e->run->validations;
    double(*start)[2] = calloc(n + 1, sizeof *start), margin = 0, plain = 0;
    size_t right = 0, likelier = 0;
    if (start == NULL) return no_memory(error);
    if (e->index < 0)
        memcpy(start, e->sum, n * sizeof *start);
    else if (read_start(e, start, error) != 0) {
        free(start);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        double reward = (e->sum[i][0] - start[i][0]) - (e->sum[i][1] - start[i][1]), gap = e->sum[i][0] - e->sum[i][1];
        right += reward > 0;
        likelier += gap > 0;
        margin += reward;
        plain += gap;
    }
    free(start);
    double pairs = n > 0 ? (double)n : 1, samples = e->drawn > 0 ? (double)e->drawn : 1;
    double kl = policy_nats(e) - e->start_nats;
    json_t *answers = json_array();
    for (size_t i = 0; i < e->prompts; i++)
        if (e->answer[i] != NULL) json_array_append(answers, e->answer[i]);
    *summary = json_pack(
        "{s:s, s:I, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "model", e->hash.hex, "pairs",
        (json_int_t)n, "accuracy", (double)right / pairs, "margin", margin / pairs * e->run->recipe->train.beta,
        "likelier", (double)likelier / pairs, "logps_margin", plain / pairs, "samples", (json_int_t)e->drawn,
        "mean_chars", (double)e->chars / samples, "mean_tokens", (double)e->tokens / samples, "stop_rate",
        (double)e->stopped / samples, "kl_nats", kl / samples, "kl_nats_per_token",
        kl / (e->tokens > 0 ? (double)e->tokens : 1), "seconds", clock_seconds() - e->start_s, "answers", answers);
    return *summary == NULL ? no_memory(error) : 0;
}

int dice_evaluate(DiceRun *run, int index, Error *error) {
    uint32_t round = index < 0 ? 0 : (uint32_t)index;
    const char *stage = index < 0 ? "evaluate-start" : "evaluate";
    int done = dice_run_is_done(run, round, stage, error);
    if (done != 0) return done < 0 ? -1 : 0;
    if (index >= 0 && dice_run_require(run, 0, "evaluate-start", error) != 0) return -1;
    Evaluation e = {.run = run, .index = index, .start_s = clock_seconds()};
    json_t *summary = NULL;
    int result = dice_run_load(run, index, run->compute, false, &e.model, &e.hash, error);
    if (result == 0) result = choose_prompts(&e, error);
    if (result == 0) result = score_pairs(&e, error);
    if (result == 0) result = draw(&e, error);
    if (result == 0) result = score_samples(&e, error);
    if (result == 0) result = summarize(&e, &summary, error);
    if (result == 0) result = dice_run_finish(run, round, stage, summary, error);
    evaluation_free(&e);
    return result;
}
