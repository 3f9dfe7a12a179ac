#include "kernel_cases.h"
#include "sample/sampler.h"

#include <math.h>
#include <string.h>

enum { V = 53, ROWS = 7, DRAWS = 400 };

static float logits[ROWS][V];

static Sampler make(Arena *arena, const KernelTable *kernels) {
    Sampler s = {.kernels = kernels, .filter = {0.8f, 20, 0.95f, 0, 1.2f}, .vocabulary = V};
    *arena = arena_counting();
    sampler_carve(&s, arena);
    assert_int_equal(arena_create(arena, arena->used, NULL), 0);
    sampler_carve(&s, arena);
    return s;
}

/* Draw i of the list, whatever its place in the list. */
static SamplerDraw draw(size_t i, SampledToken *token) {
    static int32_t seen[3] = {1, 4, 9};
    return (SamplerDraw){.logits = logits[i % ROWS],
                         .seen = {seen, i % 4},
                         .address = {.seed = 5, .stream = RNG_SAMPLE, .item = (uint32_t)i / 16, .k = (uint32_t)i % 16},
                         .position = (uint32_t)i % 11,
                         .token = &token[i]};
}

/* [SA-1] */
static void draws_do_not_depend_on_company(const KernelTable *kernels) {
    kernel_cases_fill(ROWS * V, logits[0], 3);
    Arena arena;
    Sampler s = make(&arena, kernels);
    static SampledToken together[DRAWS], alone[DRAWS];
    static SamplerDraw list[DRAWS];
    for (size_t i = 0; i < DRAWS; i++) list[i] = draw((i * 7) % DRAWS, together);
    assert_int_equal(sampler_draw(&s, list, DRAWS, NULL), 0);
    size_t moved = 0; // the planted fault: another position gives other tokens
    for (size_t i = 0; i < DRAWS; i++) {
        SamplerDraw d = draw(i, alone);
        assert_int_equal(sampler_draw(&s, &d, 1, NULL), 0);
        assert_memory_equal(&together[i], &alone[i], sizeof *alone);
        d.position++;
        assert_int_equal(sampler_draw(&s, &d, 1, NULL), 0);
        moved += together[i].token != alone[i].token;
    }
    assert_true(moved > DRAWS / 2);
    arena_destroy(&arena);
}

static void in_any_company(void **state) {
    (void)state;
    kernel_cases_each(draws_do_not_depend_on_company);
}

static void names_the_place_of_a_nan(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -NAN};
    KernelTable kernels;
    assert_int_equal(kernel_table_create(&kernels, 2, NULL), 0);
    Arena arena;
    Sampler s = make(&arena, &kernels);
    for (size_t at = 0; at < V; at += 13)
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            kernel_cases_fill(ROWS * V, logits[0], 3);
            SampledToken token[40];
            SamplerDraw list[40];
            for (size_t i = 0; i < 40; i++) list[i] = draw(i, token);
            logits[6][at] = bad[b];
            Error error = {0};
            assert_int_equal(sampler_draw(&s, list, 40, &error), -1);
            assert_int_equal(error.code, ERROR_NUMERIC);
            assert_non_null(strstr(error.message, "prompt 0, response 6, token 6"));
        }
    arena_destroy(&arena);
}

static void keeps_what_was_seen_once(void **state) {
    (void)state;
    int32_t ids[8];
    SeenTokens seen = {.ids = ids};
    static const int32_t text[] = {3, 3, 7, 3, 9, 7};
    for (size_t i = 0; i < 6; i++) sampler_see(&seen, text[i]);
    assert_int_equal(seen.count, 3);
    assert_memory_equal(ids, ((int32_t[]){3, 7, 9}), 12);
    static const int32_t stop[] = {11, 12};
    Sampler s = {.stop = stop, .stop_count = 2, .filter.repetition_penalty = 1};
    assert_true(sampler_stops(&s, 12) && !sampler_stops(&s, 10));
    assert_false(sampler_needs_seen(&s));
    s.filter.repetition_penalty = 1.1f;
    assert_true(sampler_needs_seen(&s));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_any_company), cmocka_unit_test(names_the_place_of_a_nan),
                                       cmocka_unit_test(keeps_what_was_seen_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
