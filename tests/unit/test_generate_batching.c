/* The scheduler of generate, held against one response at a time, on a double of the model: logits are a hash of
 * exactly those tokens that the segments and the cache show, so a wrong row, position, parent or slab changes the
 * response. */
#include "base/rng.h"
#include "sample/generate.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { V = 19, CONTEXT = 600, MAX_PROMPTS = 40, MAX_K = 9, MAX_TOKENS = 64 };

struct Model {
    HfConfig config;
    ModelOptions options;
    size_t calls, rows, most_rows, full_calls; // full: as many responses as may be in flight
    size_t branches;
    size_t fault_call; // this call (from 1) writes its last key into the wrong row; 0: none
    size_t nan_call;   // this call's last logit is a NaN
};

const HfConfig *model_config(const Model *model) { return &model->config; }
const ModelOptions *model_options(const Model *model) { return &model->options; }
size_t model_kv_bytes(const HfConfig *config, const ModelOptions *options, size_t rows) {
    return 2 * config->layers * rows * config->kv_heads * config->head_dim * dtype_bytes(options->compute);
}
size_t model_decode_bytes(const HfConfig *config, const ModelOptions *options, size_t rows, size_t logit_rows) {
    (void)config, (void)options;
    return rows + logit_rows;
}

static uint64_t hash_token(uint64_t hash, int32_t token) { return (hash ^ (uint64_t)token) * 0x100000001b3u; }
static const uint64_t hash_start = 0xcbf29ce484222325u;

static void fill_logits(uint64_t hash, float *logits) {
    RngAddress a = {.seed = hash, .stream = RNG_TEST};
    for (uint32_t v = 0; v < V; v++) logits[v] = (float)(2 * rng_normal(&a, v));
    logits[0] -= 1;
}

/* The hash of all keys that the query row sees; `position` counts them and must agree with the positions written. */
static uint64_t look(const KvArrays *cache, const AttentionSegment *segment, int32_t s, size_t keys, size_t *position) {
    uint64_t hash = hash_start;
    *position = 0;
    if (segment[s].parent >= 0) {
        assert_true(segment[s].parent < s);
        hash = look(cache, segment, segment[s].parent, segment[segment[s].parent].key_length, position);
    }
    for (size_t i = 0; i < keys; i++, ++*position) {
        size_t row = segment[s].key_row + i;
        assert_true(row < cache->rows);
        float position_there = ((float *)cache->value[1])[row];
        hash = hash_token(hash, (int32_t)((float *)cache->key[0])[row] + 1000 * (position_there != (float)*position));
    }
    return hash;
}

int model_decode(Model *model, const KvArrays *cache, const DecodeInput *input, float *logits, Error *error) {
    (void)error;
    model->calls++;
    model->rows += input->rows;
    if (input->rows > model->most_rows) model->most_rows = input->rows;
    model->full_calls += input->logit_rows >= model->branches;
    for (size_t t = 0; t < input->rows; t++) {
        size_t row = (size_t)input->cache_row[t];
        if (model->calls == model->fault_call && t + 1 == input->rows) row = (row + 1) % cache->rows;
        ((float *)cache->key[0])[row] = (float)input->token[t];
        ((float *)cache->value[1])[row] = (float)input->position[t];
    }
    size_t covered = 0, r = 0;
    for (size_t s = 0; s < input->segments; s++) {
        const AttentionSegment *g = &input->segment[s];
        assert_int_equal(g->query_row, covered);
        for (; covered < g->query_row + g->query_length; covered++) {
            if (r == input->logit_rows || input->logit_row[r] != (int32_t)covered) continue;
            size_t position, keys = g->key_length - g->query_length + (covered - g->query_row) + 1;
            fill_logits(look(cache, input->segment, (int32_t)s, keys, &position), logits + r++ * V);
            assert_int_equal(input->position[covered], position - 1);
        }
    }
    assert_int_equal(covered, input->rows);
    assert_int_equal(r, input->logit_rows);
    if (model->calls == model->nan_call) logits[(r - 1) * V + V - 1] = NAN;
    return 0;
}

/* A random job, what came of it, and what should have. */
typedef struct {
    Model model;
    KernelTable kernels;
    GenerateSettings settings;
    GeneratePrompt prompt[MAX_PROMPTS];
    int32_t ids[MAX_PROMPTS][CONTEXT];
    uint8_t done[MAX_PROMPTS][MAX_K];
    size_t prompts;
    struct Got {
        int32_t ids[MAX_TOKENS];
        float logprob[MAX_TOKENS];
        size_t length, times;
        FinishReason finish;
    } got[MAX_PROMPTS][MAX_K];                      // by item and k
    size_t received, refuse_after, interrupt_after; // SIZE_MAX: never
    LogProgress progress;
} Job;

