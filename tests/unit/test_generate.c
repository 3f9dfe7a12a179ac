/* generate on real forward passes: tiny models with golden greedy texts, and log-probs against model_logprob. */
#include "base/rng.h"
#include "sample/generate.h"
#include "tiny_cases.h"

#include <unistd.h>

enum { MAX_PROMPTS = 8, MAX_LENGTH = 800, MAX_K = 4096, MAX_TOKENS = 256 };

typedef struct {
    int32_t *ids;
    float *logprob;
    size_t length;
    FinishReason finish;
} Got;

typedef struct {
    KernelTable kernels;
    Model *model;
    GenerateSettings settings;
    GeneratePrompt prompt[MAX_PROMPTS];
    int32_t ids[MAX_PROMPTS][MAX_LENGTH];
    size_t prompts;
    Got got[MAX_PROMPTS][MAX_K]; // by item and k
    size_t received;
} Job;

static Job job; // too large for a stack

static void forget(void) {
    for (size_t n = 0; n < MAX_PROMPTS; n++)
        for (size_t k = 0; k < MAX_K; k++) {
            free(job.got[n][k].ids);
            free(job.got[n][k].logprob);
            job.got[n][k] = (Got){0};
        }
    job.received = 0;
}

static int receive(void *context, const GeneratedResponse *r, Error *error) {
    (void)context, (void)error;
    Got *g = &job.got[job.prompt[r->prompt].item][r->k];
    assert_null(g->ids);
    *g = (Got){malloc(r->length * sizeof *r->ids), malloc(r->length * sizeof *r->logprob), r->length, r->finish};
    memcpy(g->ids, r->ids, r->length * sizeof *r->ids);
    memcpy(g->logprob, r->logprob, r->length * sizeof *r->logprob);
    job.received++;
    return 0;
}

static void run(void) {
    Error error = {0};
    if (generate(job.model, &job.settings, job.prompt, job.prompts, receive, NULL, NULL, &error) != 0)
        fail_msg("%s", error.message);
}

/* The tiny model with its golden prompts; skips the test where it is not there. */
static void load(const char *name, int threads, DType compute) {
    json_t *cases = tiny_cases(name);
    assert_int_equal(kernel_table_create(&job.kernels, threads, NULL), 0);
    job.model = tiny_load(name, &job.kernels, compute, false, false);
    memset(job.prompt, 0, sizeof job.prompt);
    job.prompts = TINY_PROMPTS;
    for (size_t n = 0; n < job.prompts; n++) {
        size_t length;
        int32_t *ids = tiny_prompt(cases, n, &length);
        memcpy(job.ids[n], ids, length * sizeof *ids);
        free(ids);
        job.prompt[n] = (GeneratePrompt){(uint32_t)n, job.ids[n], length, NULL};
    }
    job.settings =
        (GenerateSettings){.filter = {1, 0, 1, 0, 1}, .responses = 1, .max_new_tokens = 24, .max_branches = 8};
    json_decref(cases);
}

static void unload(void) {
    forget();
    model_free(job.model);
    job.model = NULL;
}

/* Golden: transformers 5.23 in double precision. */
static void greedy_texts_are_the_golden_ones(void **state) {
    (void)state;
    for (size_t f = 0; f < TINY_MODELS; f++) {
        char path[512];
        if (tiny_path(tiny_models[f], "greedy.json", path, sizeof path) == NULL) skip();
        json_t *golden = json_parse_file(path, NULL), *row, *id;
        load(tiny_models[f], 2, DTYPE_F32);
        job.settings.filter.temperature = 0;
        size_t n, i, compared = 0;
        json_array_foreach(json_object_get(golden, "prompts"), n, row) {
            json_array_foreach(json_object_get(row, "prompt"), i, id) job.ids[n][i] = (int32_t)json_integer_value(id);
            assert_int_equal(job.prompt[n].length, i);
        }
        run();
        json_array_foreach(json_object_get(golden, "prompts"), n, row) {
            assert_int_equal(job.got[n][0].length, 24);
            for (i = 0; i < 24; i++, compared++) {
                if (json_real_value(json_array_get(json_object_get(row, "gap"), i)) < 1e-3) break;
                if (job.got[n][0].ids[i] != json_integer_value(json_array_get(json_object_get(row, "ids"), i)))
                    fail_msg("%s, prompt %zu: token %zu is %d", tiny_models[f], n, i, job.got[n][0].ids[i]);
            }
        }
        assert_true(compared > 40);
        json_decref(golden);
        unload();
    }
}

