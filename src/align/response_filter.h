/* response_filter.h - which sampled responses may enter a pair, decided before any is paid for by scoring.
 *
 * A response is kept if it ended by itself (was not cut by the token limit) and above_chars < |y| < below_chars, |y| in
 * code points of the stripped text. A prompt is kept if at least min_responses of its responses are.
 * Source: the released scripts of DICE. */
#pragma once
#include "sample/generate.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    size_t above_chars, below_chars; // the authors': 3 and 6700
    size_t min_responses;            // theirs: 8 of 16
} ResponseFilter;

bool response_filter_keeps(const ResponseFilter *filter, FinishReason finish, size_t chars);

/* Code points of valid UTF-8 `text` without the white space at both ends that Python's str.strip() removes. */
size_t response_filter_length(const char *text, size_t bytes);
/* The same, and where in the text what is left begins and ends; both 0 where nothing is. */
size_t response_filter_strip(const char *text, size_t bytes, size_t *begin, size_t *end);
