/* training_recipe.h - keys of a recipe for a command that has no recipe file: the same names, defaults and checks. */
#pragma once
#include "align/preference_data.h"
#include "cli/command.h"

/* A recipe of defaults for `model` and `data`, then preset[0 .. presets), then the user's --set. precision is that of
 * the command line. */
int training_recipe_read(Recipe *recipe, const Session *session, const char *model, const char *output,
                         const char *data, const char *const *preset, size_t presets, const OptionList *set,
                         Error *error);
/* How its rows become ids for a model. The rules borrow recipe and chat. */
EncodeRules training_recipe_rules(const Recipe *recipe, const Chat *chat, const HfConfig *config);
