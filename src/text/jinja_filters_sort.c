/* The filters that order or group: sort, dictsort, unique, groupby, min and max. */
#include "text/jinja_filters.h"
#include "text/jinja_string.h"

#include <string.h>

/* Small letters count as large ones unless asked otherwise. */
static int fold(JinjaRun *run, bool case_sensitive, JinjaValue *key) {
    return case_sensitive || key->type != JINJA_STRING ? 0 : jinja_string_case(run, key, JINJA_LOWER, key);
}

/* The keys that items are ordered by: the item, or its attribute. */
static JinjaValue *keys_of(JinjaRun *run, const JinjaValue *item, size_t count, const JinjaValue *path,
                           const JinjaValue *missing, bool case_sensitive) {
    JinjaValue *key = jinja_take(run, count, sizeof *key);
    for (size_t i = 0; key != NULL && i < count; i++)
        if (jinja_filter_path(run, &item[i], path, missing, &key[i]) != 0 || fold(run, case_sensitive, &key[i]) != 0)
            return NULL;
    return key;
}

/* As keys_of for sort, where each item has a list of keys: lists of which the first parts are equal have an order also
 * where those parts have none, so [none, none] can be sorted. */
static JinjaValue *key_lists_of(JinjaRun *run, const JinjaValue *item, size_t count, const JinjaValue *paths,
                                bool case_sensitive) {
    JinjaValue comma = jinja_literal(","), list = jinja_list(JINJA_LIST, paths, 1), missing = {0};
    if (paths->type == JINJA_STRING && jinja_string_split(run, paths, &comma, -1, false, &list) != 0) return NULL;
    JinjaValue *key = jinja_take(run, count, sizeof *key);
    for (size_t i = 0; key != NULL && i < count; i++) {
        JinjaValue *part = jinja_take(run, list.list.count, sizeof *part);
        for (size_t k = 0; k < list.list.count; k++)
            if (part == NULL || jinja_filter_path(run, &item[i], &list.list.item[k], &missing, &part[k]) != 0 ||
                fold(run, case_sensitive, &part[k]) != 0)
                return NULL;
        key[i] = jinja_list(JINJA_LIST, part, list.list.count);
    }
    return key;
}

/* Merges two sorted halves; equal keys keep their order, in both directions. */
static int merge(JinjaRun *run, const JinjaValue *key, size_t *index, size_t *room, size_t half, size_t count,
                 bool reverse) {
    size_t a = 0, b = half;
    for (size_t i = 0; i < count; i++) {
        int order = 0;
        if (a < half && b < count && jinja_order(run, &key[index[b]], &key[index[a]], "<", &order) != 0) return -1;
        bool second = a == half || (b < count && (reverse ? order > 0 && order != 2 : order < 0));
        room[i] = index[second ? b++ : a++];
    }
    if (count > 0) memcpy(index, room, count * sizeof *index);
    return 0;
}

static int merge_sort(JinjaRun *run, const JinjaValue *key, size_t *index, size_t *room, size_t count, bool reverse) {
    if (count < 2) return 0;
    size_t half = count / 2;
    if (merge_sort(run, key, index, room, half, reverse) != 0 ||
        merge_sort(run, key, index + half, room, count - half, reverse) != 0)
        return -1;
    return merge(run, key, index, room, half, count, reverse);
}

/* The places of the keys in order; NULL on failure. */
static size_t *ordered(JinjaRun *run, const JinjaValue *key, size_t count, bool reverse) {
    size_t *index = jinja_take(run, count, sizeof *index), *room = jinja_take(run, count, sizeof *room);
    if (key == NULL || index == NULL || room == NULL) return NULL;
    for (size_t i = 0; i < count; i++) index[i] = i;
    return merge_sort(run, key, index, room, count, reverse) != 0 ? NULL : index;
}

static int sorted(JinjaRun *run, const JinjaValue *item, size_t count, const JinjaValue *key, bool reverse,
                  JinjaValue *out) {
    const size_t *index = ordered(run, key, count, reverse);
    JinjaValue *list = jinja_take(run, count, sizeof *list);
    if (index == NULL || list == NULL) return -1;
    for (size_t i = 0; i < count; i++) list[i] = item[index[i]];
    *out = jinja_list(JINJA_LIST, list, count);
    return 0;
}

JINJA_FILTER(jinja_filter_sort) {
    (void)all;
    const JinjaValue *item;
    size_t count;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    return sorted(run, item, count, key_lists_of(run, item, count, &argument[2], jinja_truth(&argument[1])),
                  jinja_truth(&argument[0]), out);
}

