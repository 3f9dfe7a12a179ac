/* weights.h - fills a model with the values of a checkpoint, packs them for the matrix products, and names them.
 *
 * A checkpoint must hold exactly the tensors of parameters.h in their shapes; only a head beside a tied embedding and
 * the rotary tables that old checkpoints carry are ignored. Every value is checked to be finite. The hash covers names,
 * shapes and float32 values: so it is the same for a model, for its float32 copy on disk, and for any compute type. */
#pragma once
#include "formats/safetensors.h"
#include "model/model_state.h"

/* Everything from the mapped file to ready weights, tensor by tensor, on all threads; sets file_hash. `directory`
 * stands in messages. */
int weights_load(Model *model, const Checkpoint *checkpoint, const char *directory, Error *error);
/* Packs every matrix of a trainable model again from the masters. */
int weights_pack(Model *model, Error *error);
/* The hash of a trainable model's masters. */
int weights_hash(const Model *model, Hash *hash, Error *error);