/* The largest difference between recorded log-probs and those of the forward pass over whole sequences. */
static double largest_difference(void) {
    Batch batch = {0};
    static float logprob[MAX_PROMPTS * 16 * MAX_TOKENS];
    for (size_t n = 0; n < job.prompts; n++) {
        size_t trunk;
        assert_int_equal(batch_add_trunk(&batch, job.prompt[n].ids, job.prompt[n].length, &trunk, NULL), 0);
        for (size_t k = 0; k < job.settings.responses; k++)
            assert_int_equal(batch_add_branch(&batch, trunk, job.got[n][k].ids, job.got[n][k].length, NULL), 0);
    }
    assert_int_equal(batch_finish(&batch, NULL), 0);
    assert_true(batch.targets <= sizeof logprob / sizeof *logprob);
    assert_int_equal(model_logprob(job.model, &batch, logprob, NULL, NULL, NULL), 0);
    double largest = 0;
    size_t at = 0;
    for (size_t n = 0; n < job.prompts; n++)
        for (size_t k = 0; k < job.settings.responses; k++)
            for (size_t i = 0; i < job.got[n][k].length; i++)
                largest = fmax(largest, fabs((double)job.got[n][k].logprob[i] - logprob[at++]));
    batch_free(&batch);
    return largest;
}

/* [GE-2] for every family, with filters on. The planted fault: the first token of a response is another. */
static void records_the_models_own_logprobs(void **state) {
    (void)state;
    for (size_t f = 0; f < TINY_MODELS; f++) {
        load(tiny_models[f], 2, DTYPE_F32);
        const HfConfig *config = model_config(job.model);
        job.settings.filter = (SamplingFilter){0.9f, 50, 0.95f, 0, 1.1f};
        job.settings.stop = config->eos_token, job.settings.stop_count = config->eos_count;
        job.settings.responses = 6, job.settings.max_new_tokens = 60;
        run();
        assert_int_equal(job.received, 6 * job.prompts);
        double difference = largest_difference();
        printf("%s: %.2g nats\n", tiny_models[f], difference);
        assert_true(difference < 1e-5);
        job.got[0][0].ids[0] = (job.got[0][0].ids[0] + 1) % (int32_t)config->vocabulary;
        assert_true(largest_difference() > 1e-3);
        unload();
    }
}

/* Prompts longer than a piece of prefill, under a sliding window and without: a copy of the model with more context. */
static void fills_long_prompts_in_pieces(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    static const char *const two[] = {"llama_tied", "mistral_swa"};
    for (size_t f = 0; f < 2; f++) {
        char path[512], directory[] = "/tmp/dice-test-XXXXXX", to[640];
        if (tiny_path(two[f], "model/config.json", path, sizeof path) == NULL) skip();
        assert_non_null(mkdtemp(directory));
        json_t *config = json_parse_file(path, NULL);
        json_object_set_new(config, "max_position_embeddings", json_integer(1024));
        snprintf(to, sizeof to, "%s/config.json", directory);
        assert_int_equal(json_dump_file(config, to, 0), 0);
        json_decref(config);
        tiny_path(two[f], "model/model.safetensors", path, sizeof path);
        snprintf(to, sizeof to, "%s/model.safetensors", directory);
        assert_int_equal(file_copy(path, to, NULL), 0);
        assert_int_equal(kernel_table_create(&job.kernels, 2, NULL), 0);
        ModelOptions options = {.kernels = &job.kernels, .compute = DTYPE_F32};
        assert_int_equal(model_load(&job.model, directory, &options, NULL), 0);
        job.prompts = 4;
        static const size_t length[] = {700, 256, 3, 257};
        for (uint32_t n = 0; n < 4; n++) {
            RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = n};
            for (uint32_t i = 0; i < length[n]; i++)
                job.ids[n][i] = (int32_t)rng_below(&a, i, model_config(job.model)->vocabulary);
            job.prompt[n] = (GeneratePrompt){n, job.ids[n], length[n], NULL};
        }
        job.settings =
            (GenerateSettings){.filter = {1, 0, 1, 0, 1}, .responses = 3, .max_new_tokens = 20, .max_branches = 5};
        run();
        double difference = largest_difference();
        printf("%s: %.2g nats\n", two[f], difference);
        assert_true(difference < 1e-5);
        unload();
        assert_int_equal(file_remove_tree(directory, NULL), 0);
    }
}

/* A number for everything that came out. */
static Hash fingerprint(void) {
    Hasher *h = hasher_create();
    for (size_t n = 0; n < job.prompts; n++)
        for (size_t k = 0; k < job.settings.responses; k++) {
            hasher_add(h, job.got[n][k].ids, job.got[n][k].length * sizeof(int32_t));
            hasher_add(h, job.got[n][k].logprob, job.got[n][k].length * sizeof(float));
        }
    Hash hash = hasher_result(h);
    hasher_destroy(h);
    return hash;
}

