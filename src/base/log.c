#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_say(const Log *log, LogLevel level, const char *format, ...) {
    if (log == NULL || log->say == NULL) return;
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log->say(log->context, level, message);
}

void log_progress(const Log *log, const LogProgress *progress) {
    if (log != NULL && log->progress != NULL) log->progress(log->context, progress);
}

int log_interrupted(const Log *log) {
    return log != NULL && log->interrupted != NULL && log->interrupted(log->context);
}