static const int32_t stop[2] = {0, 5};

static int receive(void *context, const GeneratedResponse *r, Error *error) {
    Job *job = context;
    if (job->received == job->refuse_after) return error_set(error, ERROR_IO, "no more");
    job->received++;
    struct Got *g = &job->got[job->prompt[r->prompt].item][r->k];
    assert_true(r->length >= 1 && r->length <= MAX_TOKENS);
    memcpy(g->ids, r->ids, r->length * sizeof *r->ids);
    memcpy(g->logprob, r->logprob, r->length * sizeof *r->logprob);
    g->length = r->length, g->finish = r->finish, g->times++;
    return 0;
}

static void note(void *context, const LogProgress *progress) { ((Job *)context)->progress = *progress; }
static int interrupted(void *context) {
    const Job *job = context;
    return job->received >= job->interrupt_after;
}

static int run(Job *job, Error *error) {
    Log log = {.progress = note, .interrupted = interrupted, .context = job};
    memset(job->got, 0, sizeof job->got);
    job->received = 0;
    job->model.options.kernels = &job->kernels;
    job->model.branches = job->settings.max_branches;
    job->model.calls = job->model.rows = job->model.most_rows = job->model.full_calls = 0;
    return generate(&job->model, &job->settings, job->prompt, job->prompts, receive, job, &log, error);
}

static void run_well(Job *job) {
    Error error = {0};
    if (run(job, &error) != 0) fail_msg("%s", error.message);
}

static Job *random_job(uint64_t seed, uint32_t item) {
    static Job job;
    memset(&job, 0, sizeof job);
    RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = item};
    assert_int_equal(kernel_table_create(&job.kernels, 1 + (int)(item % 2), NULL), 0);
    job.model.config = (HfConfig){.layers = 2, .heads = 1, .kv_heads = 1, .head_dim = 1, .vocabulary = V};
    job.model.config.max_positions = CONTEXT;
    job.settings = (GenerateSettings){.filter = {1, 0, 1, 0, 1}, .stop = stop, .stop_count = 2, .seed = seed};
    job.settings.responses = 1 + rng_below(&a, 1, MAX_K),
    job.settings.max_new_tokens = 1 + rng_below(&a, 2, MAX_TOKENS);
    job.settings.max_branches = 1 + rng_below(&a, 3, 40), job.settings.round = item;
    if (item % 3 == 1) job.settings.filter = (SamplingFilter){0.8f, 7, 0.9f, 0, 1.3f};
    job.prompts = 1 + rng_below(&a, 4, MAX_PROMPTS);
    for (size_t n = 0; n < job.prompts; n++) {
        RngAddress b = {.seed = seed, .stream = RNG_TEST, .round = 1 + item, .item = (uint32_t)n};
        size_t length = 1 + rng_below(&b, 0, rng_below(&b, 1, 5) == 0 ? CONTEXT - 1 : 30);
        for (uint32_t i = 0; i < length; i++) job.ids[n][i] = (int32_t)rng_below(&b, 2 + i, V);
        for (uint32_t k = 0; k < MAX_K; k++)
            job.done[n][k] = item % 4 == 3 && rng_uniform(&b, 1000 + k) < 0.5 + 0.1 * (double)(n % 6);
        job.prompt[n] = (GeneratePrompt){(uint32_t)n, job.ids[n], length, item % 4 == 3 ? job.done[n] : NULL};
    }
    job.refuse_after = job.interrupt_after = SIZE_MAX;
    return &job;
}

/* One response, alone. `shift` plants a fault: random numbers of the neighbouring position. */
static struct Got alone(const Job *job, size_t n, uint32_t k, uint32_t shift) {
    const GenerateSettings *s = &job->settings;
    struct Got g = {.times = 1, .finish = FINISH_LENGTH};
    int32_t seen[V];
    size_t seen_count = 0, P = job->prompt[n].length;
    uint64_t hash = hash_start;
    max_align_t scratch[4096];
    assert_true(sampling_filter_scratch_bytes(V) <= sizeof scratch);
    for (size_t i = 0; i < P + s->max_new_tokens && i < CONTEXT; i++) {
        if (i >= P) {
            float logits[V];
            fill_logits(hash, logits);
            RngAddress a = {s->seed, RNG_SAMPLE, s->round, job->prompt[n].item, k};
            SampledToken t = sampling_filter_draw(&job->kernels, &s->filter, V, logits, seen,
                                                  s->filter.repetition_penalty == 1 ? 0 : seen_count,
                                                  rng_uniform(&a, (uint32_t)(i - P) + shift), scratch);
            g.ids[g.length] = t.token, g.logprob[g.length++] = t.logprob;
            if (t.token == stop[0] || t.token == stop[1]) {
                g.finish = FINISH_STOP;
                break;
            }
        }
        int32_t token = i < P ? job->prompt[n].ids[i] : g.ids[i - P];
        size_t j = 0;
        while (j < seen_count && seen[j] != token) j++;
        if (j == seen_count) seen[seen_count++] = token;
        hash = hash_token(hash, token);
    }
    return g;
}

