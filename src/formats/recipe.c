#include "formats/recipe.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/recipe_key.h"
#include "formats/recipe_parity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* Events are pulled one at a time and never stored: what is no part of a recipe is refused at its first event. */
enum { LARGEST = 1 << 20 }; // bytes

typedef struct {
    yaml_parser_t parser;
    yaml_event_t event; // the current one; owned
    const char *text, *name;
    size_t bytes;
    Recipe *recipe;
    size_t *key_line, *group_line; // where each was met; 0: not yet
    Error *error;
} Reader;

typedef struct {
    char text[256];
} Place;

static Place place_at(const Reader *r, size_t line, size_t column) {
    Place place;
    snprintf(place.text, sizeof place.text, "%.200s:%zu:%zu", r->name, line, column);
    return place;
}

static Place place_of(const Reader *r) {
    return place_at(r, r->event.start_mark.line + 1, r->event.start_mark.column + 1);
}

/* The place of a byte: columns count characters. */
static Place place_of_byte(const Reader *r, size_t offset) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < r->bytes; i++) {
        if (r->text[i] == '\n')
            line++, column = 1;
        else if (((unsigned char)r->text[i] & 0xc0) != 0x80)
            column++;
    }
    return place_at(r, line, column);
}

/* The byte at a mark; 0 where there is none. */
static char byte_at(const Reader *r, yaml_mark_t mark) {
    size_t i = 0;
    for (size_t line = 0; line < mark.line && i < r->bytes; i++) line += r->text[i] == '\n';
    for (size_t column = 0; i < r->bytes && column < mark.column; column++)
        for (i++; i < r->bytes && ((unsigned char)r->text[i] & 0xc0) == 0x80;) i++;
    return i < r->bytes ? r->text[i] : 0;
}

static int syntax_error(const Reader *r) {
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem == NULL ? "not valid YAML" : p->problem;
    if (p->error == YAML_MEMORY_ERROR) return error_set(r->error, ERROR_MEMORY, "%s: no memory to read it", r->name);
    if (p->error == YAML_READER_ERROR && strstr(problem, "control") != NULL)
        return error_set(r->error, ERROR_USAGE, "%s: the control character 0x%02x is not allowed in YAML",
                         place_of_byte(r, p->problem_offset).text, (unsigned)p->problem_value);
    if (p->error == YAML_READER_ERROR)
        return error_set(r->error, ERROR_USAGE, "%s: not UTF-8 text (%s); save the file as UTF-8",
                         place_of_byte(r, p->problem_offset).text, problem);
    Place place = place_at(r, p->problem_mark.line + 1, p->problem_mark.column + 1);
    if (byte_at(r, p->problem_mark) == '\t')
        return error_set(r->error, ERROR_USAGE, "%s: a tab stands where YAML wants spaces; indent with spaces",
                         place.text);
    return error_set(r->error, ERROR_USAGE, "%s: not valid YAML: %s%s%s", place.text, problem,
                     p->context == NULL ? "" : " ", p->context == NULL ? "" : p->context);
}

/* Goes on to the next event, which must be plain YAML without anchors, aliases and tags. */
static int next(Reader *r) {
    yaml_event_delete(&r->event);
    if (!yaml_parser_parse(&r->parser, &r->event)) return syntax_error(r);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    const yaml_event_t *e = &r->event;
    if (e->type == YAML_SCALAR_EVENT) anchor = e->data.scalar.anchor, tag = e->data.scalar.tag;
    if (e->type == YAML_SEQUENCE_START_EVENT) anchor = e->data.sequence_start.anchor, tag = e->data.sequence_start.tag;
    if (e->type == YAML_MAPPING_START_EVENT) anchor = e->data.mapping_start.anchor, tag = e->data.mapping_start.tag;
    if (e->type == YAML_ALIAS_EVENT || anchor != NULL)
        return error_set(r->error, ERROR_USAGE,
                         "%s: YAML anchors (&) and aliases (*) are not supported in a recipe; "
                         "write the value out, or in quotes",
                         place_of(r).text);
    if (tag != NULL)
        return error_set(r->error, ERROR_USAGE,
                         "%s: YAML tags (!) are not supported in a recipe; write the value in quotes",
                         place_of(r).text);
    if (e->type == YAML_SCALAR_EVENT && memchr(e->data.scalar.value, 0, e->data.scalar.length) != NULL)
        return error_set(r->error, ERROR_USAGE, "%s: the text contains a NUL character", place_of(r).text);
    return 0;
}

