#include "base/log.h"
#include "test.h"
#include <string.h>

typedef struct {
    char message[4096], stage[16];
    LogLevel level;
    size_t said, progressed;
    int polls;
} Heard;

static void say(void *context, LogLevel level, const char *message) {
    Heard *h = context;
    snprintf(h->message, sizeof h->message, "%s", message);
    h->level = level;
    h->said++;
}

static void progress(void *context, const LogProgress *p) {
    Heard *h = context;
    snprintf(h->stage, sizeof h->stage, "%s", p->stage);
    h->progressed++;
}

static int interrupted(void *context) { return ++((Heard *)context)->polls > 1 ? 7 : 0; }

static void the_sink_hears_what_is_said(void **state) {
    (void)state;
    Heard heard = {0};
    const Log log = {.say = say, .progress = progress, .interrupted = interrupted, .context = &heard};
    log_say(&log, LOG_WARNING, "%zu of %s, 100 %%", (size_t)3, "four");
    assert_string_equal(heard.message, "3 of four, 100 %");
    assert_int_equal(heard.level, LOG_WARNING);
    log_progress(&log, &(LogProgress){.stage = "train"});
    assert_true(strcmp(heard.stage, "train") == 0 && heard.said == 1 && heard.progressed == 1);
    assert_false(log_interrupted(&log));
    assert_true(log_interrupted(&log));
}

/* A message that is too long is cut, not refused. */
static void a_long_message_is_cut(void **state) {
    (void)state;
    Heard heard = {0};
    const Log log = {.say = say, .context = &heard};
    char text[3000];
    memset(text, 'x', sizeof text - 1), text[sizeof text - 1] = 0;
    log_say(&log, LOG_INFO, "<%s>", text);
    assert_true(heard.said == 1 && heard.message[0] == '<' && strlen(heard.message) == 2047);
}

static void nobody_needs_to_listen(void **state) {
    (void)state;
    const Log deaf = {0};
    const Log *const logs[] = {NULL, &deaf};
    for (int i = 0; i < 2; i++) {
        log_say(logs[i], LOG_INFO, "%s", "unheard");
        log_progress(logs[i], &(LogProgress){.stage = "train"});
        assert_false(log_interrupted(logs[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_sink_hears_what_is_said),
                                       cmocka_unit_test(a_long_message_is_cut),
                                       cmocka_unit_test(nobody_needs_to_listen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
