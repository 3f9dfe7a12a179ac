/* model_export.h - a trained model as a complete Hugging Face directory.
 *
 * Weights as safetensors; config, tokenizer and template files are those of the parent directory, unchanged but for the
 * dtype; dice_card.json says how the model came about: program, recipe, parent, data. Written as DIRECTORY.partial and
 * renamed. */
#pragma once
#include "base/json.h"
#include "formats/recipe.h"
#include "model/model.h"

/* Of a model with an adapter, only that is exported, as a PEFT directory in float32: parent, type and shard_bytes do
 * not matter then. card: further facts for dice_card.json, its reference is taken. *hash: of the exported weights as a
 * reader sees them. */
int model_export(Model *model, const char *parent, const char *directory, DType type, size_t shard_bytes,
                 const Recipe *recipe, json_t *card, Hash *hash, Error *error);

/* The stored type that `export.dtype` asks for; auto: that of the model as it came. */
DType model_export_type(const Recipe *recipe, const HfConfig *config);

/* The checkpoint `base` with a PEFT directory merged into its weights (align/adapter_merge.h). */
int model_export_merged(const KernelTable *kernels, const char *base, const char *adapter, const char *directory,
                        DType type, size_t shard_bytes, json_t *card, Hash *hash, Error *error);
