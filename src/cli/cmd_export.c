#include "align/model_export.h"
#include "base/file.h"
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *dtype, *adapter;
    bool merge;
    uint64_t shard_bytes;
} Values;

static const Option options[] = {
    {"dtype", 0, OPTION_CHOICE, offsetof(Values, dtype), "float32|bfloat16", "bfloat16", 0, 0, "of the stored weights"},
    {"adapter", 0, OPTION_TEXT, offsetof(Values, adapter), "DIRECTORY", NULL, 0, 0,
     "PEFT directory: LoRA adapter of MODEL, for --merge"},
    {"merge", 0, OPTION_FLAG, offsetof(Values, merge), NULL, NULL, 0, 0, "adds the adapter to the weights"},
    {"shard-bytes", 0, OPTION_WHOLE, offsetof(Values, shard_bytes), "N", "5000000000", 1e6, 1e12,
     "largest safetensors file; a checkpoint over it is split"},
};

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    const char *from = v->common.argument[0], *to = v->common.argument[1];
    const ModelOptions exact = {.kernels = &session->kernels, .compute = DTYPE_F32, .trainable = true};
    Model *model = NULL;
    Hash hash;
    int result;
    if (file_exists(to))
        return error_set(error, ERROR_USAGE, "%s is there already: give a directory that is not, or remove it", to);
    if (v->merge != (v->adapter != NULL))
        return error_set(error, ERROR_USAGE, "dice export: --merge and --adapter DIRECTORY go together");
    DType type = strcmp(v->dtype, "bfloat16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    if (v->merge) {
        json_t *card = json_pack("{s:s, s:s}", "parent", from, "adapter", v->adapter);
        result = model_export_merged(&session->kernels, from, v->adapter, to, type, v->shard_bytes, card, &hash, error);
    } else if ((result = model_load(&model, from, &exact, error)) == 0) {
        json_t *card = json_pack("{s:s}", "parent", from);
        result = model_export(model, from, to, type, v->shard_bytes, NULL, card, &hash, error);
    }
    model_free(model);
    if (result != 0) return -1;
    if (v->common.json) return command_print_json(json_pack("{s:s, s:s}", "checkpoint", to, "model", hash.hex), error);
    printf("checkpoint: %s\n", to);
    return 0;
}

COMMAND_DEFINE(
    export, Values, options, .summary = "a checkpoint in another precision, in shards, or with an adapter merged in",
    .arguments = "MODEL DIRECTORY", .least = 2, .most = 2,
    .description = "Copies a Hugging Face checkpoint directory with its weights as --dtype, split into "
                   "files of at most --shard-bytes.\n"
                   "Tokenizer and template files stay as they are. With --merge a LoRA adapter becomes part of the\n"
                   "weights: W + s B A, summed in float32.",
    .examples = "  dice export run/round-2/model published --dtype bfloat16\n"
                "  dice export BASE published --adapter run/round-2/adapter --merge");
