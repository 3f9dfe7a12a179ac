/* recipe_parity.h - `parity: trl-1.x | dice`: do as another program does, where our way differs from it.
 *
 * A parity mode is a list of keys with the value that the other program's behaviour amounts to, and why. Applying a
 * mode sets those keys, whatever the recipe says of them: a run in parity that is not in parity would be worse than
 * none. What the mode means is said in the log, every key of it, so nothing changes silently [RP-1]. Keys that a mode
 * does not name stay as the recipe has them: they are settings, not semantics (learning rate, K, temperature).
 *   trl-1.x   TRL's DPOTrainer 1.x as it behaves when run.        dice   the released scripts of arXiv 2406.09760
 * Claims: [RP-n] are checked by tests/unit/test_recipe_parity.c. */
#pragma once
#include "base/log.h"
#include "formats/recipe.h"

/* Sets the keys of recipe->parity. */
int recipe_parity_apply(Recipe *recipe, Error *error);
/* Appends "parity MODE: ..." and a line for each of its keys; nothing for the mode none. */
void recipe_parity_describe(const Recipe *recipe, Buffer *out);
/* The same, to the log. */
void recipe_parity_say(const Recipe *recipe, const Log *log);
