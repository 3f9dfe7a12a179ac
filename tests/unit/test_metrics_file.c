#include "base/file.h"
#include "cli/metrics_file.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];
static Error error;

static int setup(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/dice-metrics-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

static void put(const char *text) { assert_int_equal(file_write(path, text, strlen(text), &error), 0); }

static void holds(const char *expected) {
    FileMap map;
    assert_int_equal(file_map(&map, path, &error), 0);
    if (map.size != strlen(expected) || (map.size > 0 && memcmp(map.data, expected, map.size) != 0))
        fail_msg("%.*s", (int)map.size, (const char *)map.data);
    file_unmap(&map);
}

static void a_new_training_begins_a_new_file(void **state) {
    (void)state;
    MetricsFile metrics;
    put("{\"step\":1}\n");
    assert_int_equal(metrics_file_open(&metrics, path, 0, &error), 0);
    assert_int_equal(metrics_file_write(&metrics, json_pack("{s:i, s:f}", "step", 1, "loss", 0.5), &error), 0);
    holds("{\"step\":1,\"loss\":0.5}\n"); // before it is closed
    assert_int_equal(metrics_file_write(&metrics, NULL, &error), -1);
    assert_int_equal(error.code, ERROR_MEMORY);
    metrics_file_close(&metrics);
}

/* Behind step 2: later steps, a line that was cut short, and what is no JSON. */
static void a_continued_one_goes_on_behind_its_step(void **state) {
    (void)state;
    static const char *const behind[] = {"{\"step\":3}\n{\"step\":4}\n", "{\"step\":2", "not JSON\n{\"step\":2}\n", ""};
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        char text[128];
        MetricsFile metrics;
        snprintf(text, sizeof text, "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n%s", behind[i]);
        put(text);
        assert_int_equal(metrics_file_open(&metrics, path, 2, &error), 0);
        assert_int_equal(metrics_file_write(&metrics, json_pack("{s:i}", "step", 3), &error), 0);
        metrics_file_close(&metrics);
        holds("{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3}\n");
    }
}

static void a_file_that_cannot_be_is_named(void **state) {
    (void)state;
    MetricsFile metrics;
    assert_int_equal(metrics_file_open(&metrics, "/nowhere/metrics.jsonl", 0, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.message, "/nowhere/metrics.jsonl"));
    metrics_file_close(&metrics);
    assert_int_equal(metrics_file_open(&metrics, "/dev/full", 0, &error), 0);
    assert_int_equal(metrics_file_write(&metrics, json_pack("{s:i}", "step", 1), &error), -1);
    assert_non_null(strstr(error.message, "/dev/full"));
    metrics_file_close(&metrics);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(a_new_training_begins_a_new_file),
                                       TEST(a_continued_one_goes_on_behind_its_step),
                                       TEST(a_file_that_cannot_be_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
