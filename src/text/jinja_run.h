/* jinja_run.h - what a compilation or a rendering may use up, where it is, and how it fails.
 *
 * Every part of the Jinja engine takes a JinjaRun *: memory comes from it and dies with it at once (nothing is freed
 * one by one), work is charged to it, nesting is counted in it, and jinja_fail names the line it is at. Source: limits
 * in the spirit of Jinja2's sandbox, which bounds range() alone. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define JINJA_DEPTH_MAX 600    // nested evaluations; each costs some hundred bytes of C stack
#define JINJA_RANGE_MAX 100000 // as in Jinja2's sandbox

typedef struct JinjaChunk JinjaChunk;

typedef struct {
    JinjaChunk *chunks;
    size_t memory_limit, memory_left; // bytes
    size_t steps_limit, steps_left;
    size_t depth;
    const char *name;     // of the template
    size_t line;          // being worked on, from 1
    const struct tm *now; // what strftime_now shows; NULL: the local time
    Error *error;
} JinjaRun;

JinjaRun jinja_run(const char *name, size_t memory_bytes, size_t steps, Error *error);
void jinja_run_free(JinjaRun *run);

/* `count` elements of `element` bytes, zeroed, 16-byte aligned; NULL (and an error) beyond the run's memory. */
void *jinja_take(JinjaRun *run, size_t count, size_t element);
/* The same for text: `size` bytes, not zeroed. */
char *jinja_take_bytes(JinjaRun *run, size_t size);
/* A copy of `size` bytes with a 0 behind. */
char *jinja_copy(JinjaRun *run, const char *bytes, size_t size);
/* Work of `steps` steps; -1 where the run has used all of its. */
int jinja_charge(JinjaRun *run, size_t steps);
/* The steps of handling `bytes` bytes of text. */
int jinja_charge_text(JinjaRun *run, size_t bytes);
/* One level deeper; -1 at the limit. Every success needs its jinja_leave. */
int jinja_enter(JinjaRun *run);
void jinja_leave(JinjaRun *run);

/* "NAME:LINE: message" as ERROR_INPUT or as `code`. Returns -1. */
int jinja_fail(JinjaRun *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
int jinja_fail_code(JinjaRun *run, ErrorCode code, const char *format, ...) __attribute__((format(printf, 3, 4)));
