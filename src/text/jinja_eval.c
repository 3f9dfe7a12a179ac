#include "text/jinja_eval.h"
#include "text/jinja_loop.h"
#include "text/jinja_macro.h"
#include "text/jinja_operator.h"
#include "text/jinja_print.h"
#include "text/jinja_render.h"

#include <string.h>

#define INLINE_ARGUMENTS 6

/* The values of `count` chained nodes; `room` is used where they fit. NULL on failure. */
static JinjaValue *eval_items(JinjaEval *e, const JinjaNode *item, size_t count, JinjaValue *room, size_t capacity) {
    JinjaValue *value = count <= capacity ? room : jinja_take(&e->run, count, sizeof *value);
    for (size_t i = 0; value != NULL && i < count; i++, item = item->next)
        if (jinja_eval(e, item, &value[i]) != 0) return NULL;
    return value;
}

static int eval_list(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue *item = eval_items(e, node->items, node->count, NULL, 0);
    if (item == NULL && node->count > 0) return -1;
    *out = jinja_list((JinjaType)node->value.type, item, node->count);
    return 0;
}

static int eval_dict(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaEntry *entry = jinja_take(&e->run, node->count / 2, sizeof *entry);
    size_t count = 0;
    if (entry == NULL) return -1;
    for (const JinjaNode *item = node->items; item != NULL; item = item->next->next) {
        JinjaValue key, value;
        if (jinja_eval(e, item, &key) != 0 || jinja_eval(e, item->next, &value) != 0) return -1;
        if (jinja_dict_put(&e->run, entry, &count, &key, &value) != 0) return -1;
    }
    *out = jinja_dict(entry, count);
    return 0;
}

static int eval_conditional(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    static const char hint[] = "the inline if-expression without else";
    if (jinja_eval(e, node->condition, out) != 0) return -1;
    if (jinja_truth(out)) return jinja_eval(e, node->left, out);
    if (node->right != NULL) return jinja_eval(e, node->right, out);
    *out = jinja_undefined(JINJA_ABSENT, hint, sizeof hint - 1);
    return 0;
}

static int eval_or_and(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    for (const JinjaNode *item = node->items; item != NULL; item = item->next) {
        if (jinja_eval(e, item, out) != 0) return -1;
        if (jinja_truth(out) == (node->type == JINJA_NODE_OR)) break;
    }
    return 0;
}

static int eval_compare(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue left, right;
    bool holds = true;
    if (jinja_eval(e, node->left, &left) != 0) return -1;
    for (const JinjaNode *operand = node->items; holds && operand != NULL; operand = operand->next) {
        if (jinja_eval(e, operand->left, &right) != 0) return -1;
        e->run.line = operand->line;
        if (jinja_compare(&e->run, operand->sign, &left, &right, &holds) != 0) return -1;
        left = right;
    }
    *out = jinja_bool(holds);
    return 0;
}

/* Texts are put together at once; anything else pair by pair, from the left. */
static int eval_sum(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue room[INLINE_ARGUMENTS], *value = eval_items(e, node->items, node->count, room, INLINE_ARGUMENTS);
    if (value == NULL) return -1;
    size_t texts = 0;
    e->run.line = node->line;
    while (texts < node->count && value[texts].type == JINJA_STRING) texts++;
    if (texts == node->count) return jinja_join(&e->run, value, node->count, out);
    *out = value[0];
    for (size_t i = 1; i < node->count; i++)
        if (jinja_add(&e->run, out, &value[i], out) != 0) return -1;
    return 0;
}

static int eval_join(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue room[INLINE_ARGUMENTS], *value = eval_items(e, node->items, node->count, room, INLINE_ARGUMENTS);
    if (value == NULL) return -1;
    for (size_t i = 0; i < node->count; i++)
        if (jinja_to_text(&e->run, &value[i], &value[i]) != 0) return -1;
    return jinja_join(&e->run, value, node->count, out);
}

static int eval_arithmetic(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue left, right;
    if (jinja_eval(e, node->left, &left) != 0 || jinja_eval(e, node->right, &right) != 0) return -1;
    e->run.line = node->line;
    return jinja_arithmetic(&e->run, node->sign, &left, &right, out);
}

static int eval_attribute(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue object;
    if (jinja_eval(e, node->left, &object) != 0) return -1;
    e->run.line = node->line;
    if (object.type == JINJA_LOOP) return jinja_loop_attribute(e, object.loop, &node->value, out);
    return jinja_attribute(&e->run, &object, &node->value, node->method, out);
}

static int eval_item(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue object, key;
    if (jinja_eval(e, node->left, &object) != 0 || jinja_eval(e, node->right, &key) != 0) return -1;
    e->run.line = node->line;
    if (object.type == JINJA_LOOP && key.type == JINJA_STRING) return jinja_loop_attribute(e, object.loop, &key, out);
    return jinja_item(&e->run, &object, &key, out);
}

