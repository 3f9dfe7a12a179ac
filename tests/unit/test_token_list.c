#include "test.h"
#include "text/token_list.h"

#include <string.h>

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

static void names_an_id_of_another_vocabulary(void **state) {
    (void)state;
    TokenList list = {0};
    Error error = {0};
    token_list_append(&list, (const int32_t[]){0, 6, 7}, 3);
    assert_int_equal(token_list_check(&list, 8, &error), 0);
    assert_int_equal(token_list_check(&list, 7, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "token 7 is outside the model's vocabulary of 7"));
    token_list_push(&list, -1);
    assert_int_equal(token_list_check(&list, 8, &error), -1);
    token_list_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(grows_and_keeps_content),
                                       cmocka_unit_test(refuses_what_memory_cannot_hold),
                                       cmocka_unit_test(names_an_id_of_another_vocabulary)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
