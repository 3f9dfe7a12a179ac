#include "text/jinja_value.h"
#include "text/jinja_utf8.h"

#include <math.h>
#include <string.h>

JinjaValue jinja_literal(const char *text) { return jinja_string(text, strlen(text)); }

JinjaValue jinja_undefined(JinjaType owner, const char *name, size_t size) {
    return (JinjaValue){.type = JINJA_UNDEFINED, .detail = (uint8_t)owner, .text = {name, size}};
}

JinjaValue jinja_dict(const JinjaEntry *entry, size_t count) {
    return (JinjaValue){.type = JINJA_DICT, .dict = {entry, count}};
}

static const char *type_name(JinjaType type) {
    static const char *const names[] = {"nothing",   "Undefined", "None",     "bool",       "int",  "float",
                                        "str",       "list",      "tuple",    "dict",       "view", "range",
                                        "generator", "Namespace", "function", "LoopContext"};
    return names[type];
}

const char *jinja_type_name(const JinjaValue *value) {
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    return value->type == JINJA_VIEW ? views[value->detail] : type_name(value->type);
}

int jinja_fail_undefined(JinjaRun *run, const JinjaValue *undefined) {
    int size = undefined->text.size < 200 ? (int)undefined->text.size : 200;
    const char *name = undefined->text.bytes, *owner = type_name(undefined->detail);
    if (undefined->forbidden)
        return jinja_fail(run, "a template may not use the attribute '%.*s' of a %s, which could change it", size, name,
                          owner);
    if (undefined->detail != JINJA_ABSENT)
        return jinja_fail(run, "a value of type %s has no attribute '%.*s'", owner, size, name);
    return jinja_fail(run, "'%.*s' is undefined", size, name);
}

bool jinja_is_whole(const JinjaValue *value) { return value->type == JINJA_INT || value->type == JINJA_BOOL; }
bool jinja_is_number(const JinjaValue *value) { return jinja_is_whole(value) || value->type == JINJA_FLOAT; }
int64_t jinja_whole(const JinjaValue *value) { return value->type == JINJA_BOOL ? value->truth : value->integer; }
double jinja_real(const JinjaValue *value) {
    return value->type == JINJA_FLOAT ? value->real : (double)jinja_whole(value);
}

bool jinja_text_is(const JinjaValue *value, const char *text) {
    return value->type == JINJA_STRING && value->text.size == strlen(text) &&
           memcmp(value->text.bytes, text, value->text.size) == 0;
}

bool jinja_same_text(const JinjaValue *a, const JinjaValue *b) {
    return a->text.size == b->text.size &&
           (a->text.size == 0 || memcmp(a->text.bytes, b->text.bytes, a->text.size) == 0);
}

bool jinja_length(const JinjaValue *value, size_t *length) {
    switch ((JinjaType)value->type) {
    case JINJA_UNDEFINED:
        *length = 0;
        return true;
    case JINJA_STRING:
        *length = jinja_utf8_count(value->text.bytes, value->text.size);
        return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
        *length = value->list.count;
        return true;
    case JINJA_DICT:
    case JINJA_VIEW:
        *length = value->dict.count;
        return true;
    case JINJA_RANGE:
        *length = value->range->count;
        return true;
    default:
        return false;
    }
}

bool jinja_truth(const JinjaValue *value) {
    switch ((JinjaType)value->type) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return value->truth;
    case JINJA_INT:
        return value->integer != 0;
    case JINJA_FLOAT:
        return value->real != 0;
    case JINJA_STRING:
        return value->text.size > 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return value->list.count > 0;
    case JINJA_DICT:
    case JINJA_VIEW:
        return value->dict.count > 0;
    case JINJA_RANGE:
        return value->range->count > 0;
    default:
        return true;
    }
}