static int eval_slice(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue object, part[3] = {jinja_none(), jinja_none(), jinja_none()};
    const JinjaNode *const parts[3] = {node->condition, node->right, node->other};
    if (jinja_eval(e, node->left, &object) != 0) return -1;
    for (int i = 0; i < 3; i++)
        if (parts[i] != NULL && jinja_eval(e, parts[i], &part[i]) != 0) return -1;
    e->run.line = node->line;
    return jinja_slice(&e->run, &object, part, out);
}

/* The arguments of one call, in the order they are written. */
typedef struct {
    JinjaValue value[INLINE_ARGUMENTS];
    JinjaEntry keyword[INLINE_ARGUMENTS];
    JinjaArguments all;
} Call;

/* A copy of an array with room for `more` elements behind the `count` that are there. */
static void *grow(JinjaEval *e, const void *old, size_t count, size_t more, size_t element) {
    void *grown = jinja_take(&e->run, count + more, element);
    if (grown != NULL && count > 0) memcpy(grown, old, count * element);
    return grown;
}

static int add_list(JinjaEval *e, Call *call, const JinjaValue *list) {
    const JinjaValue *item;
    size_t count;
    if (jinja_items(&e->run, list, &item, &count) != 0) return -1;
    JinjaValue *value = grow(e, call->all.value, call->all.count, count, sizeof *value);
    if (value == NULL) return -1;
    if (count > 0) memcpy(value + call->all.count, item, count * sizeof *value);
    call->all.value = value;
    call->all.count += count;
    return 0;
}

static int add_dict(JinjaEval *e, Call *call, const JinjaValue *dict) {
    if (dict->type != JINJA_DICT)
        return jinja_fail(&e->run, "** needs a dict, but got a value of type %s", jinja_type_name(dict));
    JinjaEntry *keyword = grow(e, call->all.keyword, call->all.keywords, dict->dict.count, sizeof *keyword);
    if (keyword == NULL) return -1;
    for (size_t i = 0; i < dict->dict.count; i++) {
        if (dict->dict.entry[i].key.type != JINJA_STRING)
            return jinja_fail(&e->run, "** needs a dict whose keys are texts");
        keyword[call->all.keywords++] = dict->dict.entry[i];
    }
    call->all.keyword = keyword;
    return 0;
}

static int eval_arguments(JinjaEval *e, const JinjaNode *node, Call *call) {
    JinjaValue *value = call->value;
    JinjaEntry *keyword = call->keyword;
    if (node->count > INLINE_ARGUMENTS) {
        value = jinja_take(&e->run, node->count, sizeof *value);
        keyword = jinja_take(&e->run, node->count, sizeof *keyword);
        if (value == NULL || keyword == NULL) return -1;
    }
    call->all = (JinjaArguments){.value = value, .keyword = keyword};
    for (const JinjaNode *argument = node->items; argument != NULL; argument = argument->next) {
        JinjaValue given;
        if (jinja_eval(e, argument->left, &given) != 0) return -1;
        if (argument->type == JINJA_NODE_ARGUMENT)
            value[call->all.count++] = given;
        else if (argument->type == JINJA_NODE_KEYWORD)
            keyword[call->all.keywords++] = (JinjaEntry){argument->value, given};
        else if ((argument->type == JINJA_NODE_ARGUMENT_LIST ? add_list(e, call, &given) : add_dict(e, call, &given)) !=
                 0)
            return -1;
    }
    return 0;
}

static int call_value(JinjaEval *e, const JinjaValue *function, const JinjaArguments *arguments,
                      const JinjaValue *caller, JinjaValue *out) {
    if (function->type == JINJA_LOOP) return jinja_loop_recurse(e, function->loop, arguments, out);
    if (function->type == JINJA_UNDEFINED) return jinja_fail_undefined(&e->run, function);
    if (function->type != JINJA_FUNCTION)
        return jinja_fail(&e->run, "a value of type %s cannot be called", jinja_type_name(function));
    const JinjaCallable *callable = function->callable;
    if (callable->builtin == NULL) return jinja_macro_call(e, callable, arguments, caller, out);
    if (caller != NULL)
        return jinja_fail(&e->run, "%s takes no caller; a call block needs a macro", callable->builtin->name);
    if (callable->self.type == JINJA_LOOP) return jinja_loop_method(e, callable, arguments, out);
    return jinja_builtin_call(&e->run, callable->builtin, &callable->self, arguments, out);
}

