/* recipe_key.h - one key of a recipe: its row of the schema, and its value as text, read and written.
 *
 * For the files of recipe.h alone. A value comes as text from the YAML file or from --set and goes through
 * recipe_key_set in both cases. `place` begins the messages: "recipe.yaml:3:16" or "--set". */
#pragma once
#include "formats/recipe.h"

typedef enum {
    KIND_PATH,
    KIND_SOURCES,
    KIND_TEXT,
    KIND_LIST,
    KIND_WHOLE,
    KIND_REAL,
    KIND_FLAG,
    KIND_ONE_OF
} RecipeKind;

typedef struct {
    RecipeKind kind;
    bool needed;                    // PATH: the recipe is wrong without it
    uint64_t whole_low, whole_high; // WHOLE
    double low, high;               // REAL
    bool above, below;              // REAL: low, high excluded
    const char *choices;            // ONE_OF: "a|b|c"
} RecipeRange;

typedef struct {
    const char *group, *key, *name; // "sample", "top_p", "sample.top_p"; at the top level "", "seed", "seed"
    const char *initial;            // NULL: none
    RecipeRange range;
    bool fixed;
    const char *meaning;
    size_t offset; // in Recipe
} RecipeKey;

typedef struct {
    const char *name, *meaning;
} RecipeGroup;

extern const RecipeKey recipe_keys[];
extern const size_t recipe_key_count;
extern const RecipeGroup recipe_groups[];
extern const size_t recipe_group_count;

/* Index of group and key, or recipe_key_count. */
size_t recipe_key_find(const char *group, const char *key);
bool recipe_key_is_group(const char *name);
/* ERROR_USAGE: unknown key, with the nearest one. */
int recipe_key_unknown(const char *place, const char *group, const char *key, Error *error);

/* Unquoted text that stands for no value: nothing, ~ or null. */
bool recipe_key_is_empty(const char *text);
/* Sets a value of any kind but LIST. quoted: it stood in quotes, so it is neither a number nor empty. */
int recipe_key_set(Recipe *recipe, const RecipeKey *key, const char *text, bool quoted, const char *place,
                   Error *error);
/* Sets a LIST; takes the items over, also on an error. */
void recipe_key_set_list(Recipe *recipe, const RecipeKey *key, RecipeList list);
/* Appends to SOURCES; an empty path, or a weight that is not above 0 and at most 1000, is ERROR_USAGE. */
int recipe_key_add_source(Recipe *recipe, const RecipeKey *key, const char *path, const char *weight, const char *place,
                          Error *error);
/* Takes what SOURCES holds out and leaves it empty, and puts it back for what it holds then: a list that turns out to
 * be wrong changes nothing. */
RecipeSources recipe_key_take_sources(Recipe *recipe, const RecipeKey *key);
void recipe_key_put_sources(Recipe *recipe, const RecipeKey *key, RecipeSources sources);
/* Sets the default. */
int recipe_key_reset(Recipe *recipe, const RecipeKey *key, const char *place, Error *error);
void recipe_key_free(Recipe *recipe, const RecipeKey *key);
/* ERROR_USAGE: `found` ("a list") where the key's kind was expected. */
int recipe_key_mismatch(const RecipeKey *key, const char *found, const char *place, Error *error);

/* Whether a PATH or SOURCES is there; true for other kinds. */
bool recipe_key_given(const Recipe *recipe, const RecipeKey *key);
/* Appends the value: numbers in their shortest exact form, texts and lists as JSON, null for a path not given. */
void recipe_key_format(const Recipe *recipe, const RecipeKey *key, Buffer *out);
/* What is allowed, in words: "a whole number from 2 to 1024". */
void recipe_key_expected(const RecipeKey *key, Buffer *out);

void recipe_list_free(RecipeList *list);
void recipe_sources_free(RecipeSources *sources);
