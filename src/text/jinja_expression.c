#include "text/jinja_expression.h"

#include <string.h>

int jinja_tree_name(JinjaRun *run, JinjaTree *tree, const JinjaValue *text, size_t *name) {
    for (*name = 0; *name < tree->names; ++*name)
        if (jinja_same_text(&tree->name[*name], text)) return jinja_charge(run, 1 + *name / 16);
    if (tree->names == tree->capacity) {
        size_t capacity = tree->capacity == 0 ? 32 : 2 * tree->capacity;
        JinjaValue *grown = jinja_take(run, capacity, sizeof *grown);
        if (grown == NULL) return -1;
        if (tree->names > 0) memcpy(grown, tree->name, tree->names * sizeof *grown);
        tree->name = grown;
        tree->capacity = capacity;
    }
    tree->name[tree->names++] = *text;
    return jinja_charge(run, 1 + *name / 16);
}

JinjaNode *jinja_node(JinjaParser *p, JinjaNodeType type) {
    JinjaNode *node = jinja_take(p->run, 1, sizeof *node);
    if (node == NULL || jinja_charge(p->run, 1) != 0) return NULL;
    node->type = type;
    node->line = p->token->line;
    return node;
}

void jinja_next(JinjaParser *p) {
    if (p->token != p->last) p->token++;
    p->run->line = p->token->line;
}

static bool token_is(const JinjaToken *token, JinjaTokenType type, const char *text) {
    return token->type == type && jinja_text_is(&token->value, text);
}

bool jinja_at_sign(const JinjaParser *p, const char *sign) { return token_is(p->token, JINJA_TOKEN_SIGN, sign); }
bool jinja_at_name(const JinjaParser *p, const char *name) { return token_is(p->token, JINJA_TOKEN_NAME, name); }

bool jinja_skip_sign(JinjaParser *p, const char *sign) {
    if (!jinja_at_sign(p, sign)) return false;
    jinja_next(p);
    return true;
}

bool jinja_skip_name(JinjaParser *p, const char *name) {
    if (!jinja_at_name(p, name)) return false;
    jinja_next(p);
    return true;
}

int jinja_unexpected(JinjaParser *p, const char *expected) {
    const JinjaToken *t = p->token;
    p->run->line = t->line;
    if (t->type == JINJA_TOKEN_LITERAL && t->value.type != JINJA_STRING)
        return jinja_fail(p->run, "unexpected number, %s was expected", expected);
    if (t->type == JINJA_TOKEN_END)
        return jinja_fail(p->run, "unexpected end of the template, %s was expected", expected);
    if (t->type == JINJA_TOKEN_DATA)
        return jinja_fail(p->run, "unexpected text between tags, %s was expected", expected);
    size_t size = t->value.text.size < 60 ? t->value.text.size : 60;
    return jinja_fail(p->run, "unexpected '%.*s', %s was expected", (int)size, t->value.text.bytes, expected);
}

int jinja_expect_sign(JinjaParser *p, const char *sign) {
    char quoted[8] = {'\'', sign[0], '\''};
    return jinja_skip_sign(p, sign) ? 0 : jinja_unexpected(p, quoted);
}

int jinja_parse_name(JinjaParser *p, size_t *name) {
    if (p->token->type != JINJA_TOKEN_NAME) return jinja_unexpected(p, "a name");
    if (jinja_tree_name(p->run, p->tree, &p->token->value, name) != 0) return -1;
    jinja_next(p);
    return 0;
}

static bool is_word_constant(const JinjaValue *text, JinjaValue *value) {
    bool yes = jinja_text_is(text, "true") || jinja_text_is(text, "True");
    bool no = jinja_text_is(text, "false") || jinja_text_is(text, "False");
    *value = yes || no ? jinja_bool(yes) : jinja_none();
    return yes || no || jinja_text_is(text, "none") || jinja_text_is(text, "None");
}

/* Appends to a chain; *tail is where the next node goes. */
static void append(JinjaNode ***tail, JinjaNode *node) {
    **tail = node;
    *tail = &node->next;
}

