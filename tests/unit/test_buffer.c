#include "base/buffer.h"
#include "test.h"

#include "base/rng.h"

#include <string.h>

/* Appends of random lengths, some of zero bytes and some with zeros in them, against a copy kept apart. */
static void appends_follow_one_another(void **state) {
    (void)state;
    const RngAddress address = {.seed = test_seed()};
    Buffer buffer = {0};
    char *copy = malloc(300 * 100);
    size_t size = 0;
    for (uint32_t i = 0; i < 300; i++) {
        size_t n = (size_t)(100 * rng_uniform(&address, i));
        for (size_t j = 0; j < n; j++) copy[size + j] = (char)(i + j);
        buffer_append(&buffer, copy + size, n);
        size += n;
        assert_int_equal(buffer.size, size);
        assert_int_equal(buffer.data[size], 0);
        assert_true(buffer.capacity > size);
    }
    assert_memory_equal(buffer.data, copy, size);
    buffer_free(&buffer);
    free(copy);
}

static void texts_are_formatted_behind(void **state) {
    (void)state;
    Buffer buffer = {0};
    char expected[4096] = "";
    for (int i = 0; i < 200; i++) {
        buffer_format(&buffer, "%d,%s;", i, i % 7 == 0 ? "" : "abc");
        sprintf(expected + strlen(expected), "%d,%s;", i, i % 7 == 0 ? "" : "abc");
    }
    buffer_append_text(&buffer, "end");
    strcat(expected, "end");
    assert_string_equal(buffer.data, expected);
    size_t capacity = buffer.capacity;
    buffer_clear(&buffer);
    assert_string_equal(buffer.data, "");
    assert_int_equal(buffer.size, 0);
    assert_int_equal(buffer.capacity, capacity);
    buffer_free(&buffer);
}

/* What cannot grow keeps its content, and goes on failing until it is cleared. */
static void a_failure_stays(void **state) {
    (void)state;
    Buffer buffer = {0};
    buffer_append_text(&buffer, "kept");
    buffer_append(&buffer, "x", SIZE_MAX / 2);
    assert_true(buffer.failed);
    buffer_append_text(&buffer, "more");
    buffer_format(&buffer, "%d", 1);
    assert_string_equal(buffer.data, "kept");
    buffer_clear(&buffer);
    buffer_append_text(&buffer, "again");
    assert_false(buffer.failed);
    assert_string_equal(buffer.data, "again");
    buffer.failed = true;
    assert_null(buffer_take(&buffer)); // and frees
    assert_null(buffer.data);
}

static void taking_hands_over(void **state) {
    (void)state;
    Buffer buffer = {0};
    char *empty = buffer_take(&buffer);
    assert_string_equal(empty, "");
    free(empty);
    buffer_append_text(&buffer, "mine");
    char *text = buffer_take(&buffer);
    assert_string_equal(text, "mine");
    assert_null(buffer.data);
    assert_int_equal(buffer.size, 0);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_follow_one_another),
        cmocka_unit_test(texts_are_formatted_behind),
        cmocka_unit_test(a_failure_stays),
        cmocka_unit_test(taking_hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
