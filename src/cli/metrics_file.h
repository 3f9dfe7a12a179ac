/* metrics_file.h - figures of training steps as JSON lines, one a step, continued where a training is. */
#pragma once
#include "base/json.h"
#include <stddef.h>
#include <stdio.h>

typedef struct {
    FILE *stream;
    char *path;
} MetricsFile; // zeroed: closed

/* step 0: a new file. Otherwise the lines up to that step stay, and those behind it, which will come again, go. */
int metrics_file_open(MetricsFile *metrics, const char *path, size_t step, Error *error);
/* An object with "step"; takes its reference, which may be NULL where memory was exhausted. The line is in the file on
 * return. */
int metrics_file_write(MetricsFile *metrics, json_t *row, Error *error);
void metrics_file_close(MetricsFile *metrics);
