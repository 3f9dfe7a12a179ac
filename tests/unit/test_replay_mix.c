#include "align/replay_mix.h"
#include "base/json.h"
#include "test.h"

#include <math.h>
#include <string.h>

static size_t whole(const json_t *row, const char *key) {
    return (size_t)json_integer_value(json_object_get(row, key));
}

static void counts_as_the_exact_arithmetic(void **state) {
    (void)state;
    Error error = {0};
    json_t *json = json_parse_file("tests/data/dice.json", &error), *row;
    if (json == NULL) fail_msg("%s", error.message);
    size_t i, naive_differs = 0;
    json_array_foreach(json_object_get(json, "replay"), i, row) {
        double gamma = json_number_value(json_object_get(row, "gamma"));
        ReplayCounts c;
        assert_int_equal(
            replay_mix_counts(whole(row, "offline_rows"), whole(row, "generated_available"), gamma, &c, &error), 0);
        if (c.generated != whole(row, "generated") || c.offline != whole(row, "offline"))
            fail_msg("row %zu: %zu generated, %zu offline", i, c.generated, c.offline);
        naive_differs += gamma < 1 && c.offline != (size_t)floor(gamma * (double)c.generated / (1 - gamma));
    }
    assert_true(i == 240 && naive_differs > 0); // the planted fault: plain floating point must be caught by these rows
    json_decref(json);
}

static void refuses_what_is_no_share(void **state) {
    (void)state;
    ReplayCounts c;
    Error error = {0};
    const double bad[] = {-0.1, 1.1, NAN};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(replay_mix_counts(1, 1, bad[i], &c, &error), -1);
        assert_int_equal(error.code, ERROR_USAGE);
    }
}

/* No row twice, no offline row of a drawn generated prompt, the same draw for the same seed, another for another. */
static void draws_disjoint_prompts(void **state) {
    (void)state;
    enum { N = 100, G = 80 };
    uint64_t seed = test_seed();
    size_t prompt_of_generated[G], prompt_of_offline[N], g[G], o[N], g2[G], o2[N];
    for (size_t i = 0; i < G; i++) prompt_of_generated[i] = i;
    for (size_t i = 0; i < N; i++) prompt_of_offline[i] = i;
    ReplayCounts c, c2;
    assert_int_equal(replay_mix_draw(prompt_of_generated, G, prompt_of_offline, N, N, 0.5, seed, 1, g, o, &c, NULL), 0);
    assert_int_equal(c.generated, 50);
    assert_int_equal(c.offline, 50);
    unsigned char seen[N] = {0};
    for (size_t i = 0; i < c.generated; i++) assert_int_equal(seen[g[i]]++, 0);
    for (size_t i = 0; i < c.offline; i++) assert_int_equal(seen[o[i]]++, 0);
    assert_int_equal(replay_mix_draw(prompt_of_generated, G, prompt_of_offline, N, N, 0.5, seed, 1, g2, o2, &c2, NULL),
                     0);
    assert_memory_equal(g, g2, sizeof g);
    assert_memory_equal(o, o2, c.offline * sizeof *o);
    assert_int_equal(replay_mix_draw(prompt_of_generated, G, prompt_of_offline, N, N, 0.5, seed, 2, g2, o2, &c2, NULL),
                     0);
    assert_true(memcmp(g, g2, sizeof g) != 0);
}

static void gamma_one_is_offline_only(void **state) {
    (void)state;
    const size_t prompt[3] = {0, 1, 2};
    size_t g[3], o[3];
    ReplayCounts c;
    assert_int_equal(replay_mix_draw(prompt, 3, prompt, 3, 3, 1, 7, 1, g, o, &c, NULL), 0);
    assert_true(c.generated == 0 && c.offline == 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_as_the_exact_arithmetic), cmocka_unit_test(refuses_what_is_no_share),
        cmocka_unit_test(draws_disjoint_prompts), cmocka_unit_test(gamma_one_is_offline_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
