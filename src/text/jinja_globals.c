/* The functions that a template may call: those of Jinja2's default globals that do not draw random numbers, and the
 * two of transformers. */
#include "text/jinja_builtin.h"

#include <string.h>

#define FUNCTION(name)                                                                                                 \
    static int name(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, const JinjaArguments *all,      \
                    JinjaValue *out)

FUNCTION(range) {
    (void)self, (void)all;
    int64_t start = 0, stop, step;
    bool one = argument[1].type == JINJA_ABSENT;
    if (jinja_argument_int(run, &argument[one ? 0 : 1], "stop", 0, &stop) != 0) return -1;
    if (!one && jinja_argument_int(run, &argument[0], "start", 0, &start) != 0) return -1;
    if (jinja_argument_int(run, &argument[2], "step", 1, &step) != 0) return -1;
    if (step == 0) return jinja_fail(run, "the step of range must not be 0");
    uint64_t span = 0, stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    if (step > 0 && stop > start) span = (uint64_t)stop - (uint64_t)start;
    if (step < 0 && stop < start) span = (uint64_t)start - (uint64_t)stop;
    uint64_t count = span == 0 ? 0 : (span - 1) / stride + 1;
    if (count > JINJA_RANGE_MAX) return jinja_fail(run, "range has more than %d numbers", JINJA_RANGE_MAX);
    JinjaRange *made = jinja_take(run, 1, sizeof *made);
    if (made == NULL) return -1;
    *made = (JinjaRange){.start = start, .stop = stop, .step = step, .count = (size_t)count};
    *out = (JinjaValue){.type = JINJA_RANGE, .range = made};
    return 0;
}

/* The entries of an optional dict (or pairs) and of the keywords, with room for both. */
static int entries(JinjaRun *run, const JinjaArguments *all, const char *name, JinjaEntry **entry, size_t *count) {
    const JinjaValue *item = NULL;
    size_t items = 0;
    JinjaValue view;
    if (all->count > 1) return jinja_fail(run, "%s takes at most one value beside name=value", name);
    if (all->count == 1) {
        view = all->value[0];
        if (view.type == JINJA_DICT) {
            view.type = JINJA_VIEW;
            view.detail = JINJA_PAIRS;
        }
        if (jinja_items(run, &view, &item, &items) != 0) return -1;
    }
    *entry = jinja_take(run, items + all->keywords, sizeof **entry);
    *count = 0;
    if (*entry == NULL) return -1;
    for (size_t i = 0; i < items; i++) {
        const JinjaValue *pair;
        size_t two;
        if (jinja_items(run, &item[i], &pair, &two) != 0) return -1;
        if (two != 2) return jinja_fail(run, "%s needs a dict or pairs of key and value", name);
        if (jinja_dict_put(run, *entry, count, &pair[0], &pair[1]) != 0) return -1;
    }
    for (size_t i = 0; i < all->keywords; i++)
        if (jinja_dict_put(run, *entry, count, &all->keyword[i].key, &all->keyword[i].value) != 0) return -1;
    return 0;
}

FUNCTION(dict) {
    (void)self, (void)argument;
    JinjaEntry *entry;
    size_t count;
    if (entries(run, all, "dict", &entry, &count) != 0) return -1;
    *out = jinja_dict(entry, count);
    return 0;
}

FUNCTION(namespace) {
    (void)self, (void)argument;
    JinjaNamespace *space = jinja_take(run, 1, sizeof *space);
    if (space == NULL || entries(run, all, "namespace", &space->entry, &space->count) != 0) return -1;
    space->capacity = space->count;
    *out = (JinjaValue){.type = JINJA_NAMESPACE, .space = space};
    return 0;
}

FUNCTION(raise_exception) {
    (void)self, (void)all, (void)out;
    if (argument[0].type != JINJA_STRING) return jinja_fail(run, "raise_exception got no text to say");
    return jinja_fail(run, "%.*s", (int)(argument[0].text.size < 600 ? argument[0].text.size : 600),
                      argument[0].text.bytes);
}

FUNCTION(strftime_now) {
    (void)self, (void)all;
    JinjaValue format;
    struct tm now;
    char text[1024];
    if (jinja_argument_text(run, &argument[0], "format", &format) != 0) return -1;
    const char *copy = jinja_copy(run, format.text.bytes, format.text.size);
    if (copy == NULL) return -1;
    if (run->now != NULL)
        now = *run->now;
    else {
        time_t seconds = time(NULL);
        localtime_r(&seconds, &now);
    }
    size_t size = strftime(text, sizeof text, copy, &now);
    if (size == 0 && format.text.size > 0)
        return jinja_fail(run, "strftime_now got a format that gives no text of up to 1000 bytes");
    copy = jinja_copy(run, text, size);
    *out = jinja_string(copy, size);
    return copy == NULL ? -1 : 0;
}

static const JinjaBuiltin globals[] = {
    {"range", range, "start stop? step?"},
    {"dict", dict, "*"},
    {"namespace", namespace, "*"},
    {"raise_exception", raise_exception, "message"},
    {"strftime_now", strftime_now, "format"},
};

const JinjaBuiltins jinja_globals = {globals, sizeof globals / sizeof globals[0]};
