/* clock.h - elapsed time (monotonic) and calendar time. Only measuring and labels; no result depends on either. */
#pragma once
#include <stddef.h>

double clock_seconds(void);                       // monotonic, from an arbitrary start
void clock_timestamp(char *out, size_t capacity); // UTC, "2026-01-31T12:00:00Z"; capacity >= 21
