#include "text/jinja_macro.h"
#include "text/jinja_render.h"

int jinja_macro_make(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaCallable *callable = jinja_take(&e->run, 1, sizeof *callable);
    if (callable == NULL) return -1;
    *callable = (JinjaCallable){.macro = node, .scope = e->scope};
    jinja_scope_keep(e->scope);
    *out = (JinjaValue){.type = JINJA_FUNCTION, .callable = callable};
    return 0;
}

static const JinjaValue *keyword(const JinjaArguments *arguments, const JinjaValue *name) {
    for (size_t i = 0; i < arguments->keywords; i++)
        if (jinja_same_text(&arguments->keyword[i].key, name)) return &arguments->keyword[i].value;
    return NULL;
}

/* Parameters by place, by name, by default; what is missing is undefined. */
static int bind_parameters(JinjaEval *e, const JinjaNode *macro, const JinjaArguments *arguments,
                           const JinjaValue *caller, size_t *named) {
    size_t place = 0;
    for (const JinjaNode *p = macro->items; p != NULL; p = p->next, place++) {
        const JinjaValue *given = keyword(arguments, &p->value);
        JinjaValue value;
        if (given != NULL && place < arguments->count)
            return jinja_fail(&e->run, "a macro got two values for '%.*s'", (int)p->value.text.size,
                              p->value.text.bytes);
        *named += given != NULL;
        if (place < arguments->count)
            value = arguments->value[place];
        else if (given != NULL)
            value = *given;
        else if (caller != NULL && jinja_text_is(&p->value, "caller"))
            value = *caller;
        else if (p->left == NULL)
            value = jinja_undefined(JINJA_ABSENT, p->value.text.bytes, p->value.text.size);
        else if (jinja_eval(e, p->left, &value) != 0)
            return -1;
        if (jinja_assign(e, p->name, &value) != 0) return -1;
    }
    return 0;
}

/* varargs, kwargs and caller, where the body asks for them; an error where they are given to one that does not. */
static int bind_rest(JinjaEval *e, const JinjaNode *macro, const JinjaArguments *arguments, const JinjaValue *caller,
                     size_t named) {
    int size = (int)(macro->value.text.size < 100 ? macro->value.text.size : 100);
    const char *name = macro->value.text.bytes;
    size_t extra = arguments->count > macro->count ? arguments->count - macro->count : 0, count = 0;
    JinjaValue *item = jinja_take(&e->run, extra, sizeof *item);
    JinjaEntry *entry = jinja_take(&e->run, arguments->keywords, sizeof *entry);
    if (item == NULL || entry == NULL) return -1;
    for (size_t i = 0; i < extra; i++) item[i] = arguments->value[macro->count + i];
    if (extra > 0 && !(macro->uses & JINJA_USES_VARARGS))
        return jinja_fail(&e->run, "the macro '%.*s' takes %zu arguments, but got %zu", size, name, macro->count,
                          arguments->count);
    for (size_t i = 0; i < arguments->keywords; i++) {
        const JinjaNode *p = macro->items;
        while (p != NULL && !jinja_same_text(&p->value, &arguments->keyword[i].key)) p = p->next;
        if (p == NULL &&
            jinja_dict_put(&e->run, entry, &count, &arguments->keyword[i].key, &arguments->keyword[i].value) != 0)
            return -1;
    }
    if (arguments->keywords > named && !(macro->uses & JINJA_USES_KWARGS))
        return jinja_fail(&e->run, "the macro '%.*s' has no argument '%.*s'", size, name,
                          (int)(entry[0].key.text.size < 100 ? entry[0].key.text.size : 100), entry[0].key.text.bytes);
    if (caller != NULL && !(macro->uses & JINJA_USES_CALLER) && !macro->flag)
        return jinja_fail(&e->run, "the macro '%.*s' does not use its caller; it cannot stand in a call block", size,
                          name);
    JinjaValue varargs = jinja_list(JINJA_TUPLE, item, extra), kwargs = jinja_dict(entry, count);
    JinjaValue nobody = jinja_undefined(JINJA_ABSENT, "caller", 6);
    if ((macro->uses & JINJA_USES_VARARGS) && jinja_assign(e, e->tree->varargs, &varargs) != 0) return -1;
    if ((macro->uses & JINJA_USES_KWARGS) && jinja_assign(e, e->tree->kwargs, &kwargs) != 0) return -1;
    if ((macro->uses & JINJA_USES_CALLER) && !macro->flag)
        return jinja_assign(e, e->tree->caller, caller != NULL ? caller : &nobody);
    return 0;
}

int jinja_macro_call(JinjaEval *e, const JinjaCallable *macro, const JinjaArguments *arguments,
                     const JinjaValue *caller, JinjaValue *out) {
    JinjaScope *before = e->scope;
    size_t named = 0;
    if (jinja_scope_push(e, macro->scope) == NULL) return -1;
    int status = bind_parameters(e, macro->macro, arguments, caller, &named);
    bool special =
        arguments->count > macro->macro->count || arguments->keywords > 0 || caller != NULL || macro->macro->uses != 0;
    if (status == 0 && special) status = bind_rest(e, macro->macro, arguments, caller, named);
    if (status == 0) {
        size_t start = jinja_capture_begin(e);
        status = jinja_capture_end(e, start, jinja_render_body(e, macro->macro->body), out);
    }
    jinja_scope_pop(e, before);
    return status;
}
