#include "align/pair_select.h"
#include "base/rng.h"
#include "test.h"
#include <math.h>
#include <string.h>

enum { N = 40, K = 5 };

/* One prompt of K = 4 a case: rewards, lengths, kept. */
typedef struct {
    double reward[4];
    int32_t chars[4];
    uint8_t kept[4];
    const char *text[4];
    const char *what; // it counts as
} Case;

static PairRules best_worst(size_t least, double gap) {
    return (PairRules){.min_responses = least, .min_gap = gap, .band_high = 1};
}

static void select_pairs(const ScoredResponses *s, double alpha, const char *const *text, PairRules rules,
                         SelectedPair *pair, PairCounts *counts) {
    Error error = {0};
    assert_int_equal(pair_select(s, alpha, text, &rules, pair, counts, &error), 0);
}

static PairCounts select_one(const Case *c, double alpha, size_t least, double gap, SelectedPair *pair) {
    const ScoredResponses s = {c->reward, c->chars, c->kept, 1, 4};
    PairCounts counts;
    select_pairs(&s, alpha, c->text, best_worst(least, gap), pair, &counts);
    assert_int_equal(counts.pairs + counts.few + counts.ties + counts.equal + counts.noisy, 1);
    return counts;
}

static void every_reason_is_counted(void **state) {
    (void)state;
    const Case good = {{1, 4, 2, 9}, {10, 10, 10, 10}, {1, 1, 1, 0}, {"a", "b", "c", "d"}, ""};
    SelectedPair pair;
    PairCounts c = select_one(&good, 0, 2, 0, &pair);
    assert_int_equal(c.pairs, 1);
    assert_true(pair.prompt == 0 && pair.chosen == 1 && pair.rejected == 0); // 9 is not kept
    assert_true(pair.chosen_score == 4 && pair.rejected_score == 1);
    assert_int_equal(select_one(&good, 0, 4, 0, &pair).few, 1);
    assert_int_equal(select_one(&good, 0, 2, 3, &pair).pairs, 1); // a gap that is reached
    assert_int_equal(select_one(&good, 0, 2, 3.001, &pair).noisy, 1);
    const Case same = {{1, 4, 2, 9}, {10, 10, 10, 10}, {1, 1, 1, 0}, {"x", "x", "c", "d"}, ""};
    assert_int_equal(select_one(&same, 0, 2, 0, &pair).equal, 1);
    const Case ties = {{4, 4, 4, 9}, {10, 10, 10, 10}, {1, 1, 1, 0}, {"a", "b", "c", "d"}, ""};
    assert_int_equal(select_one(&ties, 0, 2, 0, &pair).ties, 1);
    const Case one = {{4, 4, 4, 9}, {10, 10, 10, 10}, {0, 1, 0, 0}, {"a", "b", "c", "d"}, ""};
    assert_int_equal(select_one(&one, 0, 2, 0, &pair).few, 1);
    const Case none = {{4, 4, 4, 9}, {10, 10, 10, 10}, {0}, {"a", "b", "c", "d"}, ""};
    assert_int_equal(select_one(&none, 0, 0, 0, &pair).few, 1);
}

/* With a charge for length another response wins, and rewards that differ may tie. */
static void length_is_charged(void **state) {
    (void)state;
    const Case c = {{1, 4, 2, 0}, {10, 50, 12, 10}, {1, 1, 1, 1}, {"a", "b", "c", "d"}, ""};
    SelectedPair pair;
    assert_int_equal(select_one(&c, 0.125, 2, 0, &pair).pairs, 1);
    assert_true(pair.chosen == 2 && pair.rejected == 1);
    assert_true(pair.chosen_score == 2 - 0.125 * 12 && pair.rejected_score == 4 - 0.125 * 50);
    const Case level = {{1, 2, 3, 0}, {8, 16, 24, 0}, {1, 1, 1, 1}, {"a", "b", "c", "d"}, ""};
    assert_int_equal(select_one(&level, 0.125, 2, 0, &pair).ties, 1);
}

