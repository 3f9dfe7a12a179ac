/* gzip.h - the content of a .gz file, found by its magic bytes.
 * Several members one after another are one content, as gzip says (RFC 1952, 2.2). */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

bool gzip_is(const void *bytes, size_t size);

/* Appends the inflated content. ERROR_INPUT where the data is damaged, cut short, or larger than `limit` bytes; `name`
 * stands in messages. */
int gzip_inflate(const void *bytes, size_t size, size_t limit, Buffer *out, const char *name, Error *error);
