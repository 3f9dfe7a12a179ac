#include "base/file.h"
#include "base/json.h"
#include "formats/peft_adapter.h"
#include "formats/safetensors_writer.h"
#include "json_torture.h"

#include <math.h>
#include <string.h>

static LoraSettings settings;

static int parse(const char *text, Error *error) {
    char *base = NULL;
    int result = peft_adapter_parse(text, strlen(text), "adapter_config.json", &settings, &base, error);
    free(base);
    return result;
}

static void parse_ok(const char *text) {
    Error error = {0};
    if (parse(text, &error) != 0) fail_msg("%s: %s", text, error.message);
}

static void refuses(const char *text, ErrorCode code, const char *words) {
    Error error = {0};
    if (parse(text, &error) == 0) fail_msg("taken: %s", text);
    if (error.code != code || strstr(error.message, words) == NULL || strstr(error.message, "adapter_config") == NULL)
        fail_msg("%s: code %d: %s", text, (int)error.code, error.message);
}

#define LORA "\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 16"
#define TARGET "\"target_modules\": [\"q_proj\", \"v_proj\"]"

static void reads_what_peft_writes(void **state) {
    (void)state;
    char path[512];
    Error error = {0};
    parse_ok("{" LORA ", " TARGET "}");
    assert_true(settings.r == 8 && settings.alpha == 16 && settings.dropout == 0 && !settings.rslora);
    assert_true(settings.targets == (1u << PEFT_Q | 1u << PEFT_V) && peft_adapter_scale(&settings) == 2);
    parse_ok("{\"peft_type\": \"LORA\", \"r\": 16, \"lora_alpha\": 12.5, \"use_rslora\": true, \"lora_dropout\": 0.05, "
             "\"target_modules\": [\"mlp.down_proj\", \"self_attn.o_proj\"], \"init_lora_weights\": \"gaussian\"}");
    assert_true(settings.alpha == 12.5 && settings.dropout == 0.05 && settings.rslora);
    assert_true(settings.targets == (1u << PEFT_O | 1u << PEFT_DOWN) && peft_adapter_scale(&settings) == 12.5 / 4);
    parse_ok("{" LORA ", \"target_modules\": [\"model.layers.0.mlp.up_proj\", \"model.layers.11.mlp.up_proj\"]}");
    assert_true(settings.targets == 1u << PEFT_UP);
    parse_ok("{" LORA ", \"target_modules\": \"all-linear\", \"use_dora\": false, \"modules_to_save\": null, "
             "\"rank_pattern\": {}, \"bias\": \"none\", \"a_key_of_next_year\": null, \"another\": []}");
    assert_true(settings.targets == PEFT_ALL_LINEAR);
    if (test_shared("oracle/tiny/dpo_lora/qwen2_tied/adapter_init/adapter_config.json", path, sizeof path) == NULL)
        skip();
    *strrchr(path, '/') = 0;
    if (peft_adapter_settings(path, &settings, &error) != 0) fail_msg("%s", error.message);
    assert_true(settings.r == 4 && settings.rslora && peft_adapter_scale(&settings) == 4);
}

/* [PE-1] */
static void refuses_by_name_what_it_has_not(void **state) {
    (void)state;
    static const char *const set[] = {"\"use_dora\": true",
                                      "\"modules_to_save\": [\"lm_head\"]",
                                      "\"bias\": \"all\"",
                                      "\"bias\": \"lora_only\"",
                                      "\"lora_bias\": true",
                                      "\"fan_in_fan_out\": true",
                                      "\"rank_pattern\": {\"q_proj\": 4}",
                                      "\"alpha_pattern\": {\"q_proj\": 4}",
                                      "\"layers_to_transform\": [0, 1]",
                                      "\"layers_pattern\": \"layers\"",
                                      "\"exclude_modules\": [\"v_proj\"]",
                                      "\"layer_replication\": [[0, 4], [2, 5]]",
                                      "\"trainable_token_indices\": [1, 2]",
                                      "\"target_parameters\": [\"x\"]",
                                      "\"use_qalora\": true",
                                      "\"a_key_of_next_year\": 1"};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        char text[512], key[64];
        snprintf(text, sizeof text, "{" LORA ", " TARGET ", %s}", set[i]);
        snprintf(key, sizeof key, "%.*s is set", (int)(strchr(set[i], ':') - set[i]), set[i]);
        refuses(text, ERROR_UNSUPPORTED, key);
    }
    refuses("{\"peft_type\": \"IA3\", " TARGET "}", ERROR_UNSUPPORTED, "\"IA3\"");
    refuses("{" LORA ", " TARGET ", \"init_lora_weights\": \"pissa_niter_16\"}", ERROR_UNSUPPORTED, "pissa_niter_16");
    refuses("{" LORA ", " TARGET ", \"init_lora_weights\": \"olora\"}", ERROR_UNSUPPORTED, "olora");
    refuses("{" LORA ", \"target_modules\": [\"q_proj\", \"lm_head\"]}", ERROR_UNSUPPORTED, "\"lm_head\"");
    refuses("{" LORA ", \"target_modules\": \".*self_attn.(q|v)_proj\"}", ERROR_UNSUPPORTED, "(q|v)_proj");
    refuses("{" LORA ", \"target_modules\": [\"model.layers.x.mlp.up_proj\"]}", ERROR_UNSUPPORTED, "layers.x");
    refuses("{" LORA ", \"target_modules\": [\"model.layers.1.up_proj\"]}", ERROR_UNSUPPORTED, "layers.1.up");
    refuses("{" LORA ", \"target_modules\": []}", ERROR_UNSUPPORTED, "no target module");
    refuses("{" LORA "}", ERROR_UNSUPPORTED, "no target module");
}

