/* buffer.h - a byte string that grows. Always terminated by a 0 that is not counted. One owner; buffer_free ends it.
 * A failed growth sets `failed` and leaves the content as it was, so a run of appends is checked once, at its end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char *data; // NULL while empty
    size_t size, capacity;
    bool failed;
} Buffer;

void buffer_append(Buffer *buffer, const void *bytes, size_t count);
void buffer_append_text(Buffer *buffer, const char *text);
void buffer_format(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_clear(Buffer *buffer); // keeps the memory
void buffer_free(Buffer *buffer);
/* The content as a C string that the caller frees (never NULL unless `failed`); the buffer becomes empty. */
char *buffer_take(Buffer *buffer);
