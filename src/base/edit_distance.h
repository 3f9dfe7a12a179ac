/* edit_distance.h - how far apart two names are, for "did you mean".
 *
 * Levenshtein's distance: the fewest characters to add, take out or exchange. Source: Levenshtein, 1966. */
#pragma once
#include <stddef.h>

/* In bytes; SIZE_MAX where one of them is longer than any name is (64 bytes). */
size_t edit_distance(const char *a, const char *b);