static JinjaNode *parse_word(JinjaParser *p) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_NAME);
    if (node == NULL) return NULL;
    const JinjaValue *text = &p->token->value;
    if (is_word_constant(text, &node->value)) {
        node->type = JINJA_NODE_CONSTANT;
        jinja_next(p);
        return node;
    }
    if (jinja_text_is(text, "loop")) p->asks_loop = true;
    if (jinja_text_is(text, "caller")) p->uses |= JINJA_USES_CALLER;
    if (jinja_text_is(text, "varargs")) p->uses |= JINJA_USES_VARARGS;
    if (jinja_text_is(text, "kwargs")) p->uses |= JINJA_USES_KWARGS;
    return jinja_parse_name(p, &node->name) != 0 ? NULL : node;
}

/* Texts that follow each other are one. */
static JinjaNode *parse_literal(JinjaParser *p) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_CONSTANT);
    if (node == NULL) return NULL;
    node->value = p->token->value;
    jinja_next(p);
    while (node->value.type == JINJA_STRING && p->token->type == JINJA_TOKEN_LITERAL &&
           p->token->value.type == JINJA_STRING) {
        size_t first = node->value.text.size, second = p->token->value.text.size;
        char *joined = jinja_take(p->run, first + second + 1, 1);
        if (joined == NULL || jinja_charge_text(p->run, first + second) != 0) return NULL;
        if (first > 0) memcpy(joined, node->value.text.bytes, first);
        if (second > 0) memcpy(joined + first, p->token->value.text.bytes, second);
        node->value = jinja_string(joined, first + second);
        jinja_next(p);
    }
    return node;
}

/* Expressions with commas between them up to `close`, which is taken; `keyed`: key: value pairs. */
static JinjaNode *parse_items(JinjaParser *p, const char *close, bool keyed) {
    JinjaNode *node = jinja_node(p, keyed ? JINJA_NODE_DICT_ITEMS : JINJA_NODE_ITEMS);
    if (node == NULL) return NULL;
    node->value.type = JINJA_LIST;
    JinjaNode **tail = &node->items;
    jinja_next(p);
    while (!jinja_at_sign(p, close)) {
        if (node->count > 0 && jinja_expect_sign(p, ",") != 0) return NULL;
        if (jinja_at_sign(p, close)) break;
        for (int part = 0; part <= (int)keyed; part++) {
            if (part == 1 && jinja_expect_sign(p, ":") != 0) return NULL;
            JinjaNode *item = jinja_parse_expression(p);
            if (item == NULL) return NULL;
            append(&tail, item);
            node->count++;
        }
    }
    jinja_next(p);
    return node;
}

static JinjaNode *parse_primary(JinjaParser *p) {
    if (p->token->type == JINJA_TOKEN_NAME) return parse_word(p);
    if (p->token->type == JINJA_TOKEN_LITERAL) return parse_literal(p);
    if (jinja_at_sign(p, "[")) return parse_items(p, "]", false);
    if (jinja_at_sign(p, "{")) return parse_items(p, "}", true);
    if (!jinja_at_sign(p, "(")) {
        jinja_unexpected(p, "an expression");
        return NULL;
    }
    jinja_next(p);
    JinjaNode *node;
    if (jinja_at_sign(p, ")")) {
        node = jinja_node(p, JINJA_NODE_ITEMS);
        if (node != NULL) node->value.type = JINJA_TUPLE;
    } else
        node = jinja_parse_tuple(p, true, NULL);
    return node == NULL || jinja_expect_sign(p, ")") != 0 ? NULL : node;
}

/* One argument of a call. */
static JinjaNode *parse_argument(JinjaParser *p) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_ARGUMENT);
    if (node == NULL) return NULL;
    if (jinja_skip_sign(p, "*"))
        node->type = JINJA_NODE_ARGUMENT_LIST;
    else if (jinja_skip_sign(p, "**"))
        node->type = JINJA_NODE_KEYWORD_DICT;
    else if (p->token->type == JINJA_TOKEN_NAME && token_is(p->token + 1, JINJA_TOKEN_SIGN, "=")) {
        node->type = JINJA_NODE_KEYWORD;
        node->value = p->token->value;
        jinja_next(p);
        jinja_next(p);
    }
    node->left = jinja_parse_expression(p);
    return node->left == NULL ? NULL : node;
}

