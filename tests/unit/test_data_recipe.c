#include "align/data_recipe.h"
#include "test.h"

#include <string.h>

static Recipe recipe_of(const char *const *set, size_t sets) {
    static const char text[] = "model: m\noutput: o\ndata: {offline: p}\n";
    Recipe recipe;
    Error error;
    if (recipe_parse(&recipe, text, strlen(text), "r.yaml", ".", set, sets, &error) != 0) fail_msg("%s", error.message);
    return recipe;
}

/* The rules of the recipe, within what the model can hold. */
static void rules_are_those_of_the_recipe(void **state) {
    (void)state;
    static const char *const set[] = {"data.max_tokens=40",        "data.overlong=keep_end",
                                      "data.system=Be brief.",     "data.chat=always",
                                      "data.deduplicate=true",     "reward.response_end=template",
                                      "data.max_prompt_tokens=30", "data.overlong_prompt=keep_start"};
    const HfConfig config = {.max_positions = 100, .vocabulary = 321};
    const Chat chat = {0};
    Recipe recipe = recipe_of(set, sizeof set / sizeof *set);
    EncodeRules rules = data_recipe_rules(&recipe, &chat, &config);
    assert_true(rules.max_tokens == 40 && rules.vocabulary == 321 && rules.overlong == OVERLONG_KEEP_END && rules.wrap);
    assert_true(rules.max_prompt_tokens == 30 && rules.overlong_prompt == OVERLONG_KEEP_START);
    assert_true(rules.end == CHAT_END_TEMPLATE && rules.chat == &chat && rules.deduplicate && !rules.keep_all);
    assert_string_equal(rules.system, "Be brief.");
    recipe_free(&recipe);
    recipe = recipe_of(NULL, 0);
    rules = data_recipe_rules(&recipe, &chat, &config);
    assert_true(rules.max_tokens == 100 && rules.overlong == OVERLONG_DROP && rules.end == CHAT_END_STOP);
    assert_false(rules.wrap); // there is no template to wrap with
    recipe_free(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rules_are_those_of_the_recipe)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
