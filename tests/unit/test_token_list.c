#include "test.h"
#include "text/token_list.h"

static void grows_and_keeps_content(void **state) {
    (void)state;
    TokenList list = {0};
    int32_t more[100];
    for (int32_t i = 0; i < 1000; i++) token_list_push(&list, i);
    for (int32_t i = 0; i < 100; i++) more[i] = 1000 + i;
    token_list_append(&list, more, 100);
    token_list_append(&list, NULL, 0);
    assert_int_equal(list.count, 1100);
    assert_true(list.capacity >= list.count && !list.failed);
    for (int32_t i = 0; i < 1100; i++) assert_int_equal(list.data[i], i);
    token_list_clear(&list);
    assert_int_equal(list.count, 0);
    token_list_free(&list);
    assert_null(list.data);
}

static void refuses_what_memory_cannot_hold(void **state) {
    (void)state;
    TokenList list = {0};
    token_list_push(&list, 7);
    assert_false(token_list_reserve(&list, SIZE_MAX));
    assert_false(token_list_reserve(&list, SIZE_MAX / 4));
    assert_true(list.failed);
    assert_int_equal(list.data[0], 7);
    assert_int_equal(list.count, 1);
    token_list_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(grows_and_keeps_content),
                                       cmocka_unit_test(refuses_what_memory_cannot_hold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
