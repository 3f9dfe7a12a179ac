/* random_model.h - a checkpoint of SmolLM2-135M's shape with random weights (bfloat16), for benches without a download.
 */
#pragma once
#include "base/error.h"

/* Writes config.json and model.safetensors into `directory`, which it makes. */
int random_model_write(const char *directory, Error *error);
