#include "align/dpo_objective.h"
#include "base/rng.h"
#include "test.h"
#include <math.h>
#include <string.h>

enum { PAIRS = 5, LONGEST = 7 };

/* Random pairs as a part; the last pair's chosen answer is the longer one. */
typedef struct {
    TrainExample example[PAIRS];
    const TrainExample *pointer[PAIRS];
    size_t first[PAIRS][2], tokens; // where an answer's tokens begin
    float logprob[PAIRS * 2 * LONGEST], slope[PAIRS * 2 * LONGEST];
    TokenFigures figures[PAIRS * 2 * LONGEST];
    ReferenceSums reference[PAIRS];
    DpoContext context;
} Case;

static double sum(const float *x, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)x[i];
    return s;
}

/* set: of a recipe's train group, or NULL for sigmoid. */
static void fill(Case *c, uint32_t item, const char *const *set, size_t sets) {
    const RngAddress at = {.seed = test_seed(), .stream = RNG_TEST, .item = item};
    static const size_t length[PAIRS][2] = {{4, 6}, {3, 3}, {1, 5}, {6, 2}, {7, 4}};
    Recipe recipe;
    Error error;
    *c = (Case){0};
    if (recipe_parse(&recipe, "model: m\noutput: o\ndata: {offline: d}\n", 38, "r", "", set, sets, &error) != 0 ||
        preference_loss_create(&c->context.loss, &recipe, NULL, &error) != 0)
        fail_msg("%s", error.message);
    recipe_free(&recipe);
    c->context.reference = c->reference;
    for (uint32_t i = 0; i < PAIRS; i++) {
        c->example[i] = (TrainExample){.id = i, .branch_length = {length[i][0], length[i][1]}, .branches = 2};
        c->pointer[i] = &c->example[i];
        c->reference[i] = (ReferenceSums){-2 * (double)length[i][0] + rng_normal(&at, 900 + i),
                                          -2 * (double)length[i][1] + rng_normal(&at, 950 + i)};
        for (int b = 0; b < 2; b++) {
            c->first[i][b] = c->tokens;
            for (size_t t = 0; t < length[i][b]; t++, c->tokens++) {
                c->logprob[c->tokens] = (float)(-2 + rng_normal(&at, 2 * (uint32_t)c->tokens));
                const double u = rng_uniform(&at, 2 * (uint32_t)c->tokens + 1);
                c->figures[c->tokens] = (TokenFigures){.log_sum_square = (float)(-1 - u),
                                                       .entropy = (float)(2 + u),
                                                       .mean_logit = (float)(3 * u - 1),
                                                       .top = u < 0.4 ? 1 : 0};
            }
        }
    }
}

/* Pairs [first, end) of a batch of all. */
static TrainLoss lose(Case *c, size_t first, size_t end, bool gradient) {
    const TrainObjective o = dpo_objective(&c->context);
    TrainPart part = {.example = c->pointer + first,
                      .examples = end - first,
                      .batch_examples = PAIRS,
                      .logprob = c->logprob + c->first[first][0],
                      .figures = o.figures ? c->figures + c->first[first][0] : NULL,
                      .dlogprob = gradient ? c->slope + c->first[first][0] : NULL};
    for (size_t i = 0; i < PAIRS; i++)
        for (int b = 0; b < 2; b++) part.batch_tokens[b] += c->example[i].branch_length[b];
    TrainLoss mean = {0};
    Error error;
    if (o.loss(o.context, &part, &mean, &error) != 0) fail_msg("%s", error.message);
    return mean;
}

