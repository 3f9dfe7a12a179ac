/* adapter_merge.h - the weights of a checkpoint with a LoRA adapter merged in: W + s B A.
 *
 * The product is summed in float32 and added to the float32 value of W, as PEFT's merge_and_unload does on a float32
 * model; rounding to `type` comes last. Weights go from file to file row by row, whatever the size of the model. */
#pragma once
#include "kernels/kernel_table.h"

/* Writes the safetensors files of the merged model into the directory `to`, which is there. ERROR_INPUT and
 * ERROR_UNSUPPORTED where the adapter does not belong to the checkpoint. */
int adapter_merge(const KernelTable *kernels, const char *base, const char *adapter, const char *to, DType type,
                  size_t shard_bytes, Error *error);
