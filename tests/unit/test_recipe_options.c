#include "cli/recipe_options.h"
#include "test.h"

#include <string.h>

static int read_sets(Recipe *recipe, const char **set, size_t sets, Error *error) {
    static const char *const preset[] = {"train.beta=0.3", "reward.response_end=template"};
    const CommonOptions common = {.precision = "float32"};
    const Session session = {.common = &common};
    const OptionList list = {.item = set, .count = sets};
    return recipe_options_read(recipe, &session, "start model", "out", "rows.jsonl", preset, 2, &list, error);
}

/* The user's --set counts more than a preset, which counts more than a default. */
static void the_last_word_counts(void **state) {
    (void)state;
    Recipe recipe;
    Error error;
    if (read_sets(&recipe, (const char *[]){"train.loss=ipo", "reward.response_end=stop_token"}, 2, &error) != 0)
        fail_msg("%s", error.message);
    assert_string_equal(recipe.train.loss, "ipo");
    assert_true(recipe.train.beta == 0.3 && recipe.train.ld_alpha == 1);
    assert_int_equal(recipe.reward.response_end, RECIPE_RESPONSE_END_STOP_TOKEN);
    assert_int_equal(recipe.precision, RECIPE_PRECISION_FLOAT32);
    assert_non_null(strstr(recipe.model, "start model"));
    recipe_free(&recipe);
    if (read_sets(&recipe, NULL, 0, &error) != 0) fail_msg("%s", error.message);
    assert_string_equal(recipe.train.loss, "sigmoid");
    assert_int_equal(recipe.reward.response_end, RECIPE_RESPONSE_END_TEMPLATE);
    recipe_free(&recipe);
}

static void wrong_keys_are_named(void **state) {
    (void)state;
    Recipe recipe;
    Error error;
    assert_int_equal(read_sets(&recipe, (const char *[]){"train.los=ipo"}, 1, &error), -1);
    assert_int_equal(error.code, ERROR_USAGE);
    assert_string_equal(error.message, "--set: unknown key \"train.los\"; did you mean \"train.loss\"?");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_word_counts), cmocka_unit_test(wrong_keys_are_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