static void refuses_what_is_wrong(void **state) {
    (void)state;
    refuses("", ERROR_INPUT, "not valid JSON");
    refuses("[]", ERROR_INPUT, "peft_type");
    refuses("{" TARGET "}", ERROR_INPUT, "\"peft_type\"");
    refuses("{\"peft_type\": 3, " TARGET "}", ERROR_INPUT, "peft_type");
    refuses("{\"peft_type\": \"LORA\", \"r\": 0, " TARGET "}", ERROR_INPUT, "\"r\"");
    refuses("{\"peft_type\": \"LORA\", \"r\": 1.5, " TARGET "}", ERROR_INPUT, "\"r\"");
    refuses("{\"peft_type\": \"LORA\", \"r\": 99999999, " TARGET "}", ERROR_INPUT, "\"r\"");
    refuses("{\"peft_type\": \"LORA\", \"lora_alpha\": -1, " TARGET "}", ERROR_INPUT, "\"lora_alpha\" is -1");
    refuses("{\"peft_type\": \"LORA\", \"lora_alpha\": \"8\", " TARGET "}", ERROR_INPUT, "lora_alpha");
    refuses("{\"peft_type\": \"LORA\", \"lora_dropout\": 1, " TARGET "}", ERROR_INPUT, "\"lora_dropout\" is 1");
    refuses("{\"peft_type\": \"LORA\", \"use_rslora\": 1, " TARGET "}", ERROR_INPUT, "use_rslora");
    refuses("{" LORA ", \"target_modules\": [3]}", ERROR_INPUT, "a whole number");
    refuses("{" LORA ", \"target_modules\": {\"q_proj\": 1}}", ERROR_UNSUPPORTED, "no target module");
}

