/* recipe_options.h - keys of a recipe for a command that has no recipe file: the same names, defaults and checks. */
#pragma once
#include "cli/command.h"

/* A recipe of defaults for `model` and `data`, then preset[0 .. presets), then the user's --set. precision is that of
 * the command line. */
int recipe_options_read(Recipe *recipe, const Session *session, const char *model, const char *output, const char *data,
                        const char *const *preset, size_t presets, const OptionList *set, Error *error);
