/* terminal.h - what the library says and how far it is, for a person or for a program.
 *
 * On a terminal: one live line with bar, rate and time left. Elsewhere: a line now and then. With --json: one JSON
 * object a line on stderr ({"event": "progress" | "info" | "warning", ...}). Results never come here; they go to
 * stdout. */
#pragma once
#include "base/log.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    bool json, quiet, live; // live: stderr is a terminal
    bool line_open;         // a live line is on the screen
    char stage[32];         // of the work in progress
    size_t last_done;
    double start_s, last_s; // of the stage; of the last line
    double start_tokens;
    size_t start_done;
} Terminal;

/* The terminal must outlive the log. Interruption: the first SIGINT or SIGTERM after terminal_catch_signals asks the
 * work to stop at a safe point, the second ends the process. */
Terminal terminal_open(bool json, bool quiet);
Log terminal_log(Terminal *terminal);
void terminal_catch_signals(void);
/* Ends a live line, so that other output begins on a line of its own. */
void terminal_clear(Terminal *terminal);
