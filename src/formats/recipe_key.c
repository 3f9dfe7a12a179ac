#include "formats/recipe_key.h"
#include "base/edit_distance.h"
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "a WHOLE field is size_t or uint64_t");
_Static_assert(sizeof(RecipeChat) == sizeof(int), "a ONE_OF field is stored as an int");

#define PATH                                                                                                           \
    { .kind = KIND_PATH }
#define NEEDED_PATH                                                                                                    \
    { .kind = KIND_PATH, .needed = true }
#define SOURCES                                                                                                        \
    { .kind = KIND_SOURCES }
#define TEXT                                                                                                           \
    { .kind = KIND_TEXT }
#define LIST                                                                                                           \
    { .kind = KIND_LIST }
#define FLAG                                                                                                           \
    { .kind = KIND_FLAG }
#define WHOLE(from, to)                                                                                                \
    { .kind = KIND_WHOLE, .whole_low = from, .whole_high = to }
#define REAL(from, to)                                                                                                 \
    { .kind = KIND_REAL, .low = from, .high = to }
#define ABOVE(from, to)                                                                                                \
    { .kind = KIND_REAL, .low = from, .high = to, .above = true }
#define BELOW(from, to)                                                                                                \
    { .kind = KIND_REAL, .low = from, .high = to, .below = true }
#define ONE_OF(list)                                                                                                   \
    { .kind = KIND_ONE_OF, .choices = list }
#define FIXED true
#define FREE false