/* What was written is read again as it was, and holds the keys of PEFT with their types. */
static void writes_what_peft_reads(void **state) {
    (void)state;
    char directory[] = "/tmp/dice-peft-XXXXXX", path[64];
    Error error = {0};
    LoraSettings read, s = {.r = 8, .alpha = 16, .dropout = 0.05, .rslora = true, .targets = 0x7f};
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/adapter_config.json", directory);
    if (peft_adapter_write_config(directory, &s, "org/model", &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(peft_adapter_settings(directory, &read, &error), 0);
    assert_true(read.r == s.r && read.alpha == s.alpha && read.dropout == s.dropout && read.rslora == s.rslora &&
                read.targets == s.targets);
    json_t *found = json_parse_file(path, &error);
    json_t *expected = json_loads(
        "{\"alpha_pattern\": {}, \"auto_mapping\": null, \"base_model_name_or_path\": \"org/model\", \"bias\": "
        "\"none\", \"fan_in_fan_out\": false, \"inference_mode\": true, \"init_lora_weights\": true, "
        "\"layers_pattern\": null, \"layers_to_transform\": null, \"lora_alpha\": 16, \"lora_dropout\": 0.05, "
        "\"modules_to_save\": null, \"peft_type\": \"LORA\", \"r\": 8, \"rank_pattern\": {}, \"revision\": null, "
        "\"target_modules\": [\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\", \"gate_proj\", \"up_proj\", "
        "\"down_proj\"], \"task_type\": \"CAUSAL_LM\", \"use_dora\": false, \"use_rslora\": true}",
        0, NULL);
    assert_non_null(expected);
    assert_true(json_equal(found, expected));
    json_decref(found), json_decref(expected);
    file_remove_tree(directory, NULL);
}

static void put(const char *directory, const char *const *names, size_t n, size_t rows) {
    static const float values[64] = {0};
    Error error = {0};
    TensorSource source[8];
    char path[96];
    for (size_t i = 0; i < n; i++)
        source[i] =
            (TensorSource){.name = names[i], .type = DTYPE_F32, .rank = 2, .shape = {rows, 4}, .values = values};
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", directory);
    if (safetensors_write_file(path, source, n, &error) != 0) fail_msg("%s", error.message);
}

#define AT "base_model.model.model.layers.0.self_attn."

static void refuses_directories(void **state) {
    (void)state;
    char directory[] = "/tmp/dice-peft-XXXXXX", path[96];
    const char *const names[] = {AT "q_proj.lora_A.weight", AT "q_proj.lora_B.weight", AT "q_proj.lora_magnitude"};
    const LoraSettings s = {.r = 4, .alpha = 8, .targets = 1u << PEFT_Q};
    const TensorView *view;
    PeftAdapter adapter;
    Error error = {0};
    assert_int_equal(peft_adapter_open(&adapter, "/tmp/dice-is-not-there", &error), -1);
    assert_true(error.code == ERROR_IO && strstr(error.message, "adapter_config.json") != NULL);
    peft_adapter_close(&adapter);
    assert_non_null(mkdtemp(directory));
    assert_int_equal(peft_adapter_open(&adapter, directory, &error), -1);
    assert_true(error.code == ERROR_IO && strstr(error.message, "is no PEFT directory") != NULL);
    peft_adapter_close(&adapter);
    assert_int_equal(peft_adapter_write_config(directory, &s, "base", &error), 0);
    assert_int_equal(peft_adapter_open(&adapter, directory, &error), -1);
    assert_true(error.code == ERROR_IO && strstr(error.message, "adapter_model.safetensors") != NULL);
    peft_adapter_close(&adapter);
    snprintf(path, sizeof path, "%s/adapter_model.bin", directory);
    assert_int_equal(file_write(path, "PK", 2, &error), 0);
    assert_int_equal(peft_adapter_open(&adapter, directory, &error), -1);
    assert_true(error.code == ERROR_UNSUPPORTED && strstr(error.message, "adapter_model.bin") != NULL);
    peft_adapter_close(&adapter);
    put(directory, names, 3, 4);
    assert_int_equal(peft_adapter_open(&adapter, directory, &error), 0);
    assert_string_equal(adapter.base, "base");
    assert_int_equal(peft_adapter_find(&adapter, names[0], 4, 4, &view, &error), 0);
    assert_int_equal(peft_adapter_find(&adapter, names[0], 8, 4, &view, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "(4, 4), but (8, 4) was expected") != NULL);
    assert_int_equal(peft_adapter_find(&adapter, AT "k_proj.lora_A.weight", 4, 4, &view, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "is missing") != NULL);
    assert_int_equal(peft_adapter_check_names(&adapter, 1, &error), -1);
    assert_true(error.code == ERROR_UNSUPPORTED && strstr(error.message, "q_proj.lora_magnitude") != NULL);
    peft_adapter_close(&adapter);
    put(directory, names, 2, 4);
    assert_int_equal(peft_adapter_open(&adapter, directory, &error), 0);
    assert_int_equal(peft_adapter_check_names(&adapter, 1, &error), 0);
    peft_adapter_close(&adapter);
    file_remove_tree(directory, NULL);
}

static void says_when_memory_fails(void **state) {
    (void)state;
    const LoraSettings s = {.r = 4, .alpha = 8, .targets = PEFT_ALL_LINEAR};
    char directory[] = "/tmp/dice-peft-XXXXXX";
    Error error = {0};
    size_t failed = 0;
    assert_non_null(mkdtemp(directory));
    for (size_t n = 0, struck = 1; struck; n++) {
        torture_begin(n);
        int result = peft_adapter_write_config(directory, &s, "base", &error);
        struck = (size_t)torture_end();
        failed += result != 0;
        LoraSettings read;
        if (result == 0) assert_int_equal(peft_adapter_settings(directory, &read, &error), 0);
        if (result == 0) assert_true(read.targets == s.targets);
    }
    assert_true(failed > 20);
    file_remove_tree(directory, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_peft_writes), cmocka_unit_test(refuses_by_name_what_it_has_not),
        cmocka_unit_test(refuses_what_is_wrong),  cmocka_unit_test(writes_what_peft_reads),
        cmocka_unit_test(refuses_directories),    cmocka_unit_test(says_when_memory_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