/* [PS-1] Against all pairs of responses tried out; a selection by reward alone (planted) is another one. */
static void chooses_the_widest_pair(void **state) {
    (void)state;
    static double reward[N * K];
    static int32_t chars[N * K];
    static uint8_t kept[N * K];
    SelectedPair pair[N], plain[N];
    PairCounts counts, planted;
    const RngAddress at = {.seed = test_seed(), .stream = RNG_TEST};
    for (uint32_t i = 0; i < N * K; i++) {
        reward[i] = rng_normal(&at, 3 * i), chars[i] = (int32_t)rng_below(&at, 3 * i + 1, 60);
        kept[i] = rng_uniform(&at, 3 * i + 2) < 0.7;
    }
    const ScoredResponses s = {reward, chars, kept, N, K};
    const double alpha = 0.05, gap = 1.5;
    select_pairs(&s, alpha, NULL, best_worst(3, gap), pair, &counts);
    size_t found = 0;
    for (size_t n = 0; n < N; n++) {
        double widest = -1;
        size_t among = 0;
        for (size_t a = n * K; a < (n + 1) * K; a++) {
            among += kept[a];
            for (size_t b = n * K; b < (n + 1) * K; b++)
                if (kept[a] && kept[b])
                    widest = fmax(widest, reward[a] - alpha * chars[a] - reward[b] + alpha * chars[b]);
        }
        if (among < 3 || widest < gap) continue;
        assert_int_equal(pair[found].prompt, n);
        assert_true(fabs(pair[found].chosen_score - pair[found].rejected_score - widest) < 1e-12);
        assert_true(kept[n * K + pair[found].chosen] && kept[n * K + pair[found].rejected]);
        found++;
    }
    assert_int_equal(found, counts.pairs);
    assert_true(found > 5 && counts.few > 0 && counts.noisy > 0);
    assert_int_equal(counts.pairs + counts.few + counts.ties + counts.equal + counts.noisy, N);
    select_pairs(&s, 0, NULL, best_worst(3, 0), plain, &planted);
    assert_true(planted.pairs != counts.pairs || memcmp(pair, plain, counts.pairs * sizeof *pair) != 0);
}

