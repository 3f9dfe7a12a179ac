/* jinja_filters.h - what the files of filters share. */
#pragma once
#include "text/jinja_builtin.h"

#define JINJA_FILTER(name)                                                                                             \
    int name(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, const JinjaArguments *all,             \
             JinjaValue *out)

/* Filters of lists, in jinja_filters_list.c and jinja_filters_sort.c. */
JINJA_FILTER(jinja_filter_first);
JINJA_FILTER(jinja_filter_last);
JINJA_FILTER(jinja_filter_length);
JINJA_FILTER(jinja_filter_list);
JINJA_FILTER(jinja_filter_join);
JINJA_FILTER(jinja_filter_reverse);
JINJA_FILTER(jinja_filter_items);
JINJA_FILTER(jinja_filter_sum);
JINJA_FILTER(jinja_filter_batch);
JINJA_FILTER(jinja_filter_slice);
JINJA_FILTER(jinja_filter_map);
JINJA_FILTER(jinja_filter_select);
JINJA_FILTER(jinja_filter_reject);
JINJA_FILTER(jinja_filter_selectattr);
JINJA_FILTER(jinja_filter_rejectattr);
JINJA_FILTER(jinja_filter_sort);
JINJA_FILTER(jinja_filter_dictsort);
JINJA_FILTER(jinja_filter_unique);
JINJA_FILTER(jinja_filter_groupby);
JINJA_FILTER(jinja_filter_min);
JINJA_FILTER(jinja_filter_max);

/* The value at "a.b.0" in item; with a default (not ABSENT) for what is undefined on the way. A NULL path is the item.
 */
int jinja_filter_path(JinjaRun *run, const JinjaValue *item, const JinjaValue *path, const JinjaValue *missing,
                      JinjaValue *out);
/* True where an argument was given and is not None. */
static inline bool jinja_given(const JinjaValue *argument) {
    return argument->type != JINJA_ABSENT && argument->type != JINJA_NONE;
}
