#include "text/jinja_loop.h"
#include "text/jinja_render.h"

int jinja_loop_begin(JinjaEval *e, JinjaLoop *loop, const JinjaNode *node, const JinjaValue *iterable, size_t depth) {
    *loop = (JinjaLoop){.node = node, .outer = e->scope, .depth = depth};
    if (iterable->type == JINJA_RANGE && node->condition == NULL) { // needs no list
        loop->range = iterable->range;
        loop->found = loop->looked = loop->count = loop->range->count;
        return 0;
    }
    if (jinja_items(&e->run, iterable, &loop->all, &loop->count) != 0) return -1;
    if (node->condition == NULL) {
        loop->item = loop->all;
        loop->found = loop->looked = loop->count;
        return 0;
    }
    loop->item = loop->passing = jinja_take(&e->run, loop->count, sizeof *loop->passing);
    return loop->passing == NULL ? -1 : 0;
}

JinjaValue jinja_loop_item(const JinjaLoop *loop, size_t index) {
    return loop->range != NULL ? jinja_range_item(loop->range, index) : loop->item[index];
}

/* Asks the filter about one item, in a scope of its own. */
static int passes(JinjaEval *e, JinjaLoop *loop, const JinjaValue *item, bool *yes) {
    JinjaScope *before = e->scope;
    JinjaValue answer;
    if (jinja_scope_push(e, loop->outer) == NULL) return -1;
    int status = jinja_assign_target(e, loop->node->target, item);
    if (status == 0) status = jinja_eval(e, loop->node->condition, &answer);
    jinja_scope_pop(e, before);
    *yes = status == 0 && jinja_truth(&answer);
    return status;
}

int jinja_loop_find(JinjaEval *e, JinjaLoop *loop, size_t index, bool *there) {
    while (loop->found <= index && loop->looked < loop->count) {
        const JinjaValue *item = &loop->all[loop->looked++];
        bool yes;
        if (passes(e, loop, item, &yes) != 0) return -1;
        if (yes) loop->passing[loop->found++] = *item;
    }
    *there = loop->found > index;
    return 0;
}

/* The methods of `loop`, which is their self. */
static int cycle(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, const JinjaArguments *all,
                 JinjaValue *out) {
    (void)argument;
    if (all->count == 0) return jinja_fail(run, "loop.cycle needs something to choose from");
    *out = all->value[self->loop->index % all->count];
    return 0;
}

static int changed(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, const JinjaArguments *all,
                   JinjaValue *out) {
    (void)argument;
    JinjaValue now = jinja_list(JINJA_TUPLE, all->value, all->count);
    bool equal = false;
    if (self->loop->changed.type != JINJA_ABSENT && jinja_equal(run, &self->loop->changed, &now, &equal) != 0)
        return -1;
    *out = jinja_bool(!equal);
    if (equal) return 0;
    JinjaValue *kept = jinja_take(run, all->count, sizeof *kept);
    if (kept == NULL) return -1;
    for (size_t i = 0; i < all->count; i++) kept[i] = all->value[i];
    self->loop->changed = jinja_list(JINJA_TUPLE, kept, all->count);
    return 0;
}

static const JinjaBuiltin loop_methods[] = {{"cycle", cycle, "*"}, {"changed", changed, "*"}};

static int bind_method(JinjaEval *e, JinjaLoop *loop, const JinjaBuiltin *method, JinjaValue *out) {
    JinjaCallable *callable = jinja_take(&e->run, 1, sizeof *callable);
    if (callable == NULL) return -1;
    *callable = (JinjaCallable){.builtin = method, .self = {.type = JINJA_LOOP, .loop = loop}};
    *out = (JinjaValue){.type = JINJA_FUNCTION, .callable = callable};
    return 0;
}

int jinja_loop_method(JinjaEval *e, const JinjaCallable *method, const JinjaArguments *arguments, JinjaValue *out) {
    return jinja_builtin_call(&e->run, method->builtin, &method->self, arguments, out);
}

int jinja_loop_attribute(JinjaEval *e, JinjaLoop *loop, const JinjaValue *name, JinjaValue *out) {
    static const char *const names[] = {"index", "index0", "first",    "depth",     "depth0",  "previtem",
                                        "last",  "length", "revindex", "revindex0", "nextitem"};
    enum { INDEX, INDEX0, FIRST, DEPTH, DEPTH0, PREVIOUS, LAST, LENGTH, REVERSE, REVERSE0, NEXT, NAMES };
    int which = 0;
    bool there;
    while (which < NAMES && !jinja_text_is(name, names[which])) which++;
    if (which >= LAST && which < NAMES) { // these look ahead: by one item, or to the end
        size_t ahead = which == LAST || which == NEXT ? loop->index + 1 : loop->count;
        if (jinja_loop_find(e, loop, ahead, &there) != 0) return -1;
    }
    switch (which) {
    case INDEX:
        *out = jinja_int((int64_t)loop->index + 1);
        return 0;
    case INDEX0:
        *out = jinja_int((int64_t)loop->index);
        return 0;
    case FIRST:
        *out = jinja_bool(loop->index == 0);
        return 0;
    case DEPTH:
        *out = jinja_int((int64_t)loop->depth);
        return 0;
    case DEPTH0:
        *out = jinja_int((int64_t)loop->depth - 1);
        return 0;
    case LAST:
        *out = jinja_bool(!there);
        return 0;
    case LENGTH:
        *out = jinja_int((int64_t)loop->found);
        return 0;
    case REVERSE:
        *out = jinja_int((int64_t)loop->found - (int64_t)loop->index);
        return 0;
    case REVERSE0:
        *out = jinja_int((int64_t)loop->found - (int64_t)loop->index - 1);
        return 0;
    case PREVIOUS:
        *out =
            loop->index > 0 ? jinja_loop_item(loop, loop->index - 1) : jinja_undefined(JINJA_LOOP, names[PREVIOUS], 8);
        return 0;
    case NEXT:
        *out = there ? jinja_loop_item(loop, loop->index + 1) : jinja_undefined(JINJA_LOOP, names[NEXT], 8);
        return 0;
    default:
        break;
    }
    for (size_t i = 0; i < 2; i++)
        if (jinja_text_is(name, loop_methods[i].name)) return bind_method(e, loop, &loop_methods[i], out);
    *out = jinja_undefined(JINJA_LOOP, name->text.bytes, name->text.size);
    return 0;
}
