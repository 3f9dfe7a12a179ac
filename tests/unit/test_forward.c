#include "tiny_cases.h"

static KernelTable kernels;

/* Bounds of the oracle's README. */
typedef struct {
    double logprob_max, logprob_rms, lse_max, lse_rms, sum;
} Bounds;
static const Bounds float32 = {1.3e-4, 1.2e-5, 4.3e-5, 3.9e-6, 3.4e-4}, bfloat16 = {0.63, 0.11, 0.69, 0.042, 2.7};

/* All prompts and branches in one batch against the goldens; `shift` is added to every log-prob (a planted fault). */
static bool within(const char *name, DType compute, bool trainable, double shift) {
    json_t *cases = tiny_cases(name);
    Model *model = tiny_load(name, &kernels, compute, trainable, false);
    const Bounds *bounds = compute == DTYPE_F32 ? &float32 : &bfloat16;
    Golden golden;
    char path[512];
    Error error = {0};
    golden_open(&golden, tiny_path(name, "logprobs.safetensors", path, sizeof path));
    Batch batch = {0};
    for (size_t p = 0; p < TINY_PROMPTS; p++) tiny_add(&batch, cases, p, 0, TINY_BRANCHES);
    assert_int_equal(batch_finish(&batch, &error), 0);
    float *logprob = calloc(batch.targets, sizeof *logprob), *lse = calloc(batch.targets, sizeof *lse);
    if (model_logprob(model, &batch, logprob, lse, NULL, &error) != 0) fail_msg("%s", error.message);
    Deviation of_logprob = {0}, of_lse = {0}, of_sum = {0};
    for (size_t b = 0; b < batch.branches; b++) {
        char key[64];
        double sum = 0;
        snprintf(key, sizeof key, "p%zu.b%zu.logp", b / TINY_BRANCHES, b % TINY_BRANCHES);
        double *expected = golden_read(&golden, key, NULL);
        snprintf(key, sizeof key, "p%zu.b%zu.lse", b / TINY_BRANCHES, b % TINY_BRANCHES);
        double *expected_lse = golden_read(&golden, key, NULL);
        for (size_t i = 0; i < batch.branch[b].length; i++) {
            size_t at = batch.branch[b].first_target + i;
            deviation_add(&of_logprob, logprob[at] + shift - expected[i]);
            deviation_add(&of_lse, lse[at] - expected_lse[i]);
            sum += logprob[at] + shift - expected[i];
        }
        deviation_add(&of_sum, sum);
        free(expected), free(expected_lse);
    }
    printf("%s %s: logprob max %.1e rms %.1e, logsumexp max %.1e rms %.1e, sums max %.1e\n", name, dtype_name(compute),
           of_logprob.max, deviation_rms(&of_logprob), of_lse.max, deviation_rms(&of_lse), of_sum.max);
    free(logprob), free(lse);
    batch_free(&batch);
    golden_close(&golden);
    json_decref(cases);
    model_free(model);
    return of_logprob.max <= bounds->logprob_max && deviation_rms(&of_logprob) <= bounds->logprob_rms &&
           of_lse.max <= bounds->lse_max && deviation_rms(&of_lse) <= bounds->lse_rms && of_sum.max <= bounds->sum;
}

static void logprobs(void **state) {
    assert_true(within(*state, DTYPE_F32, false, 0));
    assert_true(within(*state, DTYPE_F32, true, 0));
    assert_true(within(*state, DTYPE_BF16, false, 0));
    assert_false(within(*state, DTYPE_F32, false, 2e-5)); // planted
}

static int set_up(void **state) {
    (void)state;
    return kernel_table_create(&kernels, 2, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {TINY_TEST(logprobs, llama_tied),  TINY_TEST(logprobs, llama_rope3),
                                       TINY_TEST(logprobs, mistral_swa), TINY_TEST(logprobs, qwen2_tied),
                                       TINY_TEST(logprobs, qwen3_hd),    TINY_TEST(logprobs, gemma3_text)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
