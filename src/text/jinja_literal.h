/* jinja_literal.h - the texts and numbers that stand in a template's tags, read as Python reads them. */
#pragma once
#include "text/jinja_value.h"

/* A text in quotes at the start of `size` bytes, with Python's escapes (\n \x41 \u00e9 \U0001f600 \101 ...). */
int jinja_read_text(JinjaRun *run, const char *bytes, size_t size, JinjaValue *value, size_t *taken);
/* A number that begins with a digit: 12, 1_000, 0x1f, 0b1, 0o7, 1.5, 2e10; `real` false: only a whole number. */
int jinja_read_number(JinjaRun *run, const char *bytes, size_t size, bool real, JinjaValue *value, size_t *taken);
/* float(text) of Python, false where it is not a number. */
bool jinja_read_real(const char *bytes, size_t size, double *real);
/* int(text, base) of Python: *valid false where it is not a whole number. */
int jinja_read_int(JinjaRun *run, const char *bytes, size_t size, unsigned base, int64_t *whole, bool *valid);
