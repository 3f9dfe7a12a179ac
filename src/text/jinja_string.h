/* jinja_string.h - Python's string operations on values of type STRING, used by methods and filters alike. Indices
 * count code points; a range [start, end) of Python's optional arguments may be negative or beyond the end. */
#pragma once
#include "text/jinja_builder.h"

/* Without the characters of `chars` (NULL: white space) at the left, the right or both. */
int jinja_string_strip(JinjaRun *run, const JinjaValue *text, const JinjaValue *chars, bool left, bool right,
                       JinjaValue *out);

typedef enum {
    JINJA_LOWER,
    JINJA_UPPER,
    JINJA_CAPITALIZE,  // the first letter large, the rest small
    JINJA_TITLE,       // every word so, as str.title: a word begins behind anything without case
    JINJA_TITLE_WORDS, // every word so, as the filter title: a word begins behind blanks, hyphens and brackets
    JINJA_SWAP
} JinjaCaseStyle;
int jinja_string_case(JinjaRun *run, const JinjaValue *text, JinjaCaseStyle style, JinjaValue *out);

/* `count` < 0: every one. */
int jinja_string_replace(JinjaRun *run, const JinjaValue *text, const JinjaValue *old, const JinjaValue *with,
                         int64_t count, JinjaValue *out);
/* At `separator` (NULL: runs of white space), at most `count` times (< 0: everywhere), from the right if asked. A list.
 */
int jinja_string_split(JinjaRun *run, const JinjaValue *text, const JinjaValue *separator, int64_t count, bool right,
                       JinjaValue *out);
int jinja_string_lines(JinjaRun *run, const JinjaValue *text, bool keep_ends, JinjaValue *out);

/* The part [start, end) of a text; *offset is its first code point; false where it begins beyond the end. */
bool jinja_string_window(const JinjaValue *text, int64_t start, int64_t end, JinjaValue *part, size_t *offset);
/* The first (or last) byte offset of `part` in `text`: 1 where it is there, 0 where not, -1 beyond the run's steps. */
int jinja_string_find(JinjaRun *run, const JinjaValue *text, const JinjaValue *part, bool last, size_t *at);
bool jinja_string_begins(const JinjaValue *text, const JinjaValue *part);
bool jinja_string_ends(const JinjaValue *text, const JinjaValue *part);

typedef enum { JINJA_ALIGN_LEFT, JINJA_ALIGN_RIGHT, JINJA_ALIGN_CENTER } JinjaAlign;
/* Filled up to `width` code points with `fill`. */
int jinja_string_pad(JinjaRun *run, const JinjaValue *text, int64_t width, const JinjaValue *fill, JinjaAlign align,
                     JinjaValue *out);
/* Texts with `separator` between them; items that are no text are an error, or (`convert`) are printed. */
int jinja_string_join(JinjaRun *run, const JinjaValue *separator, const JinjaValue *item, size_t count, bool convert,
                      JinjaValue *out);
