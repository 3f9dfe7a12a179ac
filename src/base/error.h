/* error.h - what went wrong, in one value that travels up to the command line.
 *
 * Library functions return 0, or -1 with an Error filled in. The code is also the exit code of `dice`, so that a
 * script can tell a broken file from a full disk. The message is one complete sentence for a person: which file and
 * place, what was found, what was expected, what to do.
 * Memory: an Error owns nothing; it may be copied and dropped freely. */
#pragma once
#include <stddef.h>

typedef enum {
    ERROR_NONE = 0,
    ERROR_FAILED = 1,      // a check did not hold
    ERROR_USAGE = 2,       // the command line or the recipe is wrong
    ERROR_INPUT = 3,       // a file's content is wrong: model, tokenizer, template, data
    ERROR_IO = 4,          // the system refused: file missing, disk full, permission
    ERROR_MEMORY = 5,      // the configuration does not fit into memory
    ERROR_MISMATCH = 6,    // a run directory belongs to another recipe, model or data
    ERROR_UNSUPPORTED = 7, // valid input, but a feature that this build does not have
    ERROR_NUMERIC = 8,     // a NaN or infinity in weights, losses or gradients
    ERROR_INTERNAL = 9,    // a library failed where it must not
    ERROR_INTERRUPTED = 130
} ErrorCode;

typedef struct {
    ErrorCode code;
    char message[1024]; // always terminated, cut at the end when longer
} Error;

/* Fills *error (which may be NULL) and returns -1, so that `return error_set(...)` ends a failing function. */
int error_set(Error *error, ErrorCode code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "text: " in front of the message that is already there; keeps the code. Returns -1. */
int error_prefix(Error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ERROR_IO with the text of errno (ERROR_INPUT stays the caller's choice); a full disk says so. Returns -1. */
int error_errno(Error *error, const char *path, const char *doing);
