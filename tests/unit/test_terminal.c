#include "base/json.h"
#include "cli/terminal.h"
#include "test.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

static char heard[16384];

/* Runs `speak` with stderr going to a file, whose text is then in `heard`. */
static void listen(void (*speak)(const Log *), bool json, bool quiet) {
    char path[] = "/tmp/dice-terminal-XXXXXX";
    int file = mkstemp(path), keep = dup(2);
    fflush(stderr);
    dup2(file, 2);
    Terminal terminal = terminal_open(json, quiet);
    const Log log = terminal_log(&terminal);
    speak(&log);
    terminal_clear(&terminal);
    fflush(stderr);
    dup2(keep, 2);
    ssize_t n = pread(file, heard, sizeof heard - 1, 0);
    heard[n > 0 ? n : 0] = 0;
    close(file), close(keep), unlink(path);
}

static void talk(const Log *log) {
    log_say(log, LOG_DEBUG, "whisper");
    log_say(log, LOG_INFO, "plain %d", 1);
    log_say(log, LOG_WARNING, "careful");
}

/* 100 steps at once, with the last one told twice, then a stage of unknown length. */
static void work(const Log *log) {
    LogProgress p = {.stage = "train", .total = 100, .unit = "steps", .detail = "loss 0.5"};
    for (p.done = 1; p.done <= 100; p.done++) log_progress(log, &p);
    p.done = 100;
    log_progress(log, &p);
    log_progress(log, &(LogProgress){.stage = "read", .done = 3, .unit = "rows"});
}

static size_t count(const char *word) {
    size_t n = 0;
    for (const char *p = heard; (p = strstr(p, word)) != NULL; p++) n++;
    return n;
}

static void sentences_by_their_level(void **state) {
    (void)state;
    listen(talk, false, false);
    assert_string_equal(heard, "plain 1\nwarning: careful\n");
    listen(talk, false, true);
    assert_string_equal(heard, "warning: careful\n");
}

/* Elsewhere than on a terminal: no escape codes, no line for each step, and the end of a stage once. */
static void lines_now_and_then(void **state) {
    (void)state;
    listen(work, false, false);
    assert_int_equal(count("train "), 1);
    assert_int_equal(count("100/100 steps"), 1);
    assert_int_equal(count("loss 0.5"), 1);
    assert_int_equal(count("\033"), 0);
    listen(work, false, true);
    assert_string_equal(heard, "");
}

static void json_is_one_object_a_line(void **state) {
    (void)state;
    size_t lines = 0, ends = 0;
    listen(talk, true, false);
    assert_string_equal(
        heard, "{\"event\":\"info\",\"message\":\"plain 1\"}\n{\"event\":\"warning\",\"message\":\"careful\"}\n");
    listen(work, true, false);
    for (char *line = strtok(heard, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        json_t *o = json_loads(line, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(o, "event")), "progress");
        ends += json_integer_value(json_object_get(o, "done")) == 100;
        json_decref(o);
    }
    assert_true(lines >= 1 && ends == 1);
}

static int interrupted(void) {
    Terminal terminal = terminal_open(false, true);
    const Log log = terminal_log(&terminal);
    return log_interrupted(&log);
}

static void the_first_signal_asks(void **state) {
    (void)state;
    assert_int_equal(interrupted(), 0);
    terminal_catch_signals();
    raise(SIGTERM);
    assert_int_equal(interrupted(), 1);
    struct sigaction now;
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL); // the second one ends the process
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sentences_by_their_level), cmocka_unit_test(lines_now_and_then),
                                       cmocka_unit_test(json_is_one_object_a_line),
                                       cmocka_unit_test(the_first_signal_asks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
