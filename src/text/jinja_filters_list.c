/* The filters that walk over a list: map, select and their like give an iterator, as Jinja2's generators. */
#include "text/jinja_filters.h"
#include "text/jinja_operator.h"
#include "text/jinja_print.h"
#include "text/jinja_string.h"
#include "text/jinja_utf8.h"

#include <string.h>

static int path_step(JinjaRun *run, const JinjaValue *step, const JinjaValue *missing, JinjaValue *value) {
    if (jinja_item(run, value, step, value) != 0) return -1;
    if (value->type == JINJA_UNDEFINED && jinja_given(missing)) *value = *missing;
    return 0;
}

int jinja_filter_path(JinjaRun *run, const JinjaValue *item, const JinjaValue *path, const JinjaValue *missing,
                      JinjaValue *out) {
    *out = *item;
    if (path == NULL || !jinja_given(path)) return 0;
    if (path->type != JINJA_STRING) return path_step(run, path, missing, out);
    const char *bytes = path->text.bytes;
    for (size_t at = 0; at <= path->text.size;) {
        const char *dot = at == path->text.size ? NULL : memchr(bytes + at, '.', path->text.size - at);
        size_t n = dot == NULL ? path->text.size - at : (size_t)(dot - bytes) - at;
        JinjaValue step = jinja_string(bytes + at, n);
        bool digits = n > 0 && n < 10;
        int64_t whole = 0;
        for (size_t i = 0; digits && i < n; i++) {
            digits = bytes[at + i] >= '0' && bytes[at + i] <= '9';
            whole = whole * 10 + (bytes[at + i] - '0');
        }
        if (digits) step = jinja_int(whole);
        if (path_step(run, &step, missing, out) != 0) return -1;
        at += n + 1;
    }
    return 0;
}

JINJA_FILTER(jinja_filter_first) {
    (void)all, (void)argument;
    static const char hint[] = "the first item of an empty sequence";
    const JinjaValue *item;
    size_t count;
    if (self->type == JINJA_ITERATOR && self->iterator->next < self->iterator->count) { // the others are left in it
        *out = self->iterator->item[self->iterator->next++];
        return 0;
    }
    if (self->type == JINJA_STRING && self->text.size > 0) {
        *out = jinja_string(self->text.bytes, jinja_utf8_size(self->text.bytes, self->text.size));
        return 0;
    }
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    *out = count > 0 ? item[0] : jinja_undefined(JINJA_ABSENT, hint, sizeof hint - 1);
    return 0;
}

JINJA_FILTER(jinja_filter_last) {
    (void)all, (void)argument;
    static const char hint[] = "the last item of an empty sequence";
    const JinjaValue *item;
    size_t count;
    if (self->type == JINJA_ITERATOR)
        return jinja_fail(run, "last does not work with what a filter gives; put list in front of it");
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    *out = count > 0 ? item[count - 1] : jinja_undefined(JINJA_ABSENT, hint, sizeof hint - 1);
    return 0;
}

JINJA_FILTER(jinja_filter_length) {
    (void)all, (void)argument;
    size_t length;
    if (!jinja_length(self, &length)) return jinja_fail(run, "a value of type %s has no length", jinja_type_name(self));
    *out = jinja_int((int64_t)length);
    return self->type == JINJA_STRING ? jinja_charge_text(run, self->text.size) : 0;
}

JINJA_FILTER(jinja_filter_list) {
    (void)all, (void)argument;
    const JinjaValue *item;
    size_t count;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    *out = jinja_list(JINJA_LIST, item, count);
    return 0;
}

JINJA_FILTER(jinja_filter_join) {
    (void)all;
    const JinjaValue *item;
    JinjaValue separator = jinja_string("", 0), *part = NULL;
    size_t count;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    if (argument[0].type != JINJA_ABSENT && jinja_to_text(run, &argument[0], &separator) != 0) return -1;
    if (jinja_given(&argument[1])) {
        JinjaValue missing = {0};
        if ((part = jinja_take(run, count, sizeof *part)) == NULL) return -1;
        for (size_t i = 0; i < count; i++)
            if (jinja_filter_path(run, &item[i], &argument[1], &missing, &part[i]) != 0) return -1;
    }
    return jinja_string_join(run, &separator, part != NULL ? part : item, count, true, out);
}