/* What object.method in front of a call's bracket is: *method, without making it a value, or else *function. */
static int call_method(JinjaEval *e, const JinjaNode *attribute, JinjaValue *function, JinjaValue *object,
                       const JinjaBuiltin **method) {
    if (jinja_eval(e, attribute->left, object) != 0) return -1;
    int type = jinja_method_type(object);
    if (type >= 0 && attribute->method[type] != NULL && attribute->method[type]->function != NULL) {
        *method = attribute->method[type];
        return 0;
    }
    e->run.line = attribute->line;
    if (object->type == JINJA_LOOP) return jinja_loop_attribute(e, object->loop, &attribute->value, function);
    return jinja_attribute(&e->run, object, &attribute->value, attribute->method, function);
}

int jinja_eval_call(JinjaEval *e, const JinjaNode *node, const JinjaValue *caller, JinjaValue *out) {
    JinjaValue function = {0}, object = {0};
    const JinjaBuiltin *method = NULL;
    Call call;
    int status = node->left->type == JINJA_NODE_ATTRIBUTE ? call_method(e, node->left, &function, &object, &method)
                                                          : jinja_eval(e, node->left, &function);
    if (status != 0 || eval_arguments(e, node, &call) != 0) return -1;
    e->run.line = node->line;
    if (method != NULL && caller == NULL) return jinja_builtin_call(&e->run, method, &object, &call.all, out);
    return call_value(e, &function, &call.all, caller, out);
}

static int eval_builtin(JinjaEval *e, const JinjaNode *node, const JinjaValue *captured, JinjaValue *out) {
    JinjaValue self;
    Call call;
    if (node->builtin == NULL)
        return jinja_fail(&e->run, "the filter or test '%.*s' does not exist",
                          (int)(node->value.text.size < 100 ? node->value.text.size : 100), node->value.text.bytes);
    if (node->left == NULL)
        self = *captured;
    else if (captured != NULL ? jinja_eval_filters(e, node->left, captured, &self) : jinja_eval(e, node->left, &self))
        return -1;
    if (eval_arguments(e, node, &call) != 0) return -1;
    e->run.line = node->line;
    return jinja_builtin_call(&e->run, node->builtin, &self, &call.all, out);
}

int jinja_eval_filters(JinjaEval *e, const JinjaNode *filter, const JinjaValue *text, JinjaValue *out) {
    if (jinja_enter(&e->run) != 0) return -1;
    e->run.line = filter->line;
    int status = eval_builtin(e, filter, text, out);
    jinja_leave(&e->run);
    return status;
}

static int eval_node(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    JinjaValue value;
    switch (node->type) {
    case JINJA_NODE_ITEMS:
        return eval_list(e, node, out);
    case JINJA_NODE_DICT_ITEMS:
        return eval_dict(e, node, out);
    case JINJA_NODE_CONDITIONAL:
        return eval_conditional(e, node, out);
    case JINJA_NODE_OR:
    case JINJA_NODE_AND:
        return eval_or_and(e, node, out);
    case JINJA_NODE_NOT:
        if (jinja_eval(e, node->left, &value) != 0) return -1;
        *out = jinja_bool(!jinja_truth(&value));
        return 0;
    case JINJA_NODE_NEGATIVE:
        return jinja_eval(e, node->left, &value) != 0 ? -1 : jinja_negate(&e->run, &value, out);
    case JINJA_NODE_POSITIVE:
        value = jinja_int(0);
        return jinja_eval(e, node->left, out) != 0 ? -1 : jinja_add(&e->run, &value, out, out);
    case JINJA_NODE_COMPARE:
        return eval_compare(e, node, out);
    case JINJA_NODE_SUM:
        return eval_sum(e, node, out);
    case JINJA_NODE_JOIN:
        return eval_join(e, node, out);
    case JINJA_NODE_ARITHMETIC:
        return eval_arithmetic(e, node, out);
    case JINJA_NODE_ATTRIBUTE:
        return eval_attribute(e, node, out);
    case JINJA_NODE_ITEM:
        return eval_item(e, node, out);
    case JINJA_NODE_SLICE:
        return eval_slice(e, node, out);
    case JINJA_NODE_CALL:
        return jinja_eval_call(e, node, NULL, out);
    default:
        return eval_builtin(e, node, NULL, out); // FILTER, TEST
    }
}

int jinja_eval(JinjaEval *e, const JinjaNode *node, JinjaValue *out) {
    if (jinja_charge(&e->run, 1) != 0) return -1;
    e->run.line = node->line;
    if (node->type == JINJA_NODE_CONSTANT) {
        *out = node->value;
        return 0;
    }
    if (node->type == JINJA_NODE_NAME) return jinja_variable(e, node->name, out);
    if (jinja_enter(&e->run) != 0) return -1;
    int status = eval_node(e, node, out);
    jinja_leave(&e->run);
    return status;
}
