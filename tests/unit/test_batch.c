#include "base/rng.h"
#include "model/batch.h"
#include "test.h"

#include <string.h>

static Batch batch;

static void add(const int32_t *ids, size_t length, size_t *trunk) {
    Error error = {0};
    if (batch_add_trunk(&batch, ids, length, trunk, &error) != 0) fail_msg("%s", error.message);
}

static void branch(size_t trunk, const int32_t *ids, size_t length) {
    Error error = {0};
    if (batch_add_branch(&batch, trunk, ids, length, &error) != 0) fail_msg("%s", error.message);
}

/* Two prompts, the second's branch added before another one of the first. */
static void packs_trunks_and_branches(void **state) {
    (void)state;
    size_t a, b;
    add((int32_t[]){5, 6, 7}, 3, &a);
    branch(a, (int32_t[]){10, 11}, 2);
    add((int32_t[]){8}, 1, &b);
    branch(b, (int32_t[]){20}, 1);
    branch(a, (int32_t[]){30, 31}, 2);
    assert_int_equal(batch_finish(&batch, NULL), 0);
    const int32_t token[] = {5, 6, 7, 10, 11, 8, 20, 30, 31}, position[] = {0, 1, 2, 3, 4, 0, 1, 3, 4};
    assert_int_equal(batch.rows, 9);
    assert_memory_equal(batch.token, token, sizeof token);
    assert_memory_equal(batch.position, position, sizeof position);
    assert_int_equal(batch.segments, 5);
    assert_int_equal(batch.segment[4].parent, 0);
    assert_int_equal(batch.segment[3].parent, 2);
    assert_int_equal(batch.segment[0].parent, -1);
    assert_true(batch.branch[1].segment == 3 && batch.branch[1].first_target == 2 && batch.branch[1].length == 1);
    /* Row 2 predicts 10 and 30, row 3 predicts 11, row 5 predicts 20, row 7 predicts 31; rows 0, 1, 4, 6, 8 nothing. */
    const int32_t head_row[] = {2, 3, 5, 7}, order[] = {0, 3, 1, 2, 4};
    const TokenTarget sorted[] = {{0, 10}, {0, 30}, {1, 11}, {2, 20}, {3, 31}};
    assert_int_equal(batch.head_rows, 4);
    assert_memory_equal(batch.head_row, head_row, sizeof head_row);
    assert_int_equal(batch.targets, 5);
    assert_memory_equal(batch.order, order, sizeof order);
    assert_memory_equal(batch.sorted, sorted, sizeof sorted);
    batch_clear(&batch);
}

static void refuses_empty_segments(void **state) {
    (void)state;
    Error error = {0};
    size_t trunk;
    int32_t id = 1;
    assert_int_equal(batch_add_trunk(&batch, &id, 0, &trunk, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    add(&id, 1, &trunk);
    assert_int_equal(batch_add_branch(&batch, trunk, &id, 0, &error), -1);
    assert_non_null(strstr(error.message, "response has no tokens"));
    assert_int_equal(batch_finish(&batch, &error), 0); // a batch of prompts alone is fine: nothing is predicted
    assert_true(batch.targets == 0 && batch.head_rows == 0);
    batch_clear(&batch);
}

/* The invariants of the head's view; counts how many entries break them. */
static size_t breaches(const Batch *x) {
    size_t bad = 0;
    for (size_t i = 0; i < x->targets; i++) {
        bad += i > 0 && x->sorted[i - 1].row > x->sorted[i].row; // [BA-2]
        bad += i > 0 && x->sorted[i - 1].row == x->sorted[i].row && x->order[i - 1] >= x->order[i];
        size_t b = 0, target = (size_t)x->order[i];
        while (x->branch[b].first_target + x->branch[b].length <= target) b++; // [BA-1]
        size_t at = target - x->branch[b].first_target, row = x->segment[x->branch[b].segment].query_row + at;
        size_t head = (size_t)x->head_row[x->sorted[i].row];
        bad += x->sorted[i].token != x->token[row] || x->position[head] + 1 != x->position[row];
        bad += at > 0 ? head + 1 != row : x->segment[x->segment[x->branch[b].segment].parent].query_row > head;
    }
    return bad;
}

static void keeps_targets_in_order(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint32_t round = 0; round < 50; round++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = round};
        size_t trunk[8], trunks = 0;
        for (uint32_t s = 0; s < 40; s++) {
            int32_t ids[30];
            size_t length = 1 + rng_below(&a, 100 * s, 30);
            for (uint32_t i = 0; i < length; i++) ids[i] = (int32_t)rng_below(&a, 100 * s + 1 + i, 1000);
            if (trunks == 0 || (trunks < 8 && rng_below(&a, 100 * s + 50, 4) == 0))
                add(ids, length, &trunk[trunks++]);
            else
                branch(trunk[rng_below(&a, 100 * s + 51, trunks)], ids, length);
        }
        assert_int_equal(batch_finish(&batch, NULL), 0);
        assert_int_equal(breaches(&batch), 0);
        int32_t swapped = batch.order[0]; // planted: two targets change places
        batch.order[0] = batch.order[batch.targets - 1], batch.order[batch.targets - 1] = swapped;
        assert_true(breaches(&batch) > 0);
        batch_clear(&batch);
    }
}

static int release(void **state) {
    (void)state;
    batch_free(&batch);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(packs_trunks_and_branches),
                                       cmocka_unit_test(refuses_empty_segments),
                                       cmocka_unit_test(keeps_targets_in_order)};
    return cmocka_run_group_tests(tests, NULL, release);
}
