/* train_state.h - a checkpoint of training: everything that a bit-equal continuation needs.
 *
 *   directory/model.safetensors      float32 master weights under their Hugging Face names; or, of an adapter,
 *   directory/adapter_model.safetensors and adapter_config.json, which PEFT loads
 *   directory/optimizer.safetensors  "first.NAME" and "second.NAME", float32
 *   directory/state.json             {"step", "tokens", "model": hash of the weights, "optimizer": hash of the moments}
 * Written as directory.partial and renamed, so a checkpoint is whole or not there. Claims:
 * tests/unit/test_train_state.c. */
#pragma once
#include "model/model.h"
#include "train/optimizer.h"

typedef struct {
    size_t step, tokens;
} TrainState;

int train_state_save(const char *directory, Model *model, const Optimizer *optimizer, const TrainState *state,
                     Error *error);
/* Fills model, optimizer and state. Refuses another model's checkpoint (ERROR_MISMATCH) and a damaged one
 * (ERROR_INPUT); then they hold nothing of use. */
int train_state_load(const char *directory, Model *model, Optimizer *optimizer, TrainState *state, Error *error);
