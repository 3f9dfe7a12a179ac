#include "align/length_regularize.h"
#include "base/json.h"
#include "base/rng.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { MAX = 64 * 16 };
typedef struct {
    double reward[MAX];
    int32_t length[MAX];
    uint8_t kept[MAX];
    ScoredResponses scored;
} Case;

static void load(const json_t *json, Case *c) {
    const json_t *s = json_object_get(json, "score"), *l = json_object_get(json, "length_chars"),
                 *m = json_object_get(json, "kept");
    size_t N = json_array_size(s), K = json_array_size(json_array_get(s, 0));
    assert_true(N * K <= MAX);
    for (size_t i = 0; i < N * K; i++) {
        c->reward[i] = json_number_value(json_array_get(json_array_get(s, i / K), i % K));
        c->length[i] = (int32_t)json_integer_value(json_array_get(json_array_get(l, i / K), i % K));
        c->kept[i] = json_is_true(json_array_get(json_array_get(m, i / K), i % K));
    }
    c->scored = (ScoredResponses){c->reward, c->length, c->kept, N, K};
}

static json_t *golden(void) {
    Error error = {0};
    json_t *json = json_parse_file("tests/data/dice.json", &error);
    if (json == NULL) fail_msg("%s", error.message);
    return json;
}

static bool equal(double a, double b) { return a == b || fabs(a - b) <= 1e-9 * fabs(b); }

/* [LR-3] Exact intervals by rational arithmetic (brute force over all breakpoints). */
static void finds_the_exact_interval(void **state) {
    (void)state;
    static Case c;
    json_t *json = golden(), *row;
    size_t i;
    json_array_foreach(json_object_get(json, "alpha_cases"), i, row) {
        load(row, &c);
        LengthFit fit;
        Error error = {0};
        assert_int_equal(length_regularize_fit(&c.scored, &fit, &error), 0);
        const json_t *first = json_array_get(json_object_get(row, "optimal_intervals"), 0),
                     *high = json_object_get(first, "high");
        bool right = equal(fit.alpha_low, json_number_value(json_object_get(first, "low"))) &&
                     equal(fit.alpha_high, json_is_null(high) ? INFINITY : json_number_value(high)) &&
                     equal(fit.gap_chars, json_number_value(json_object_get(first, "gap"))) &&
                     equal(fit.gap_before_chars, json_number_value(json_object_get(row, "gap_at_0"))) &&
                     fit.alpha > fit.alpha_low && fit.alpha < fit.alpha_high;
        if (!right) fail_msg("case %zu: (%.12g, %.12g) gap %g", i, fit.alpha_low, fit.alpha_high, fit.gap_chars);
    }
    json_decref(json);
}

static void repeats_the_authors_grid(void **state) {
    (void)state;
    static Case c;
    json_t *json = golden(), *row;
    size_t i;
    json_array_foreach(json_object_get(json, "alpha_cases"), i, row) {
        load(row, &c);
        LengthFit fit;
        assert_int_equal(length_regularize_fit_grid(&c.scored, &fit, NULL), 0);
        if (!equal(fit.alpha, json_number_value(json_object_get(row, "grid_alpha"))) ||
            !equal(fit.gap_chars, json_number_value(json_object_get(row, "grid_gap"))))
            fail_msg("case %zu: alpha %g gap %g", i, fit.alpha, fit.gap_chars);
    }
    json_decref(json);
}

/* [LR-1] */
static void picks_the_pairs(void **state) {
    (void)state;
    static Case c;
    json_t *json = golden(), *row, *at, *pair;
    size_t i, j, n;
    json_array_foreach(json_object_get(json, "alpha_cases"), i, row) {
        load(row, &c);
        json_array_foreach(json_object_get(row, "pairs_at"), j, at) {
            json_array_foreach(json_object_get(at, "pairs"), n, pair) {
                size_t w = 0, r = 0;
                bool counts =
                    length_regularize_pick(&c.scored, n, json_number_value(json_object_get(at, "alpha")), &w, &r);
                assert_int_equal(counts, !json_is_null(pair));
                if (counts && ((json_int_t)w != json_integer_value(json_array_get(pair, 0)) ||
                               (json_int_t)r != json_integer_value(json_array_get(pair, 1))))
                    fail_msg("case %zu, alpha %zu, prompt %zu: %zu, %zu", i, j, n, w, r);
            }
        }
    }
    json_decref(json);
}

