#include "cli/command.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The compute type that --precision asks for on this CPU. */
static DType precision_of(const Session *session) {
    const char *precision = session->common->precision;
    if (strcmp(precision, "auto") == 0) return isa_has_bf16(session->kernels.isa) ? DTYPE_BF16 : DTYPE_F32;
    return strcmp(precision, "bfloat16") == 0 ? DTYPE_BF16 : DTYPE_F32;
}

int command_load_adapted(const Session *session, ModelPlace place, bool trainable, const LoraSettings *lora,
                         Model **model, Error *error) {
    const ModelOptions options = {
        .kernels = &session->kernels, .compute = precision_of(session), .trainable = trainable, .lora = *lora};
    if (file_exists(place.directory) && !file_is_directory(place.directory))
        return error_set(error, ERROR_USAGE,
                         "%s is a file, a Hugging Face directory was expected; turn a GGUF file into one with `dice "
                         "import %s DIRECTORY`",
                         place.directory, place.directory);
    return model_load_adapted(model, place.directory, place.adapter, &options, error);
}

int command_load_model(const Session *session, ModelPlace place, bool trainable, Model **model, Error *error) {
    LoraSettings lora = {0};
    if (place.adapter != NULL && peft_adapter_settings(place.adapter, &lora, error) != 0) return -1;
    return command_load_adapted(session, place, trainable, &lora, model, error);
}

int command_load_recipe(Session *session, const char *path, const OptionList *set, Recipe *recipe, Error *error) {
    char precision[32];
    if (recipe_load(recipe, path, set->item, set->count, error) != 0) return -1;
    snprintf(precision, sizeof precision, "precision=%s", session->common->precision);
    if (strcmp(session->common->precision, "auto") != 0 && recipe_set(recipe, precision, error) != 0) {
        recipe_free(recipe);
        return -1;
    }
    if (session->common->threads == 0 && recipe->threads > 0) session->kernels.threads = (int)recipe->threads;
    return 0;
}

int command_print_json(json_t *object, Error *error) {
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (text == NULL) return error_set(error, ERROR_MEMORY, "no memory for the result");
    puts(text);
    free(text);
    return 0;
}
