/* The smallest real model, trained by others and computed by another program in double precision: log-probs of 56 texts
 * and 31 greedy continuations. tests/make/stories260k_to_hf.py turns it into a Hugging Face checkpoint first. */
#include "base/file.h"
#include "base/json.h"
#include "decode_cases.h"
#include "tiny_cases.h"

static KernelTable kernels;
static char directory[512];
static Model *model;

/* Calls `check` with every line of a file of goldens; returns how many there were. */
static size_t each_line(const char *name, void (*check)(const json_t *)) {
    char path[512], shared[64];
    FileMap map;
    Error error = {0};
    snprintf(shared, sizeof shared, "data/stories260K/%s", name);
    if (test_shared(shared, path, sizeof path) == NULL || model == NULL) skip();
    assert_int_equal(file_map(&map, path, &error), 0);
    size_t lines = 0;
    for (const char *at = (const char *)map.data, *end = at + map.size; at < end; lines++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL) stop = end;
        json_t *line = json_parse(at, (size_t)(stop - at), name, lines + 1, &error);
        if (line == NULL) fail_msg("%s", error.message);
        check(line);
        json_decref(line);
        at = stop + 1;
    }
    file_unmap(&map);
    return lines;
}

static Deviation deviation;

static void compare_logprobs(const json_t *line) {
    size_t n, trunk;
    int32_t *ids = tiny_ids(json_object_get(line, "ids"), &n);
    Batch batch = {0};
    Error error = {0};
    batch_add_trunk(&batch, ids, 1, &trunk, &error), batch_add_branch(&batch, trunk, ids + 1, n - 1, &error);
    batch_finish(&batch, &error);
    float *logprob = calloc(n, sizeof *logprob);
    if (model_logprob(model, &batch, logprob, NULL, NULL, &error) != 0) fail_msg("%s", error.message);
    for (size_t i = 0; i + 1 < n; i++)
        deviation_add(&deviation, logprob[i] - json_number_value(json_array_get(json_object_get(line, "logprobs"), i)));
    free(logprob), free(ids);
    batch_free(&batch);
}

static void logprobs(void **state) {
    (void)state;
    assert_int_equal(each_line("logprobs.jsonl", compare_logprobs), 56);
    printf("%zu log-probs: max %.1e rms %.1e\n", deviation.count, deviation.max, deviation_rms(&deviation));
    assert_true(deviation.count > 10000 && deviation.max <= 1e-4);
}

static size_t compared;

static void compare_greedy(const json_t *line) {
    size_t P, n, V = model_config(model)->vocabulary;
    int32_t *prompt = tiny_ids(json_object_get(line, "prompt_ids"), &P),
            *expected = tiny_ids(json_object_get(line, "ids"), &n), ids[CACHE_ROWS];
    KvArrays cache = cache_create(model);
    float *logits = malloc(CACHE_ROWS * V * sizeof *logits);
    assert_true(json_real_value(json_object_get(line, "min_margin")) > 1e-4);
    memcpy(ids, prompt, P * sizeof *ids);
    step(model, &cache, ids, 0, P, P, logits);
    const float *last = logits + (P - 1) * V;
    for (size_t i = P; i < n; i++, compared++, last = logits) {
        ids[i] = 0;
        for (size_t v = 1; v < V; v++)
            if (last[v] > last[ids[i]]) ids[i] = (int32_t)v;
        assert_int_equal(ids[i], expected[i]);
        step(model, &cache, ids, i, 1, P, logits);
    }
    free(prompt), free(expected), free(logits);
    cache_free(model, &cache);
}

static void greedy(void **state) {
    (void)state;
    assert_int_equal(each_line("greedy.jsonl", compare_greedy), 31);
    assert_true(compared > 3000);
}

static int set_up(void **state) {
    (void)state;
    const char *build = getenv("DICE_BUILD");
    char path[512], command[2048];
    Error error = {0};
    snprintf(directory, sizeof directory, "%s/tests/stories260k.tmp", build != NULL ? build : "build");
    if (kernel_table_create(&kernels, 2, &error) != 0) return -1;
    if (test_shared("data/stories260K/stories260K.bin", path, sizeof path) == NULL) return 0;
    snprintf(command, sizeof command, "python3 tests/make/stories260k_to_hf.py '%s' '%s'", path, directory);
    ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32};
    if (system(command) != 0) return -1;
    if (model_load(&model, directory, &options, &error) == 0) return 0;
    printf("%s\n", error.message);
    return -1;
}

static int tear_down(void **state) {
    (void)state;
    model_free(model);
    return file_remove_tree(directory, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(logprobs), cmocka_unit_test(greedy)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