/* Exact also where an integer has no double: a long double of x86 and of AArch64 holds both. */
static int order_numbers(const JinjaValue *a, const JinjaValue *b) {
    if (a->type != JINJA_FLOAT && b->type != JINJA_FLOAT)
        return (jinja_whole(a) > jinja_whole(b)) - (jinja_whole(a) < jinja_whole(b));
    long double x = a->type == JINJA_FLOAT ? (long double)a->real : (long double)jinja_whole(a);
    long double y = b->type == JINJA_FLOAT ? (long double)b->real : (long double)jinja_whole(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static int equal_lists(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, bool *equal) {
    *equal = a->list.count == b->list.count;
    for (size_t i = 0; *equal && i < a->list.count; i++)
        if (jinja_equal(run, &a->list.item[i], &b->list.item[i], equal) != 0) return -1;
    return 0;
}

static int equal_dicts(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, bool *equal) {
    *equal = a->dict.count == b->dict.count;
    for (size_t i = 0; *equal && i < a->dict.count; i++) {
        const JinjaValue *other;
        if (jinja_dict_get(run, b, &a->dict.entry[i].key, &other) != 0) return -1;
        if (other == NULL)
            *equal = false;
        else if (jinja_equal(run, &a->dict.entry[i].value, other, equal) != 0)
            return -1;
    }
    return 0;
}

int jinja_equal(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, bool *equal) {
    if (jinja_charge(run, 1) != 0) return -1;
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *equal = order_numbers(a, b) == 0;
        return 0;
    }
    *equal = false;
    if (a->type != b->type) return 0;
    int status = 0;
    switch ((JinjaType)a->type) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        *equal = true;
        return 0;
    case JINJA_STRING:
        *equal = jinja_same_text(a, b);
        return a->text.size == b->text.size ? jinja_charge_text(run, a->text.size) : 0;
    case JINJA_RANGE:
        *equal = a->range->count == b->range->count && (a->range->count == 0 || a->range->start == b->range->start) &&
                 (a->range->count < 2 || a->range->step == b->range->step);
        return 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
        if (jinja_enter(run) != 0) return -1;
        status = a->type == JINJA_DICT ? equal_dicts(run, a, b, equal) : equal_lists(run, a, b, equal);
        jinja_leave(run);
        return status;
    case JINJA_VIEW:
        *equal = a->detail == b->detail && a->dict.entry == b->dict.entry;
        return 0;
    default:
        *equal = a->callable == b->callable;
        return 0; // the same thing behind the pointer
    }
}

int jinja_order(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, const char *sign, int *order) {
    if (a->type == JINJA_UNDEFINED || b->type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, a->type == JINJA_UNDEFINED ? a : b);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *order = order_numbers(a, b);
        return jinja_charge(run, 1);
    }
    if (a->type == b->type && a->type == JINJA_STRING) { // the order of UTF-8 bytes is that of code points
        size_t shorter = a->text.size < b->text.size ? a->text.size : b->text.size;
        int c = shorter == 0 ? 0 : memcmp(a->text.bytes, b->text.bytes, shorter);
        *order = c != 0 ? (c > 0) - (c < 0) : (a->text.size > b->text.size) - (a->text.size < b->text.size);
        return jinja_charge_text(run, shorter);
    }
    if (a->type == b->type && (a->type == JINJA_LIST || a->type == JINJA_TUPLE)) {
        if (jinja_enter(run) != 0) return -1;
        int status = 0;
        bool equal = true;
        size_t i = 0;
        for (; status == 0 && i < a->list.count && i < b->list.count; i++) {
            status = jinja_equal(run, &a->list.item[i], &b->list.item[i], &equal);
            if (!equal) break;
        }
        if (status == 0 && !equal)
            status = jinja_order(run, &a->list.item[i], &b->list.item[i], sign, order);
        else
            *order = (a->list.count > b->list.count) - (a->list.count < b->list.count);
        jinja_leave(run);
        return status;
    }
    return jinja_fail(run, "'%s' is not defined between %s and %s", sign, jinja_type_name(a), jinja_type_name(b));
}

bool jinja_hashable(const JinjaValue *value) {
    if (value->type == JINJA_TUPLE) {
        for (size_t i = 0; i < value->list.count; i++)
            if (value->list.item[i].type == JINJA_TUPLE || !jinja_hashable(&value->list.item[i])) return false;
        return true;
    }
    return value->type != JINJA_LIST && value->type != JINJA_DICT && value->type != JINJA_VIEW;
}

