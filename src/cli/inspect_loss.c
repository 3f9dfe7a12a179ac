#include "cli/inspect.h"

#include "align/dpo_objective.h"
#include "cli/recipe_options.h"

#include <stdlib.h>

/* Log-probs of scored pairs, laid out as the trainer lays them out. */
typedef struct {
    size_t pairs, tokens;
    TrainExample *example; // (pairs)
    const TrainExample **pointer;
    ReferenceSums *reference;                      // (pairs)
    float *logprob, *reference_logprob, *dlogprob; // (tokens)
    TokenFigures *figures;                         // (tokens), log_sum_square alone
} Scored;

static void scored_free(Scored *s) {
    free(s->example);
    free(s->pointer);
    free(s->reference);
    free(s->logprob);
    free(s->reference_logprob);
    free(s->figures);
    free(s->dlogprob);
}

static int wrong_row(size_t line, const char *what, Error *error) {
    return error_set(error, ERROR_INPUT,
                     "row %zu: %s; scored pairs were expected, as `dice score --reference REF --per-token` writes them",
                     line + 1, what);
}

/* The list of a row's numbers for one answer: [key][branch]. */
static const json_t *list_of(const json_t *row, const char *key, size_t branch) {
    return json_array_get(json_object_get(row, key), branch);
}

/* To out, `step` floats apart. */
static int read_floats(const json_t *list, size_t n, size_t step, float *out) {
    if (json_array_size(list) != n) return -1;
    for (size_t t = 0; t < n; t++) {
        const json_t *number = json_array_get(list, t);
        if (!json_is_number(number)) return -1;
        out[t * step] = (float)json_number_value(number);
    }
    return 0;
}

/* The numbers of one pair, whose tokens begin at `at`. */
static int read_row(Scored *s, const PreferenceLoss *loss, const json_t *row, size_t i, size_t at, Error *error) {
    const size_t *length = s->example[i].branch_length;
    for (int b = 0; b < 2; at += length[b++]) {
        size_t n = length[b], side = (size_t)b;
        if (read_floats(list_of(row, "token_logprobs", side), n, 1, s->logprob + at) != 0)
            return wrong_row(i, "\"token_logprobs\" holds something else than numbers", error);
        if (loss->use_weighting && read_floats(list_of(row, "token_log_sum_squares", side), n,
                                               sizeof *s->figures / sizeof(float), &s->figures[at].log_sum_square) != 0)
            return wrong_row(i, "train.use_weighting needs \"token_log_sum_squares\", a number for every token", error);
        if (preference_loss_is_reference_free(loss)) continue;
        if (read_floats(list_of(row, "reference_token_logprobs", side), n, 1, s->reference_logprob + at) != 0)
            return wrong_row(i, "\"reference_token_logprobs\", a number for every token, is not there", error);
        double sum = dpo_objective_sum(loss, s->reference_logprob + at, length, b);
        *(b == 0 ? &s->reference[i].chosen : &s->reference[i].rejected) = sum;
    }
    return 0;
}

static int read_scored(Scored *s, const PreferenceLoss *loss, const json_t *rows, Error *error) {
    s->pairs = json_array_size(rows);
    s->example = calloc(s->pairs + 1, sizeof *s->example);
    s->pointer = calloc(s->pairs + 1, sizeof *s->pointer);
    s->reference = calloc(s->pairs + 1, sizeof *s->reference);
    if (s->example == NULL || s->pointer == NULL || s->reference == NULL)
        return error_set(error, ERROR_MEMORY, "no memory for %zu pairs", s->pairs);
    for (size_t i = 0; i < s->pairs; i++) {
        const json_t *row = json_array_get(rows, i);
        if (json_array_size(json_object_get(row, "token_logprobs")) != 2)
            return wrong_row(i, "\"token_logprobs\" of a chosen and a rejected answer is not there", error);
        s->example[i] = (TrainExample){.id = i, .branches = 2};
        s->pointer[i] = &s->example[i];
        for (size_t b = 0; b < 2; b++) {
            s->example[i].branch_length[b] = json_array_size(list_of(row, "token_logprobs", b));
            if (s->example[i].branch_length[b] == 0) return wrong_row(i, "an answer has no tokens", error);
            s->tokens += s->example[i].branch_length[b];
        }
    }
    s->logprob = calloc(s->tokens + 1, sizeof *s->logprob);
    s->reference_logprob = calloc(s->tokens + 1, sizeof *s->reference_logprob);
    s->figures = calloc(s->tokens + 1, sizeof *s->figures);
    s->dlogprob = calloc(s->tokens + 1, sizeof *s->dlogprob);
    if (s->logprob == NULL || s->reference_logprob == NULL || s->figures == NULL || s->dlogprob == NULL)
        return error_set(error, ERROR_MEMORY, "no memory for %zu tokens", s->tokens);
    for (size_t i = 0, at = 0; i < s->pairs; at += s->example[i].branch_length[0] + s->example[i].branch_length[1], i++)
        if (read_row(s, loss, json_array_get(rows, i), i, at, error) != 0) return -1;
    return 0;
}

