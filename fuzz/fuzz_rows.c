/* Any bytes as a file of rows, for each use: refused with a reason, or rows whose parts are of one kind. The first byte
 * chooses the use. */
#include "formats/preference_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(PreferenceRow *row, PreferenceUse use) {
    if (preference_row_is_tokens(row->prompt)) return;
    json_type type = row->conversational ? JSON_ARRAY : JSON_STRING;
    if (row->prompt == NULL || json_typeof(row->prompt) != type) abort();
    if (use == PREFERENCE_PAIRS && (row->chosen == NULL || row->rejected == NULL)) abort();
    if (use == PREFERENCE_COMPLETIONS && row->chosen == NULL) abort();
    if (row->chosen != NULL && json_typeof(row->chosen) != type) abort();
    if (row->rejected != NULL && json_typeof(row->rejected) != type) abort();
    for (size_t k = 0; k < json_array_size(row->responses); k++)
        if (json_typeof(json_array_get(row->responses, k)) != type) abort();
    if (preference_row_wrap(row, NULL) != 0 || !json_is_array(row->prompt)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    PreferenceUse use = data[0] % 4;
    PreferenceOptions options = {.use = use, .keep_empty = data[0] & 4, .keep_equal = data[0] & 8};
    PreferenceFile file;
    Error error = {0};
    if (preference_file_parse(&file, data + 1, size - 1, "rows", &options, &error) != 0) {
        if (error.code == ERROR_NONE || error.message[0] == 0) abort();
        return 0;
    }
    if (file.count == 0) abort();
    for (size_t i = 0; i < file.count; i++) check(&file.rows[i], use);
    preference_file_free(&file);
    return 0;
}
