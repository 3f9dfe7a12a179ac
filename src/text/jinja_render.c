#include "text/jinja_render.h"
#include "text/jinja_loop.h"
#include "text/jinja_macro.h"
#include "text/jinja_print.h"
#include "text/jinja_utf8.h"

#include <stdlib.h>

static int write_text(JinjaEval *e, const char *bytes, size_t size) {
    if (size > e->output_limit - (e->out->size - e->begin))
        return jinja_fail(&e->run,
                          "the chat template writes more than %zu bytes; check it for a loop that does not end",
                          e->output_limit);
    if (jinja_charge_text(&e->run, size) != 0) return -1;
    buffer_append(e->out, bytes, size);
    return e->out->failed ? jinja_fail_code(&e->run, ERROR_MEMORY, "no memory left for the text of the chat") : 0;
}

static int write_value(JinjaEval *e, const JinjaValue *value) {
    JinjaValue text;
    if (value->type == JINJA_UNDEFINED) return 0;
    if (jinja_to_text(&e->run, value, &text) != 0) return -1;
    return write_text(e, text.text.bytes, text.text.size);
}

size_t jinja_capture_begin(JinjaEval *e) {
    if (e->captures++ == 0) e->top_bytes = e->out->size - e->begin;
    return e->out->size;
}

int jinja_capture_end(JinjaEval *e, size_t start, JinjaFlow flow, JinjaValue *out) {
    e->captures--;
    if (flow != JINJA_FLOW_FAILED) {
        size_t size = e->out->size - start;
        const char *copy = jinja_copy(&e->run, e->out->data == NULL ? "" : e->out->data + start, size);
        if (copy == NULL || jinja_charge_text(&e->run, size) != 0) return -1;
        *out = jinja_string(copy, size);
        e->out->size = start;
    }
    return flow == JINJA_FLOW_FAILED ? -1 : 0;
}

/* A body with variables of its own, on top of those of `parent`. */
static JinjaFlow render_scoped(JinjaEval *e, const JinjaNode *body, JinjaScope *parent) {
    JinjaScope *before = e->scope;
    if (jinja_scope_push(e, parent) == NULL) return JINJA_FLOW_FAILED;
    JinjaFlow flow = jinja_render_body(e, body);
    jinja_scope_pop(e, before);
    return flow;
}

static int assign_items(JinjaEval *e, const JinjaNode *target, const JinjaValue *value) {
    const JinjaValue *item;
    size_t count;
    if (value->type == JINJA_UNDEFINED && target->count > 0) return jinja_fail_undefined(&e->run, value);
    if (jinja_items(&e->run, value, &item, &count) != 0) return -1;
    if (count != target->count)
        return jinja_fail(&e->run, "%zu values cannot be assigned to %zu names", count, target->count);
    for (const JinjaNode *name = target->items; name != NULL; name = name->next)
        if (jinja_assign_target(e, name, item++) != 0) return -1;
    return 0;
}

int jinja_assign_target(JinjaEval *e, const JinjaNode *target, const JinjaValue *value) {
    if (target->type == JINJA_NODE_NAME) return jinja_assign(e, target->name, value);
    if (target->type == JINJA_NODE_ITEMS) {
        if (jinja_enter(&e->run) != 0) return -1;
        int status = assign_items(e, target, value);
        jinja_leave(&e->run);
        return status;
    }
    JinjaValue space;
    if (jinja_variable(e, target->name, &space) != 0) return -1;
    if (space.type == JINJA_UNDEFINED) return jinja_fail_undefined(&e->run, &space);
    if (space.type != JINJA_NAMESPACE)
        return jinja_fail(&e->run, "only a namespace has attributes that can be set, not a value of type %s",
                          jinja_type_name(&space));
    return jinja_namespace_put(&e->run, space.space, &target->value, value);
}

static JinjaFlow render_if(JinjaEval *e, const JinjaNode *node) {
    for (;; node = node->other) {
        JinjaValue holds;
        if (jinja_eval(e, node->condition, &holds) != 0) return JINJA_FLOW_FAILED;
        if (jinja_truth(&holds)) return jinja_render_body(e, node->body);
        if (!node->flag) return jinja_render_body(e, node->other); // else, or nothing
    }
}

