/* pattern_classes.h - a pattern of the reference's regex library, rewritten for PCRE2.
 *
 * \p{L}, \P{N}, \s, \S, \d, \w and their like become explicit ranges of code points from text/unicode.h, so that no
 * library's own, older or newer Unicode decides; all else is copied. Names that we have no table for (\p{Han}) stay as
 * they are. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stddef.h>

/* Appends the rewritten pattern. ERROR_UNSUPPORTED for what the two libraries read differently. */
int pattern_classes_rewrite(const char *regex, size_t bytes, const char *name, Buffer *out, Error *error);
