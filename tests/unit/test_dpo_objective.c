#include "align/dpo_objective.h"
#include "base/rng.h"
#include "test.h"
#include <math.h>
#include <string.h>

enum { LONGEST = 6 };

typedef struct {
    float logprob[2][LONGEST], dlogprob[2][LONGEST];
    const float *read[2];
    float *write[2];
    TrainExample example;
    ReferenceSums reference[2];
} Case;

static void fill(Case *c, uint32_t item) {
    const RngAddress at = {.seed = 3, .stream = RNG_TEST, .item = item};
    *c = (Case){.example = {.id = 1, .branch_length = {4, 6}, .branches = 2}};
    c->reference[1] = (ReferenceSums){.chosen = -9 + rng_normal(&at, 90), .rejected = -11 + rng_normal(&at, 91)};
    for (uint32_t b = 0; b < 2; b++) {
        c->read[b] = c->logprob[b], c->write[b] = c->dlogprob[b];
        for (uint32_t t = 0; t < LONGEST; t++) c->logprob[b][t] = (float)(-2 + rng_normal(&at, 10 * b + t));
    }
}

static double sum(const float *x, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)x[i];
    return s;
}

/* Loss, gradient and metrics of a pair by their definitions; references come by the example's id. */
static void a_pair_has_the_loss_of_its_definition(void **state) {
    (void)state;
    for (uint32_t item = 0; item < 20; item++) {
        Case c;
        fill(&c, item);
        const double beta = 0.1 + 0.2 * item, e = item % 2 == 0 ? 0 : 0.2;
        const DpoContext context = {.settings = {.beta = beta, .label_smoothing = e}, .reference = c.reference};
        const TrainObjective o = dpo_objective(&context);
        double chosen = sum(c.logprob[0], 4), rejected = sum(c.logprob[1], 6);
        double u = chosen - c.reference[1].chosen, v = rejected - c.reference[1].rejected, z = beta * (u - v);
        double loss = (1 - e) * log1p(exp(-z)) + e * log1p(exp(z));
        double slope = -beta * ((1 - e) / (1 + exp(z)) - e / (1 + exp(-z)));
        const double metric[] = {beta * u, beta * v, u > v, beta * (u - v), chosen, rejected};
        TrainLoss found = o.loss(o.context, &c.example, c.read, c.write);
        assert_true(fabs(found.loss - loss) < 1e-12 * (1 + fabs(loss)));
        assert_int_equal(o.metrics, 6);
        for (size_t m = 0; m < 6; m++) assert_true(fabs(found.metric[m] - metric[m]) < 1e-12 * (1 + fabs(metric[m])));
        for (size_t t = 0; t < 4; t++)
            assert_true(c.dlogprob[0][t] == (float)slope || fabs((double)c.dlogprob[0][t] / slope - 1) < 1e-6);
        for (size_t t = 0; t < 6; t++) assert_true(fabs((double)c.dlogprob[1][t] / -slope - 1) < 1e-6);
        assert_true(c.dlogprob[0][4] == 0); // not beyond the response
        assert_true(o.share(o.context, &c.example) == 1);
        TrainLoss alone = o.loss(o.context, &c.example, c.read, NULL);
        assert_memory_equal(&alone, &found, sizeof alone);
    }
}

static void names_are_those_of_trl(void **state) {
    (void)state;
    static const char *const names[] = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                        "rewards/margins", "logps/chosen",     "logps/rejected"};
    const TrainObjective o = dpo_objective(NULL);
    for (size_t i = 0; i < o.metrics; i++) assert_string_equal(o.metric_names[i], names[i]);
}

/* Equal log-ratios are no success: accuracy is strict. */
static void a_tie_is_not_accurate(void **state) {
    (void)state;
    Case c;
    fill(&c, 1);
    c.reference[1] = (ReferenceSums){.chosen = sum(c.logprob[0], 4), .rejected = sum(c.logprob[1], 6)};
    const DpoContext context = {.settings = {.beta = 0.1}, .reference = c.reference};
    const TrainObjective o = dpo_objective(&context);
    TrainLoss found = o.loss(o.context, &c.example, c.read, c.write);
    assert_true(found.metric[2] == 0 && fabs(found.loss - log(2)) < 1e-15);
    assert_true(fabs((double)c.dlogprob[0][0] + 0.05) < 1e-9);
}

static void an_answer_alone_has_the_mean_over_its_tokens(void **state) {
    (void)state;
    Case c;
    fill(&c, 2);
    c.example.branches = 1;
    const TrainObjective o = sft_objective();
    TrainLoss found = o.loss(o.context, &c.example, c.read, c.write);
    assert_true(fabs(found.loss + sum(c.logprob[0], 4) / 4) < 1e-15);
    for (size_t t = 0; t < 4; t++) assert_true(c.dlogprob[0][t] == -0.25f);
    assert_true(o.share(o.context, &c.example) == 4 && o.metrics == 0);
}

static void examples_borrow_the_pair(void **state) {
    (void)state;
    int32_t ids[3] = {1, 2, 3};
    const EncodedPair pair = {
        .prompt = ids, .prompt_length = 1, .response = {ids + 1, ids + 2}, .length = {1, 1}, .prompt_number = 9};
    TrainExample e = dpo_objective_example(&pair, 5, 2);
    assert_true(e.id == 5 && e.prompt == ids && e.prompt_length == 1 && e.branches == 2);
    assert_true(e.branch[0] == ids + 1 && e.branch[1] == ids + 2 && e.branch_length[0] == 1);
    assert_int_equal(dpo_objective_example(&pair, 5, 1).branches, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_has_the_loss_of_its_definition), cmocka_unit_test(names_are_those_of_trl),
        cmocka_unit_test(a_tie_is_not_accurate), cmocka_unit_test(an_answer_alone_has_the_mean_over_its_tokens),
        cmocka_unit_test(examples_borrow_the_pair)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
