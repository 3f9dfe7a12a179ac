#include "align/model_export.h"

#include "base/clock.h"
#include "base/file.h"
#include "formats/hf_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hash that a reader of the directory will compute: of the weights as they were rounded to the stored type. */
static int hash_stored(const Model *model, const char *directory, Hash *hash, Error *error) {
    const ModelOptions options = {.kernels = model_options(model)->kernels, .compute = model_options(model)->compute};
    Model *stored;
    if (model_load(&stored, directory, &options, error) != 0)
        return error_prefix(error, "the exported model cannot be read back");
    int result = model_hash(stored, hash, error);
    model_free(stored);
    return result;
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

int model_export(Model *model, const char *parent, const char *directory, DType type, size_t shard_bytes,
                 const Recipe *recipe, json_t *card, Hash *hash, Error *error) {
    char *partial = NULL;
    int result = card == NULL || asprintf(&partial, "%s.partial", directory) < 0
                     ? error_set(error, ERROR_MEMORY, "%s: no memory for the export", directory)
                     : 0;
    if (result == 0 && file_remove_tree(partial, error) == 0 && file_make_directory(partial, error) == 0 &&
        hf_directory_copy(parent, partial, type, error) == 0 &&
        model_save(model, partial, type, shard_bytes, error) == 0 && hash_stored(model, partial, hash, error) == 0 &&
        write_card(partial, recipe, card, hash, error) == 0 && file_remove_tree(directory, error) == 0)
        result = file_rename(partial, directory, error);
    else
        result = -1;
    if (result != 0 && partial != NULL) file_remove_tree(partial, NULL);
    json_decref(card);
    free(partial);
    return result;
}
