#include "base/clock.h"
#include "cli/machine.h"
#include "test.h"
#include <string.h>

static Error error;
static double passing; // seconds that pass from one look at the clock to the next

/* In the place of the library's. */
double clock_seconds(void) {
    static double now;
    return now += passing;
}

static void check_rate(void) {
    KernelTable kernels;
    double flops = 0;
    setenv("DICE_ISA", "reference", 1); // a small product
    assert_int_equal(kernel_table_create(&kernels, 1, &error), 0);
    assert_int_equal(machine_matmul_rate(&kernels, DTYPE_F32, &flops, &error), 0);
    assert_true(flops == 2 * 256. * 256 * 256 / passing);
}

static void a_rate_is_measured(void **state) {
    (void)state;
    passing = 0.125, check_rate();
}

/* Already the first product takes longer than all of them should. */
static void a_busy_machine_has_a_rate_too(void **state) {
    (void)state;
    passing = 8, check_rate();
}

static void memory_is_known(void **state) {
    (void)state;
    double total = 0, available = 0;
    machine_memory(&total, &available);
    assert_true(total > 1e8 && available > 0 && available <= total);
}

static void names_are_there(void **state) {
    (void)state;
    char name[160], small[4];
    machine_cpu_name(name, sizeof name);
    machine_cpu_name(small, sizeof small);
    assert_true(strlen(name) > 0 && strchr(name, '\n') == NULL && strlen(small) == 3);
    json_t *libraries = machine_libraries();
    static const char *const names[] = {"oneDNN", "SQLite", "jansson"};
    for (size_t i = 0; i < 3; i++) {
        const char *version = json_string_value(json_object_get(libraries, names[i]));
        assert_true(version != NULL && version[0] >= '0' && version[0] <= '9' && strchr(version, '.') != NULL);
    }
    json_decref(libraries);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_rate_is_measured),
                                       cmocka_unit_test(a_busy_machine_has_a_rate_too),
                                       cmocka_unit_test(memory_is_known), cmocka_unit_test(names_are_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
