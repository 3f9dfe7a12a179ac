#include "cli/command.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DType command_precision(const Session *session) {
    const char *precision = session->common->precision;
    if (strcmp(precision, "auto") == 0) return isa_has_bf16(session->kernels.isa) ? DTYPE_BF16 : DTYPE_F32;
    return strcmp(precision, "bfloat16") == 0 ? DTYPE_BF16 : DTYPE_F32;
}

int command_load_model(const Session *session, const char *directory, bool trainable, Model **model, Error *error) {
    const ModelOptions options = {
        .kernels = &session->kernels, .compute = command_precision(session), .trainable = trainable};
    if (file_exists(directory) && !file_is_directory(directory))
        return error_set(error, ERROR_USAGE,
                         "%s is a file, a Hugging Face directory was expected; turn a GGUF file into one with `dice "
                         "import %s DIRECTORY`",
                         directory, directory);
    return model_load(model, directory, &options, error);
}

int command_print_json(json_t *object, Error *error) {
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (text == NULL) return error_set(error, ERROR_MEMORY, "no memory for the result");
    puts(text);
    free(text);
    return 0;
}