static const char *scalar(const Reader *r) { return (const char *)r->event.data.scalar.value; }

static bool is_quoted(const Reader *r) { return r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE; }

static bool is_null(const Reader *r) {
    return r->event.type == YAML_SCALAR_EVENT && !is_quoted(r) && recipe_key_is_empty(scalar(r));
}

/* What the current event begins, in words. */
static const char *found(const Reader *r) {
    return r->event.type == YAML_SEQUENCE_START_EVENT  ? "a list"
           : r->event.type == YAML_MAPPING_START_EVENT ? "a group of keys"
                                                       : scalar(r);
}

/* Begins a document and makes its first node the current event; *empty where there is none. */
static int begin_document(Reader *r, bool *empty) {
    *empty = true;
    if (next(r) != 0 || next(r) != 0) return -1; // stream start, document start
    if (r->event.type == YAML_STREAM_END_EVENT) return 0;
    if (next(r) != 0) return -1;
    *empty = is_null(r);
    return 0;
}

static int end_document(Reader *r) {
    if (next(r) != 0 || next(r) != 0) return -1; // document end, then stream end
    if (r->event.type == YAML_STREAM_END_EVENT) return 0;
    return error_set(r->error, ERROR_USAGE, "%s: a second YAML document begins; a recipe is one document",
                     place_of(r).text);
}

/* The items of a sequence whose start is the current event. */
static int read_items(Reader *r, const RecipeKey *key, RecipeList *list) {
    for (;;) {
        if (next(r) != 0) return -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return 0;
        if (r->event.type != YAML_SCALAR_EVENT)
            return error_set(r->error, ERROR_USAGE, "%s: %s holds %s where a text was expected", place_of(r).text,
                             key->name, found(r));
        char **grown = realloc(list->item, (list->count + 1) * sizeof *grown);
        if (grown != NULL) list->item = grown;
        if (grown == NULL || (list->item[list->count] = strdup(scalar(r))) == NULL)
            return error_set(r->error, ERROR_MEMORY, "%s: no memory for %s", r->name, key->name);
        list->count++;
    }
}

/* A LIST, whose first event is the current one; with `last`, the document must end behind it. */
static int read_list(Reader *r, const RecipeKey *key, bool last) {
    RecipeList list = {0};
    int result = r->event.type == YAML_SEQUENCE_START_EVENT
                     ? read_items(r, key, &list)
                     : recipe_key_mismatch(key, found(r), place_of(r).text, r->error);
    if (result == 0 && last) result = end_document(r);
    if (result == 0)
        recipe_key_set_list(r->recipe, key, list);
    else
        recipe_list_free(&list);
    return result;
}

/* {path: PATH, weight: NUMBER}, whose start is the current event. */
static int read_source(Reader *r, const RecipeKey *key) {
    char *value[2] = {NULL, NULL}; // path, weight
    Place place = place_of(r);
    int result = -1;
    while (next(r) == 0) {
        if (r->event.type == YAML_MAPPING_END_EVENT) {
            result = recipe_key_add_source(r->recipe, key, value[0], value[1], place.text, r->error);
            break;
        }
        int which = r->event.type != YAML_SCALAR_EVENT ? -1
                    : strcmp(scalar(r), "path") == 0   ? 0
                    : strcmp(scalar(r), "weight") == 0 ? 1
                                                       : -1;
        if (which < 0 || value[which] != NULL) {
            error_set(r->error, ERROR_USAGE, "%s: %.60s stands in %s where path or weight, each once, was expected",
                      place_of(r).text, found(r), key->name);
            break;
        }
        if (next(r) != 0) break;
        if (r->event.type != YAML_SCALAR_EVENT) {
            recipe_key_mismatch(key, found(r), place_of(r).text, r->error);
            break;
        }
        if ((value[which] = strdup(scalar(r))) == NULL) {
            error_set(r->error, ERROR_MEMORY, "%s: no memory for %s", r->name, key->name);
            break;
        }
    }
    free(value[0]);
    free(value[1]);
    return result;
}

