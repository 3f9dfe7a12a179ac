/* Any text as train.loss: it is refused with a message, or it is a sum of known losses with finite weights. */
#include "align/preference_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Recipe recipe = {.train = {.beta = 0.1, .label_smoothing = 0.1, .ld_alpha = 1}};
    PreferenceLoss loss;
    Error error = {0};
    recipe.train.loss = strndup((const char *)data, size);
    if (preference_loss_create(&loss, &recipe, NULL, &error) != 0) {
        if (error.code == ERROR_NONE || error.message[0] == 0) abort();
    } else {
        if (loss.terms < 1 || loss.terms > LOSS_TERMS_MAX) abort();
        for (size_t t = 0; t < loss.terms; t++)
            if (loss.term[t].row == NULL || !isfinite(loss.term[t].weight)) abort();
    }
    free(recipe.train.loss);
    return 0;
}
