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

static PairCounts select_one(const Case *c, double alpha, size_t least, double gap, SelectedPair *pair) {
    const ScoredResponses s = {c->reward, c->chars, c->kept, 1, 4};
    PairCounts counts;
    pair_select(&s, alpha, c->text, least, gap, pair, &counts);
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

/* Against all pairs of responses tried out; a selection by reward alone (planted) is another one. */
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
    pair_select(&s, alpha, NULL, 3, gap, pair, &counts);
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
    pair_select(&s, 0, NULL, 3, 0, plain, &planted);
    assert_true(planted.pairs != counts.pairs || memcmp(pair, plain, counts.pairs * sizeof *pair) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_reason_is_counted), cmocka_unit_test(length_is_charged),
                                       cmocka_unit_test(chooses_the_widest_pair)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