JINJA_FILTER(jinja_filter_reverse) {
    (void)all, (void)argument;
    const JinjaValue *item;
    size_t count;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    JinjaValue *reversed = jinja_take(run, count, sizeof *reversed);
    if (reversed == NULL || jinja_charge(run, count) != 0) return -1;
    for (size_t i = 0; i < count; i++) reversed[i] = item[count - 1 - i];
    if (self->type == JINJA_STRING) {
        JinjaValue nothing = jinja_string("", 0);
        return jinja_string_join(run, &nothing, reversed, count, true, out);
    }
    *out = jinja_list(JINJA_LIST, reversed, count);
    return self->type == JINJA_ITERATOR ? 0 : jinja_iterator(run, reversed, count, "reversed", out);
}

JINJA_FILTER(jinja_filter_items) {
    (void)all, (void)argument;
    const JinjaValue *item = NULL;
    size_t count = 0;
    JinjaValue view = *self;
    if (self->type != JINJA_UNDEFINED && self->type != JINJA_DICT)
        return jinja_fail(run, "items needs a dict, but got a value of type %s", jinja_type_name(self));
    view.type = JINJA_VIEW;
    view.detail = JINJA_PAIRS;
    if (self->type == JINJA_DICT && jinja_items(run, &view, &item, &count) != 0) return -1;
    return jinja_iterator(run, item, count, "generator", out);
}

JINJA_FILTER(jinja_filter_sum) {
    (void)all;
    const JinjaValue *item;
    JinjaValue missing = {0}, value;
    size_t count;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    *out = argument[1].type == JINJA_ABSENT ? jinja_int(0) : argument[1];
    if (out->type == JINJA_STRING) return jinja_fail(run, "sum does not add texts; use join");
    for (size_t i = 0; i < count; i++)
        if (jinja_filter_path(run, &item[i], &argument[0], &missing, &value) != 0 ||
            jinja_add(run, out, &value, out) != 0)
            return -1;
    return 0;
}

/* A list of the items [begin, end), filled up to `width` items. */
static int part_of(JinjaRun *run, const JinjaValue *item, size_t begin, size_t end, size_t width,
                   const JinjaValue *fill, JinjaValue *out) {
    size_t count = end - begin, total = jinja_given(fill) && width > count ? width : count;
    if (total == count) {
        *out = jinja_list(JINJA_LIST, count == 0 ? NULL : item + begin, count);
        return 0;
    }
    JinjaValue *part = jinja_take(run, total, sizeof *part);
    if (part == NULL || jinja_charge(run, total) != 0) return -1;
    for (size_t i = 0; i < total; i++) part[i] = i < count ? item[begin + i] : *fill;
    *out = jinja_list(JINJA_LIST, part, total);
    return 0;
}

/* A positive argument. */
static int argument_count(JinjaRun *run, const JinjaValue *argument, const char *name, size_t *count) {
    int64_t whole;
    *count = 0;
    if (jinja_argument_int(run, argument, name, 0, &whole) != 0) return -1;
    if (whole < 1 || whole > JINJA_RANGE_MAX)
        return jinja_fail(run, "'%s' must be from 1 to %d", name, JINJA_RANGE_MAX);
    *count = (size_t)whole;
    return 0;
}

JINJA_FILTER(jinja_filter_batch) {
    (void)all;
    const JinjaValue *item;
    size_t count, width, batches;
    if (argument_count(run, &argument[0], "linecount", &width) != 0 || jinja_items(run, self, &item, &count) != 0)
        return -1;
    batches = (count + width - 1) / width;
    JinjaValue *batch = jinja_take(run, batches, sizeof *batch);
    if (batch == NULL) return -1;
    for (size_t i = 0; i < batches; i++) {
        size_t end = (i + 1) * width < count ? (i + 1) * width : count;
        if (part_of(run, item, i * width, end, width, &argument[1], &batch[i]) != 0) return -1;
    }
    return jinja_iterator(run, batch, batches, "generator", out);
}

JINJA_FILTER(jinja_filter_slice) {
    (void)all;
    const JinjaValue *item;
    size_t count, slices, at = 0;
    if (argument_count(run, &argument[0], "slices", &slices) != 0 || jinja_items(run, self, &item, &count) != 0)
        return -1;
    JinjaValue *slice = jinja_take(run, slices, sizeof *slice);
    if (slice == NULL || jinja_charge(run, slices) != 0) return -1;
    for (size_t i = 0; i < slices; i++) { // the first ones get one item more, the others the fill
        size_t size = count / slices + (i < count % slices);
        if (part_of(run, item, at, at + size, i < count % slices ? size : size + 1, &argument[1], &slice[i]) != 0)
            return -1;
        at += size;
    }
    return jinja_iterator(run, slice, slices, "generator", out);
}