#define TOP_ROW(in, type, key, initial, range, fixed, meaning)                                                         \
    {"", #key, #key, initial, range, fixed, meaning, offsetof(Recipe, key)},
#define GROUP_ROW(in, type, key, initial, range, fixed, meaning)                                                       \
    {#in, #key, #in "." #key, initial, range, fixed, meaning, offsetof(Recipe, in.key)},
#define GROUP_ROWS(group, keys, meaning) keys(GROUP_ROW, group)
#define GROUP_NAME(group, keys, meaning) {#group, meaning},

const RecipeKey recipe_keys[] = {RECIPE_TOP(TOP_ROW, top) RECIPE_GROUPS(GROUP_ROWS)};
const size_t recipe_key_count = sizeof recipe_keys / sizeof *recipe_keys;
const RecipeGroup recipe_groups[] = {RECIPE_GROUPS(GROUP_NAME)};
const size_t recipe_group_count = sizeof recipe_groups / sizeof *recipe_groups;

size_t recipe_key_find(const char *group, const char *key) {
    size_t i = 0;
    while (i < recipe_key_count && (strcmp(recipe_keys[i].group, group) != 0 || strcmp(recipe_keys[i].key, key) != 0))
        i++;
    return i;
}

bool recipe_key_is_group(const char *name) {
    for (size_t i = 0; i < recipe_group_count; i++)
        if (strcmp(recipe_groups[i].name, name) == 0) return true;
    return false;
}

/* The name nearest to what was written, key or group; NULL where nothing is near. A typing slip costs its edits, the
 * wrong group costs one. */
static const char *nearest_name(const char *group, const char *key) {
    const char *nearest = NULL;
    size_t best = strlen(key) / 3 + 2; // exclusive
    for (size_t i = 0; i < recipe_key_count; i++) {
        size_t d = edit_distance(key, recipe_keys[i].key);
        if (d != SIZE_MAX && strcmp(recipe_keys[i].group, group) != 0) d++;
        if (d < best) best = d, nearest = recipe_keys[i].name;
    }
    for (size_t i = 0; i < recipe_group_count; i++) {
        size_t d = edit_distance(key, recipe_groups[i].name);
        if (group[0] == 0 && d < best) best = d, nearest = recipe_groups[i].name;
    }
    return nearest;
}

/* The beginning of a text, fit for a message: cut between characters, control characters replaced. */
typedef struct {
    char text[64];
} Shown;

static Shown shown(const char *text) {
    Shown s;
    size_t n = 0, room = sizeof s.text - 4;
    for (; text[n] != 0 && n < room; n++) s.text[n] = (unsigned char)text[n] < 32 || text[n] == 127 ? '?' : text[n];
    if (text[n] != 0) {
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
        memcpy(s.text + n, "...", 3), n += 3;
    }
    s.text[n] = 0;
    return s;
}

int recipe_key_unknown(const char *place, const char *group, const char *key, Error *error) {
    const char *nearest = nearest_name(group, key), *dot = group[0] == 0 ? "" : ".";
    if (nearest == NULL)
        return error_set(error, ERROR_USAGE, "%s: unknown key \"%s%s%s\"; `dice help recipe` lists the keys", place,
                         group, dot, shown(key).text);
    return error_set(error, ERROR_USAGE, "%s: unknown key \"%s%s%s\"; did you mean \"%s\"?", place, group, dot,
                     shown(key).text, nearest);
}

void recipe_key_expected(const RecipeKey *key, Buffer *out) {
    const RecipeRange *r = &key->range;
    switch (r->kind) {
    case KIND_PATH:
        buffer_append_text(out, "a path");
        break;
    case KIND_SOURCES:
        buffer_append_text(out, "a path, or a list of paths and of {path: PATH, weight: NUMBER}");
        break;
    case KIND_TEXT:
        buffer_append_text(out, "a text");
        break;
    case KIND_LIST:
        buffer_append_text(out, "a list of texts");
        break;
    case KIND_FLAG:
        buffer_append_text(out, "true or false");
        break;
    case KIND_WHOLE:
        if (r->whole_high == UINT64_MAX)
            buffer_format(out, "a whole number from %" PRIu64 " to 2^64-1", r->whole_low);
        else
            buffer_format(out, "a whole number from %" PRIu64 " to %" PRIu64, r->whole_low, r->whole_high);
        break;
    case KIND_REAL:
        buffer_format(out,
                      r->above   ? "a number above %.10g, at most %.10g"
                      : r->below ? "a number from %.10g to below %.10g"
                                 : "a number from %.10g to %.10g",
                      r->low, r->high);
        break;
    case KIND_ONE_OF:
        buffer_append_text(out, "one of ");
        for (const char *c = r->choices; *c != 0; c++) buffer_append(out, *c == '|' ? ", " : c, *c == '|' ? 2 : 1);
        break;
    }
}

static int mismatch(const RecipeKey *key, const char *quote, const char *found, const char *place, Error *error) {
    Buffer expected = {0};
    recipe_key_expected(key, &expected);
    int result = expected.failed ? error_set(error, ERROR_MEMORY, "%s: no memory", place)
                                 : error_set(error, ERROR_USAGE, "%s: %s is %s%s%s where %s was expected", place,
                                             key->name, quote, shown(found).text, quote, expected.data);
    buffer_free(&expected);
    return result;
}

int recipe_key_mismatch(const RecipeKey *key, const char *found, const char *place, Error *error) {
    return mismatch(key, "", found, place, error);
}

/* Decimal digits, with _ between groups of them as YAML 1.1 has it. */
static bool read_whole(const char *text, const RecipeRange *range, uint64_t *value) {
    uint64_t v = 0;
    const char *p = text;
    for (; *p != 0; p++) {
        if (*p == '_' && p > text) continue;
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return false;
    }
    *value = v;
    return p > text && v >= range->whole_low && v <= range->whole_high;
}

static bool read_real(const char *text, const RecipeRange *range, double *value) {
    char *end;
    if (text[0] == 0 || strspn(text, "0123456789+-.eE") != strlen(text))
        return false; // neither nan, inf nor hexadecimal
    double v = strtod(text, &end);
    *value = v;
    return *end == 0 && (range->above ? v > range->low : v >= range->low) &&
           (range->below ? v < range->high : v <= range->high);
}

static bool read_flag(const char *text, bool *value) {
    *value = strcmp(text, "true") == 0 || strcmp(text, "True") == 0 || strcmp(text, "TRUE") == 0;
    return *value || strcmp(text, "false") == 0 || strcmp(text, "False") == 0 || strcmp(text, "FALSE") == 0;
}

static bool read_choice(const char *text, const char *choices, int *value) {
    size_t n = strlen(text);
    *value = 0;
    for (const char *c = choices; n > 0; c++, (*value)++) {
        size_t length = strcspn(c, "|");
        if (length == n && memcmp(c, text, n) == 0) return true;
        c += length;
        if (*c == 0) break;
    }
    return false;
}

/* A path as the file gave it -> one that can be opened; a new string. */
static char *resolve(const Recipe *recipe, const char *path) {
    char *out = NULL;
    const char *home = path[0] == '~' && path[1] == '/' ? getenv("HOME") : NULL;
    if (home != NULL) return asprintf(&out, "%s%s", home, path + 1) < 0 ? NULL : out;
    if (path[0] == '/' || recipe->directory == NULL || recipe->directory[0] == 0) return strdup(path);
    const char *slash = recipe->directory[strlen(recipe->directory) - 1] == '/' ? "" : "/";
    return asprintf(&out, "%s%s%s", recipe->directory, slash, path) < 0 ? NULL : out;
}

static void *field(Recipe *recipe, const RecipeKey *key) { return (char *)recipe + key->offset; }
static const void *field_of(const Recipe *recipe, const RecipeKey *key) { return (const char *)recipe + key->offset; }

static int set_text(Recipe *recipe, const RecipeKey *key, const char *text, const char *place, Error *error) {
    char *value = NULL;
    if (text != NULL) {
        value = key->range.kind == KIND_PATH ? resolve(recipe, text) : strdup(text);
        if (value == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for %s", place, key->name);
    }
    recipe_key_free(recipe, key);
    memcpy(field(recipe, key), &value, sizeof value);
    return 0;
}

void recipe_sources_free(RecipeSources *sources) {
    for (size_t i = 0; i < sources->count; i++) free(sources->item[i].path);
    free(sources->item);
    *sources = (RecipeSources){0};
}

RecipeSources recipe_key_take_sources(Recipe *recipe, const RecipeKey *key) {
    RecipeSources *sources = field(recipe, key), taken = *sources;
    *sources = (RecipeSources){0};
    return taken;
}

void recipe_key_put_sources(Recipe *recipe, const RecipeKey *key, RecipeSources sources) {
    recipe_sources_free(field(recipe, key));
    memcpy(field(recipe, key), &sources, sizeof sources);
}

bool recipe_key_is_empty(const char *text) {
    return text[0] == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

int recipe_key_reset(Recipe *recipe, const RecipeKey *key, const char *place, Error *error) {
    if (key->range.kind == KIND_LIST)
        recipe_key_set_list(recipe, key, (RecipeList){0});
    else if (key->range.kind == KIND_SOURCES)
        recipe_key_free(recipe, key);
    else if (key->range.kind == KIND_PATH)
        return set_text(recipe, key, NULL, place, error);
    else
        return recipe_key_set(recipe, key, key->initial, key->range.kind == KIND_TEXT, place, error);
    return 0;
}

int recipe_key_set(Recipe *recipe, const RecipeKey *key, const char *text, bool quoted, const char *place,
                   Error *error) {
    const RecipeRange *range = &key->range;
    bool is_text = range->kind == KIND_PATH || range->kind == KIND_TEXT;
    if (recipe_key_is_empty(text) && (!quoted || range->kind == KIND_PATH || range->kind == KIND_SOURCES))
        return recipe_key_reset(recipe, key, place, error);
    if (range->kind == KIND_SOURCES) {
        RecipeSources old = recipe_key_take_sources(recipe, key);
        if (recipe_key_add_source(recipe, key, text, NULL, place, error) != 0) {
            recipe_key_put_sources(recipe, key, old);
            return -1;
        }
        recipe_sources_free(&old);
        return 0;
    }
    if (is_text) return set_text(recipe, key, text, place, error);
    union {
        uint64_t whole;
        double real;
        bool flag;
        int choice;
    } value;
    size_t bytes = 0;
    if (quoted && range->kind != KIND_ONE_OF) return mismatch(key, "\"", text, place, error);
    if (range->kind == KIND_WHOLE && read_whole(text, range, &value.whole)) bytes = sizeof value.whole;
    if (range->kind == KIND_REAL && read_real(text, range, &value.real)) bytes = sizeof value.real;
    if (range->kind == KIND_FLAG && read_flag(text, &value.flag)) bytes = sizeof value.flag;
    if (range->kind == KIND_ONE_OF && read_choice(text, range->choices, &value.choice)) bytes = sizeof value.choice;
    if (bytes == 0) return mismatch(key, "", text, place, error);
    memcpy(field(recipe, key), &value, bytes);
    return 0;
}

int recipe_key_add_source(Recipe *recipe, const RecipeKey *key, const char *path, const char *weight, const char *place,
                          Error *error) {
    static const RecipeRange above_0 = {.kind = KIND_REAL, .low = 0, .high = 1000, .above = true};
    RecipeSources *sources = field(recipe, key);
    double number = 1;
    if (path == NULL || recipe_key_is_empty(path))
        return error_set(error, ERROR_USAGE, "%s: an entry of %s has no path", place, key->name);
    if (weight != NULL && !read_real(weight, &above_0, &number))
        return error_set(error, ERROR_USAGE,
                         "%s: a weight of %s is %s where a number above 0, at most 1000 was expected", place, key->name,
                         shown(weight).text);
    RecipeSource *grown = realloc(sources->item, (sources->count + 1) * sizeof *grown);
    if (grown != NULL) sources->item = grown;
    char *resolved = grown == NULL ? NULL : resolve(recipe, path);
    if (resolved == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for %s", place, key->name);
    sources->item[sources->count++] = (RecipeSource){resolved, number};
    return 0;
}

void recipe_list_free(RecipeList *list) {
    for (size_t i = 0; i < list->count; i++) free(list->item[i]);
    free(list->item);
    *list = (RecipeList){0};
}

void recipe_key_set_list(Recipe *recipe, const RecipeKey *key, RecipeList list) {
    recipe_key_free(recipe, key);
    memcpy(field(recipe, key), &list, sizeof list);
}

void recipe_key_free(Recipe *recipe, const RecipeKey *key) {
    void *place = field(recipe, key);
    if (key->range.kind == KIND_LIST) recipe_list_free(place);
    if (key->range.kind == KIND_SOURCES) recipe_sources_free(place);
    if (key->range.kind != KIND_PATH && key->range.kind != KIND_TEXT) return;
    free(*(char **)place);
    *(char **)place = NULL;
}

bool recipe_key_given(const Recipe *recipe, const RecipeKey *key) {
    if (key->range.kind == KIND_SOURCES) return ((const RecipeSources *)field_of(recipe, key))->count > 0;
    return key->range.kind != KIND_PATH || *(char *const *)field_of(recipe, key) != NULL;
}

static void append_json(Buffer *out, json_t *value) {
    char *text = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text == NULL)
        out->failed = true;
    else
        buffer_append_text(out, text);
    free(text);
    json_decref(value);
}

static void append_list(Buffer *out, const RecipeList *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        if (json_array_append_new(array, json_string(list->item[i])) != 0) out->failed = true;
    append_json(out, array);
}

static void append_path(Buffer *out, const Recipe *recipe, const char *path) {
    size_t n = recipe->directory == NULL ? 0 : strlen(recipe->directory);
    while (n > 0 && recipe->directory[n - 1] == '/') n--;
    bool inside = n > 0 && strncmp(path, recipe->directory, n) == 0 && path[n] == '/';
    if (inside)
        for (path += n; *path == '/';) path++;
    append_json(out, json_string(path));
}

static void append_real(Buffer *out, double value) {
    char text[40];
    int digits = 1;
    do snprintf(text, sizeof text, "%.*g", digits, value);
    while (strtod(text, NULL) != value && ++digits <= 17);
    buffer_append_text(out, text);
}

/* One file with weight 1 as a path. */
static void append_sources(Buffer *out, const Recipe *recipe, const RecipeSources *sources) {
    bool plain = sources->count == 1 && sources->item[0].weight == 1;
    if (sources->count == 0) buffer_append_text(out, "null");
    for (size_t i = 0; i < sources->count; i++) {
        if (!plain) buffer_append_text(out, i == 0 ? "[{\"path\":" : ",{\"path\":");
        append_path(out, recipe, sources->item[i].path);
        if (plain) continue;
        buffer_append_text(out, ",\"weight\":");
        append_real(out, sources->item[i].weight);
        buffer_append_text(out, i + 1 == sources->count ? "}]" : "}");
    }
}

static void append_choice(Buffer *out, const char *choices, int index) {
    for (; index > 0; index--) choices += strcspn(choices, "|") + 1;
    buffer_append(out, choices, strcspn(choices, "|"));
}

void recipe_key_format(const Recipe *recipe, const RecipeKey *key, Buffer *out) {
    const void *value = field_of(recipe, key);
    switch (key->range.kind) {
    case KIND_PATH:
        if (recipe_key_given(recipe, key))
            append_path(out, recipe, *(char *const *)value);
        else
            buffer_append_text(out, "null");
        break;
    case KIND_SOURCES:
        append_sources(out, recipe, value);
        break;
    case KIND_TEXT:
        append_json(out, json_string(*(char *const *)value));
        break;
    case KIND_LIST:
        append_list(out, value);
        break;
    case KIND_WHOLE:
        buffer_format(out, "%" PRIu64, *(const uint64_t *)value);
        break;
    case KIND_REAL:
        append_real(out, *(const double *)value);
        break;
    case KIND_FLAG:
        buffer_append_text(out, *(const bool *)value ? "true" : "false");
        break;
    case KIND_ONE_OF:
        append_choice(out, key->range.choices, *(const int *)value);
        break;
    }
}
