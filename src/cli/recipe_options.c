#include "cli/recipe_options.h"

#include "formats/recipe_parity.h"

#include <stdio.h>
#include <stdlib.h>

int recipe_options_read(Recipe *recipe, const Session *session, const char *model, const char *output, const char *data,
                        const char *const *preset, size_t presets, const OptionList *set, Error *error) {
    char *own[4] = {0};
    size_t n = 0;
    const char **sets = calloc(presets + set->count + 4, sizeof *sets);
    bool failed = sets == NULL || asprintf(&own[0], "model=%s", model) < 0 ||
                  asprintf(&own[1], "output=%s", output) < 0 || asprintf(&own[2], "data.offline=%s", data) < 0 ||
                  asprintf(&own[3], "precision=%s", session->common->precision) < 0;
    int result = failed ? error_set(error, ERROR_MEMORY, "no memory for the settings") : 0;
    for (size_t i = 0; i < 4 && result == 0; i++) sets[n++] = own[i];
    for (size_t i = 0; i < presets && result == 0; i++) sets[n++] = preset[i];
    for (size_t i = 0; i < set->count && result == 0; i++) sets[n++] = set->item[i];
    if (result == 0) result = recipe_parse(recipe, "{}", 2, "--set", ".", sets, n, error);
    if (result == 0) recipe_parity_say(recipe, &session->log);
    for (int i = 0; i < 4; i++) free(own[i]);
    free(sets);
    return result;
}
