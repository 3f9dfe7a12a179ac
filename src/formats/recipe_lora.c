#include "formats/recipe.h"

int recipe_lora(const Recipe *recipe, LoraSettings *settings, Error *error) {
    const RecipeList *modules = &recipe->lora.target_modules;
    *settings = (LoraSettings){.r = recipe->lora.r,
                               .alpha = recipe->lora.alpha,
                               .dropout = recipe->lora.dropout,
                               .rslora = recipe->lora.rslora,
                               .targets = PEFT_ALL_LINEAR};
    if (modules->count > 0 && peft_adapter_targets((const char *const *)modules->item, modules->count,
                                                   "lora.target_modules", ERROR_USAGE, &settings->targets, error) != 0)
        return -1;
    if (recipe->lora.adapter == NULL) return 0;
    if (peft_adapter_settings(recipe->lora.adapter, settings, error) != 0) return -1;
    if (recipe->lora.r != 0 && recipe->lora.r != settings->r)
        return error_set(error, ERROR_USAGE, "lora.r is %zu, but the rank of the adapter %s is %zu: leave lora.r out",
                         recipe->lora.r, recipe->lora.adapter, settings->r);
    settings->dropout = recipe->lora.dropout;
    return 0;
}
