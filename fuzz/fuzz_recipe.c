/* Any bytes as a recipe: it is refused with a message, or its canonical text is stable and survives every override. */
#include "formats/recipe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Recipe recipe;
    Error error = {0};
    Buffer first = {0}, second = {0}, difference = {0};
    char *assignment = strndup((const char *)data, size);
    if (recipe_parse(&recipe, (const char *)data, size, "fuzz", "directory", NULL, 0, &error) != 0) {
        if (error.code == ERROR_NONE || error.message[0] == 0) abort();
        const char *minimal = "model: m\noutput: o\ndata: {offline: d}\n";
        if (recipe_parse(&recipe, minimal, strlen(minimal), "fuzz", "directory", NULL, 0, &error) != 0) abort();
    }
    recipe_canonical(&recipe, &first);
    if (recipe_set(&recipe, assignment, &error) != 0) { // then nothing has changed
        recipe_canonical(&recipe, &second);
        recipe_difference(first.data, second.data, &difference);
        if (difference.size != 0 || first.size != second.size || memcmp(first.data, second.data, first.size) != 0)
            abort();
    }
    recipe_free(&recipe);
    buffer_free(&first);
    buffer_free(&second);
    buffer_free(&difference);
    free(assignment);
    return 0;
}
