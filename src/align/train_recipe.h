/* train_recipe.h - what a recipe says of training, as train/ takes it.
 *
 * Round 0 (plain DPO on the offline pairs) has the keys of `round0` where they are set, else those of `train`; every
 * other round has those of `train`. */
#pragma once
#include "formats/recipe.h"
#include "train/trainer.h"

/* examples: of the round's training set; `epochs` become steps by it. The order of examples is left to the seed. */
TrainSettings train_recipe_settings(const Recipe *recipe, uint32_t round, size_t examples);
