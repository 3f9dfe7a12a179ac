#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "formats/hf_directory.h"
#include "test.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void put(const char *directory, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s/%s", root, directory, name);
    assert_int_equal(file_write(path, text, strlen(text), NULL), 0);
}

static const char *at(const char *directory) {
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, directory);
    return path[turn];
}

static int setup(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/dice-hf-XXXXXX");
    if (mkdtemp(root) == NULL) return -1;
    return file_make_directory(at("a"), NULL) | file_make_directory(at("b"), NULL);
}

static int teardown(void **state) {
    (void)state;
    return file_remove_tree(root, NULL);
}

static void copies_side_files_and_follows_the_dtype(void **state) {
    (void)state;
    FileMap map;
    char path[256];
    put("a", "config.json", "{\"model_type\": \"llama\", \"torch_dtype\": \"float32\", \"rope_theta\": 10000.0}");
    put("a", "tokenizer.json", "{ \"odd\":   \"spacing\" }");
    put("a", "other.bin", "stays");
    assert_int_equal(hf_directory_copy(at("a"), at("b"), DTYPE_BF16, NULL), 0);
    snprintf(path, sizeof path, "%s/b/tokenizer.json", root);
    assert_int_equal(file_map(&map, path, NULL), 0);
    assert_int_equal(map.size, 22);
    assert_memory_equal(map.data, "{ \"odd\":   \"spacing\" }", 22);
    file_unmap(&map);
    snprintf(path, sizeof path, "%s/b/config.json", root);
    assert_int_equal(file_map(&map, path, NULL), 0);
    assert_non_null(memmem(map.data, map.size, "\"torch_dtype\": \"bfloat16\"", 25));
    assert_non_null(memmem(map.data, map.size, "10000.0", 7));
    assert_null(memmem(map.data, map.size, "\"dtype\"", 7)); // not there before, not there now
    file_unmap(&map);
    snprintf(path, sizeof path, "%s/b/other.bin", root);
    assert_false(file_exists(path));
}

/* The config.json that a copy has. */
static void expect_config(const char *config, const char *want) {
    FileMap map;
    Error error = {0};
    char path[256];
    put("a", "config.json", config);
    if (hf_directory_copy(at("a"), at("b"), DTYPE_BF16, &error) != 0) fail_msg("%s", error.message);
    snprintf(path, sizeof path, "%s/b/config.json", root);
    assert_int_equal(file_map(&map, path, NULL), 0);
    if (map.size != strlen(want) || memcmp(map.data, want, map.size) != 0)
        fail_msg("%.*s where %s was expected", (int)map.size, (const char *)map.data, want);
    file_unmap(&map);
}

static void changes_the_dtype_and_nothing_else(void **state) { // [HD-1]
    (void)state;
    expect_config("{ \"x\": 1e-05,\n\t\"torch_dtype\" : \"float32\" }\n",
                  "{ \"x\": 1e-05,\n\t\"torch_dtype\" : \"bfloat16\" }\n");
    expect_config("{\"dtype\":null,\"a\":1}", "{\"dtype\":\"bfloat16\",\"a\":1}");
    expect_config("{\"a\": {\"dtype\": \"x\"}, \"dtype\": \"y\", \"torch_dtype\": \"z\"}",
                  "{\"a\": {\"dtype\": \"x\"}, \"dtype\": \"bfloat16\", \"torch_dtype\": \"bfloat16\"}");
    expect_config("{\"a\": \"\\\"dtype\\\": {\", \"b\": \"dtype\", \"c\": [\"dtype\"], \"dtype\": \"y\\\\\"}",
                  "{\"a\": \"\\\"dtype\\\": {\", \"b\": \"dtype\", \"c\": [\"dtype\"], \"dtype\": \"bfloat16\"}");
    expect_config("{}", "{}");
    static const char *const bad[] = {"{\"dtype\": 1}", "[]", "{"};
    for (size_t i = 0; i < 3; i++) {
        Error error = {0};
        put("a", "config.json", bad[i]);
        assert_int_equal(hf_directory_copy(at("a"), at("b"), DTYPE_BF16, &error), -1);
        assert_int_equal(error.code, ERROR_INPUT);
        assert_non_null(strstr(error.message, "a/config.json"));
    }
    put("a", "config.json", "{}");
}

