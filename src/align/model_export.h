/* model_export.h - a trained model as a complete Hugging Face directory.
 *
 * Weights as safetensors; config, tokenizer and template files are those of the parent directory, unchanged but for the
 * dtype; dice_card.json says how the model came about: program, recipe, parent, data. Written as DIRECTORY.partial and
 * renamed. */
#pragma once
#include "base/json.h"
#include "formats/recipe.h"
#include "model/model.h"

/* card: further facts for dice_card.json, its reference is taken. *hash: of the exported weights as a reader sees them.
 */
int model_export(Model *model, const char *parent, const char *directory, DType type, size_t shard_bytes,
                 const Recipe *recipe, json_t *card, Hash *hash, Error *error);
