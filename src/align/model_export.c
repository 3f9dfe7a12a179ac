#include "align/model_export.h"
#include "align/adapter_merge.h"

#include "base/clock.h"
#include "base/file.h"
#include "formats/hf_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A directory on its way: written beside the place where it shall be. */
typedef struct {
    const char *directory;
    char *partial;
} Export;

static int begin(Export *e, const char *directory, const json_t *card, Error *error) {
    *e = (Export){.directory = directory};
    if (card == NULL || asprintf(&e->partial, "%s.partial", directory) < 0) {
        e->partial = NULL;
        return error_set(error, ERROR_MEMORY, "%s: no memory for the export", directory);
    }
    return file_remove_tree(e->partial, error) == 0 ? file_make_directory(e->partial, error) : -1;
}

static int write_card(const char *directory, const Recipe *recipe, json_t *card, const Hash *hash, Error *error) {
    char stamp[32], *path = file_join(directory, "dice_card.json");
    Buffer text = {0};
    if (recipe != NULL) recipe_canonical(recipe, &text);
    clock_timestamp(stamp, sizeof stamp);
    json_object_set_new(card, "program", json_string("dice"));
    json_object_set_new(card, "method", json_string("DICE, arXiv 2406.09760"));
    json_object_set_new(card, "weights", json_string(hash->hex));
    json_object_set_new(card, "written", json_string(stamp));
    if (text.data != NULL) json_object_set_new(card, "recipe", json_string(text.data));
    char *json = json_dumps(card, JSON_INDENT(1));
    int result = json == NULL || path == NULL || text.failed
                     ? error_set(error, ERROR_MEMORY, "%s: no memory for dice_card.json", directory)
                     : file_write(path, json, strlen(json), error);
    free(json);
    free(path);
    buffer_free(&text);
    return result;
}

/* result: of what was done since begin. Takes the card. */
static int end(Export *e, int result, const Recipe *recipe, json_t *card, const Hash *hash, Error *error) {
    if (result == 0 && write_card(e->partial, recipe, card, hash, error) == 0 &&
        file_remove_tree(e->directory, error) == 0)
        result = file_rename(e->partial, e->directory, error);
    else
        result = -1;
    if (result != 0 && e->partial != NULL) file_remove_tree(e->partial, NULL);
    json_decref(card);
    free(e->partial);
    return result;
}

/* The hash that a reader of the directory will compute: of the weights as they were rounded to the stored type. */
static int hash_stored(const KernelTable *kernels, DType compute, const char *directory, Hash *hash, Error *error) {
    const ModelOptions options = {.kernels = kernels, .compute = compute};
    Model *stored;
    if (model_load(&stored, directory, &options, error) != 0)
        return error_prefix(error, "the exported model cannot be read back");
    int result = model_hash(stored, hash, error);
    model_free(stored);
    return result;
}

static int write_whole(Model *model, const char *parent, const char *to, DType type, size_t shard_bytes, Hash *hash,
                       Error *error) {
    const ModelOptions *options = model_options(model);
    return hf_directory_copy(parent, to, type, error) == 0 && model_save(model, to, type, shard_bytes, error) == 0
               ? hash_stored(options->kernels, options->compute, to, hash, error)
               : -1;
}

static int write_adapter(Model *model, const char *to, Hash *hash, Error *error) {
    return model_adapter_save(model, to, error) == 0 ? model_hash(model, hash, error) : -1;
}

DType model_export_type(const Recipe *recipe, const HfConfig *config) {
    if (recipe->export.dtype == RECIPE_DTYPE_AUTO) return config->dtype == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    return recipe->export.dtype == RECIPE_DTYPE_BFLOAT16 ? DTYPE_BF16 : DTYPE_F32;
}

int model_export(Model *model, const char *parent, const char *directory, DType type, size_t shard_bytes,
                 const Recipe *recipe, json_t *card, Hash *hash, Error *error) {
    Export e;
    int result = begin(&e, directory, card, error);
    if (result == 0)
        result = model_options(model)->lora.r > 0
                     ? write_adapter(model, e.partial, hash, error)
                     : write_whole(model, parent, e.partial, type, shard_bytes, hash, error);
    return end(&e, result, recipe, card, hash, error);
}

int model_export_merged(const KernelTable *kernels, const char *base, const char *adapter, const char *directory,
                        DType type, size_t shard_bytes, json_t *card, Hash *hash, Error *error) {
    Export e;
    int result = begin(&e, directory, card, error);
    if (result == 0 && hf_directory_copy(base, e.partial, type, error) == 0 &&
        adapter_merge(kernels, base, adapter, e.partial, type, shard_bytes, error) == 0)
        result = hash_stored(kernels, DTYPE_F32, e.partial, hash, error);
    else
        result = -1;
    return end(&e, result, NULL, card, hash, error);
}