/* The items of a list of SOURCES, behind its start. */
static int read_source_items(Reader *r, const RecipeKey *key) {
    while (next(r) == 0) {
        int result = -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return 0;
        if (r->event.type == YAML_MAPPING_START_EVENT)
            result = read_source(r, key);
        else if (r->event.type == YAML_SCALAR_EVENT)
            result = recipe_key_add_source(r->recipe, key, scalar(r), NULL, place_of(r).text, r->error);
        else
            recipe_key_mismatch(key, found(r), place_of(r).text, r->error);
        if (result != 0) return -1;
    }
    return -1;
}

/* SOURCES as a list, whose start is the current event; with `last`, the document must end behind it. */
static int read_sources(Reader *r, const RecipeKey *key, bool last) {
    RecipeSources old = recipe_key_take_sources(r->recipe, key);
    int result = r->event.type == YAML_SEQUENCE_START_EVENT
                     ? read_source_items(r, key)
                     : recipe_key_mismatch(key, found(r), place_of(r).text, r->error);
    if (result == 0 && last) result = end_document(r);
    RecipeSources made = recipe_key_take_sources(r->recipe, key);
    recipe_key_put_sources(r->recipe, key, result == 0 ? made : old);
    RecipeSources other = result == 0 ? old : made;
    recipe_sources_free(&other);
    return result;
}

/* The value of a key; its first event is the current one. */
static int read_value(Reader *r, const RecipeKey *key) {
    if (is_null(r)) return recipe_key_reset(r->recipe, key, r->name, r->error);
    if (key->range.kind == KIND_LIST) return read_list(r, key, false);
    if (key->range.kind == KIND_SOURCES && r->event.type == YAML_SEQUENCE_START_EVENT)
        return read_sources(r, key, false);
    if (r->event.type != YAML_SCALAR_EVENT) return recipe_key_mismatch(key, found(r), place_of(r).text, r->error);
    return recipe_key_set(r->recipe, key, scalar(r), is_quoted(r), place_of(r).text, r->error);
}

/* Notes where a key or group stands; a second time is an error. */
static int note_line(Reader *r, size_t *line, const char *name) {
    if (*line != 0)
        return error_set(r->error, ERROR_USAGE, "%s: \"%s\" is there twice, first in line %zu; remove one",
                         place_of(r).text, name, *line);
    *line = r->event.start_mark.line + 1;
    return 0;
}

static int need_key(Reader *r) {
    if (r->event.type == YAML_SCALAR_EVENT) return 0;
    return error_set(r->error, ERROR_USAGE, "%s: %s stands where the name of a key was expected", place_of(r).text,
                     found(r));
}

/* The keys of a group, up to the end of its mapping. */
static int read_group(Reader *r, const char *group) {
    while (next(r) == 0) {
        if (r->event.type == YAML_MAPPING_END_EVENT) return 0;
        if (need_key(r) != 0) return -1;
        size_t i = recipe_key_find(group, scalar(r));
        if (i == recipe_key_count) return recipe_key_unknown(place_of(r).text, group, scalar(r), r->error);
        if (note_line(r, &r->key_line[i], recipe_keys[i].name) != 0 || next(r) != 0) return -1;
        if (read_value(r, &recipe_keys[i]) != 0) return -1;
    }
    return -1;
}

static int read_top(Reader *r) {
    while (next(r) == 0) {
        if (r->event.type == YAML_MAPPING_END_EVENT) return 0;
        if (need_key(r) != 0) return -1;
        size_t i = recipe_key_find("", scalar(r)), g = 0;
        while (g < recipe_group_count && strcmp(recipe_groups[g].name, scalar(r)) != 0) g++;
        if (i == recipe_key_count && g == recipe_group_count)
            return recipe_key_unknown(place_of(r).text, "", scalar(r), r->error);
        if (g == recipe_group_count) {
            if (note_line(r, &r->key_line[i], recipe_keys[i].name) != 0 || next(r) != 0) return -1;
            if (read_value(r, &recipe_keys[i]) != 0) return -1;
            continue;
        }
        if (note_line(r, &r->group_line[g], recipe_groups[g].name) != 0 || next(r) != 0) return -1;
        if (is_null(r)) continue;
        if (r->event.type != YAML_MAPPING_START_EVENT)
            return error_set(r->error, ERROR_USAGE, "%s: %s is %.60s where a group of keys was expected",
                             place_of(r).text, recipe_groups[g].name, found(r));
        if (read_group(r, recipe_groups[g].name) != 0) return -1;
    }
    return -1;
}

