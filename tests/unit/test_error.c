#include "base/error.h"
#include "test.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

static void messages_are_whole_and_bounded(void **state) {
    (void)state;
    Error error;
    assert_int_equal(error_set(&error, ERROR_INPUT, "%s: line %d", "file", 3), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_string_equal(error.message, "file: line 3");
    assert_int_equal(error_prefix(&error, "row %d", 7), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_string_equal(error.message, "row 7: file: line 3");
    char text[3000];
    memset(text, 'x', sizeof text - 1), text[sizeof text - 1] = 0;
    error_set(&error, ERROR_USAGE, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    error_prefix(&error, "where");
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_memory_equal(error.message, "where: xxx", 10);
    error_prefix(&error, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_int_equal(error_set(NULL, ERROR_INPUT, "nobody listens"), -1);
    assert_int_equal(error_prefix(NULL, "nobody listens"), -1);
}

static void the_system_is_quoted(void **state) {
    (void)state;
    Error error;
    errno = ENOSPC;
    assert_int_equal(error_errno(&error, "out", "write"), -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_string_equal(
        error.message,
        "out: cannot write: No space left on device; free some space there and run the same command again");
    errno = EACCES;
    error_errno(&error, "out", "open");
    assert_string_equal(error.message, "out: cannot open: Permission denied");
}

typedef struct {
    char message[4096];
    LogLevel level;
    size_t progressed;
    int stop;
} Listener;

static void hear(void *context, LogLevel level, const char *message) {
    Listener *l = context;
    l->level = level;
    snprintf(l->message, sizeof l->message, "%s", message);
}

static void follow(void *context, const LogProgress *progress) { ((Listener *)context)->progressed = progress->done; }

static int asked(void *context) { return ((Listener *)context)->stop; }

static void a_log_passes_on_what_it_can(void **state) {
    (void)state;
    Listener l = {.stop = 1};
    const Log log = {.say = hear, .progress = follow, .interrupted = asked, .context = &l}, deaf = {0};
    log_say(&log, LOG_WARNING, "%d of %s", 3, "four");
    assert_int_equal(l.level, LOG_WARNING);
    assert_string_equal(l.message, "3 of four");
    log_say(&log, LOG_INFO, "%3000d", 1); // longer than a message may be: cut
    assert_true(strlen(l.message) < 3000);
    log_progress(&log, &(LogProgress){.stage = "s", .done = 9});
    assert_int_equal(l.progressed, 9);
    assert_true(log_interrupted(&log));
    l.stop = 0;
    assert_false(log_interrupted(&log));
    const Log *silent[] = {NULL, &deaf};
    for (size_t i = 0; i < 2; i++) {
        log_say(silent[i], LOG_INFO, "lost");
        log_progress(silent[i], &(LogProgress){.stage = "s"});
        assert_false(log_interrupted(silent[i]));
    }
}

static void time_goes_forward(void **state) {
    (void)state;
    double before = clock_seconds();
    while (clock_seconds() == before) continue;
    assert_true(clock_seconds() > before);
    char stamp[21];
    int year, month, day, hour, minute, second, end = 0;
    clock_timestamp(stamp, sizeof stamp);
    assert_int_equal(sscanf(stamp, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &year, &month, &day, &hour, &minute, &second, &end),
                     6);
    assert_int_equal(end, 20);
    assert_true(year >= 2024 && month <= 12 && day <= 31);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_whole_and_bounded),
        cmocka_unit_test(the_system_is_quoted),
        cmocka_unit_test(a_log_passes_on_what_it_can),
        cmocka_unit_test(time_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
