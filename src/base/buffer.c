#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(Buffer *b, size_t more) {
    if (b->failed || more > SIZE_MAX / 2 - b->size - 1) return !(b->failed = true);
    size_t need = b->size + more + 1;
    if (need <= b->capacity) return true;
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    while (capacity < need) capacity *= 2;
    char *data = realloc(b->data, capacity);
    if (data == NULL) return !(b->failed = true);
    b->data = data;
    b->capacity = capacity;
    return true;
}

void buffer_append(Buffer *buffer, const void *bytes, size_t count) {
    if (!reserve(buffer, count)) return;
    if (count > 0) memcpy(buffer->data + buffer->size, bytes, count);
    buffer->size += count;
    buffer->data[buffer->size] = 0;
}

void buffer_append_text(Buffer *buffer, const char *text) { buffer_append(buffer, text, strlen(text)); }

void buffer_format(Buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0) buffer->failed = true;
    if (n >= 0 && reserve(buffer, (size_t)n)) {
        vsnprintf(buffer->data + buffer->size, (size_t)n + 1, format, again);
        buffer->size += (size_t)n;
    }
    va_end(again);
}

void buffer_clear(Buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
    if (buffer->data != NULL) buffer->data[0] = 0;
}

void buffer_free(Buffer *buffer) {
    free(buffer->data);
    *buffer = (Buffer){0};
}

char *buffer_take(Buffer *buffer) {
    buffer_append(buffer, "", 0);
    char *data = buffer->failed ? NULL : buffer->data;
    if (data == NULL) free(buffer->data);
    *buffer = (Buffer){0};
    return data;
}