static int read_document(Reader *r) {
    bool empty;
    if (begin_document(r, &empty) != 0) return -1;
    if (empty)
        return error_set(r->error, ERROR_USAGE, "%s: the recipe is empty; at least model: and output: were expected",
                         r->name);
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return error_set(r->error, ERROR_USAGE,
                         "%s: %.60s stands where the keys of a recipe were expected, such as "
                         "\"model: PATH\"",
                         place_of(r).text, found(r));
    return read_top(r) != 0 ? -1 : end_document(r);
}

/* Makes a reader of `text`, lets `read` have it, and takes it down again. */
static int with_reader(Reader *r, int (*read)(Reader *, const void *), const void *context) {
    if (!yaml_parser_initialize(&r->parser))
        return error_set(r->error, ERROR_MEMORY, "%s: no memory to read it", r->name);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text, r->bytes);
    int result = read(r, context);
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
    return result;
}

static int read_whole_recipe(Reader *r, const void *context) {
    (void)context;
    return read_document(r);
}

static int read_only_list(Reader *r, const void *context) {
    const RecipeKey *key = context;
    bool empty;
    if (begin_document(r, &empty) != 0) return -1;
    if (empty) return recipe_key_reset(r->recipe, key, r->name, r->error);
    return key->range.kind == KIND_SOURCES ? read_sources(r, key, true) : read_list(r, key, true);
}

/* The key that "a.b=value" names. */
static const RecipeKey *find_assigned(const char *name, Error *error) {
    const char *dot = strchr(name, '.');
    char group[64] = "";
    if (recipe_key_is_group(name)) {
        error_set(error, ERROR_USAGE, "--set: \"%s\" is a group of keys; set one of them, %s.KEY=VALUE", name, name);
        return NULL;
    }
    if (dot != NULL && (size_t)(dot - name) < sizeof group) memcpy(group, name, (size_t)(dot - name));
    if (!recipe_key_is_group(group)) group[0] = 0, dot = NULL;
    const char *key = dot == NULL ? name : dot + 1;
    size_t i = recipe_key_find(group, key);
    if (i < recipe_key_count) return &recipe_keys[i];
    recipe_key_unknown("--set", group, key, error);
    return NULL;
}

int recipe_set(Recipe *recipe, const char *assignment, Error *error) {
    const char *equals = strchr(assignment, '=');
    if (equals == NULL)
        return error_set(error, ERROR_USAGE,
                         "--set %.60s: there is no \"=\"; write KEY=VALUE, such as "
                         "sample.temperature=0.7",
                         assignment);
    json_t *utf8 = json_string(assignment); // jansson takes valid UTF-8 alone, and the canonical text needs it
    json_decref(utf8);
    if (utf8 == NULL) return error_set(error, ERROR_USAGE, "--set: the value is not UTF-8 text");
    char *name = strndup(assignment, (size_t)(equals - assignment));
    if (name == NULL) return error_set(error, ERROR_MEMORY, "--set: no memory");
    const RecipeKey *key = find_assigned(name, error);
    free(name);
    if (key == NULL) return -1;
    const char *value = equals + 1;
    if (key->range.kind != KIND_LIST && (key->range.kind != KIND_SOURCES || value[0] != '['))
        return recipe_key_set(recipe, key, value, false, "--set", error);
    char place[80];
    snprintf(place, sizeof place, "--set %s", key->name);
    Reader r = {.text = value, .bytes = strlen(value), .name = place, .recipe = recipe, .error = error};
    return with_reader(&r, read_only_list, key);
}