/* Loss, gradient and metrics by their definitions; references come by the example's id. */
static void pairs_have_the_loss_of_its_definition(void **state) {
    (void)state;
    for (uint32_t item = 0; item < 20; item++) {
        Case c;
        char beta[48], smoothing[64];
        const double b = 0.1 + 0.2 * item, e = item % 2 == 0 ? 0 : 0.2;
        snprintf(beta, sizeof beta, "train.beta=%.17g", b);
        snprintf(smoothing, sizeof smoothing, "train.label_smoothing=%.17g", e);
        fill(&c, item, (const char *[]){beta, smoothing}, 2);
        double loss = 0, metric[DPO_METRICS] = {0};
        const TrainLoss found = lose(&c, 0, PAIRS, true), alone = lose(&c, 0, PAIRS, false);
        for (size_t i = 0; i < PAIRS; i++) {
            const size_t *n = c.example[i].branch_length;
            double chosen = sum(c.logprob + c.first[i][0], n[0]), rejected = sum(c.logprob + c.first[i][1], n[1]);
            double u = chosen - c.reference[i].chosen, v = rejected - c.reference[i].rejected, z = b * (u - v);
            loss += ((1 - e) * log1p(exp(-z)) + e * log1p(exp(z))) / PAIRS;
            double slope = -b * ((1 - e) / (1 + exp(z)) - e / (1 + exp(-z))) / PAIRS;
            const double each[] = {b * u, b * v, u > v, b * (u - v), chosen, rejected};
            for (size_t m = 0; m < DPO_METRICS; m++) metric[m] += each[m] / PAIRS;
            for (size_t t = 0; t < n[0]; t++) assert_true(fabs((double)c.slope[c.first[i][0] + t] / slope - 1) < 1e-6);
            for (size_t t = 0; t < n[1]; t++) assert_true(fabs((double)c.slope[c.first[i][1] + t] / -slope - 1) < 1e-6);
        }
        assert_true(fabs(found.loss - loss) < 1e-12 * (1 + fabs(loss)));
        for (size_t m = 0; m < DPO_METRICS; m++)
            assert_true(fabs(found.metric[m] - metric[m]) < 1e-12 * (1 + fabs(metric[m])));
        assert_true(c.slope[c.tokens] == 0); // not beyond the last answer
        assert_memory_equal(&alone, &found, sizeof alone);
    }
}

/* The gradient is the slope for every token: LD-DPO's two, WPO's constant weight, the token mean of sft, a batch loss.
 */
static void slopes_reach_the_tokens(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"train.loss=sigmoid", "train.ld_alpha=0.3", "train.beta=0.5"},
        {"train.loss=sigmoid + 0.7 sft", "train.ld_alpha=0", "train.beta=0.5"},
        {"train.loss=ipo", "train.ld_alpha=0.5", "train.f_divergence=forward_kl"},
        {"train.loss=0.5 hinge + 2 apo_zero", "train.use_weighting=true", "train.beta=0.3"},
        {"train.loss=aot_unpaired + sft", "train.ld_alpha=0.6", "train.beta=0.4"},
        {"train.loss=kto_pair", "train.beta=0.4", "train.ld_alpha=1"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Case c;
        double worst = 0, planted = 0, scale = 0;
        fill(&c, (uint32_t)k, cases[k], 3);
        lose(&c, 0, PAIRS, true);
        for (size_t t = 0; t < c.tokens; t++) {
            const float at = c.logprob[t], square = c.figures[t].log_sum_square, h = 0.0078125f; // exact in float32
            double loss[2], width = 0;
            for (int side = 0; side < 2; side++) {
                c.logprob[t] = side == 0 ? at + h : at - h;
                width += (side == 0 ? 1 : -1) * (double)c.logprob[t];
                c.figures[t].log_sum_square = square + (c.logprob[t] - at); // so that the weight stays what it was
                loss[side] = lose(&c, 0, PAIRS, false).loss;
            }
            c.logprob[t] = at, c.figures[t].log_sum_square = square;
            double slope = (loss[0] - loss[1]) / width;
            scale = fmax(scale, fabs(slope));
            worst = fmax(worst, fabs(slope - (double)c.slope[t]));
            planted = fmax(planted, fabs(slope - (double)c.slope[t == 0 ? c.tokens - 1 : t - 1])); // off by one token
        }
        if (worst > 2e-4 * scale) fail_msg("%s: %g of %g", cases[k][0], worst, scale);
        assert_true(planted > 1e-2 * scale);
    }
}

/* A batch in two parts is the batch, where pairs do not depend on each other. */
static void parts_add_up(void **state) {
    (void)state;
    Case c;
    fill(&c, 3, (const char *[]){"train.loss=sigmoid + 0.3 sft"}, 1);
    float whole[PAIRS * 2 * LONGEST];
    const TrainLoss all = lose(&c, 0, PAIRS, true);
    memcpy(whole, c.slope, sizeof whole);
    memset(c.slope, 0, sizeof c.slope);
    const TrainLoss first = lose(&c, 0, 2, true), rest = lose(&c, 2, PAIRS, true);
    assert_true(fabs(first.loss + rest.loss - all.loss) < 1e-14);
    assert_memory_equal(whole, c.slope, sizeof whole);
}