/* map(attribute=..., default=...) */
static int map_attribute(JinjaRun *run, const JinjaValue *item, size_t count, const JinjaArguments *all,
                         JinjaValue *mapped) {
    JinjaValue keywords = jinja_dict(all->keyword, all->keywords), missing = {0};
    const JinjaValue *path = jinja_dict_text(&keywords, "attribute", 9),
                     *given = jinja_dict_text(&keywords, "default", 7);
    if (all->count > 0 || path == NULL || all->keywords > 1u + (given != NULL))
        return jinja_fail(run, "map needs the name of a filter, or attribute=");
    if (given != NULL) missing = *given;
    for (size_t i = 0; i < count; i++)
        if (jinja_filter_path(run, &item[i], path, &missing, &mapped[i]) != 0) return -1;
    return 0;
}

JINJA_FILTER(jinja_filter_map) {
    (void)argument;
    const JinjaValue *item;
    size_t count;
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    JinjaValue *mapped = jinja_take(run, count, sizeof *mapped);
    if (mapped == NULL || jinja_charge(run, count) != 0) return -1;
    if (all->count == 0) {
        if (map_attribute(run, item, count, all, mapped) != 0) return -1;
        return jinja_iterator(run, mapped, count, "generator", out);
    }
    const JinjaBuiltin *filter = jinja_builtin_find(&jinja_filters, &all->value[0]);
    if (filter == NULL) return jinja_fail(run, "map got the name of a filter that does not exist");
    JinjaArguments rest = {all->value + 1, all->count - 1, all->keyword, all->keywords};
    if (jinja_enter(run) != 0) return -1;
    int status = 0;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = jinja_builtin_call(run, filter, &item[i], &rest, &mapped[i]);
    jinja_leave(run);
    return status != 0 ? -1 : jinja_iterator(run, mapped, count, "generator", out);
}

/* The items that pass a test (the first of the arguments behind `skip`; none: those that are true), or that do not. */
static int select_items(JinjaRun *run, const JinjaValue *self, const JinjaArguments *all, bool by_attribute,
                        bool wanted, JinjaValue *out) {
    const JinjaValue *item;
    size_t count, found = 0, skip = by_attribute ? 1 : 0;
    JinjaValue missing = {0};
    if (all->count < skip) return jinja_fail(run, "selectattr and rejectattr need the name of an attribute");
    const JinjaBuiltin *test = all->count > skip ? jinja_builtin_find(&jinja_tests, &all->value[skip]) : NULL;
    if (all->count > skip && test == NULL)
        return jinja_fail(run, "a filter got the name of a test that does not exist");
    if (jinja_items(run, self, &item, &count) != 0) return -1;
    JinjaValue *kept = jinja_take(run, count, sizeof *kept);
    if (kept == NULL || jinja_charge(run, count) != 0) return -1;
    JinjaArguments rest = {0};
    if (test != NULL)
        rest = (JinjaArguments){all->value + skip + 1, all->count - skip - 1, all->keyword, all->keywords};
    for (size_t i = 0; i < count; i++) {
        JinjaValue value, answer;
        if (jinja_filter_path(run, &item[i], by_attribute ? &all->value[0] : NULL, &missing, &value) != 0) return -1;
        if (test == NULL)
            answer = value;
        else if (jinja_builtin_call(run, test, &value, &rest, &answer) != 0)
            return -1;
        if (jinja_truth(&answer) == wanted) kept[found++] = item[i];
    }
    return jinja_iterator(run, kept, found, "generator", out);
}

JINJA_FILTER(jinja_filter_select) { return (void)argument, select_items(run, self, all, false, true, out); }
JINJA_FILTER(jinja_filter_reject) { return (void)argument, select_items(run, self, all, false, false, out); }
JINJA_FILTER(jinja_filter_selectattr) { return (void)argument, select_items(run, self, all, true, true, out); }
JINJA_FILTER(jinja_filter_rejectattr) { return (void)argument, select_items(run, self, all, true, false, out); }