const JinjaValue *jinja_dict_text(const JinjaValue *dict, const char *key, size_t size) {
    for (size_t i = 0; i < dict->dict.count; i++) {
        const JinjaEntry *e = &dict->dict.entry[i];
        if (e->key.type == JINJA_STRING && e->key.text.size == size &&
            (size == 0 || memcmp(e->key.text.bytes, key, size) == 0))
            return &e->value;
    }
    return NULL;
}

#define PLAIN_KEY 256 // comparing longer ones is charged by their length

int jinja_dict_get(JinjaRun *run, const JinjaValue *dict, const JinjaValue *key, const JinjaValue **found) {
    *found = NULL;
    if (jinja_charge(run, 1 + dict->dict.count / 16) != 0) return -1;
    if (key->type == JINJA_STRING && key->text.size <= PLAIN_KEY) {
        *found = jinja_dict_text(dict, key->text.bytes, key->text.size);
        return 0;
    }
    for (size_t i = 0; *found == NULL && i < dict->dict.count; i++) {
        bool equal;
        if (jinja_equal(run, &dict->dict.entry[i].key, key, &equal) != 0) return -1;
        if (equal) *found = &dict->dict.entry[i].value;
    }
    return 0;
}

int jinja_dict_put(JinjaRun *run, JinjaEntry *entry, size_t *count, const JinjaValue *key, const JinjaValue *value) {
    if (!jinja_hashable(key))
        return jinja_fail(run, "a value of type %s cannot be the key of a dict", jinja_type_name(key));
    JinjaValue dict = jinja_dict(entry, *count);
    const JinjaValue *found;
    if (jinja_dict_get(run, &dict, key, &found) != 0) return -1;
    if (found == NULL)
        entry[(*count)++] = (JinjaEntry){*key, *value};
    else
        for (size_t i = 0; i < *count; i++)
            if (&entry[i].value == found) entry[i].value = *value;
    return 0;
}

const JinjaValue *jinja_namespace_get(const JinjaNamespace *space, const char *name, size_t size) {
    JinjaValue dict = jinja_dict(space->entry, space->count);
    return jinja_dict_text(&dict, name, size);
}

int jinja_namespace_put(JinjaRun *run, JinjaNamespace *space, const JinjaValue *name, const JinjaValue *value) {
    if (space->count == space->capacity) {
        size_t capacity = space->capacity == 0 ? 8 : 2 * space->capacity;
        JinjaEntry *grown = jinja_take(run, capacity, sizeof *grown);
        if (grown == NULL) return -1;
        if (space->count > 0) memcpy(grown, space->entry, space->count * sizeof *grown);
        space->entry = grown;
        space->capacity = capacity;
    }
    return jinja_dict_put(run, space->entry, &space->count, name, value);
}

static const JinjaValue nothing; // what an array without items points to, so that it can be indexed from

int jinja_iterator(JinjaRun *run, const JinjaValue *item, size_t count, const char *name, JinjaValue *out) {
    JinjaIterator *iterator = jinja_take(run, 1, sizeof *iterator);
    if (iterator == NULL) return -1;
    *iterator = (JinjaIterator){.item = item == NULL ? &nothing : item, .count = count, .name = name};
    *out = (JinjaValue){.type = JINJA_ITERATOR, .iterator = iterator};
    return 0;
}

int jinja_pair(JinjaRun *run, const JinjaValue *first, const JinjaValue *second, JinjaValue *out) {
    JinjaValue *item = jinja_take(run, 2, sizeof *item);
    if (item == NULL) return -1;
    item[0] = *first;
    item[1] = *second;
    *out = jinja_list(JINJA_TUPLE, item, 2);
    return 0;
}

JinjaValue jinja_range_item(const JinjaRange *range, size_t index) {
    return jinja_int(range->start + range->step * (int64_t)index);
}

bool jinja_iterable(const JinjaValue *value) {
    size_t length;
    return value->type == JINJA_ITERATOR || value->type == JINJA_LOOP || jinja_length(value, &length);
}

