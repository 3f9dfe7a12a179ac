#include "align/model_export.h"
#include "base/file.h"
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *dtype;
    uint64_t shard_bytes;
} Values;

static const Option options[] = {
    {"dtype", 0, OPTION_CHOICE, offsetof(Values, dtype), "float32|bfloat16", "bfloat16", 0, 0, "of the stored weights"},
    {"shard-bytes", 0, OPTION_WHOLE, offsetof(Values, shard_bytes), "N", "5000000000", 1e6, 1e12,
     "largest safetensors file; a checkpoint over it is split"},
};

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    const char *from = v->common.argument[0], *to = v->common.argument[1];
    const ModelOptions exact = {.kernels = &session->kernels, .compute = DTYPE_F32, .trainable = true};
    Model *model = NULL;
    Hash hash;
    if (file_exists(to))
        return error_set(error, ERROR_USAGE, "%s is there already: give a directory that is not, or remove it", to);
    int result = model_load(&model, from, &exact, error);
    if (result == 0)
        result = model_export(model, from, to, strcmp(v->dtype, "bfloat16") == 0 ? DTYPE_BF16 : DTYPE_F32,
                              v->shard_bytes, NULL, json_pack("{s:s}", "parent", from), &hash, error);
    model_free(model);
    if (result != 0) return -1;
    if (v->common.json) return command_print_json(json_pack("{s:s, s:s}", "checkpoint", to, "model", hash.hex), error);
    printf("checkpoint: %s\n", to);
    return 0;
}

COMMAND_DEFINE(export, Values, options, .summary = "a checkpoint in another precision or in shards",
               .arguments = "MODEL DIRECTORY", .least = 2, .most = 2,
               .description = "Copies a Hugging Face checkpoint directory with its weights as --dtype, split into "
                              "files of at most --shard-bytes.\n"
                              "Tokenizer and template files stay as they are.",
               .examples = "  dice export run/round-2/model published --dtype bfloat16");