/* What keys ask of each other. */
static int check(Recipe *r, const char *name, Error *error) {
    for (size_t i = 0; i < recipe_key_count; i++)
        if (recipe_keys[i].range.needed && !recipe_key_given(r, &recipe_keys[i]))
            return error_set(error, ERROR_USAGE, "%s: the key \"%s\" is missing: %s", name, recipe_keys[i].name,
                             recipe_keys[i].meaning);
    const char *use = r->reference == NULL
                          ? "round 0 trains on them, unless \"reference\" names what the model was DPO-trained against"
                      : r->data.prompts == NULL ? "prompts are taken from them, unless \"data.prompts\" is given"
                      : r->mix.gamma > 0        ? "mix.gamma asks for a share of them"
                                                : NULL;
    if (r->data.offline.count == 0 && use != NULL)
        return error_set(error, ERROR_USAGE, "%s: the key \"data.offline\" (preference pairs) is missing: %s", name,
                         use);
    if (recipe_parity_apply(r, error) != 0) return -1;
    if (r->filter.below_chars < 2 || r->filter.above_chars > r->filter.below_chars - 2)
        return error_set(error, ERROR_USAGE,
                         "%s: filter.above_chars %zu and filter.below_chars %zu leave no length between "
                         "them",
                         name, r->filter.above_chars, r->filter.below_chars);
    if (r->pairs.band_low >= r->pairs.band_high)
        return error_set(error, ERROR_USAGE,
                         "%s: pairs.band_low %g is not below pairs.band_high %g: no pair would be left", name,
                         r->pairs.band_low, r->pairs.band_high);
    if (r->reward.alpha != RECIPE_ALPHA_FIXED && r->reward.alpha_value != 0)
        return error_set(error, ERROR_USAGE,
                         "%s: reward.alpha_value is given, but reward.alpha is not \"fixed\": it would "
                         "not be used",
                         name);
    unsigned targets;
    if (r->lora.target_modules.count > 0 &&
        peft_adapter_targets((const char *const *)r->lora.target_modules.item, r->lora.target_modules.count,
                             "lora.target_modules", ERROR_USAGE, &targets, error) != 0)
        return error_prefix(error, "%s", name);
    if (r->filter.min_responses > r->sample.responses) r->filter.min_responses = r->sample.responses;
    return 0;
}

int recipe_parse(Recipe *recipe, const char *text, size_t bytes, const char *name, const char *directory,
                 const char *const *sets, size_t n, Error *error) {
    *recipe = (Recipe){0};
    int result = -1;
    Reader r = {.text = text, .bytes = bytes, .name = name, .recipe = recipe, .error = error};
    r.key_line = calloc(recipe_key_count, sizeof *r.key_line);
    r.group_line = calloc(recipe_group_count, sizeof *r.group_line);
    recipe->directory = strdup(directory);
    if (r.key_line == NULL || r.group_line == NULL || recipe->directory == NULL) {
        error_set(error, ERROR_MEMORY, "%s: no memory to read it", name);
        goto done;
    }
    if (bytes > LARGEST) {
        error_set(error, ERROR_USAGE, "%s: %zu bytes are too many for a recipe (at most %d): is this another file?",
                  name, bytes, LARGEST);
        goto done;
    }
    for (size_t i = 0; i < recipe_key_count; i++)
        if (recipe_key_reset(recipe, &recipe_keys[i], name, error) != 0) goto done;
    if (with_reader(&r, read_whole_recipe, NULL) != 0) goto done;
    for (size_t i = 0; i < n; i++)
        if (recipe_set(recipe, sets[i], error) != 0) goto done;
    result = check(recipe, name, error);
done:
    free(r.key_line);
    free(r.group_line);
    if (result != 0) recipe_free(recipe);
    return result;
}

int recipe_load(Recipe *recipe, const char *path, const char *const *sets, size_t n, Error *error) {
    *recipe = (Recipe){0};
    FileMap map;
    if (file_map(&map, path, error) != 0) return -1;
    const char *slash = strrchr(path, '/');
    char *directory = slash == NULL ? strdup("") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int result = directory == NULL ? error_set(error, ERROR_MEMORY, "%s: no memory to read it", path)
                                   : recipe_parse(recipe, map.data == NULL ? "" : (const char *)map.data, map.size,
                                                  path, directory, sets, n, error);
    free(directory);
    file_unmap(&map);
    return result;
}

void recipe_free(Recipe *recipe) {
    for (size_t i = 0; i < recipe_key_count; i++) recipe_key_free(recipe, &recipe_keys[i]);
    free(recipe->directory);
    *recipe = (Recipe){0};
}