/* "(arguments)" into call->items. Order: by place, by name, *list, **dict. */
static int parse_arguments(JinjaParser *p, JinjaNode *call) {
    JinjaNode **tail = &call->items;
    JinjaNodeType last = JINJA_NODE_ARGUMENT;
    jinja_next(p);
    while (!jinja_at_sign(p, ")")) {
        if (call->count > 0 && jinja_expect_sign(p, ",") != 0) return -1;
        if (call->count > 0 && jinja_at_sign(p, ")")) break;
        JinjaNode *argument = parse_argument(p);
        if (argument == NULL) return -1;
        bool after_list = argument->type == JINJA_NODE_KEYWORD && last == JINJA_NODE_ARGUMENT_LIST;
        bool repeated = argument->type == last && last >= JINJA_NODE_ARGUMENT_LIST;
        if ((argument->type < last && !after_list) || repeated) {
            p->run->line = argument->line;
            return jinja_fail(p->run,
                              "the arguments of a call must come in the order: values, name=value, *list, **dict");
        }
        if (!after_list) last = argument->type;
        append(&tail, argument);
        call->count++;
    }
    jinja_next(p);
    return 0;
}

static JinjaNode *parse_call(JinjaParser *p, JinjaNode *left) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_CALL);
    if (node == NULL || parse_arguments(p, node) != 0) return NULL;
    node->left = left;
    return node;
}

static void find_methods(JinjaNode *node, const JinjaValue *name) {
    for (int type = 0; type < JINJA_METHOD_TYPES; type++) node->method[type] = jinja_method_find(type, name);
}

static bool at_slice_end(const JinjaParser *p) { return jinja_at_sign(p, ":") || jinja_at_sign(p, "]"); }

/* [a], [a:b] or [a:b:c], each part optional. */
static JinjaNode *parse_brackets(JinjaParser *p, JinjaNode *left) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_ITEM), *part[3] = {0};
    if (node == NULL) return NULL;
    jinja_next(p);
    if (jinja_at_sign(p, "]")) {
        jinja_unexpected(p, "an index");
        return NULL;
    }
    int colons = 0;
    for (int i = 0; i < 3; i++) {
        if (!at_slice_end(p) &&
            (part[i] = i == 0 ? jinja_parse_tuple(p, true, NULL) : jinja_parse_expression(p)) == NULL)
            return NULL;
        if (i == 2 || !jinja_skip_sign(p, ":")) break;
        colons++;
    }
    if (jinja_expect_sign(p, "]") != 0) return NULL;
    node->left = left;
    if (colons == 0) {
        node->right = part[0];
        if (node->right->type == JINJA_NODE_CONSTANT && node->right->value.type == JINJA_STRING)
            find_methods(node, &node->right->value);
        return node;
    }
    node->type = JINJA_NODE_SLICE;
    node->condition = part[0];
    node->right = part[1];
    node->other = part[2];
    return node;
}

/* .name or .0 */
static JinjaNode *parse_dot(JinjaParser *p, JinjaNode *left) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_ATTRIBUTE);
    if (node == NULL) return NULL;
    jinja_next(p);
    node->left = left;
    if (p->token->type == JINJA_TOKEN_NAME) {
        node->value = p->token->value;
        find_methods(node, &node->value);
    } else if (p->token->type == JINJA_TOKEN_LITERAL && p->token->value.type == JINJA_INT) {
        node->type = JINJA_NODE_ITEM;
        node->right = jinja_node(p, JINJA_NODE_CONSTANT);
        if (node->right == NULL) return NULL;
        node->right->value = p->token->value;
    } else {
        jinja_unexpected(p, "a name or a number behind the dot");
        return NULL;
    }
    jinja_next(p);
    return node;
}