static int items_of_text(JinjaRun *run, const JinjaValue *text, JinjaValue *item) {
    for (size_t at = 0, i = 0; at < text->text.size; i++) {
        size_t size = jinja_utf8_size(text->text.bytes + at, text->text.size - at);
        item[i] = jinja_string(text->text.bytes + at, size);
        at += size;
    }
    return jinja_charge_text(run, text->text.size);
}

static int items_of_dict(JinjaRun *run, const JinjaValue *dict, JinjaValue *item) {
    JinjaView view = dict->type == JINJA_VIEW ? (JinjaView)dict->detail : JINJA_KEYS;
    for (size_t i = 0; i < dict->dict.count; i++) {
        const JinjaEntry *e = &dict->dict.entry[i];
        if (view != JINJA_PAIRS)
            item[i] = view == JINJA_KEYS ? e->key : e->value;
        else if (jinja_pair(run, &e->key, &e->value, &item[i]) != 0)
            return -1;
    }
    return 0;
}

int jinja_items(JinjaRun *run, const JinjaValue *value, const JinjaValue **item, size_t *count) {
    if (value->type == JINJA_LIST || value->type == JINJA_TUPLE) {
        *item = value->list.item == NULL ? &nothing : value->list.item;
        *count = value->list.count;
        return 0;
    }
    if (value->type == JINJA_ITERATOR) {
        *item = value->iterator->item + value->iterator->next;
        *count = value->iterator->count - value->iterator->next;
        value->iterator->next = value->iterator->count;
        return 0;
    }
    if (value->type == JINJA_LOOP || !jinja_length(value, count))
        return jinja_fail(run, "a value of type %s is not iterable; a list or a dict was expected",
                          jinja_type_name(value));
    *item = &nothing;
    if (*count == 0) return 0;
    JinjaValue *copy = jinja_take(run, *count, sizeof *copy);
    if (copy == NULL || jinja_charge(run, *count) != 0) return -1;
    *item = copy;
    if (value->type == JINJA_STRING) return items_of_text(run, value, copy);
    if (value->type == JINJA_DICT || value->type == JINJA_VIEW) return items_of_dict(run, value, copy);
    for (size_t i = 0; i < *count; i++) copy[i] = jinja_range_item(value->range, i);
    return 0;
}

static int list_from_json(JinjaRun *run, const json_t *json, JinjaValue *out) {
    size_t count = json_array_size(json);
    JinjaValue *item = jinja_take(run, count, sizeof *item);
    if (item == NULL) return -1;
    for (size_t i = 0; i < count; i++)
        if (jinja_from_json(run, json_array_get(json, i), &item[i]) != 0) return -1;
    *out = jinja_list(JINJA_LIST, item, count);
    return 0;
}

static int dict_from_json(JinjaRun *run, const json_t *json, JinjaValue *out) {
    JinjaEntry *entry = jinja_take(run, json_object_size(json), sizeof *entry);
    if (entry == NULL) return -1;
    size_t count = 0, size;
    const char *key;
    json_t *value;
    json_object_keylen_foreach((json_t *)(uintptr_t)json, key, size, value) {
        entry[count].key = jinja_string(key, size);
        if (jinja_from_json(run, value, &entry[count].value) != 0) return -1;
        count++;
    }
    *out = jinja_dict(entry, count);
    return 0;
}

int jinja_from_json(JinjaRun *run, const json_t *json, JinjaValue *out) {
    if (jinja_charge(run, 1) != 0) return -1;
    switch (json_typeof(json)) {
    case JSON_NULL:
        *out = jinja_none();
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = jinja_bool(json_is_true(json));
        return 0;
    case JSON_INTEGER:
        *out = jinja_int(json_integer_value(json));
        return 0;
    case JSON_REAL:
        *out = jinja_float(json_real_value(json));
        return 0;
    case JSON_STRING:
        *out = jinja_string(json_string_value(json), json_string_length(json));
        return 0;
    default:
        break;
    }
    if (jinja_enter(run) != 0) return -1;
    int status = json_is_array(json) ? list_from_json(run, json, out) : dict_from_json(run, json, out);
    jinja_leave(run);
    return status;
}
