#include "formats/recipe_parity.h"
#include "test.h"
#include <string.h>

#define BASE "model: m\noutput: o\ndata: {offline: d.jsonl}\n"

static void load(Recipe *r, const char *text, const char *set) {
    Error error = {0};
    assert_int_equal(recipe_parse(r, text, strlen(text), "r.yaml", "", &set, set != NULL, &error), 0);
}

static const char *describe(const Recipe *r, Buffer *out) {
    buffer_clear(out);
    recipe_parity_describe(r, out);
    return out->data == NULL ? "" : out->data;
}

/* [RP-1] A mode wins over the file and over --set, and names every key it sets. */
static void a_mode_sets_its_keys_and_says_so(void **state) {
    (void)state;
    Recipe r;
    Buffer text = {0};
    load(&r, BASE "parity: dice\nreward: {alpha: exact, min_gap_noise: 2}\n", "sample.all=false");
    assert_true(r.reward.alpha == RECIPE_ALPHA_GRID && r.sample.all && r.reward.min_gap_noise == 0);
    assert_non_null(strstr(describe(&r, &text), "parity dice sets"));
    assert_non_null(strstr(text.data, "reward.alpha: grid "));
    assert_non_null(strstr(text.data, "sample.all: true "));
    assert_null(strstr(text.data, "data.overlong"));
    recipe_free(&r);
    load(&r, BASE, "parity=trl-1.x");
    assert_true(r.reward.response_end == RECIPE_RESPONSE_END_TEMPLATE && r.data.overlong == RECIPE_OVERLONG_KEEP_START);
    assert_true(r.reward.alpha == RECIPE_ALPHA_EXACT); // not TRL's business
    assert_non_null(strstr(describe(&r, &text), "reward.response_end: template "));
    recipe_free(&r);
    buffer_free(&text);
}

static void no_mode_changes_nothing(void **state) {
    (void)state;
    Recipe r;
    Buffer text = {0};
    load(&r, BASE "reward: {min_gap_noise: 2}\n", NULL);
    assert_true(r.reward.min_gap_noise == 2 && !r.sample.all);
    assert_string_equal(describe(&r, &text), "");
    recipe_free(&r);
    buffer_free(&text);
}

static void an_unknown_mode_is_refused(void **state) {
    (void)state;
    Recipe r;
    Error error = {0};
    const char *text = BASE "parity: trl-0.9\n";
    assert_int_equal(recipe_parse(&r, text, strlen(text), "r.yaml", "", NULL, 0, &error), -1);
    assert_int_equal(error.code, ERROR_USAGE);
    assert_non_null(strstr(error.message, "one of none, trl-1.x, dice"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_mode_sets_its_keys_and_says_so),
                                       cmocka_unit_test(no_mode_changes_nothing),
                                       cmocka_unit_test(an_unknown_mode_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
