/* data_recipe.h - what a recipe says of data, as preference_data.h takes it. */
#pragma once
#include "align/preference_data.h"
#include "formats/hf_config.h"
#include "formats/recipe.h"

/* How rows become ids for a model, at most its context long. Borrows recipe and chat. */
EncodeRules data_recipe_rules(const Recipe *recipe, const Chat *chat, const HfConfig *config);