JINJA_FILTER(jinja_filter_dictsort) {
    (void)all;
    const JinjaValue *item;
    JinjaValue view = *self, place = jinja_int(0), missing = {0};
    size_t count;
    if (self->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, self);
    if (self->type != JINJA_DICT)
        return jinja_fail(run, "dictsort needs a dict, but got a value of type %s", jinja_type_name(self));
    if (jinja_text_is(&argument[1], "value"))
        place.integer = 1;
    else if (argument[1].type != JINJA_ABSENT && !jinja_text_is(&argument[1], "key"))
        return jinja_fail(run, "dictsort sorts by key or by value");
    view.type = JINJA_VIEW;
    view.detail = JINJA_PAIRS;
    if (jinja_items(run, &view, &item, &count) != 0) return -1;
    return sorted(run, item, count, keys_of(run, item, count, &place, &missing, jinja_truth(&argument[0])),
                  jinja_truth(&argument[2]), out);
}

JINJA_FILTER(jinja_filter_unique) {
    (void)all;
    const JinjaValue *item;
    JinjaValue missing = {0};
    size_t count, found = 0;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    JinjaValue *key = keys_of(run, item, count, &argument[1], &missing, jinja_truth(&argument[0])),
               *kept = jinja_take(run, count, sizeof *kept);
    if (key == NULL || kept == NULL) return -1;
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        if (!jinja_hashable(&key[i]))
            return jinja_fail(run, "unique does not work with a value of type %s", jinja_type_name(&key[i]));
        for (size_t k = 0; !seen && k < found; k++)
            if (jinja_equal(run, &key[k], &key[i], &seen) != 0) return -1;
        if (seen) continue;
        kept[found] = item[i];
        key[found++] = key[i];
    }
    return jinja_iterator(run, kept, found, "generator", out);
}

/* A group: (grouper, list), whose parts also have these names. */
static int make_group(JinjaRun *run, const JinjaValue *grouper, const JinjaValue *list, JinjaValue *out) {
    if (jinja_pair(run, grouper, list, out) != 0) return -1;
    out->forbidden = true;
    return 0;
}

JINJA_FILTER(jinja_filter_groupby) {
    (void)all;
    const JinjaValue *item;
    size_t count, groups = 0;
    bool case_sensitive = jinja_truth(&argument[2]);
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    JinjaValue *key = keys_of(run, item, count, &argument[0], &argument[1], case_sensitive),
               *group = jinja_take(run, count, sizeof *group);
    JinjaValue *list = jinja_take(run, count, sizeof *list);
    const size_t *index = ordered(run, key, count, false);
    if (index == NULL || group == NULL || list == NULL) return -1;
    for (size_t i = 0; i < count; i++) list[i] = item[index[i]];
    for (size_t begin = 0, end; begin < count; begin = end) {
        bool equal = true;
        for (end = begin + 1; end < count; end++) {
            if (jinja_equal(run, &key[index[begin]], &key[index[end]], &equal) != 0) return -1;
            if (!equal) break;
        }
        JinjaValue grouper, members = jinja_list(JINJA_LIST, list + begin, end - begin);
        if (jinja_filter_path(run, &list[begin], &argument[0], &argument[1], &grouper) != 0)
            return -1; // as it is written there
        if (make_group(run, &grouper, &members, &group[groups++]) != 0) return -1;
    }
    *out = jinja_list(JINJA_LIST, group, groups);
    return 0;
}

/* The first item with the smallest key, or with the largest. */
static int extreme(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, bool largest, JinjaValue *out) {
    static const char hint[] = "the extreme of an empty sequence";
    const JinjaValue *item;
    JinjaValue missing = {0};
    size_t count, best = 0;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    JinjaValue *key = keys_of(run, item, count, &argument[1], &missing, jinja_truth(&argument[0]));
    if (key == NULL) return -1;
    for (size_t i = 1; i < count; i++) {
        int order;
        if (jinja_order(run, &key[i], &key[best], largest ? ">" : "<", &order) != 0) return -1;
        if (largest ? order > 0 && order != 2 : order < 0) best = i;
    }
    *out = count > 0 ? item[best] : jinja_undefined(JINJA_ABSENT, hint, sizeof hint - 1);
    return 0;
}

JINJA_FILTER(jinja_filter_min) { return (void)all, extreme(run, self, argument, false, out); }
JINJA_FILTER(jinja_filter_max) { return (void)all, extreme(run, self, argument, true, out); }
