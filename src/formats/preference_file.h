/* preference_file.h - a file of prompts, preference pairs or scored responses, in any layout that other tools write.
 *
 * JSON lines or one JSON array, either of them gzip-compressed or not: found by content, the name does not matter. The
 * text must be UTF-8 (a byte order mark is skipped); blank lines are skipped. preference_row.h says which columns are
 * read. A syntax error or a row of an unknown layout ends the reading with an error that names file, line and column; a
 * row that is well-formed but of no use is dropped, and the file says how many were, why, and where the first was
 * [PF-1]. Memory: a PreferenceFile owns its rows. Rows keep the order of the file. Claims: [PF-n] are checked by
 * tests/unit/test_preference_file.c. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "formats/preference_row.h"

/* What the rows are for; a row that lacks it is ERROR_INPUT. A prompt is always there. */
typedef enum {
    PREFERENCE_PROMPTS,    // nothing else is needed
    PREFERENCE_PAIRS,      // chosen and rejected
    PREFERENCE_RESPONSES,  // responses
    PREFERENCE_COMPLETIONS // chosen (of pairs, too)
} PreferenceUse;

typedef struct {
    PreferenceUse use;
    bool keep_empty; // keep rows with an answer that is empty or white space (the end token is still an answer)
    bool keep_equal; // keep pairs whose chosen and rejected are equal (their DPO gradient is zero)
} PreferenceOptions;

typedef enum {
    DROP_EMPTY_PROMPT, // nothing but white space, or chosen and rejected have no common beginning
    DROP_EMPTY_ANSWER, // an answer that is needed is empty, or does not end with an assistant message
    DROP_EQUAL,        // chosen and rejected are the same
    DROP_REASONS
} DropReason;

typedef struct {
    char *name; // path as it was given
    bool gzip, array;
    PreferenceRow *rows;
    size_t count;                                      // of rows kept
    size_t prompts[PROMPT_LAYOUTS];                    // rows kept, by layout
    size_t answers[ANSWER_LAYOUTS];                    // rows kept, by layout
    size_t dropped[DROP_REASONS], first[DROP_REASONS]; // rows, and the line of the first one
} PreferenceFile;

/* options NULL: prompts. A file without any row that can be kept is ERROR_INPUT. */
int preference_file_read(PreferenceFile *file, const char *path, const PreferenceOptions *options, Error *error);
/* The same from memory; `name` stands in messages. */
int preference_file_parse(PreferenceFile *file, const void *bytes, size_t size, const char *name,
                          const PreferenceOptions *options, Error *error);
void preference_file_free(PreferenceFile *file);

/* What was found, as sentences for a person: format, rows, layout of each column, rows dropped and why. */
void preference_file_describe(const PreferenceFile *file, Buffer *out);
