#include "decode_cases.h"
#include "tiny_cases.h"

static KernelTable kernels;

static double logprob_of(const float *logits, size_t V, int32_t token) {
    double largest = kernels.maximum(V, logits), sum = 0;
    for (size_t v = 0; v < V; v++) sum += exp(logits[v] - largest);
    return logits[token] - largest - log(sum);
}

static Deviation compare_row(const Golden *golden, size_t p, const char *what, const float *logits) {
    char key[64];
    Deviation d = {0};
    size_t V;
    snprintf(key, sizeof key, "p%zu.b0.%s", p, what);
    double *expected = golden_read(golden, key, &V);
    for (size_t v = 0; v < V; v++) deviation_add(&d, logits[v] - expected[v]);
    free(expected);
    return d;
}

/* Prefill, then one token at a time, against the golden rows of logits, against the log-probs of the scoring pass, and
 * bit by bit against prompt and response in one call. */
static void check(const char *name, DType compute) {
    json_t *cases = tiny_cases(name);
    Model *model = tiny_load(name, &kernels, compute, false, false);
    KvArrays cache = cache_create(model), other = cache_create(model);
    size_t V = model_config(model)->vocabulary;
    float *logits = malloc(CACHE_ROWS * V * sizeof *logits), *at_once = malloc(CACHE_ROWS * V * sizeof *logits);
    Deviation rows = {0}, scores = {0};
    Golden golden;
    char path[512];
    golden_open(&golden, tiny_path(name, "logprobs.safetensors", path, sizeof path));
    for (size_t p = 0; p < TINY_PROMPTS; p++) {
        Batch batch = {0};
        float logprob[64];
        tiny_add(&batch, cases, p, 0, 1);
        assert_int_equal(batch_finish(&batch, NULL), 0);
        size_t T = batch.rows, P = T - batch.targets;
        const int32_t *ids = batch.token;
        assert_int_equal(model_logprob(model, &batch, logprob, NULL, NULL, NULL), 0);
        step(model, &cache, ids, 0, P, P, logits);
        for (size_t i = P; i < T; i++) step(model, &cache, ids, i, 1, P, logits + i * V);
        step(model, &other, ids, 0, T, P, at_once);
        assert_memory_equal(logits, at_once, T * V * sizeof *logits); // [MO-2]
        step(model, &cache, ids, 0, P / 2, P, logits);                // a prefill in two pieces
        step(model, &cache, ids, P / 2, P - P / 2, P, logits + P / 2 * V);
        assert_memory_equal(logits, at_once, P * V * sizeof *logits);
        for (size_t i = P; i < T; i++)
            deviation_add(&scores, logprob_of(logits + (i - 1) * V, V, ids[i]) - logprob[i - P]);
        const char *const what[] = {"logits_prompt_end", "logits_response_0", "logits_end"};
        const size_t row[] = {P - 1, P, T - 1};
        for (int i = 0; i < 3; i++) {
            Deviation d = compare_row(&golden, p, what[i], logits + row[i] * V);
            if (!(d.max <= rows.max)) rows.max = d.max;
            rows.sum_squares += d.sum_squares, rows.count += d.count;
        }
        batch_free(&batch);
    }
    printf("%s %s: logits max %.1e rms %.1e, decoded against scored %.1e\n", name, dtype_name(compute), rows.max,
           deviation_rms(&rows), scores.max);
    assert_true(rows.max <= (compute == DTYPE_F32 ? 1.3e-4 : 0.78) &&
                deviation_rms(&rows) <= (compute == DTYPE_F32 ? 1.1e-5 : 0.097));
    assert_true(scores.max <= 3e-6); // the same hidden states; only the summation of exp differs
    cache_free(model, &cache), cache_free(model, &other);
    golden_close(&golden);
    free(logits), free(at_once);
    json_decref(cases);
    model_free(model);
}

static void logits(void **state) { check(*state, DTYPE_F32), check(*state, DTYPE_BF16); }

/* Greedy continuations are those of transformers, up to the first step whose two best logits are nearly equal. */
static void greedy(void **state) {
    (void)state;
    size_t tokens = 0;
    for (size_t m = 0; m < TINY_MODELS; m++) {
        char path[512];
        if (tiny_path(tiny_models[m], "greedy.json", path, sizeof path) == NULL) continue;
        json_t *golden = json_parse_file(path, NULL);
        Model *model = tiny_load(tiny_models[m], &kernels, DTYPE_F32, false, false);
        KvArrays cache = cache_create(model);
        size_t V = model_config(model)->vocabulary, index;
        float *logits = malloc(CACHE_ROWS * V * sizeof *logits);
        json_t *entry;
        json_array_foreach(json_object_get(golden, "prompts"), index, entry) {
            size_t P, n;
            int32_t ids[CACHE_ROWS], *prompt = tiny_ids(json_object_get(entry, "prompt"), &P),
                                     *expected = tiny_ids(json_object_get(entry, "ids"), &n);
            memcpy(ids, prompt, P * sizeof *ids);
            step(model, &cache, ids, 0, P, P, logits);
            const float *last = logits + (P - 1) * V;
            for (size_t i = 0; i < n && json_real_value(json_array_get(json_object_get(entry, "gap"), i)) >= 1e-3;
                 i++, tokens++) {
                int32_t best = 0;
                for (size_t v = 1; v < V; v++)
                    if (last[v] > last[best]) best = (int32_t)v;
                assert_int_equal(best, expected[i]);
                ids[P + i] = best;
                step(model, &cache, ids, P + i, 1, P, logits);
                last = logits;
            }
            free(prompt), free(expected);
        }
        cache_free(model, &cache);
        free(logits);
        json_decref(golden);
        model_free(model);
    }
    printf("%zu greedy tokens\n", tokens);
    assert_true(tokens > 100);
}

static void refuses_what_does_not_fit(void **state) {
    (void)state;
    Model *model = tiny_load("llama_tied", &kernels, DTYPE_F32, false, false);
    KvArrays cache = cache_create(model);
    Error error = {0};
    int32_t token = 331, position = 0, row = 0;
    AttentionSegment segment = {.query_length = 1, .key_length = 1, .parent = -1};
    DecodeInput input = {
        .rows = 1, .token = &token, .position = &position, .cache_row = &row, .segment = &segment, .segments = 1};
    assert_int_equal(model_decode(model, &cache, &input, NULL, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "token 331") != NULL &&
                strstr(error.message, "331:") != NULL);
    token = 330, position = 256;
    assert_int_equal(model_decode(model, &cache, &input, NULL, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "context of 256") != NULL);
    position = 255;
    assert_int_equal(model_decode(model, &cache, &input, NULL, &error), 0);
    cache_free(model, &cache);
    model_free(model);
}

static int set_up(void **state) {
    (void)state;
    return kernel_table_create(&kernels, 2, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {TINY_TEST(logits, llama_tied),  TINY_TEST(logits, llama_rope3),
                                       TINY_TEST(logits, mistral_swa), TINY_TEST(logits, qwen2_tied),
                                       TINY_TEST(logits, qwen3_hd),    TINY_TEST(logits, gemma3_text),
                                       cmocka_unit_test(greedy),       cmocka_unit_test(refuses_what_does_not_fit)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