/* [GE-1] bits of log-probs and tokens, whatever is in flight beside them, in both precisions. */
static void bits_do_not_depend_on_company(void **state) {
    (void)state;
    static const size_t branches[] = {24, 1, 5, 16};
    for (int compute = DTYPE_F32; compute <= DTYPE_BF16; compute++)
        for (size_t f = 0; f < 2; f++) {
            Hash first = {{0}};
            for (size_t i = 0; i < 4; i++) {
                load(tiny_models[f], 1 + (int)i % 2, (DType)compute);
                job.settings.responses = 6, job.settings.max_branches = branches[i], job.settings.seed = 11;
                static const int32_t stop[] = {2, 7, 100};
                job.settings.stop = stop, job.settings.stop_count = 3;
                if (i == 2) { // another order
                    GeneratePrompt p = job.prompt[0];
                    job.prompt[0] = job.prompt[3], job.prompt[3] = p;
                }
                static uint8_t done[4][6];
                if (i == 3) { // in two halves
                    for (size_t j = 0; j < 24; j++) done[j / 6][j % 6] = j % 3 == 1;
                    for (size_t n = 0; n < 4; n++) job.prompt[n].done = done[n];
                    run();
                    for (size_t j = 0; j < 24; j++) done[j / 6][j % 6] = !done[j / 6][j % 6];
                }
                run();
                assert_int_equal(job.received, 24);
                Hash hash = fingerprint();
                if (i == 0) first = hash;
                assert_string_equal(hash.hex, first.hex);
                if (i == 1) { // the planted fault: another round
                    forget();
                    job.settings.round = 1;
                    run();
                    assert_string_not_equal(fingerprint().hex, first.hex);
                }
                unload();
            }
        }
}

/* 4096 first tokens of one prompt follow the softmax: chi-square over its likelier tokens and the rest. 99.99 % of
 * correct samplers stay below; the planted fault, probabilities of temperature 1.25, does not. */
static void first_tokens_follow_the_softmax(void **state) {
    (void)state;
    test_seed();
    load("llama_tied", 2, DTYPE_F32);
    const size_t V = model_config(job.model)->vocabulary;
    job.prompts = 1;
    job.settings.responses = MAX_K, job.settings.max_new_tokens = 1, job.settings.max_branches = 50;
    run();
    assert_int_equal(job.received, MAX_K);
    Batch batch = {0};
    size_t trunk;
    float logprob[512];
    assert_true(V <= 512);
    assert_int_equal(batch_add_trunk(&batch, job.prompt[0].ids, job.prompt[0].length, &trunk, NULL), 0);
    for (int32_t v = 0; v < (int32_t)V; v++) assert_int_equal(batch_add_branch(&batch, trunk, &v, 1, NULL), 0);
    assert_int_equal(batch_finish(&batch, NULL), 0);
    assert_int_equal(model_logprob(job.model, &batch, logprob, NULL, NULL, NULL), 0);
    batch_free(&batch);
    double statistic[2];
    size_t cells = 0;
    for (int fault = 0; fault < 2; fault++) {
        double sum = 0, chi = 0, rest_expected = MAX_K, rest = MAX_K;
        for (size_t v = 0; v < V; v++) sum += exp(logprob[v] / (fault ? 1.25 : 1));
        cells = 0;
        for (size_t v = 0; v < V; v++) {
            double expected = MAX_K * exp(logprob[v] / (fault ? 1.25 : 1)) / sum, count = 0;
            if (expected < 10) continue;
            for (size_t k = 0; k < MAX_K; k++) count += job.got[0][k].ids[0] == (int32_t)v;
            chi += (count - expected) * (count - expected) / expected;
            rest -= count, rest_expected -= expected, cells++;
        }
        chi += (rest - rest_expected) * (rest - rest_expected) / rest_expected;
        statistic[fault] = (chi - (double)cells) / sqrt(2 * (double)cells); // about standard normal: cells is large
    }
    printf("%zu cells: %.2f, with the fault %.2f\n", cells, statistic[0], statistic[1]);
    assert_true(cells > 30 && statistic[0] < 4 && statistic[0] > -4 && statistic[1] > 8);
    unload();
}

static void ends_with_the_context(void **state) {
    (void)state;
    load("llama_tied", 2, DTYPE_F32);
    job.settings.max_new_tokens = 100000, job.settings.responses = 2;
    run();
    for (size_t n = 0; n < job.prompts; n++)
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(job.got[n][k].length, 256 - job.prompt[n].length);
            assert_int_equal(job.got[n][k].finish, FINISH_LENGTH);
        }
    assert_true(largest_difference() < 2e-5);
    unload();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_texts_are_the_golden_ones), cmocka_unit_test(records_the_models_own_logprobs),
        cmocka_unit_test(fills_long_prompts_in_pieces),     cmocka_unit_test(bits_do_not_depend_on_company),
        cmocka_unit_test(first_tokens_follow_the_softmax),  cmocka_unit_test(ends_with_the_context)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
