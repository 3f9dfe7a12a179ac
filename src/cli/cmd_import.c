#include "base/file.h"
#include "cli/command.h"
#include "formats/gguf_import.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *dtype;
} Values;

static const Option options[] = {
    {"dtype", 0, OPTION_CHOICE, offsetof(Values, dtype), "float32|bfloat16", "float32", 0, 0,
     "of the stored weights; float32 is exact"},
};

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    const char *from = v->common.argument[0], *to = v->common.argument[1];
    if (file_exists(to))
        return error_set(error, ERROR_USAGE, "%s is there already: give a directory that is not, or remove it", to);
    if (gguf_import(from, to, strcmp(v->dtype, "bfloat16") == 0 ? DTYPE_BF16 : DTYPE_F32, &session->log, error) != 0)
        return -1;
    terminal_clear(&session->terminal);
    if (v->common.json) return command_print_json(json_pack("{s:s}", "checkpoint", to), error);
    printf("checkpoint: %s\n", to);
    return 0;
}

COMMAND_DEFINE(import, Values, options, .summary = "GGUF file -> Hugging Face checkpoint directory",
               .arguments = "GGUF DIRECTORY", .least = 2, .most = 2,
               .description = "Dequantises every tensor and writes config.json, generation_config.json, "
                              "tokenizer.json, tokenizer_config.json (with\n"
                              "the chat template) and model.safetensors: a directory that Hugging Face transformers "
                              "loads. Written beside and put\n"
                              "in place when it is complete.",
               .examples = "  dice import SmolLM2-135M-Instruct.Q4_1.gguf smollm2");