static json_t *gradient_of(const Scored *s) {
    json_t *all = json_array();
    for (size_t i = 0, at = 0; i < s->pairs; i++) {
        json_t *pair = json_array();
        for (size_t b = 0; b < 2; b++) {
            json_t *answer = json_array();
            for (size_t t = 0; t < s->example[i].branch_length[b]; t++)
                json_array_append_new(answer, json_real((double)s->dlogprob[at++]));
            json_array_append_new(pair, answer);
        }
        json_array_append_new(all, pair);
    }
    return all;
}

/* [beta u of the chosen answer, of the rejected one] of every pair. */
static int rewards_of(const Scored *s, const TrainObjective *objective, json_t *all, Error *error) {
    for (size_t i = 0, at = 0; i < s->pairs;
         at += s->example[i].branch_length[0] + s->example[i].branch_length[1], i++) {
        TrainLoss pair = {0};
        const TrainPart part = {.example = s->pointer + i,
                                .examples = 1,
                                .batch_examples = 1,
                                .batch_tokens = {s->example[i].branch_length[0], s->example[i].branch_length[1]},
                                .logprob = s->logprob + at};
        if (objective->loss(objective->context, &part, &pair, error) != 0) return -1;
        json_array_append_new(all,
                              json_pack("[f, f]", pair.metric[DPO_REWARDS_CHOSEN], pair.metric[DPO_REWARDS_REJECTED]));
    }
    return 0;
}

/* One loss batch after another, as a step of all rows would have it. */
static int evaluate(Scored *s, const TrainObjective *objective, json_t *result, Error *error) {
    TrainLoss mean = {0};
    size_t size = objective->batch_examples == 0 ? s->pairs : objective->batch_examples, at = 0;
    for (size_t first = 0, end; first < s->pairs; first = end) {
        end = s->pairs - first < size ? s->pairs : first + size;
        TrainPart part = {.example = s->pointer + first,
                          .examples = end - first,
                          .batch_examples = end - first,
                          .logprob = s->logprob + at,
                          .figures = objective->figures ? s->figures + at : NULL,
                          .dlogprob = s->dlogprob + at};
        size_t tokens = 0;
        for (size_t i = first; i < end; i++) {
            for (size_t b = 0; b < 2; b++) {
                part.batch_tokens[b] += s->example[i].branch_length[b];
                tokens += s->example[i].branch_length[b];
            }
        }
        TrainLoss of_batch = {0};
        double share = (double)part.examples / (double)s->pairs;
        if (objective->loss(objective->context, &part, &of_batch, error) != 0) return -1;
        for (size_t t = 0; t < tokens; t++) s->dlogprob[at + t] = (float)(share * s->dlogprob[at + t]);
        mean.loss += share * of_batch.loss;
        for (size_t m = 0; m < objective->metrics; m++) mean.metric[m] += share * of_batch.metric[m];
        at += tokens;
    }
    json_object_set_new(result, "loss", json_real(mean.loss));
    for (size_t m = 0; m < objective->metrics; m++)
        json_object_set_new(result, objective->metric_names[m], json_real(mean.metric[m]));
    json_t *rewards = json_array();
    json_object_set_new(result, "rewards", rewards);
    json_object_set_new(result, "gradient", gradient_of(s));
    return rewards_of(s, objective, rewards, error);
}

int inspect_loss(const InspectValues *v, const char *path, Session *session, Error *error) {
    Recipe recipe = {0};
    DpoContext context = {0};
    Scored scored = {0};
    json_t *rows = NULL, *result_object = NULL;
    int result = recipe_options_read(&recipe, session, "-", "-", path, NULL, 0, &v->set, error);
    if (result == 0) result = preference_loss_create(&context.loss, &recipe, &session->log, error);
    if (result == 0) result = (rows = inspect_read_lines(path, error)) == NULL ? -1 : 0;
    if (result == 0 && read_scored(&scored, &context.loss, rows, error) != 0) result = error_prefix(error, "%s", path);
    if (result == 0) {
        context.reference = scored.reference;
        context.loss_pairs = recipe.train.loss_pairs;
        const TrainObjective objective = dpo_objective(&context);
        result_object = json_object();
        result = evaluate(&scored, &objective, result_object, error);
        if (result == 0)
            result = command_print_json(result_object, error);
        else
            json_decref(result_object);
    }
    scored_free(&scored);
    json_decref(rows);
    recipe_free(&recipe);
    return result;
}