static void names_are_those_of_trl(void **state) {
    (void)state;
    static const char *const names[] = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                        "rewards/margins", "logps/chosen",     "logps/rejected"};
    Case c;
    fill(&c, 0, NULL, 0);
    TrainObjective o = dpo_objective(&c.context);
    assert_int_equal(o.metrics, 6);
    for (size_t i = 0; i < o.metrics; i++) assert_string_equal(o.metric_names[i], names[i]);
    assert_false(o.whole_batches || o.figures || o.batch_examples > 0);
    fill(&c, 0, (const char *[]){"train.loss=2 aot + sft"}, 1);
    c.context.loss_pairs = 4;
    o = dpo_objective(&c.context);
    assert_int_equal(o.metrics, 8);
    assert_string_equal(o.metric_names[6], "loss/aot");
    assert_string_equal(o.metric_names[7], "loss/sft");
    assert_true(o.whole_batches && o.batch_examples == 4);
    const TrainLoss found = lose(&c, 0, PAIRS, false);
    assert_true(fabs(found.loss - 2 * found.metric[6] - found.metric[7]) < 1e-14);
}

/* Pairs that the policy sampled itself keep weight 1 where the context says which. */
static void some_pairs_are_not_weighed(void **state) {
    (void)state;
    const bool own[PAIRS] = {false, true, false, true, true};
    Case plain, weighed, c;
    double expected = 0;
    fill(&plain, 4, NULL, 0);
    fill(&weighed, 4, (const char *[]){"train.use_weighting=true"}, 1);
    fill(&c, 4, (const char *[]){"train.use_weighting=true"}, 1);
    c.context.unweighed = own;
    for (size_t i = 0; i < PAIRS; i++) {
        double a = lose(&plain, i, i + 1, false).loss, b = lose(&weighed, i, i + 1, false).loss;
        assert_true(fabs(a - b) > 1e-6);
        expected += own[i] ? a : b;
    }
    assert_true(fabs(lose(&c, 0, PAIRS, false).loss - expected) < 1e-14);
}

/* Equal log-ratios are no success: accuracy is strict. */
static void a_tie_is_not_accurate(void **state) {
    (void)state;
    Case c;
    fill(&c, 1, NULL, 0);
    for (size_t i = 0; i < PAIRS; i++)
        c.reference[i] = (ReferenceSums){.chosen = sum(c.logprob + c.first[i][0], c.example[i].branch_length[0]),
                                         .rejected = sum(c.logprob + c.first[i][1], c.example[i].branch_length[1])};
    const TrainLoss found = lose(&c, 0, PAIRS, true);
    assert_true(found.metric[DPO_REWARDS_ACCURACIES] == 0 && fabs(found.loss - log(2)) < 1e-15);
    assert_true(fabs((double)c.slope[0] * PAIRS + 0.05) < 1e-8);
}

/* Without a reference its sums are not looked at, and rewards are beta times the mean log-prob of a token. */
static void simpo_reads_no_reference(void **state) {
    (void)state;
    Case c;
    fill(&c, 2, (const char *[]){"train.loss=simpo", "train.beta=2"}, 2);
    double reward = 0;
    for (size_t i = 0; i < PAIRS; i++) {
        c.reference[i] = (ReferenceSums){NAN, NAN};
        reward += 2 * sum(c.logprob + c.first[i][0], c.example[i].branch_length[0]) /
                  (double)c.example[i].branch_length[0] / PAIRS;
    }
    const TrainLoss found = lose(&c, 0, PAIRS, false);
    assert_true(fabs(found.metric[DPO_REWARDS_CHOSEN] - reward) < 1e-13 && isfinite(found.loss));
}

