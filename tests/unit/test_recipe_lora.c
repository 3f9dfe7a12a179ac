#include "base/file.h"
#include "formats/recipe.h"
#include "test.h"

#include <string.h>

static Error error;

/* The adapter that a recipe with these overrides asks for; -1: refused, by the recipe or by recipe_lora. */
static int lora_of(const char *const *sets, size_t n, LoraSettings *settings) {
    static const char *const text = "model: m\noutput: o\ndata: {offline: p}\n";
    Recipe recipe;
    error = (Error){0};
    if (recipe_parse(&recipe, text, strlen(text), "r.yaml", ".", sets, n, &error) != 0) return -1;
    int result = recipe_lora(&recipe, settings, &error);
    recipe_free(&recipe);
    return result;
}

static void is_off_unless_asked_for(void **state) {
    (void)state;
    LoraSettings s;
    assert_int_equal(lora_of(NULL, 0, &s), 0);
    assert_int_equal(s.r, 0);
}

static void has_what_the_keys_say(void **state) {
    (void)state;
    LoraSettings s;
    const char *const plain[] = {"lora.r=8"}, *const full[] = {"lora.r=16", "lora.alpha=24", "lora.dropout=0.05",
                                                               "lora.rslora=true",
                                                               "lora.target_modules=[q_proj, mlp.down_proj]"};
    assert_int_equal(lora_of(plain, 1, &s), 0);
    assert_true(s.r == 8 && s.alpha == 16 && s.dropout == 0 && !s.rslora && s.targets == PEFT_ALL_LINEAR);
    assert_int_equal(lora_of(full, 5, &s), 0);
    assert_true(s.r == 16 && s.alpha == 24 && s.dropout == 0.05 && s.rslora);
    assert_true(s.targets == (1u << PEFT_Q | 1u << PEFT_DOWN));
}

static void follows_the_adapter_that_is_given(void **state) {
    (void)state;
    char directory[] = "/tmp/dice-lora-XXXXXX", adapter[64];
    const LoraSettings made = {.r = 4, .alpha = 9, .dropout = 0.5, .targets = 1u << PEFT_V};
    LoraSettings s;
    assert_non_null(mkdtemp(directory));
    snprintf(adapter, sizeof adapter, "lora.adapter=%s", directory);
    const char *const sets[] = {adapter, "lora.dropout=0.1", "lora.r=8"};
    assert_int_equal(lora_of(sets, 1, &s), -1);
    assert_true(error.code == ERROR_IO && strstr(error.message, "adapter_config.json") != NULL);
    assert_int_equal(peft_adapter_write_config(directory, &made, "b", &error), 0);
    assert_int_equal(lora_of(sets, 2, &s), 0);
    assert_true(s.r == 4 && s.alpha == 9 && s.dropout == 0.1 && s.targets == 1u << PEFT_V);
    assert_int_equal(lora_of(sets, 3, &s), -1);
    assert_true(error.code == ERROR_USAGE && strstr(error.message, "lora.r is 8") != NULL);
    file_remove_tree(directory, NULL);
}

static void refuses_modules_that_are_not_there(void **state) {
    (void)state;
    LoraSettings s;
    const char *const head[] = {"lora.r=8", "lora.target_modules=[q_proj, lm_head]"};
    assert_int_equal(lora_of(head, 2, &s), -1);
    if (error.code != ERROR_USAGE || strstr(error.message, "lora.target_modules") == NULL ||
        strstr(error.message, "\"lm_head\"") == NULL)
        fail_msg("%s", error.message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_off_unless_asked_for), cmocka_unit_test(has_what_the_keys_say),
        cmocka_unit_test(follows_the_adapter_that_is_given), cmocka_unit_test(refuses_modules_that_are_not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
