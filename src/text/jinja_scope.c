#include "text/jinja_eval.h"

#include <string.h>

JinjaScope *jinja_scope_push(JinjaEval *e, JinjaScope *parent) {
    JinjaScope *scope = e->unused;
    if (scope != NULL)
        e->unused = scope->parent;
    else if ((scope = jinja_take(&e->run, 1, sizeof *scope)) == NULL)
        return NULL;
    scope->parent = parent;
    scope->count = 0;
    return e->scope = scope;
}

void jinja_scope_pop(JinjaEval *e, JinjaScope *before) {
    JinjaScope *scope = e->scope;
    e->scope = before;
    if (scope->kept) return;
    scope->parent = e->unused;
    e->unused = scope;
}

void jinja_scope_keep(JinjaScope *scope) {
    for (; scope != NULL && !scope->kept; scope = scope->parent) scope->kept = true;
}

static bool is_name(const JinjaValue *text, const char *name) { return jinja_text_is(text, name); }

/* A text of the context, or nothing where it is NULL. */
static bool context_text(const char *text, JinjaValue *out) {
    if (text != NULL) *out = jinja_literal(text);
    return text != NULL;
}

static int context_json(JinjaEval *e, const json_t *json, JinjaValue *out) {
    *out = jinja_none();
    return json == NULL ? 0 : jinja_from_json(&e->run, json, out);
}

/* What a name stands for before the template sets it: further variables, the context, functions. */
static int look_up(JinjaEval *e, const JinjaValue *name, JinjaValue *out) {
    const ChatContext *c = e->context;
    const json_t *extra = c->extra == NULL ? NULL : json_object_getn(c->extra, name->text.bytes, name->text.size);
    if (extra != NULL) return context_json(e, extra, out);
    if (is_name(name, "messages")) return context_json(e, c->messages, out);
    if (is_name(name, "tools")) return context_json(e, c->tools, out);
    if (is_name(name, "documents")) return context_json(e, c->documents, out);
    if (is_name(name, "add_generation_prompt")) {
        *out = jinja_bool(c->add_generation_prompt);
        return 0;
    }
    if (is_name(name, "bos_token") && context_text(c->bos_token, out)) return 0;
    if (is_name(name, "eos_token") && context_text(c->eos_token, out)) return 0;
    const JinjaBuiltin *global = jinja_builtin_find(&jinja_globals, name);
    *out = jinja_undefined(JINJA_ABSENT, name->text.bytes, name->text.size);
    if (global == NULL) return 0;
    JinjaCallable *callable = jinja_take(&e->run, 1, sizeof *callable);
    if (callable == NULL) return -1;
    *callable = (JinjaCallable){.builtin = global};
    *out = (JinjaValue){.type = JINJA_FUNCTION, .callable = callable};
    return 0;
}

int jinja_variable(JinjaEval *e, size_t name, JinjaValue *out) {
    size_t passed = 0;
    for (const JinjaScope *scope = e->scope; scope != NULL; scope = scope->parent, passed++)
        for (size_t i = 0; i < scope->count; i++, passed++)
            if (scope->binding[i].name == name) {
                *out = scope->binding[i].value;
                return 0;
            }
    if (passed >= 32 && jinja_charge(&e->run, passed / 32) != 0) return -1;
    if (e->root[name].type == JINJA_ABSENT && look_up(e, &e->tree->name[name], &e->root[name]) != 0) return -1;
    *out = e->root[name];
    return 0;
}

int jinja_assign(JinjaEval *e, size_t name, const JinjaValue *value) {
    JinjaScope *scope = e->scope;
    if (scope == NULL) {
        e->root[name] = *value;
        return 0;
    }
    for (size_t i = 0; i < scope->count; i++)
        if (scope->binding[i].name == name) {
            scope->binding[i].value = *value;
            return 0;
        }
    if (scope->count == scope->capacity) {
        size_t capacity = scope->capacity == 0 ? 8 : 2 * scope->capacity;
        JinjaBinding *grown = jinja_take(&e->run, capacity, sizeof *grown);
        if (grown == NULL) return -1;
        if (scope->count > 0) memcpy(grown, scope->binding, scope->count * sizeof *grown);
        scope->binding = grown;
        scope->capacity = capacity;
    }
    scope->binding[scope->count++] = (JinjaBinding){name, *value};
    return 0;
}
