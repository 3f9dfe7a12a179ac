/* normal_form.h - the four normal forms of Unicode, on utf8proc's tables, in linear time.
 *
 * utf8proc orders combining marks by swapping neighbours, which takes minutes on a text of nothing but marks; here they
 * are counted into their classes. Characters that no form changes are copied without a look at the tables. utf8proc's
 * Unicode may be newer than the reference's: characters newer than that may come out differently. Source: Unicode
 * Standard Annex 15. Claims: [NF-n] are checked by tests/unit/test_normal_form.c. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    bool compose;       // C: compose again after decomposing
    bool compatibility; // K: decompose compatibility characters as well
} NormalForm;

/* Appends the form of text[0..n), valid UTF-8 [NF-1]. */
int normal_form_append(NormalForm form, const char *text, size_t n, Buffer *out, Error *error);
