/* jinja_builder.h - a text that grows inside a JinjaRun. A failed append sets `failed` (the run's error is set); a row
 * of appends is checked once, by jinja_built. */
#pragma once
#include "text/jinja_value.h"

typedef struct {
    JinjaRun *run;
    char *bytes;
    size_t size, capacity;
    bool failed;
} JinjaBuilder;

static inline JinjaBuilder jinja_builder(JinjaRun *run) { return (JinjaBuilder){.run = run}; }
/* Room for `size` bytes more, so that the next appends do not grow. */
void jinja_build_room(JinjaBuilder *b, size_t size);
void jinja_build(JinjaBuilder *b, const char *bytes, size_t size);
void jinja_build_text(JinjaBuilder *b, const char *text);
void jinja_build_char(JinjaBuilder *b, uint32_t c); // a code point
void jinja_build_fill(JinjaBuilder *b, const char *bytes, size_t size, size_t times);
/* The text as a value; -1 where an append failed. */
int jinja_built(JinjaBuilder *b, JinjaValue *out);
