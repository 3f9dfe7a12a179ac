/* train_directory.h - OUT.checkpoints of `dice train`: what an interrupted training has left, and whose it is.
 *
 *   recipe.txt     lines "key: value" that name the training: recipe, data, weights; another training is refused
 *   step-000050/   the newest checkpoint (train/train_state.h); older ones, and half-written ones, are removed */
#pragma once
#include "base/error.h"
#include <stddef.h>

/* Makes the directory if it is not there, and remembers `facts`, or holds them against those that it remembers:
 * ERROR_MISMATCH with the lines that differ. */
int train_directory_claim(const char *directory, const char *facts, Error *error);
/* The newest checkpoint, to be freed, and its step; NULL and 0: none. */
int train_directory_newest(const char *directory, char **checkpoint, size_t *step, Error *error);
/* Removes every checkpoint but the one of this name ("step-000050"; "": none is kept), and what a killed process has
 * half written. */
int train_directory_keep(const char *directory, const char *name, Error *error);
