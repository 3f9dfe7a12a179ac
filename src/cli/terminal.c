#include "cli/terminal.h"

#include "base/clock.h"
#include "base/json.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The one global of the program: signal handlers have no other way to say something. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    interrupted = 1;
    signal(number, SIG_DFL); // the second one ends the process
}

void terminal_catch_signals(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

Terminal terminal_open(bool json, bool quiet) {
    return (Terminal){.json = json, .quiet = quiet, .live = !json && !quiet && isatty(STDERR_FILENO)};
}

void terminal_clear(Terminal *terminal) {
    if (terminal->line_open) fputs("\r\033[K", stderr);
    terminal->line_open = false;
}

static void write_json(json_t *object) {
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    if (text != NULL) fprintf(stderr, "%s\n", text);
    free(text);
    json_decref(object);
}

static void say(void *context, LogLevel level, const char *message) {
    Terminal *t = context;
    if (level == LOG_DEBUG || (t->quiet && level != LOG_WARNING)) return;
    terminal_clear(t);
    if (t->json)
        write_json(json_pack("{s:s, s:s}", "event", level == LOG_WARNING ? "warning" : "info", "message", message));
    else
        fprintf(stderr, "%s%s\n", level == LOG_WARNING ? "warning: " : "", message);
}

static void format_time(double seconds, char *out, size_t capacity) {
    unsigned long s = seconds > 0 ? (unsigned long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, capacity, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, capacity, "%lu:%02lu", s / 60, s % 60);
}

static void print_line(Terminal *t, const LogProgress *p, double now) {
    enum { WIDTH = 24 };
    char bar[WIDTH + 1], left[24] = "", spent[24];
    double elapsed = now - t->start_s, share = p->total > 0 ? (double)p->done / (double)p->total : 0;
    size_t filled = (size_t)(share * WIDTH + 0.5);
    for (size_t i = 0; i < WIDTH; i++) bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = 0;
    format_time(elapsed, spent, sizeof spent);
    if (p->done > t->start_done && p->total > p->done)
        format_time(elapsed / (double)(p->done - t->start_done) * (double)(p->total - p->done), left, sizeof left);
    double rate = elapsed > 0 ? (p->tokens - t->start_tokens) / elapsed : 0;
    if (t->live) fputs("\r\033[K", stderr);
    fprintf(stderr, "%-10s %s %zu/%zu %s", p->stage, bar, p->done, p->total, p->unit);
    if (rate > 0) fprintf(stderr, "  %.0f tokens/s", rate);
    fprintf(stderr, "  %s", spent);
    if (*left != 0) fprintf(stderr, " left %s", left);
    if (p->detail[0] != 0) fprintf(stderr, "  %s", p->detail);
    if (!t->live || p->done == p->total) fputs("\n", stderr);
    t->line_open = t->live && p->done != p->total;
    fflush(stderr);
}

static void progress(void *context, const LogProgress *p) {
    Terminal *t = context;
    if (t->quiet) return;
    double now = clock_seconds(), pause = t->live ? 0.1 : t->json ? 1 : 10;
    bool fresh = strcmp(t->stage, p->stage) != 0 || p->done < t->last_done, last = p->done == p->total && p->total > 0;
    if (fresh) {
        terminal_clear(t);
        snprintf(t->stage, sizeof t->stage, "%s", p->stage);
        t->start_s = now, t->last_s = now, t->start_tokens = p->tokens, t->start_done = p->done;
    }
    bool repeated = !fresh && p->done == t->last_done && last;
    t->last_done = p->done;
    bool shown = fresh && t->live; // a stage whose first step takes long is seen to have begun
    if (repeated || (!last && !shown && now - t->last_s < pause)) return;
    t->last_s = now;
    if (t->json)
        write_json(json_pack("{s:s, s:s, s:I, s:I, s:s, s:f, s:s}", "event", "progress", "stage", p->stage, "done",
                             (json_int_t)p->done, "total", (json_int_t)p->total, "unit", p->unit, "tokens", p->tokens,
                             "detail", p->detail));
    else
        print_line(t, p, now);
}

static int is_interrupted(void *context) {
    (void)context;
    return interrupted;
}

Log terminal_log(Terminal *terminal) {
    return (Log){.say = say, .progress = progress, .interrupted = is_interrupted, .context = terminal};
}