/* The rounds of a loop. *completed: some round reached its end; only that keeps Jinja2 from running the else part. */
static JinjaFlow render_rounds(JinjaEval *e, JinjaLoop *loop, bool *completed) {
    const JinjaNode *node = loop->node;
    JinjaScope *before = e->scope, *scope = jinja_scope_push(e, loop->outer);
    JinjaValue self = {.type = JINJA_LOOP, .loop = loop};
    JinjaFlow flow = scope == NULL ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
    for (loop->index = 0; flow == JINJA_FLOW_ON; loop->index++) {
        bool there;
        e->run.line = node->line;
        if (jinja_loop_find(e, loop, loop->index, &there) != 0 || jinja_charge(&e->run, 1) != 0)
            flow = JINJA_FLOW_FAILED;
        if (flow == JINJA_FLOW_FAILED || !there) {
            loop->index -= loop->index > 0; // a loop variable that is kept stays at the last item
            break;
        }
        scope->count = 0;
        JinjaValue item = jinja_loop_item(loop, loop->index);
        if (jinja_assign_target(e, node->target, &item) != 0)
            flow = JINJA_FLOW_FAILED;
        else if (node->flag && jinja_assign(e, e->tree->loop, &self) != 0)
            flow = JINJA_FLOW_FAILED;
        else
            flow = jinja_render_body(e, node->body);
        if (flow == JINJA_FLOW_ON) *completed = true;
        if (flow == JINJA_FLOW_CONTINUE) flow = JINJA_FLOW_ON;
    }
    if (scope != NULL) jinja_scope_pop(e, before);
    return flow == JINJA_FLOW_BREAK ? JINJA_FLOW_ON : flow;
}

static JinjaFlow render_loop(JinjaEval *e, const JinjaNode *node, const JinjaValue *iterable, size_t depth) {
    JinjaLoop plain, *loop = &plain; // one that the body names may be kept by it beyond its end
    bool completed = false;
    if (node->flag && (loop = jinja_take(&e->run, 1, sizeof *loop)) == NULL) return JINJA_FLOW_FAILED;
    if (node->flag) jinja_scope_keep(e->scope);
    if (jinja_loop_begin(e, loop, node, iterable, depth) != 0) return JINJA_FLOW_FAILED;
    JinjaFlow flow = render_rounds(e, loop, &completed);
    if (flow != JINJA_FLOW_ON || completed || node->other == NULL) return flow;
    return render_scoped(e, node->other, e->scope);
}

int jinja_loop_recurse(JinjaEval *e, JinjaLoop *loop, const JinjaArguments *arguments, JinjaValue *out) {
    if (!loop->node->recursive) return jinja_fail(&e->run, "only a loop that is marked recursive can be called");
    if (arguments->count != 1 || arguments->keywords > 0)
        return jinja_fail(&e->run, "loop(...) takes one argument: what to walk over");
    JinjaScope *before = e->scope;
    size_t start = jinja_capture_begin(e);
    e->scope = loop->outer;
    JinjaFlow flow = render_loop(e, loop->node, &arguments->value[0], loop->depth + 1);
    e->scope = before;
    return jinja_capture_end(e, start, flow, out);
}

static JinjaFlow render_set_block(JinjaEval *e, const JinjaNode *node) {
    JinjaValue text;
    size_t start = jinja_capture_begin(e);
    JinjaFlow flow = render_scoped(e, node->body, e->scope);
    if (jinja_capture_end(e, start, flow, &text) != 0) return JINJA_FLOW_FAILED;
    if (flow != JINJA_FLOW_ON) return flow; // a break leaves the block without assigning
    if (node->left != NULL && jinja_eval_filters(e, node->left, &text, &text) != 0) return JINJA_FLOW_FAILED;
    return jinja_assign_target(e, node->target, &text) != 0 ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
}

static JinjaFlow render_filter_block(JinjaEval *e, const JinjaNode *node) {
    JinjaValue text;
    size_t start = jinja_capture_begin(e);
    JinjaFlow flow = render_scoped(e, node->body, e->scope);
    if (jinja_capture_end(e, start, flow, &text) != 0) return JINJA_FLOW_FAILED;
    if (flow != JINJA_FLOW_ON) return flow;
    if (jinja_eval_filters(e, node->left, &text, &text) != 0) return JINJA_FLOW_FAILED;
    return write_value(e, &text) != 0 ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
}

/* The values are those outside of the block; only its body sees the names. */
static JinjaFlow render_with(JinjaEval *e, const JinjaNode *node) {
    JinjaScope *before = e->scope, *scope = jinja_scope_push(e, before);
    if (scope == NULL) return JINJA_FLOW_FAILED;
    JinjaFlow flow = JINJA_FLOW_ON;
    for (const JinjaNode *set = node->items; flow == JINJA_FLOW_ON && set != NULL; set = set->next) {
        JinjaValue value;
        e->scope = before;
        int status = jinja_eval(e, set->left, &value);
        e->scope = scope;
        if (status != 0 || jinja_assign_target(e, set->target, &value) != 0) flow = JINJA_FLOW_FAILED;
    }
    if (flow == JINJA_FLOW_ON) flow = jinja_render_body(e, node->body);
    jinja_scope_pop(e, before);
    return flow;
}

