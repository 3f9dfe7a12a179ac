#include "model/cost.h"
#include "test.h"
#include <math.h>

/* SmolLM2-135M by hand: 30 layers of 576 x (576 + 2 x 192) + 576 x 576 + 3 x 576 x 1536 weights; head 49152 x 576. */
static const HfConfig smollm2 = {.layers = 30,
                                 .channels = 576,
                                 .heads = 9,
                                 .kv_heads = 3,
                                 .head_dim = 64,
                                 .feed_forward = 1536,
                                 .vocabulary = 49152,
                                 .tied_head = true};

static void smollm2_costs_what_it_costs(void **state) {
    (void)state;
    assert_true(cost_body_weights(&smollm2) == 106168320.0);
    assert_true(cost_all_weights(&smollm2) == 134515008.0);
    assert_true(cost_forward(&smollm2, 1, 0, 0) == 212336640.0);
    assert_true(cost_forward(&smollm2, 0, 0, 1) == 56623104.0);
    assert_true(cost_forward(&smollm2, 1, 100, 0) - 212336640.0 == 4.0 * 100 * 576 * 30);
}

static void an_untied_head_is_counted(void **state) {
    (void)state;
    HfConfig untied = smollm2;
    untied.tied_head = false;
    assert_true(cost_all_weights(&untied) - cost_all_weights(&smollm2) == 49152.0 * 576);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(smollm2_costs_what_it_costs),
                                       cmocka_unit_test(an_untied_head_is_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
