#include "base/arena.h"
#include "test.h"

#include "base/rng.h"

#include <string.h>

/* One list of pieces, run twice: counted, then taken. */
static void take_list(Arena *arena, const size_t *count, const size_t *element, size_t pieces, void **out) {
    for (size_t i = 0; i < pieces; i++) out[i] = arena_take(arena, count[i], element[i]);
}

static void what_is_counted_is_what_is_taken(void **state) {
    (void)state;
    enum { PIECES = 40 };
    const RngAddress address = {.seed = test_seed()};
    size_t count[PIECES], element[PIECES];
    void *piece[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        count[i] = (size_t)(200 * rng_uniform(&address, (uint32_t)(2 * i)));
        element[i] = (size_t[]){1, 2, 4, 8, 24}[(size_t)(5 * rng_uniform(&address, (uint32_t)(2 * i + 1)))];
    }
    Arena plan = arena_counting(), arena;
    take_list(&plan, count, element, PIECES, piece);
    for (size_t i = 0; i < PIECES; i++) assert_null(piece[i]);
    Error error;
    assert_int_equal(arena_create(&arena, plan.used, &error), 0);
    take_list(&arena, count, element, PIECES, piece);
    assert_int_equal(arena.used, plan.used);
    for (size_t i = 0; i < PIECES; i++) {
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 64, 0);
        unsigned char *bytes = piece[i];
        for (size_t b = 0; b < count[i] * element[i]; b++) {
            assert_int_equal(bytes[b], 0); // zeroed, and no other piece has written here
            bytes[b] = (unsigned char)(i + 1);
        }
    }
    assert_null(arena_take(&arena, 1, 1)); // nothing is left
    arena_destroy(&arena);
    assert_null(arena.block);
}

static void sizes_that_wrap_around_are_refused(void **state) {
    (void)state;
    const size_t huge[][2] = {{SIZE_MAX, 2}, {SIZE_MAX / 4 + 1, 4}, {SIZE_MAX, 1}, {SIZE_MAX - 62, 1}};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        Arena plan = arena_counting();
        assert_null(arena_take(&plan, 10, 4));
        assert_null(arena_take(&plan, huge[i][0], huge[i][1]));
        assert_int_equal(plan.used, SIZE_MAX); // which no machine can allocate
        Error error;
        Arena arena;
        assert_int_equal(arena_create(&arena, plan.used, &error), -1);
        assert_int_equal(error.code, ERROR_MEMORY);
        assert_non_null(strstr(error.message, "dice plan"));
    }
    Arena small;
    Error error;
    assert_int_equal(arena_create(&small, 128, &error), 0);
    assert_null(arena_take(&small, SIZE_MAX, 2));
    assert_null(arena_take(&small, 129, 1));
    assert_int_equal(small.used, 0); // a refusal takes nothing
    assert_non_null(arena_take(&small, 128, 1));
    arena_destroy(&small);
}

static void scratch_is_given_back(void **state) {
    (void)state;
    Arena arena;
    Error error;
    assert_int_equal(arena_create(&arena, 192, &error), 0);
    void *kept = arena_take(&arena, 1, 64);
    size_t mark = arena_mark(&arena);
    void *scratch = arena_take(&arena, 2, 64);
    assert_null(arena_take(&arena, 1, 1));
    arena_rewind(&arena, mark);
    assert_ptr_equal(arena_take(&arena, 2, 64), scratch);
    assert_ptr_not_equal(kept, scratch);
    arena_destroy(&arena);
    arena_destroy(&arena); // twice is fine
}

static void an_empty_arena_has_nothing(void **state) {
    (void)state;
    Arena arena;
    Error error;
    assert_int_equal(arena_create(&arena, 0, &error), 0);
    assert_null(arena_take(&arena, 1, 1));
    arena_destroy(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted_is_what_is_taken),
        cmocka_unit_test(sizes_that_wrap_around_are_refused),
        cmocka_unit_test(scratch_is_given_back),
        cmocka_unit_test(an_empty_arena_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