static int add_span(JinjaEval *e, ChatSpan span) {
    ChatSpans *s = e->spans;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity == 0 ? 16 : 2 * s->capacity;
        ChatSpan *grown = realloc(s->spans, capacity * sizeof *grown);
        if (grown == NULL) return jinja_fail_code(&e->run, ERROR_MEMORY, "no memory left for the spans of the chat");
        s->spans = grown;
        s->capacity = capacity;
    }
    s->spans[s->count++] = span;
    return 0;
}

/* Transformers measures the block's place by the output that is complete before it, also where the block itself stands
 * in captured text; so do we. */
static JinjaFlow render_generation(JinjaEval *e, const JinjaNode *node) {
    size_t start = jinja_capture_begin(e), begin = e->top_bytes;
    JinjaFlow flow = render_scoped(e, node->body, e->scope);
    e->captures--;
    if (flow != JINJA_FLOW_ON || e->spans == NULL) return flow;
    size_t size = e->out->size - start;
    if (e->counted_bytes < begin) {
        e->counted_chars += jinja_utf8_count(e->out->data + e->begin + e->counted_bytes, begin - e->counted_bytes);
        e->counted_bytes = begin;
    }
    ChatSpan span = {.begin_byte = begin, .end_byte = begin + size, .begin_char = e->counted_chars};
    if (jinja_charge_text(&e->run, size) != 0) return JINJA_FLOW_FAILED;
    span.end_char = span.begin_char + (size == 0 ? 0 : jinja_utf8_count(e->out->data + start, size));
    return add_span(e, span) != 0 ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
}

static JinjaFlow render_call_block(JinjaEval *e, const JinjaNode *node) {
    JinjaValue caller, text;
    if (jinja_macro_make(e, node->right, &caller) != 0 || jinja_eval_call(e, node->left, &caller, &text) != 0)
        return JINJA_FLOW_FAILED;
    return write_value(e, &text) != 0 ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
}

static JinjaFlow render_print(JinjaEval *e, const JinjaNode *node) {
    JinjaValue value;
    return jinja_eval(e, node->left, &value) != 0 || write_value(e, &value) != 0 ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
}

static JinjaFlow render_for(JinjaEval *e, const JinjaNode *node) {
    JinjaValue iterable;
    return jinja_eval(e, node->left, &iterable) != 0 ? JINJA_FLOW_FAILED : render_loop(e, node, &iterable, 1);
}

static JinjaFlow render_set(JinjaEval *e, const JinjaNode *node) {
    JinjaValue value;
    if (jinja_eval(e, node->left, &value) != 0) return JINJA_FLOW_FAILED;
    return jinja_assign_target(e, node->target, &value) != 0 ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
}

static JinjaFlow render_macro(JinjaEval *e, const JinjaNode *node) {
    JinjaValue macro;
    return jinja_macro_make(e, node, &macro) != 0 || jinja_assign(e, node->name, &macro) != 0 ? JINJA_FLOW_FAILED
                                                                                              : JINJA_FLOW_ON;
}

static JinjaFlow render_statement(JinjaEval *e, const JinjaNode *node) {
    switch (node->type) {
    case JINJA_NODE_DATA:
        return write_text(e, node->value.text.bytes, node->value.text.size) != 0 ? JINJA_FLOW_FAILED : JINJA_FLOW_ON;
    case JINJA_NODE_PRINT:
        return render_print(e, node);
    case JINJA_NODE_IF:
        return render_if(e, node);
    case JINJA_NODE_FOR:
        return render_for(e, node);
    case JINJA_NODE_SET:
        return render_set(e, node);
    case JINJA_NODE_SET_BLOCK:
        return render_set_block(e, node);
    case JINJA_NODE_FILTER_BLOCK:
        return render_filter_block(e, node);
    case JINJA_NODE_WITH:
        return render_with(e, node);
    case JINJA_NODE_GENERATION:
        return render_generation(e, node);
    case JINJA_NODE_CALL_BLOCK:
        return render_call_block(e, node);
    case JINJA_NODE_MACRO:
        return render_macro(e, node);
    case JINJA_NODE_BREAK:
        return JINJA_FLOW_BREAK;
    default:
        return JINJA_FLOW_CONTINUE;
    }
}

JinjaFlow jinja_render_body(JinjaEval *e, const JinjaNode *body) {
    JinjaFlow flow = JINJA_FLOW_ON;
    if (jinja_enter(&e->run) != 0) return JINJA_FLOW_FAILED;
    for (; flow == JINJA_FLOW_ON && body != NULL; body = body->next) {
        e->run.line = body->line;
        flow = jinja_charge(&e->run, 1) != 0 ? JINJA_FLOW_FAILED : render_statement(e, body);
    }
    jinja_leave(&e->run);
    return flow;
}