/* [PS-2] Worked out by hand; in the last case the worst response (planted: best_worst) is another one. */
static void the_rejected_one_may_be_no_outlier(void **state) {
    (void)state;
    static const double reward[10] = {3, 8, -40, 0, 1, 2, 4, 5, 6, 7};
    static const int32_t chars[10] = {0};
    static const uint8_t kept[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, most[10] = {1, 1, 0, 1, 1, 1, 1, 1, 1, 1};
    ScoredResponses s = {reward, chars, kept, 1, 10};
    PairRules rules = {.rule = PAIR_MEAN_2SD, .min_responses = 2, .band_high = 1};
    SelectedPair pair;
    PairCounts counts;
    select_pairs(&s, 0, NULL, rules, &pair, &counts); // mean -0.4, sd 14.15 over n - 1: -28.7, nearest is -40
    assert_true(counts.pairs == 1 && pair.chosen == 1 && pair.rejected == 2);
    s.kept = most; // mean 4, sd 2.74: -1.48, nearest is 0
    select_pairs(&s, 0, NULL, rules, &pair, &counts);
    assert_true(counts.pairs == 1 && pair.chosen == 1 && pair.rejected == 3 && pair.rejected_score == 0);
    static const int32_t none[12] = {0};
    static const uint8_t all[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const double near[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -18, -30}; // mean -4, sd 9.6: -23.2; nearest is -18
    s = (ScoredResponses){near, none, all, 1, 12};
    select_pairs(&s, 0, NULL, rules, &pair, &counts);
    assert_int_equal(pair.rejected, 10);
}

/* [PS-3] Every ordered pair of kept responses is drawn about equally often, the better one is chosen, and the draw is
 * the prompt's own: it does not change with the prompts around it. */
static void random_pairs_are_drawn_from_the_seed(void **state) {
    (void)state;
    enum { MANY = 3000, THREE = 4 };
    static double reward[MANY * THREE];
    static int32_t chars[MANY * THREE];
    static uint8_t kept[MANY * THREE];
    static SelectedPair pair[MANY], again[MANY];
    static uint32_t number[MANY];
    PairCounts counts;
    size_t seen[THREE][THREE] = {{0}};
    for (size_t i = 0; i < MANY * THREE; i++) reward[i] = (double)(i % THREE), kept[i] = i % THREE != 2;
    for (uint32_t n = 0; n < MANY; n++) number[n] = n + 7;
    const ScoredResponses s = {reward, chars, kept, MANY, THREE}, tail = {reward, chars, kept, MANY - 7, THREE};
    PairRules rules = {.rule = PAIR_RANDOM, .min_responses = 2, .band_high = 1, .seed = test_seed(), .round = 3};
    select_pairs(&s, 0, NULL, rules, pair, &counts);
    assert_int_equal(counts.pairs, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(pair[i].chosen > pair[i].rejected && pair[i].chosen != 2 && pair[i].rejected != 2);
        seen[pair[i].chosen][pair[i].rejected]++;
    }
    assert_true(seen[1][0] > 900 && seen[3][0] > 900 && seen[3][1] > 900); // a third each, sd 26
    rules.number = number;
    select_pairs(&tail, 0, NULL, rules, again, &counts);
    for (size_t i = 0; i < counts.pairs; i++)
        assert_true(again[i].chosen == pair[i + 7].chosen && again[i].rejected == pair[i + 7].rejected);
}

/* [PS-4] */
static void a_band_keeps_pairs_by_their_gap(void **state) {
    (void)state;
    enum { TEN = 10 };
    double reward[TEN * 2] = {0};
    int32_t chars[TEN * 2] = {0};
    uint8_t kept[TEN * 2];
    SelectedPair pair[TEN];
    PairCounts counts;
    static const double gap[TEN] = {5, 1, 9, 3, 7, 2, 10, 4, 8, 6};
    for (size_t n = 0; n < TEN; n++)
        reward[2 * n] = gap[n], chars[2 * n] = (int32_t)n, kept[2 * n] = kept[2 * n + 1] = 1;
    const ScoredResponses s = {reward, chars, kept, TEN, 2};
    PairRules rules = {.min_responses = 2, .band_low = 0.2, .band_high = 0.7};
    select_pairs(&s, 0, NULL, rules, pair, &counts);
    static const size_t middle[] = {0, 3, 4, 7, 9}; // gaps 3 to 7
    assert_true(counts.pairs == 5 && counts.banded == 5);
    for (size_t i = 0; i < 5; i++) assert_int_equal(pair[i].prompt, middle[i]);
    assert_true(fabs(pair_select_gap(&s, pair, 5) - (0 + 3 + 4 + 7 + 9) / 5.0) < 1e-12);
    rules.band_low = 0, rules.band_high = 0.1; // the smallest alone
    select_pairs(&s, 0, NULL, rules, pair, &counts);
    assert_true(counts.pairs == 1 && pair[0].prompt == 1);
    rules.band_low = 0.9, rules.band_high = 1;
    select_pairs(&s, 0, NULL, rules, pair, &counts);
    assert_true(counts.pairs == 1 && pair[0].prompt == 6);
    assert_true(pair_select_gap(&s, pair, 0) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_reason_is_counted),
                                       cmocka_unit_test(length_is_charged),
                                       cmocka_unit_test(chooses_the_widest_pair),
                                       cmocka_unit_test(the_rejected_one_may_be_no_outlier),
                                       cmocka_unit_test(random_pairs_are_drawn_from_the_seed),
                                       cmocka_unit_test(a_band_keeps_pairs_by_their_gap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
