#include "formats/hf_rope.h"
#include "test.h"

#include <math.h>
#include <string.h>

static json_t *parse(const char *text) {
    Error error = {0};
    json_t *json = json_parse(text, strlen(text), "config.json", 1, &error);
    if (json == NULL) fail_msg("%s", error.message);
    return json;
}

static HfRope read_one(const char *text) {
    HfRope rope;
    Error error = {0};
    json_t *json = parse(text);
    if (hf_rope_read(json, 256, &rope, "config.json", &error) != 0) fail_msg("%s: %s", text, error.message);
    json_decref(json);
    return rope;
}

/* [HR-1] What is silent, and which of two descriptions holds. */
static void defaults(void **state) {
    (void)state;
    assert_true(read_one("{}").theta == 10000 && read_one("{\"rope_parameters\": null}").scaling == HF_ROPE_PLAIN);
    assert_true(read_one("{\"rope_theta\": 5, \"rope_scaling\": {}}").theta == 5);
    HfRope r =
        read_one("{\"rope_theta\": 5, \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2, \"low_freq_factor\": "
                 "1, \"high_freq_factor\": 4}}");
    assert_true(r.scaling == HF_ROPE_LLAMA3 && r.theta == 5 && r.original_positions == 256);
    r = read_one("{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"rope_parameters\": {\"rope_theta\": 7}}");
    assert_true(r.scaling == HF_ROPE_LINEAR && r.theta == 10000);
}

static void yarn(void **state) {
    (void)state;
    HfRope r = read_one("{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": null}}");
    assert_true(r.scaling == HF_ROPE_YARN && r.factor == 4 && r.original_positions == 256 && r.truncate);
    assert_true(r.beta_fast == 32 && r.beta_slow == 1 && fabs(r.attention_factor - (0.1 * log(4) + 1)) < 1e-15);
    r = read_one(
        "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 40, \"mscale\": 0.7, \"mscale_all_dim\": 1, "
        "\"original_max_position_embeddings\": 64, \"beta_fast\": 16, \"beta_slow\": 2, \"truncate\": false, "
        "\"rope_theta\": 1e6}}");
    assert_true(r.original_positions == 64 && r.beta_fast == 16 && r.beta_slow == 2 && !r.truncate && r.theta == 1e6);
    assert_true(fabs(r.attention_factor - 0.919155995204444) < 1e-14); // transformers' formula in numpy
    r = read_one("{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 1.5, \"mscale\": 2}}");
    assert_true(r.attention_factor == 1.5);
}

static void two(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double full, sliding;
        HfRopeScaling scaling;
    } cases[] = {
        {"{}", 1e6, 1e4, HF_ROPE_PLAIN},
        {"{\"rope_theta\": 3e5, \"rope_local_base_freq\": 5e3, \"rope_scaling\": {\"rope_type\": \"linear\", "
         "\"factor\": 8}}",
         3e5, 5e3, HF_ROPE_LINEAR},
        {"{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 8, \"rope_theta\": 7e5}, "
         "\"sliding_attention\": null}}",
         7e5, 1e4, HF_ROPE_LINEAR},
        {"{\"rope_parameters\": {\"sliding_attention\": {\"rope_theta\": 99, \"rope_type\": \"default\"}}}", 1e6, 99,
         HF_ROPE_PLAIN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HfRope rope[2];
        Error error = {0};
        json_t *json = parse(cases[i].text);
        if (hf_rope_read_two(json, 256, rope, "config.json", &error) != 0) fail_msg("%s", error.message);
        assert_true(rope[0].theta == cases[i].full && rope[1].theta == cases[i].sliding);
        assert_true(rope[0].scaling == cases[i].scaling && rope[1].scaling == HF_ROPE_PLAIN);
        json_decref(json);
    }
}

static void refuses_with_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{\"rope_scaling\": {\"type\": \"yarn\"}}", "rope_scaling: the key \"factor\" is missing"},
        {"{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"beta_slow\": -1}}", "\"beta_slow\" is -1"},
        {"{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"truncate\": 1}}", "where true or false"},
        {"{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 0}}",
         "\"attention_factor\" is 0"},
        {"{\"rope_theta\": 1, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}}", "yarn needs more than 1"},
        {"{\"rope_scaling\": {\"type\": \"longrope\", \"factor\": 4}}", "supported are default, linear, llama3, yarn"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HfRope rope;
        Error error = {0};
        json_t *json = parse(cases[i].text);
        assert_int_equal(hf_rope_read(json, 256, &rope, "config.json", &error), -1);
        if (strstr(error.message, cases[i].words) == NULL) fail_msg("case %zu: %s", i, error.message);
        json_decref(json);
    }
    HfRope rope[2];
    Error error = {0};
    json_t *json = parse("{\"rope_parameters\": {\"sliding_attention\": 3}}");
    assert_int_equal(hf_rope_read_two(json, 256, rope, "config.json", &error), -1);
    assert_string_equal(
        error.message,
        "config.json: rope_parameters: \"sliding_attention\" is a whole number where an object was expected");
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(yarn), cmocka_unit_test(two),
                                       cmocka_unit_test(refuses_with_a_reason)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
