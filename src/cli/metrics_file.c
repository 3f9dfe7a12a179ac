#include "cli/metrics_file.h"

#include "base/file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Leaves the whole lines up to a step. */
static int cut(const char *path, size_t step, Error *error) {
    FileMap map;
    if (file_map(&map, path, error) != 0) return -1;
    size_t end = 0;
    while (end < map.size) {
        const uint8_t *line = map.data + end, *newline = memchr(line, '\n', map.size - end);
        if (newline == NULL) break;
        json_t *row = json_loadb((const char *)line, (size_t)(newline - line), 0, NULL);
        bool later = row == NULL || json_integer_value(json_object_get(row, "step")) > (json_int_t)step;
        json_decref(row);
        if (later) break;
        end += (size_t)(newline - line) + 1;
    }
    int result = end == map.size ? 0 : file_write(path, map.data, end, error);
    file_unmap(&map);
    return result;
}

int metrics_file_open(MetricsFile *metrics, const char *path, size_t step, Error *error) {
    *metrics = (MetricsFile){.path = strdup(path)};
    if (metrics->path == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory to open it", path);
    if (step > 0 && file_exists(path) && cut(path, step, error) != 0) return -1;
    metrics->stream = fopen(path, step > 0 ? "ae" : "we");
    return metrics->stream != NULL ? 0 : error_errno(error, path, "create");
}

int metrics_file_write(MetricsFile *metrics, json_t *row, Error *error) {
    if (row == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for a line", metrics->path);
    bool failed = json_dumpf(row, metrics->stream, JSON_COMPACT | JSON_REAL_PRECISION(17)) != 0 ||
                  fputc('\n', metrics->stream) == EOF || fflush(metrics->stream) != 0;
    json_decref(row);
    return failed ? error_errno(error, metrics->path, "write") : 0;
}

void metrics_file_close(MetricsFile *metrics) {
    if (metrics->stream != NULL) fclose(metrics->stream);
    free(metrics->path);
    *metrics = (MetricsFile){0};
}
