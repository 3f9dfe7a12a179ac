#include "base/clock.h"
#include "test.h"
#include <string.h>
#include <time.h>

static void seconds_go_on(void **state) {
    (void)state;
    double start = clock_seconds(), last = start;
    for (int i = 0; i < 1000; i++) {
        double now = clock_seconds();
        assert_true(now >= last);
        last = now;
    }
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    double waited = clock_seconds() - last;
    assert_true(waited >= 0.02 && waited < 60);
}

/* The stamp, read back as UTC, is the time now. */
static void a_timestamp_is_utc(void **state) {
    (void)state;
    char stamp[21];
    struct tm parts = {0};
    time_t before = time(NULL);
    clock_timestamp(stamp, sizeof stamp);
    assert_int_equal(strlen(stamp), 20);
    const char *end = strptime(stamp, "%Y-%m-%dT%H:%M:%SZ", &parts);
    assert_true(end != NULL && *end == 0);
    time_t stamped = timegm(&parts);
    assert_true(stamped >= before && stamped <= time(NULL));
    setenv("TZ", "UTC-9", 1), tzset(); // planted: a local time is another one
    char local[21];
    strftime(local, sizeof local, "%Y-%m-%dT%H:%M:%SZ", localtime(&before));
    clock_timestamp(stamp, sizeof stamp);
    strptime(stamp, "%Y-%m-%dT%H:%M:%SZ", &parts);
    assert_true(timegm(&parts) - before < 60);
    assert_string_not_equal(stamp, local);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(seconds_go_on), cmocka_unit_test(a_timestamp_is_utc)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
