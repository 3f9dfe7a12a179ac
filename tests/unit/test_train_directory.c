#include "base/file.h"
#include "cli/train_directory.h"
#include "test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static char directory[64], *inside;
static Error error;

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-train-XXXXXX");
    if (mkdtemp(directory) == NULL || (inside = file_join(directory, "out.checkpoints")) == NULL) return -1;
    return train_directory_claim(inside, "train.beta: 0.1\nseed: 0\n", &error);
}

static int teardown(void **state) {
    (void)state;
    free(inside);
    return file_remove_tree(directory, &error);
}

static void make(const char *name) {
    char *path = file_join(inside, name);
    assert_int_equal(file_make_directory(path, &error), 0);
    free(path);
}

static bool is_there(const char *name) {
    char *path = file_join(inside, name);
    bool there = file_exists(path);
    free(path);
    return there;
}

static void another_training_is_refused(void **state) {
    (void)state;
    assert_int_equal(train_directory_claim(inside, "train.beta: 0.1\nseed: 0\n", &error), 0);
    assert_int_equal(train_directory_claim(inside, "train.beta: 0.2\nseed: 0\n", &error), -1);
    assert_int_equal(error.code, ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "out.checkpoints belongs to another training"));
    assert_non_null(strstr(error.message, "train.beta: 0.1 -> 0.2"));
    assert_null(strstr(error.message, "seed"));
}

/* By number, not by name, and never one that was half written. */
static void the_newest_is_found(void **state) {
    (void)state;
    char *found;
    size_t step = 7;
    assert_int_equal(train_directory_newest(inside, &found, &step, &error), 0);
    assert_true(found == NULL && step == 0);
    make("step-999999"), make("step-1000000"), make("step-2000000.partial"), make("other");
    assert_int_equal(train_directory_newest(inside, &found, &step, &error), 0);
    assert_int_equal(step, 1000000);
    assert_string_equal(strrchr(found, '/'), "/step-1000000");
    free(found);
}

static void only_the_named_one_stays(void **state) {
    (void)state;
    make("step-000010"), make("step-000020"), make("step-000030.partial"), make("other");
    assert_int_equal(train_directory_keep(inside, "step-000020", &error), 0);
    assert_true(is_there("step-000020") && is_there("other") && is_there("recipe.txt"));
    assert_false(is_there("step-000010") || is_there("step-000030.partial"));
    assert_int_equal(train_directory_keep(inside, "", &error), 0);
    assert_true(!is_there("step-000020") && is_there("other"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(another_training_is_refused), TEST(the_newest_is_found),
                                       TEST(only_the_named_one_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
