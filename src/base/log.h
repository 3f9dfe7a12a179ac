/* log.h - what the library wants to tell, without printing it: the caller supplies a sink.
 *
 * Rooms below cli/ never print. They report sentences (`log_say`) and progress (`log_progress`) to the sink they were
 * given; cli/ turns them into bars, lines or JSON. A NULL Log, or a NULL member, drops the message. */
#pragma once
#include <stddef.h>

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARNING } LogLevel;

typedef struct {
    const char *stage;  // "sample", "score", "train"
    size_t done, total; // in `unit`; total 0 = unknown
    const char *unit;   // "prompts", "steps"
    double tokens;      // tokens processed so far, for the rate; 0 = none
    char detail[160];   // short live figures, e.g. "loss 0.61  accuracy 0.71"; may be empty
} LogProgress;

typedef struct {
    void (*say)(void *context, LogLevel level, const char *message);
    void (*progress)(void *context, const LogProgress *progress);
    int (*interrupted)(void *context); // non-zero: stop at the next safe point
    void *context;
} Log;

void log_say(const Log *log, LogLevel level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_progress(const Log *log, const LogProgress *progress);
int log_interrupted(const Log *log);
