#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(Error *error, ErrorCode code, const char *format, ...) {
    if (error == NULL) return -1;
    va_list arguments;
    va_start(arguments, format);
    error->code = code;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return -1;
}

int error_prefix(Error *error, const char *format, ...) {
    if (error == NULL) return -1;
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (n < 0) n = 0;
    size_t at = (size_t)n < sizeof error->message ? (size_t)n : sizeof error->message - 1,
           room = sizeof error->message - at - 1;
    const char *const parts[] = {": ", old};
    for (int i = 0; i < 2; i++) { // by hand: cutting the end off is meant here, and compilers warn of it in snprintf
        size_t length = strlen(parts[i]) < room ? strlen(parts[i]) : room;
        memcpy(error->message + at, parts[i], length);
        at += length, room -= length;
    }
    error->message[at] = 0;
    return -1;
}

int error_errno(Error *error, const char *path, const char *doing) {
    int e = errno;
    const char *hint = "";
    if (e == ENOSPC || e == EDQUOT) hint = "; free some space there and run the same command again";
    if (e == ENOENT) hint = "; check the path";
    return error_set(error, ERROR_IO, "%s: cannot %s: %s%s", path, doing, strerror(e), hint);
}
