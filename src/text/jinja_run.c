#include "text/jinja_run.h"
#include "base/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 32768

struct JinjaChunk {
    JinjaChunk *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

JinjaRun jinja_run(const char *name, size_t memory_bytes, size_t steps, Error *error) {
    return (JinjaRun){.memory_limit = memory_bytes,
                      .memory_left = memory_bytes,
                      .steps_limit = steps,
                      .steps_left = steps,
                      .name = name,
                      .line = 1,
                      .error = error};
}

void jinja_run_free(JinjaRun *run) {
    while (run->chunks != NULL) {
        JinjaChunk *chunk = run->chunks;
        run->chunks = chunk->next;
        free(chunk);
    }
}

static int fail_with(JinjaRun *run, ErrorCode code, const char *format, va_list arguments) {
    char message[768];
    vsnprintf(message, sizeof message, format, arguments);
    return error_set(run->error, code, "%s:%zu: %s", run->name, run->line, message);
}

int jinja_fail(JinjaRun *run, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int status = fail_with(run, ERROR_INPUT, format, arguments);
    va_end(arguments);
    return status;
}

int jinja_fail_code(JinjaRun *run, ErrorCode code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int status = fail_with(run, code, format, arguments);
    va_end(arguments);
    return status;
}

static void *take(JinjaRun *run, size_t bytes) {
    if (bytes > run->memory_left || bytes > SIZE_MAX / 2) {
        jinja_fail(run,
                   "the chat template needs more than %zu bytes of memory; check it for a value that keeps growing",
                   run->memory_limit);
        return NULL;
    }
    bytes = size_round_up(bytes == 0 ? 1 : bytes, 16);
    JinjaChunk *chunk = run->chunks;
    if (chunk == NULL || chunk->size - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES / 4 ? bytes : CHUNK_BYTES;
        chunk = malloc(sizeof *chunk + size);
        if (chunk == NULL) {
            jinja_fail_code(run, ERROR_MEMORY, "no memory left for the chat template");
            return NULL;
        }
        *chunk = (JinjaChunk){.size = size};
        if (bytes == size && run->chunks != NULL) { // a piece of its own goes behind, so that the open chunk stays open
            chunk->next = run->chunks->next;
            run->chunks->next = chunk;
        } else {
            chunk->next = run->chunks;
            run->chunks = chunk;
        }
    }
    void *piece = chunk->bytes + chunk->used;
    chunk->used += bytes;
    run->memory_left -= bytes < run->memory_left ? bytes : run->memory_left;
    return piece;
}

void *jinja_take(JinjaRun *run, size_t count, size_t element) {
    size_t bytes;
    if (!size_multiply(count, element, &bytes)) bytes = SIZE_MAX; // refused
    void *piece = take(run, bytes);
    return piece == NULL ? NULL : memset(piece, 0, bytes);
}

char *jinja_take_bytes(JinjaRun *run, size_t size) { return take(run, size); }

char *jinja_copy(JinjaRun *run, const char *bytes, size_t size) {
    char *copy = jinja_take_bytes(run, size + 1);
    if (copy == NULL) return NULL;
    if (size > 0) memcpy(copy, bytes, size);
    copy[size] = 0;
    return copy;
}

int jinja_charge(JinjaRun *run, size_t steps) {
    if (steps >= run->steps_left) {
        run->steps_left = 0;
        return jinja_fail(run,
                          "the chat template takes more than %zu steps; check it for nested loops over large ranges",
                          run->steps_limit);
    }
    run->steps_left -= steps;
    return 0;
}

int jinja_charge_text(JinjaRun *run, size_t bytes) { return jinja_charge(run, 1 + bytes / 32); }

int jinja_enter(JinjaRun *run) {
    if (run->depth >= JINJA_DEPTH_MAX)
        return jinja_fail(
            run, "nested deeper than %d levels; check the chat template for a macro that calls itself without end",
            JINJA_DEPTH_MAX);
    run->depth++;
    return 0;
}

void jinja_leave(JinjaRun *run) { run->depth--; }