/* Random objects: the copy is the object with its dtype set, as parsing both shows. */
static void agrees_with_the_parsed_object(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    static const char *const words[] = {"dtype", "torch_dtype", "a",       "\"", "\\", "{",
                                        "}",     "\u4f60",      "float32", ":",  ","};
    char path[256];
    snprintf(path, sizeof path, "%s/b/config.json", root);
    for (uint32_t i = 0; i < 100; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        json_t *object = json_object();
        for (uint32_t k = 0; k < 6; k++) {
            const char *key = words[rng_below(&a, 3 * k, 11)], *value = words[rng_below(&a, 3 * k + 1, 11)];
            uint64_t kind = strstr(key, "dtype") != NULL ? 0 : rng_below(&a, 3 * k + 2, 3);
            json_object_set_new(object, key,
                                kind == 0   ? json_string(value)
                                : kind == 1 ? json_pack("{s:[s, s]}", key, "dtype", value)
                                            : json_pack("[{s:s}]", "dtype", key));
        }
        char *text = json_dumps(object, i % 2 ? JSON_INDENT(2) : JSON_COMPACT);
        Error error = {0};
        put("a", "config.json", text);
        if (hf_directory_copy(at("a"), at("b"), DTYPE_BF16, &error) != 0) fail_msg("%s: %s", text, error.message);
        json_t *found = json_parse_file(path, &error);
        if (found == NULL) fail_msg("%s: %s", text, error.message);
        if (json_object_get(object, "dtype") != NULL) json_object_set_new(object, "dtype", json_string("bfloat16"));
        if (json_object_get(object, "torch_dtype") != NULL)
            json_object_set_new(object, "torch_dtype", json_string("bfloat16"));
        assert_true(json_equal(found, object));
        json_object_set_new(found, "planted", json_true());
        assert_false(json_equal(found, object));
        json_decref(found);
        json_decref(object);
        free(text);
    }
}

static void finds_the_template_where_it_may_be(void **state) {
    (void)state;
    char *text;
    Error error;
    assert_int_equal(hf_directory_chat_template(at("a"), &text, NULL), 0);
    assert_null(text);
    put("a", "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"T\"}, {\"name\": \"default\", \"template\": "
        "\"D\"}]}");
    assert_int_equal(hf_directory_chat_template(at("a"), &text, NULL), 0);
    assert_string_equal(text, "D");
    free(text);
    put("a", "tokenizer_config.json", "{\"chat_template\": \"S\"}");
    assert_int_equal(hf_directory_chat_template(at("a"), &text, NULL), 0);
    assert_string_equal(text, "S");
    free(text);
    put("a", "chat_template.jinja", "J");
    assert_int_equal(hf_directory_chat_template(at("a"), &text, NULL), 0);
    assert_string_equal(text, "J");
    free(text);
    put("b", "tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"T\"}]}");
    assert_int_equal(hf_directory_chat_template(at("b"), &text, &error), -1);
    assert_non_null(strstr(error.message, "one named \"default\""));
    put("b", "tokenizer_config.json", "{\"chat_template\": null}");
    assert_int_equal(hf_directory_chat_template(at("b"), &text, &error), 0);
    assert_null(text);
    put("b", "tokenizer_config.json", "{\"chat_template\": 3}");
    assert_int_equal(hf_directory_chat_template(at("b"), &text, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "a whole number where a string"));
}

static void every_counted_byte_changes_the_hash(void **state) {
    (void)state;
    Hash first, again, other;
    Error error;
    assert_int_equal(hf_directory_hash(at("a"), &first, NULL), 0);
    put("a", "other.bin", "does not count");
    assert_int_equal(hf_directory_hash(at("a"), &again, NULL), 0);
    assert_string_equal(first.hex, again.hex);
    put("a", "model.safetensors", "x");
    assert_int_equal(hf_directory_hash(at("a"), &other, NULL), 0);
    assert_string_not_equal(first.hex, other.hex);
    file_make_directory(at("empty"), NULL);
    assert_int_equal(hf_directory_hash(at("empty"), &other, &error), -1);
    assert_non_null(strstr(error.message, "no config.json"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_side_files_and_follows_the_dtype), cmocka_unit_test(changes_the_dtype_and_nothing_else),
        cmocka_unit_test(agrees_with_the_parsed_object), cmocka_unit_test(finds_the_template_where_it_may_be),
        cmocka_unit_test(every_counted_byte_changes_the_hash)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