static JinjaNode *parse_postfix(JinjaParser *p, JinjaNode *node) {
    while (node != NULL) {
        if (jinja_at_sign(p, "."))
            node = parse_dot(p, node);
        else if (jinja_at_sign(p, "["))
            node = parse_brackets(p, node);
        else if (jinja_at_sign(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* The builtin that a filter or test names. An unknown one is an error, at once or (where it may not run) when reached.
 */
static int find_builtin(JinjaParser *p, JinjaNode *node, bool filter) {
    node->value = p->token->value;
    while (token_is(p->token + 1, JINJA_TOKEN_SIGN, ".") &&
           p->token[2].type == JINJA_TOKEN_NAME) { // none of ours has a dot
        p->token += 2;
        const JinjaValue *part = &p->token->value;
        node->value.text.size = (size_t)(part->text.bytes + part->text.size - node->value.text.bytes);
    }
    node->builtin = jinja_builtin_find(filter ? &jinja_filters : &jinja_tests, &node->value);
    if (node->builtin == NULL && p->conditions == 0) {
        int size = (int)(node->value.text.size < 100 ? node->value.text.size : 100);
        bool known = filter && jinja_filter_known(&node->value);
        return jinja_fail_code(p->run, known ? ERROR_UNSUPPORTED : ERROR_INPUT, "the %s '%.*s' %s",
                               filter ? "filter" : "test", size, node->value.text.bytes,
                               known ? "of Jinja2 is not supported" : "does not exist");
    }
    jinja_next(p);
    return 0;
}

JinjaNode *jinja_parse_filters(JinjaParser *p, JinjaNode *left, bool inline_first, bool *failed) {
    *failed = true;
    while (inline_first || jinja_at_sign(p, "|")) {
        if (!inline_first) jinja_next(p);
        inline_first = false;
        JinjaNode *node = jinja_node(p, JINJA_NODE_FILTER);
        if (node == NULL) return NULL;
        if (p->token->type != JINJA_TOKEN_NAME) {
            jinja_unexpected(p, "the name of a filter");
            return NULL;
        }
        if (find_builtin(p, node, true) != 0) return NULL;
        if (jinja_at_sign(p, "(") && parse_arguments(p, node) != 0) return NULL;
        node->left = left;
        left = node;
    }
    *failed = false;
    return left;
}

static bool at_test_argument(const JinjaParser *p) {
    if (p->token->type == JINJA_TOKEN_LITERAL) return true;
    if (p->token->type == JINJA_TOKEN_NAME)
        return !jinja_at_name(p, "else") && !jinja_at_name(p, "or") && !jinja_at_name(p, "and");
    return jinja_at_sign(p, "[") || jinja_at_sign(p, "{");
}

/* is [not] NAME [argument] */
static JinjaNode *parse_test(JinjaParser *p, JinjaNode *left) {
    jinja_next(p);
    bool negated = jinja_skip_name(p, "not");
    JinjaNode *node = jinja_node(p, JINJA_NODE_TEST);
    if (node == NULL) return NULL;
    if (p->token->type != JINJA_TOKEN_NAME) {
        jinja_unexpected(p, "the name of a test");
        return NULL;
    }
    node->left = left;
    if (find_builtin(p, node, false) != 0) return NULL;
    if (jinja_at_sign(p, "(")) {
        if (parse_arguments(p, node) != 0) return NULL;
    } else if (at_test_argument(p)) {
        if (jinja_at_name(p, "is")) {
            jinja_unexpected(p, "one test only");
            return NULL;
        }
        node->items = jinja_node(p, JINJA_NODE_ARGUMENT);
        if (node->items == NULL || (node->items->left = parse_postfix(p, parse_primary(p))) == NULL) return NULL;
        node->count = 1;
    }
    if (!negated) return node;
    JinjaNode *not_node = jinja_node(p, JINJA_NODE_NOT);
    if (not_node != NULL) not_node->left = node;
    return not_node;
}

static JinjaNode *parse_unary(JinjaParser *p, bool with_filters) {
    if (jinja_enter(p->run) != 0) return NULL;
    JinjaNode *node = NULL;
    bool minus = jinja_at_sign(p, "-"), failed = false;
    if (minus || jinja_at_sign(p, "+")) {
        node = jinja_node(p, minus ? JINJA_NODE_NEGATIVE : JINJA_NODE_POSITIVE);
        jinja_next(p);
        if (node != NULL && (node->left = parse_unary(p, false)) == NULL) node = NULL;
    } else
        node = parse_primary(p);
    node = parse_postfix(p, node);
    while (node != NULL && with_filters) {
        if (jinja_at_sign(p, "|"))
            node = jinja_parse_filters(p, node, false, &failed);
        else if (jinja_at_name(p, "is"))
            node = parse_test(p, node);
        else if (jinja_at_sign(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    jinja_leave(p->run);
    return node;
}

/* left sign right of one kind; the line is that of the sign. */
static JinjaNode *arithmetic(JinjaParser *p, JinjaSign sign, JinjaNode *left, JinjaNode *(*parse)(JinjaParser *)) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_ARITHMETIC);
    if (node == NULL) return NULL;
    jinja_next(p);
    node->sign = sign;
    node->left = left;
    node->right = parse(p);
    return node->right == NULL ? NULL : node;
}

static JinjaNode *parse_operand(JinjaParser *p) { return parse_unary(p, true); }

static JinjaNode *parse_power(JinjaParser *p) {
    JinjaNode *node = parse_operand(p);
    while (node != NULL && jinja_at_sign(p, "**")) node = arithmetic(p, JINJA_SIGN_POWER, node, parse_operand);
    return node;
}

static JinjaNode *parse_product(JinjaParser *p) {
    JinjaNode *node = parse_power(p);
    while (node != NULL) {
        if (jinja_at_sign(p, "*"))
            node = arithmetic(p, JINJA_SIGN_MULTIPLY, node, parse_power);
        else if (jinja_at_sign(p, "/"))
            node = arithmetic(p, JINJA_SIGN_DIVIDE, node, parse_power);
        else if (jinja_at_sign(p, "//"))
            node = arithmetic(p, JINJA_SIGN_FLOOR_DIVIDE, node, parse_power);
        else if (jinja_at_sign(p, "%"))
            node = arithmetic(p, JINJA_SIGN_MODULO, node, parse_power);
        else
            break;
    }
    return node;
}

/* first, then `parse` for each `sign` (or name) that follows, as one node with many items: a chain of any length needs
 * no recursion, and a sum of texts is copied once. */
static JinjaNode *parse_chain(JinjaParser *p, JinjaNode *first, JinjaNodeType type, const char *sign,
                              JinjaNode *(*parse)(JinjaParser *)) {
    bool word = sign[0] >= 'a' && sign[0] <= 'z';
    if (first == NULL || !(word ? jinja_at_name(p, sign) : jinja_at_sign(p, sign))) return first;
    JinjaNode *node = jinja_node(p, type);
    if (node == NULL) return NULL;
    node->items = first;
    node->count = 1;
    JinjaNode **tail = &first->next;
    while (word ? jinja_skip_name(p, sign) : jinja_skip_sign(p, sign)) {
        JinjaNode *item = parse(p);
        if (item == NULL) return NULL;
        append(&tail, item);
        node->count++;
    }
    return node;
}

static JinjaNode *parse_join(JinjaParser *p) {
    return parse_chain(p, parse_product(p), JINJA_NODE_JOIN, "~", parse_product);
}

static JinjaNode *parse_sum(JinjaParser *p) {
    JinjaNode *node = parse_join(p);
    while (node != NULL) {
        if (jinja_at_sign(p, "+"))
            node = parse_chain(p, node, JINJA_NODE_SUM, "+", parse_join);
        else if (jinja_at_sign(p, "-"))
            node = arithmetic(p, JINJA_SIGN_SUBTRACT, node, parse_join);
        else
            break;
    }
    return node;
}

/* True where a comparison goes on; its words are taken. */
static bool skip_comparison(JinjaParser *p, JinjaSign *sign) {
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    for (int i = 0; i < 6; i++)
        if (jinja_skip_sign(p, signs[i])) {
            *sign = (JinjaSign)i;
            return true;
        }
    *sign = JINJA_SIGN_IN;
    if (jinja_skip_name(p, "in")) return true;
    if (!jinja_at_name(p, "not") || !token_is(p->token + 1, JINJA_TOKEN_NAME, "in")) return false;
    jinja_next(p);
    jinja_next(p);
    *sign = JINJA_SIGN_NOT_IN;
    return true;
}

static JinjaNode *parse_comparison(JinjaParser *p) {
    JinjaNode *first = parse_sum(p), *node = NULL, **tail = NULL;
    JinjaSign sign;
    while (first != NULL && skip_comparison(p, &sign)) {
        JinjaNode *operand = jinja_node(p, JINJA_NODE_OPERAND);
        if (operand == NULL) return NULL;
        operand->sign = sign;
        if ((operand->left = parse_sum(p)) == NULL) return NULL;
        if (node == NULL) {
            if ((node = jinja_node(p, JINJA_NODE_COMPARE)) == NULL) return NULL;
            node->line = operand->line;
            node->left = first;
            tail = &node->items;
        }
        append(&tail, operand);
    }
    return node != NULL ? node : first;
}

static JinjaNode *parse_not(JinjaParser *p) {
    if (!jinja_at_name(p, "not")) return parse_comparison(p);
    JinjaNode *node = jinja_node(p, JINJA_NODE_NOT);
    if (node == NULL || jinja_enter(p->run) != 0) return NULL;
    jinja_next(p);
    node->left = parse_not(p);
    jinja_leave(p->run);
    return node->left == NULL ? NULL : node;
}

static JinjaNode *parse_and(JinjaParser *p) { return parse_chain(p, parse_not(p), JINJA_NODE_AND, "and", parse_not); }
static JinjaNode *parse_or(JinjaParser *p) { return parse_chain(p, parse_and(p), JINJA_NODE_OR, "or", parse_and); }

/* What stands behind the "if" may not run, so an unknown filter there is an error only when it is reached. */
JinjaNode *jinja_parse_expression(JinjaParser *p) {
    JinjaNode *left = parse_or(p);
    while (left != NULL && jinja_at_name(p, "if")) {
        JinjaNode *node = jinja_node(p, JINJA_NODE_CONDITIONAL);
        if (node == NULL) return NULL;
        jinja_next(p);
        p->conditions++;
        node->left = left;
        node->condition = parse_or(p);
        if (node->condition != NULL && jinja_skip_name(p, "else")) {
            if (jinja_enter(p->run) != 0) return NULL;
            node->right = jinja_parse_expression(p);
            jinja_leave(p->run);
            if (node->right == NULL) return NULL;
        }
        p->conditions--;
        left = node->condition == NULL ? NULL : node;
    }
    return left;
}

static bool at_tuple_end(const JinjaParser *p, const char *end) {
    return p->token->type == JINJA_TOKEN_PRINT_END || p->token->type == JINJA_TOKEN_BLOCK_END ||
           jinja_at_sign(p, ")") || (end != NULL && jinja_at_name(p, end));
}

/* `parse` once or several times with commas; a comma makes it a tuple. */
static JinjaNode *parse_commas(JinjaParser *p, JinjaNode *(*parse)(JinjaParser *), const char *end) {
    JinjaNode *first = parse(p);
    if (first == NULL || !jinja_at_sign(p, ",")) return first;
    JinjaNode *node = jinja_node(p, JINJA_NODE_ITEMS);
    if (node == NULL) return NULL;
    node->value.type = JINJA_TUPLE;
    node->items = first;
    node->count = 1;
    JinjaNode **tail = &first->next;
    while (jinja_skip_sign(p, ",") && !at_tuple_end(p, end)) {
        JinjaNode *item = parse(p);
        if (item == NULL) return NULL;
        append(&tail, item);
        node->count++;
    }
    return node;
}

JinjaNode *jinja_parse_tuple(JinjaParser *p, bool conditional, const char *end) {
    return parse_commas(p, conditional ? jinja_parse_expression : parse_or, end);
}

static JinjaNode *parse_target_name(JinjaParser *p) {
    JinjaNode *node, *first;
    if (jinja_at_sign(p, "(")) {
        if (jinja_enter(p->run) != 0) return NULL;
        jinja_next(p);
        node = parse_commas(p, parse_target_name, NULL);
        jinja_leave(p->run);
        return node == NULL || jinja_expect_sign(p, ")") != 0 ? NULL : node;
    }
    node = first = jinja_node(p, JINJA_NODE_NAME);
    JinjaValue constant;
    if (node != NULL && p->token->type == JINJA_TOKEN_NAME && is_word_constant(&p->token->value, &constant)) {
        jinja_unexpected(p, "a name that can be assigned to");
        return NULL;
    }
    return node == NULL || jinja_parse_name(p, &first->name) != 0 ? NULL : node;
}

static JinjaNode *parse_target_attribute(JinjaParser *p) {
    JinjaNode *node = parse_target_name(p);
    if (node == NULL || node->type != JINJA_NODE_NAME || !jinja_skip_sign(p, ".")) return node;
    node->type = JINJA_NODE_TARGET_ATTRIBUTE;
    if (p->token->type != JINJA_TOKEN_NAME) {
        jinja_unexpected(p, "the name of an attribute");
        return NULL;
    }
    node->value = p->token->value;
    jinja_next(p);
    return node;
}

JinjaNode *jinja_parse_target(JinjaParser *p, bool attributes, const char *end) {
    return parse_commas(p, attributes ? parse_target_attribute : parse_target_name, end);
}
