#include "cli/training_recipe.h"
#include "test.h"

#include <string.h>

static int read_sets(Recipe *recipe, const char **set, size_t sets, Error *error) {
    static const char *const preset[] = {"train.beta=0.3", "reward.response_end=template"};
    const CommonOptions common = {.precision = "float32"};
    const Session session = {.common = &common};
    const OptionList list = {.item = set, .count = sets};
    return training_recipe_read(recipe, &session, "start model", "out", "rows.jsonl", preset, 2, &list, error);
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

/* The rules of the recipe, within what the model can hold. */
static void rules_are_those_of_the_recipe(void **state) {
    (void)state;
    Recipe recipe;
    Error error;
    const HfConfig config = {.max_positions = 100, .vocabulary = 321};
    const Chat chat = {0};
    const char *set[] = {"data.max_tokens=40", "data.overlong=keep_end", "data.system=Be brief.", "data.chat=always"};
    if (read_sets(&recipe, set, 4, &error) != 0) fail_msg("%s", error.message);
    EncodeRules rules = training_recipe_rules(&recipe, &chat, &config);
    assert_true(rules.max_tokens == 40 && rules.vocabulary == 321 && rules.overlong == OVERLONG_KEEP_END && rules.wrap);
    assert_true(rules.end == CHAT_END_TEMPLATE && rules.chat == &chat);
    assert_string_equal(rules.system, "Be brief.");
    recipe_free(&recipe);
    if (read_sets(&recipe, NULL, 0, &error) != 0) fail_msg("%s", error.message);
    rules = training_recipe_rules(&recipe, &chat, &config);
    assert_true(rules.max_tokens == 100 && rules.overlong == OVERLONG_DROP && !rules.wrap); // no template to wrap with
    recipe_free(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_word_counts), cmocka_unit_test(wrong_keys_are_named),
                                       cmocka_unit_test(rules_are_those_of_the_recipe)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
