#include "align/implicit_reward.h"
#include "training_cases.h"

/* Prompts with 0 to 4 responses each, also at both ends of the list. */
enum { ITEMS = 8, MOST = 4 };
static const size_t responses_of[ITEMS] = {0, 3, 1, 4, 0, 2, 1, 0};

typedef struct {
    int32_t ids[ITEMS][MOST][CASES_LONGEST];
    const int32_t *response[ITEMS][MOST];
    size_t length[ITEMS][MOST];
    ScoreItem item[ITEMS];
} Items;

typedef struct {
    size_t count, stop_at, item[64], response[64];
    double sum[64];
    float first[64];
    bool squares;
} Taken;

static TrainingCases cases;
static Items items;
static Error error;

static int setup(void **state) {
    (void)state;
    training_cases_create(&cases, test_seed());
    for (uint32_t i = 0; i < ITEMS; i++) {
        for (uint32_t k = 0; k < MOST; k++) {
            const RngAddress at = {.seed = 2, .stream = RNG_TEST, .item = i, .k = k};
            items.length[i][k] = 1 + rng_below(&at, 0, CASES_LONGEST);
            items.response[i][k] = items.ids[i][k];
            for (uint32_t t = 0; t < items.length[i][k]; t++)
                items.ids[i][k][t] = (int32_t)rng_below(&at, 1 + t, CASES_VOCABULARY);
        }
        items.item[i] = (ScoreItem){.prompt = cases.pair[i].prompt,
                                    .prompt_length = cases.pair[i].prompt_length,
                                    .response = items.response[i],
                                    .length = items.length[i],
                                    .responses = responses_of[i]};
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    model_free(cases.model);
    return 0;
}

static int take(void *context, size_t item, size_t response, const ScoredResponse *scored, Error *e) {
    Taken *t = context;
    if (t->count == t->stop_at) return error_set(e, ERROR_IO, "the sink is full");
    t->item[t->count] = item, t->response[t->count] = response;
    t->sum[t->count] = scored->sum;
    assert_true(implicit_reward_sum(scored->logprob, items.length[item][response]) == scored->sum);
    for (size_t k = 0; t->squares && k < items.length[item][response]; k++) // between those of even and of sure words
        assert_true(scored->figures[k].log_sum_square > -(float)log(CASES_VOCABULARY) &&
                    scored->figures[k].log_sum_square < 0);
    assert_true(t->squares || scored->figures == NULL);
    t->first[t->count++] = scored->logprob[0];
    return 0;
}

static int score(Taken *taken, size_t micro_tokens, const Log *log) {
    *taken = (Taken){.stop_at = 64};
    return implicit_reward_score(cases.model, items.item, ITEMS, micro_tokens,
                                 &(ScoreSink){.take = take, .context = taken}, "score", log, &error);
}

/* Everything is delivered once and in order, and its bits do not depend on what it shared a batch with. */
static void batches_do_not_matter(void **state) {
    (void)state;
    static const size_t micro[] = {1 << 20, 150, 60, 1};
    Taken first = {0}, taken;
    for (size_t m = 0; m < 4; m++) {
        if (score(&taken, micro[m], NULL) != 0) fail_msg("%s", error.message);
        size_t at = 0;
        for (size_t i = 0; i < ITEMS; i++)
            for (size_t k = 0; k < responses_of[i]; k++, at++)
                assert_true(taken.item[at] == i && taken.response[at] == k);
        assert_int_equal(taken.count, at);
        if (m == 0) first = taken;
        assert_memory_equal(taken.sum, first.sum, at * sizeof *taken.sum);
        assert_memory_equal(taken.first, first.first, at * sizeof *taken.first);
    }
    taken = (Taken){.stop_at = 64, .squares = true}; // asked for more, the same bits
    const ScoreSink sink = {.take = take, .context = &taken, .figures = true};
    assert_int_equal(implicit_reward_score(cases.model, items.item, ITEMS, 150, &sink, "score", NULL, &error), 0);
    assert_memory_equal(taken.sum, first.sum, taken.count * sizeof *taken.sum);
    items.ids[3][2][0] ^= 1; // another token is another sum, and no other one changes (planted)
    assert_int_equal(score(&taken, 150, NULL), 0);
    for (size_t at = 0; at < taken.count; at++)
        assert_int_equal(taken.sum[at] != first.sum[at], taken.item[at] == 3 && taken.response[at] == 2);
}

/* The sum is that over the response's tokens alone, each predicted by the one before it. */
static void sums_are_those_of_one_sequence(void **state) {
    (void)state;
    Taken taken;
    assert_int_equal(score(&taken, 200, NULL), 0);
    for (size_t at = 0; at < taken.count; at++) {
        const ScoreItem *item = &items.item[taken.item[at]];
        size_t length = item->length[taken.response[at]], trunk;
        Batch batch = {0};
        float logprob[2 * CASES_LONGEST];
        int32_t rest[2 * CASES_LONGEST]; // the prompt's first token, and all that follows as one branch
        memcpy(rest, item->prompt + 1, (item->prompt_length - 1) * sizeof *rest);
        memcpy(rest + item->prompt_length - 1, item->response[taken.response[at]], length * sizeof *rest);
        if (batch_add_trunk(&batch, item->prompt, 1, &trunk, &error) != 0 ||
            batch_add_branch(&batch, trunk, rest, item->prompt_length - 1 + length, &error) != 0 ||
            batch_finish(&batch, &error) != 0 || model_logprob(cases.model, &batch, logprob, NULL, NULL, &error) != 0)
            fail_msg("%s", error.message);
        double sum = 0;
        for (size_t t = 0; t < length; t++) sum += (double)logprob[item->prompt_length - 1 + t];
        assert_true(fabs(sum - taken.sum[at]) < 1e-4);
        batch_free(&batch);
    }
}

static int stop_after(void *context) { return (*(int *)context)-- <= 0; }

static void an_interruption_keeps_what_was_delivered(void **state) {
    (void)state;
    Taken whole, part;
    int batches = 2;
    const Log log = {.interrupted = stop_after, .context = &batches};
    assert_int_equal(score(&whole, 60, NULL), 0);
    assert_int_equal(score(&part, 60, &log), -1);
    assert_int_equal(error.code, ERROR_INTERRUPTED);
    assert_true(part.count > 0 && part.count < whole.count);
    assert_memory_equal(part.sum, whole.sum, part.count * sizeof *part.sum);
}

static void a_sink_ends_the_work(void **state) {
    (void)state;
    Taken taken = {.stop_at = 5};
    assert_int_equal(implicit_reward_score(cases.model, items.item, ITEMS, 60,
                                           &(ScoreSink){.take = take, .context = &taken}, "s", NULL, &error),
                     -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_int_equal(taken.count, 5);
    taken = (Taken){.stop_at = 64};
    assert_int_equal(implicit_reward_score(cases.model, items.item, 1, 60,
                                           &(ScoreSink){.take = take, .context = &taken}, "s", NULL, &error),
                     0);
    assert_int_equal(implicit_reward_score(cases.model, items.item, 0, 60,
                                           &(ScoreSink){.take = take, .context = &taken}, "s", NULL, &error),
                     0);
    assert_int_equal(taken.count, 0);
}

/* A sum of many small numbers is made in double. */
static void sums_in_double(void **state) {
    (void)state;
    enum { LONG = 100000 };
    float *logprob = malloc(LONG * sizeof *logprob), planted = 0;
    for (size_t i = 0; i < LONG; i++) logprob[i] = -0.1f, planted += logprob[i];
    double exact = -(double)0.1f * LONG;
    assert_true(fabs(implicit_reward_sum(logprob, LONG) - exact) < 1e-7);
    assert_true(fabs((double)planted - exact) > 1e-3);
    assert_true(implicit_reward_sum(logprob, 0) == 0);
    free(logprob);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(batches_do_not_matter), TEST(sums_are_those_of_one_sequence),
                                       TEST(an_interruption_keeps_what_was_delivered), TEST(a_sink_ends_the_work),
                                       cmocka_unit_test(sums_in_double)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