static void random_case(Case *c, uint64_t seed, uint32_t item) {
    RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = item};
    size_t N = 1 + rng_below(&a, 0, 12), K = 2 + rng_below(&a, 1, 7);
    for (uint32_t i = 0; i < N * K; i++) {
        c->length[i] = 4 + (int32_t)rng_below(&a, 10 + 3 * i, 900);
        c->reward[i] = 0.01 * c->length[i] + 3 * rng_normal(&a, 11 + 3 * i);
        c->kept[i] = rng_uniform(&a, 12 + 3 * i) < 0.9 || i < 2;
    }
    c->scored = (ScoredResponses){c->reward, c->length, c->kept, N, K};
}

/* [LR-2], and the fit is at least as good as 400 alphas around it. The planted fault (a fit that stops one interval
 * short) must be caught by the same check. */
static void gap_falls_and_the_fit_is_best(void **state) {
    (void)state;
    static Case c;
    uint64_t seed = test_seed();
    size_t caught = 0;
    for (uint32_t item = 0; item < 300; item++) {
        random_case(&c, seed, item);
        LengthFit fit;
        assert_int_equal(length_regularize_fit(&c.scored, &fit, NULL), 0);
        double before = INFINITY, best = INFINITY;
        for (int i = 1; i <= 400; i++) {
            double gap = length_regularize_gap(&c.scored, 0.0002 * i);
            assert_true(gap <= before);
            before = gap;
            best = fmin(best, fabs(gap));
        }
        assert_true(equal(length_regularize_gap(&c.scored, fit.alpha), fit.gap_chars));
        assert_true(fabs(fit.gap_chars) <= best + 1e-9);
        if (fit.alpha_low > 0)
            caught += fabs(length_regularize_gap(&c.scored, fit.alpha_low * (1 - 1e-6))) > best + 1e-9;
    }
    assert_true(caught > 100);
}

/* Two responses, 2 nats and 10 characters apart: from 0.2 nats a character on the shorter one is chosen. */
static void a_given_alpha_is_charged(void **state) {
    (void)state;
    static const double reward[] = {5, 3};
    static const int32_t length[] = {15, 5};
    static const uint8_t kept[] = {1, 1};
    const ScoredResponses s = {reward, length, kept, 1, 2};
    const LengthFit fit = length_regularize_fixed(&s, 0.25);
    assert_true(fit.alpha == 0.25 && fit.alpha_low == 0.25 && fit.alpha_high == 0.25);
    assert_true(fit.gap_chars == -10 && fit.gap_before_chars == 10);
    assert_true(length_regularize_score(&s, 0, 0.25) == 5 - 3.75 && length_regularize_score(&s, 1, 0.25) == 3 - 1.25);
}

static void says_what_is_wrong(void **state) {
    (void)state;
    double reward[2] = {1, NAN};
    int32_t length[2] = {5, 6};
    uint8_t kept[2] = {1, 0};
    ScoredResponses s = {reward, length, kept, 1, 2};
    LengthFit fit;
    Error error = {0};
    assert_int_equal(length_regularize_fit(&s, &fit, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    kept[1] = 1;
    assert_int_equal(length_regularize_fit(&s, &fit, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_exact_interval), cmocka_unit_test(repeats_the_authors_grid),
        cmocka_unit_test(picks_the_pairs),          cmocka_unit_test(gap_falls_and_the_fit_is_best),
        cmocka_unit_test(a_given_alpha_is_charged), cmocka_unit_test(says_what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
