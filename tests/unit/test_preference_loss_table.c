#include "align/preference_loss.h"
#include "base/rng.h"
#include "test.h"
#include <math.h>
#include <string.h>

/* The rows on their own; what they read, and goldens of each, are in test_preference_loss.c. */
static const LossKnobs knobs = {.beta = 0.3, .label_smoothing = 0.1, .discopop_tau = 0.05, .simpo_gamma = 0.5};

enum { PAIRS = 5 };

static const PreferenceLossRow *row_of(const char *name) {
    for (size_t i = 0; i < preference_loss_count; i++)
        if (strcmp(preference_losses[i].name, name) == 0) return &preference_losses[i];
    fail_msg("there is no loss %s", name);
    return NULL;
}

static void fill(PairSums *pair, uint64_t seed, uint32_t item) {
    const RngAddress at = {.seed = seed, .stream = RNG_TEST, .item = item};
    for (uint32_t i = 0; i < PAIRS; i++) {
        pair[i] = (PairSums){.tokens = {5, 5}, .weight = 1};
        for (uint32_t b = 0; b < 2; b++) {
            pair[i].policy[b] = -10 + 4 * rng_normal(&at, 4 * i + b);
            pair[i].reference[b] = -10 + 4 * rng_normal(&at, 4 * i + 2 + b);
        }
    }
}

static double batch_mean(const PreferenceLossRow *row, const PairSums *pair, LossValue *value) {
    LossRank scratch[2 * PAIRS];
    double sum = 0;
    row->batch(&knobs, PAIRS, pair, scratch, value);
    for (size_t i = 0; i < PAIRS; i++) sum += value[i].value;
    return sum / PAIRS;
}

static void rows_are_complete(void **state) {
    (void)state;
    for (size_t i = 0; i < preference_loss_count; i++) {
        const PreferenceLossRow *row = &preference_losses[i];
        assert_true((row->pair != NULL) + (row->batch != NULL) == 1);
        assert_int_equal(row->batch != NULL, row->input == LOSS_OF_BATCHES);
        assert_true(strncmp(row->metric, "loss/", 5) == 0 && strcmp(row->metric + 5, row->name) == 0);
        const char *const texts[] = {row->formula, row->source, row->use};
        for (int t = 0; t < 3; t++)
            assert_true(texts[t] != NULL && strlen(texts[t]) > 3 && texts[t][strlen(texts[t]) - 1] != '.');
        for (size_t k = 0; k < i; k++) assert_string_not_equal(row->name, preference_losses[k].name);
    }
}

/* A pair alone is its own batch: equal ranks are the pair itself. */
static void a_batch_of_one_is_a_pair(void **state) {
    (void)state;
    PairSums pair[PAIRS];
    fill(pair, test_seed(), 1);
    const char *const names[] = {"aot", "aot_unpaired"};
    for (size_t i = 0; i < PAIRS; i++)
        for (int n = 0; n < 2; n++) {
            LossRank scratch[2];
            LossValue value;
            row_of(names[n])->batch(&knobs, 1, &pair[i], scratch, &value);
            const LossValue own = row_of("cdpo")->pair(&knobs, pair[i].policy[0] - pair[i].reference[0],
                                                       pair[i].policy[1] - pair[i].reference[1]);
            assert_true(fabs(value.value - own.value) < 1e-12 && fabs(value.d_chosen - own.d_chosen) < 1e-12 &&
                        fabs(value.d_rejected - own.d_rejected) < 1e-12);
        }
}

/* The order in which a batch's pairs come is no information. */
static void pairs_may_come_in_any_order(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint32_t item = 0; item < 200; item++) {
        PairSums pair[PAIRS], moved[PAIRS];
        LossValue value[PAIRS], after[PAIRS];
        size_t order[PAIRS];
        const RngAddress at = {.seed = seed, .stream = RNG_TEST, .round = 1, .item = item};
        fill(pair, seed, item);
        rng_permutation(&at, PAIRS, order);
        for (size_t i = 0; i < PAIRS; i++) moved[i] = pair[order[i]];
        for (size_t r = 0; r < preference_loss_count; r++) {
            const PreferenceLossRow *row = &preference_losses[r];
            if (row->batch == NULL) continue;
            assert_true(fabs(batch_mean(row, pair, value) - batch_mean(row, moved, after)) < 1e-12);
            for (size_t i = 0; i < PAIRS; i++)
                assert_true(fabs(after[i].d_chosen - value[order[i]].d_chosen) < 1e-12 &&
                            fabs(after[i].d_rejected - value[order[i]].d_rejected) < 1e-12);
        }
    }
}

/* The mean cdpo loss when reference i is paired with policy order[i]; aot: gaps, otherwise sides. */
static double coupled(const PairSums *pair, const size_t *order, bool gaps) {
    double sum = 0;
    for (size_t i = 0; i < PAIRS; i++) {
        const PairSums *a = &pair[i], *b = &pair[order[i]];
        double x = gaps ? a->policy[0] - a->policy[1] : a->policy[0] - a->reference[0];
        double y = gaps ? b->reference[0] - b->reference[1] : b->policy[1] - b->reference[1];
        sum += row_of("cdpo")->pair(&knobs, x, y).value;
    }
    return sum / PAIRS;
}

/* Every way to pair the two sides, one after another. */
static bool next_order(size_t *order) {
    size_t i = PAIRS - 1, k = PAIRS - 1;
    while (i > 0 && order[i - 1] > order[i]) i--;
    if (i == 0) return false;
    while (order[k] < order[i - 1]) k--;
    size_t t = order[i - 1];
    order[i - 1] = order[k], order[k] = t;
    for (size_t a = i, b = PAIRS - 1; a < b; a++, b--) t = order[a], order[a] = order[b], order[b] = t;
    return true;
}

/* Transport is optimal: of all ways to pair the sides, equal ranks cost least. */
static void equal_ranks_are_the_cheapest_transport(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    size_t worse = 0, ways = 0;
    for (uint32_t item = 0; item < 100; item++) {
        PairSums pair[PAIRS];
        LossValue value[PAIRS];
        fill(pair, seed, item);
        for (int gaps = 0; gaps < 2; gaps++) {
            double own = batch_mean(row_of(gaps ? "aot" : "aot_unpaired"), pair, value), least = INFINITY;
            size_t order[PAIRS] = {0, 1, 2, 3, 4};
            do {
                double cost = coupled(pair, order, gaps);
                least = fmin(least, cost);
                worse += cost > own + 1e-9, ways++; // planted: most other ways cost more
            } while (next_order(order));
            assert_true(fabs(own - least) < 1e-12);
        }
    }
    assert_true(ways == 200 * 120 && worse > ways / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(a_batch_of_one_is_a_pair),
        cmocka_unit_test(pairs_may_come_in_any_order),
        cmocka_unit_test(equal_ranks_are_the_cheapest_transport),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