static bool same(const struct Got *a, const struct Got *b) {
    return a->length == b->length && a->finish == b->finish &&
           memcmp(a->ids, b->ids, a->length * sizeof *a->ids) == 0 &&
           memcmp(a->logprob, b->logprob, a->length * sizeof *a->logprob) == 0;
}

/* How many responses differ from those made alone; every open one must be there once, no done one. */
static size_t differences(const Job *job, uint32_t shift) {
    size_t different = 0;
    for (size_t n = 0; n < job->prompts; n++)
        for (uint32_t k = 0; k < job->settings.responses; k++) {
            const struct Got *g = &job->got[job->prompt[n].item][k];
            bool open = job->prompt[n].done == NULL || !job->prompt[n].done[k];
            assert_int_equal(g->times, open);
            if (!open) continue;
            struct Got expected = alone(job, n, k, shift);
            different += !same(g, &expected);
        }
    return different;
}

/* [GE-1] for the scheduler, on jobs of every kind: pieces, repetition penalty, done responses, context ends. */
static void equals_one_response_at_a_time(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    size_t wrong_position = 0, wrong_row = 0, finished[2] = {0, 0};
    for (uint32_t item = 0; item < 24; item++) {
        Job *job = random_job(seed, item);
        run_well(job);
        assert_int_equal(differences(job, 0), 0);
        assert_int_equal(job->progress.done, job->prompts);
        wrong_position += differences(job, 1) > 0;
        for (size_t n = 0; n < job->prompts; n++)
            for (uint32_t k = 0; k < job->settings.responses; k++)
                finished[job->got[n][k].finish] += job->got[n][k].times;
        job->model.fault_call = 1;
        run_well(job);
        wrong_row += differences(job, 0) > 0;
    }
    assert_true(wrong_position >= 20 && wrong_row >= 12 && finished[FINISH_STOP] > 100 &&
                finished[FINISH_LENGTH] > 100);
}

/* [GE-1] the same bits whatever is in flight, in whatever order, with little memory. */
static void batching_changes_nothing(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint32_t item = 0; item < 8; item++) {
        Job *job = random_job(seed, item);
        static const size_t branches[] = {1, 2, 17, 64, 1000};
        for (size_t i = 0; i < sizeof branches / sizeof *branches; i++) {
            job->settings.max_branches = branches[i];
            for (size_t n = 0; n < job->prompts / 2; n++) {
                GeneratePrompt swap = job->prompt[n];
                job->prompt[n] = job->prompt[job->prompts - 1 - n], job->prompt[job->prompts - 1 - n] = swap;
            }
            run_well(job);
            assert_int_equal(differences(job, 0), 0);
        }
        job->settings.cache_bytes = 4 * 4 * 4 * (CONTEXT + MAX_TOKENS);
        run_well(job);
        assert_int_equal(differences(job, 0), 0);
    }
}

/* Every token goes through the model once: each prompt once, each response without its last token [GE-3]. */
static void computes_each_token_once(void **state) {
    (void)state;
    Job *job = random_job(test_seed(), 4);
    run_well(job);
    size_t rows = 0;
    for (size_t n = 0; n < job->prompts; n++) {
        rows += job->prompt[n].length;
        for (uint32_t k = 0; k < job->settings.responses; k++) rows += job->got[n][k].length - 1;
    }
    assert_int_equal(job->model.rows, rows);
    assert_true(job->model.most_rows <= job->settings.max_branches + 256);
}

/* While there is work, all places are taken [GE-4]. */
static void keeps_the_batch_full(void **state) {
    (void)state;
    Job *job = random_job(test_seed(), 0);
    job->settings.responses = 8, job->settings.max_branches = 24, job->settings.max_new_tokens = MAX_TOKENS;
    job->prompts = MAX_PROMPTS;
    for (size_t n = 0; n < job->prompts; n++) job->prompt[n] = (GeneratePrompt){(uint32_t)n, job->ids[0], 20, NULL};
    run_well(job);
    assert_int_equal(differences(job, 0), 0);
    printf("%zu of %zu steps were full\n", job->model.full_calls, job->model.calls);
    assert_true(job->model.full_calls * 10 >= (job->model.calls - MAX_TOKENS) * 9);
}