static void a_loss_that_is_not_finite_is_named(void **state) {
    (void)state;
    Case c;
    fill(&c, 2, NULL, 0);
    c.reference[3].rejected = NAN;
    const TrainObjective o = dpo_objective(&c.context);
    const TrainPart part = {.example = c.pointer, .examples = PAIRS, .batch_examples = PAIRS, .logprob = c.logprob};
    TrainLoss mean = {0};
    Error error;
    assert_int_equal(o.loss(o.context, &part, &mean, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    assert_string_equal(error.message, "the loss of example 3 is not finite");
}

/* TRL's means over the tokens of a batch, also where it is computed in parts; they change nothing else. */
static void logits_have_the_means_over_their_tokens(void **state) {
    (void)state;
    static const char *const names[] = {"entropy", "mean_token_accuracy", "logits/chosen", "logits/rejected"};
    Case c;
    fill(&c, 3, (const char *[]){"train.loss=sigmoid + sft"}, 1);
    const TrainLoss plain = lose(&c, 0, PAIRS, true);
    c.context.log_logits = true;
    const TrainObjective o = dpo_objective(&c.context);
    const TrainLoss found = lose(&c, 0, PAIRS, true), head = lose(&c, 0, 2, false), rest = lose(&c, 2, PAIRS, false);
    double sum[4] = {0}, tokens[2] = {0};
    for (size_t i = 0; i < PAIRS; i++)
        for (size_t b = 0; b < 2; b++)
            for (size_t t = 0; t < c.example[i].branch_length[b]; t++, tokens[b]++) {
                const TokenFigures f = c.figures[c.first[i][b] + t];
                sum[0] += (double)f.entropy, sum[1] += b == 0 ? (double)f.top : 0, sum[2 + b] += (double)f.mean_logit;
            }
    const double over[4] = {tokens[0] + tokens[1], tokens[0], tokens[0], tokens[1]};
    assert_int_equal(o.metrics, 12);
    for (size_t m = 0; m < 4; m++) {
        assert_string_equal(o.metric_names[6 + m], names[m]);
        assert_true(fabs(found.metric[6 + m] - sum[m] / over[m]) < 1e-12);
        assert_true(fabs(head.metric[6 + m] + rest.metric[6 + m] - found.metric[6 + m]) < 1e-12);
    }
    for (size_t m = 0; m < 2; m++) assert_true(found.metric[10 + m] == plain.metric[6 + m]); // of the terms
    assert_true(found.loss == plain.loss && memcmp(found.metric, plain.metric, 6 * sizeof(double)) == 0);
    c.context.loss_pairs = 4;
    assert_true(dpo_objective(&c.context).batch_examples == 4);
}

static void answers_alone_have_the_mean_over_their_tokens(void **state) {
    (void)state;
    const TrainExample example[2] = {{.branch_length = {3}, .branches = 1}, {.branch_length = {1}, .branches = 1}};
    const TrainExample *const pointer[2] = {&example[0], &example[1]};
    const float logprob[4] = {-1, -2, -4, -8};
    float slope[5] = {0};
    const TrainObjective o = sft_objective();
    const TrainPart part = {.example = pointer,
                            .examples = 2,
                            .batch_examples = 3,
                            .batch_tokens = {8},
                            .logprob = logprob,
                            .dlogprob = slope};
    TrainLoss mean = {0};
    assert_int_equal(o.loss(o.context, &part, &mean, NULL), 0);
    assert_true(mean.loss == 15. / 8 && o.metrics == 0 && o.batch_examples == 0);
    for (size_t t = 0; t < 4; t++) assert_true(slope[t] == -0.125f);
    assert_true(slope[4] == 0);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(pairs_have_the_loss_of_its_definition),
                                       cmocka_unit_test(slopes_reach_the_tokens),
                                       cmocka_unit_test(parts_add_up),
                                       cmocka_unit_test(names_are_those_of_trl),
                                       cmocka_unit_test(some_pairs_are_not_weighed),
                                       cmocka_unit_test(a_tie_is_not_accurate),
                                       cmocka_unit_test(simpo_reads_no_reference),
                                       cmocka_unit_test(a_loss_that_is_not_finite_is_named),
                                       cmocka_unit_test(logits_have_the_means_over_their_tokens),
                                       cmocka_unit_test(answers_alone_have_the_mean_over_their_tokens),
                                       cmocka_unit_test(examples_borrow_the_pair)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