/* Stopped at any point, and told what is there, the next call makes the rest [GE-1]. */
static void resumes_where_it_was_interrupted(void **state) {
    (void)state;
    static struct Got first[MAX_PROMPTS][MAX_K];
    uint64_t seed = test_seed();
    for (size_t after = 0; after < 60; after += 7) {
        Job *job = random_job(seed, 2);
        job->interrupt_after = after;
        Error error = {0};
        assert_int_equal(run(job, &error), -1);
        assert_int_equal(error.code, ERROR_INTERRUPTED);
        assert_true(job->received >= after);
        memcpy(first, job->got, sizeof first);
        for (size_t n = 0; n < job->prompts; n++) {
            for (uint32_t k = 0; k < job->settings.responses; k++) job->done[n][k] = (uint8_t)first[n][k].times;
            job->prompt[n].done = job->done[n];
        }
        job->interrupt_after = SIZE_MAX;
        run_well(job);
        assert_int_equal(differences(job, 0), 0);
        for (size_t n = 0; n < job->prompts; n++) {
            for (uint32_t k = 0; k < job->settings.responses; k++)
                if (first[n][k].times > 0) job->got[n][k] = first[n][k];
            job->prompt[n].done = NULL;
        }
        assert_int_equal(differences(job, 0), 0);
    }
}

/* A job whose responses are all there runs nothing. */
static void has_nothing_to_do(void **state) {
    (void)state;
    Job *job = random_job(test_seed(), 0);
    memset(job->done, 1, sizeof job->done);
    for (size_t n = 0; n < job->prompts; n++) job->prompt[n].done = job->done[n];
    run_well(job);
    assert_int_equal(job->model.calls, 0);
    job->prompts = 0;
    run_well(job);
    assert_int_equal(job->received, 0);
}

static void expect(Job *job, ErrorCode code, const char *words) {
    Error error = {0};
    assert_int_equal(run(job, &error), -1);
    if (error.code != code || strstr(error.message, words) == NULL)
        fail_msg("code %d, \"%s\"", error.code, error.message);
}

static void says_what_is_wrong(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    Job *job = random_job(seed, 0);
    job->prompt[0].item = 77, job->prompt[0].length = 0;
    expect(job, ERROR_INPUT, "prompt 77 is empty");
    job->prompt[0].length = CONTEXT;
    expect(job, ERROR_INPUT, "prompt 77 has 600 tokens");
    job->prompt[0].length = 1;
    job->ids[0][0] = V;
    expect(job, ERROR_INPUT, "token 0 is 19");
    job->ids[0][0] = -1;
    expect(job, ERROR_INPUT, "token 0 is -1");
    job = random_job(seed, 0);
    job->settings.max_branches = 0;
    expect(job, ERROR_USAGE, "at least one");
    job->settings.max_branches = 3, job->settings.cache_bytes = 100;
    expect(job, ERROR_MEMORY, "key-value cache");
    job->settings.cache_bytes = 0, job->settings.max_branches = SIZE_MAX, job->refuse_after = 3;
    expect(job, ERROR_IO, "no more");
    assert_int_equal(job->received, 3);
    job->refuse_after = SIZE_MAX, job->model.nan_call = 2;
    expect(job, ERROR_NUMERIC, "token 1: the model's logits are not finite");
}

/* The plan and the call agree: with a cache of exactly the planned size all responses are in flight. */
static void plans_its_memory(void **state) {
    (void)state;
    Job *job = random_job(test_seed(), 0);
    job->model.options.kernels = &job->kernels;
    GenerateSettings *s = &job->settings;
    s->responses = 4, s->max_branches = 8, s->max_new_tokens = 10;
    size_t small = generate_bytes(&job->model.config, &job->model.options, s, 100);
    s->max_branches = 16;
    size_t large = generate_bytes(&job->model.config, &job->model.options, s, 100);
    assert_true(small > 0 && large > small && large < 4 * small);
    s->cache_bytes = 16;
    assert_true(generate_bytes(&job->model.config, &job->model.options, s, 100) == SIZE_MAX);
    s->cache_bytes = 0, s->max_new_tokens = SIZE_MAX;
    assert_true(generate_bytes(&job->model.config, &job->model.options, s, 100) < SIZE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_one_response_at_a_time),
                                       cmocka_unit_test(batching_changes_nothing),
                                       cmocka_unit_test(computes_each_token_once),
                                       cmocka_unit_test(keeps_the_batch_full),
                                       cmocka_unit_test(resumes_where_it_was_interrupted),
                                       cmocka_unit_test(has_nothing_to_do),
                                       cmocka_unit_test(says_what_is_wrong),
                                       cmocka_unit_test(plans_its_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
