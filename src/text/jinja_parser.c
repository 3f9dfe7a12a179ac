#include "text/jinja_parser.h"
#include "text/jinja_expression.h"

#include <string.h>

static int parse_body(JinjaParser *p, const char *const *ends, const char *end, size_t begin, JinjaNode **body);

/* The body of a statement: behind its %} up to one of `ends`, which is then the current token. */
static int parse_block(JinjaParser *p, const char *const *ends, const char *end, JinjaNode **body) {
    size_t begin = p->token->line;
    jinja_skip_sign(p, ":");
    if (p->token->type != JINJA_TOKEN_BLOCK_END) return jinja_unexpected(p, "'%}'");
    jinja_next(p);
    if (jinja_enter(p->run) != 0) return -1;
    int status = parse_body(p, ends, end, begin, body);
    jinja_leave(p->run);
    return status;
}

/* The same with one possible end, which is taken. */
static int parse_closed(JinjaParser *p, const char *end, JinjaNode **body) {
    const char *const ends[] = {end, NULL};
    if (parse_block(p, ends, end, body) != 0) return -1;
    jinja_next(p);
    return 0;
}

static int parse_if(JinjaParser *p, JinjaNode *node) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    for (;;) {
        if ((node->condition = jinja_parse_tuple(p, false, NULL)) == NULL) return -1;
        p->conditions++;
        int status = parse_block(p, ends, "endif", &node->body);
        p->conditions--;
        if (status != 0) return -1;
        if (!jinja_at_name(p, "elif")) break;
        if ((node->other = jinja_node(p, JINJA_NODE_IF)) == NULL) return -1;
        node->flag = true;
        jinja_next(p);
        node = node->other;
    }
    if (jinja_skip_name(p, "endif")) return 0;
    jinja_next(p);
    p->conditions++;
    int status = parse_closed(p, "endif", &node->other);
    p->conditions--;
    return status;
}

static int parse_for(JinjaParser *p, JinjaNode *node) {
    static const char *const ends[] = {"endfor", "else", NULL};
    if ((node->target = jinja_parse_target(p, false, "in")) == NULL) return -1;
    if (!jinja_skip_name(p, "in")) return jinja_unexpected(p, "'in'");
    if ((node->left = jinja_parse_tuple(p, false, "recursive")) == NULL) return -1;
    if (jinja_skip_name(p, "if") && (node->condition = jinja_parse_expression(p)) == NULL) return -1;
    bool asked = p->asks_loop; // by the body of the loop around
    node->recursive = jinja_skip_name(p, "recursive");
    p->asks_loop = false;
    p->loops++;
    if (parse_block(p, ends, "endfor", &node->body) != 0) return -1;
    p->loops--;
    node->flag = p->asks_loop || node->recursive;
    p->asks_loop = asked;
    if (jinja_skip_name(p, "endfor")) return 0;
    jinja_next(p);
    return parse_closed(p, "endfor", &node->other);
}

static int parse_set(JinjaParser *p, JinjaNode *node) {
    bool failed;
    if ((node->target = jinja_parse_target(p, true, NULL)) == NULL) return -1;
    if (jinja_skip_sign(p, "=")) {
        node->left = jinja_parse_tuple(p, true, NULL);
        return node->left == NULL ? -1 : 0;
    }
    node->type = JINJA_NODE_SET_BLOCK;
    node->left = jinja_parse_filters(p, NULL, false, &failed);
    return failed ? -1 : parse_closed(p, "endset", &node->body);
}

/* "(a, b=1)" of a macro or a call block. */
static int parse_parameters(JinjaParser *p, JinjaNode *macro) {
    JinjaNode **tail = &macro->items;
    bool defaults = false;
    if (jinja_expect_sign(p, "(") != 0) return -1;
    while (!jinja_at_sign(p, ")")) {
        if (macro->count > 0 && jinja_expect_sign(p, ",") != 0) return -1;
        JinjaNode *parameter = jinja_node(p, JINJA_NODE_PARAMETER);
        if (parameter == NULL) return -1;
        parameter->value = p->token->value;
        if (jinja_parse_name(p, &parameter->name) != 0) return -1;
        if (jinja_skip_sign(p, "=")) {
            if ((parameter->left = jinja_parse_expression(p)) == NULL) return -1;
            defaults = true;
        } else if (defaults)
            return jinja_fail(p->run, "a parameter without a default cannot follow one with a default");
        *tail = parameter;
        tail = &parameter->next;
        macro->count++;
    }
    jinja_next(p);
    return 0;
}

/* The body of a macro: a place of its own for break, loop and caller. */
static int parse_macro_body(JinjaParser *p, JinjaNode *macro, const char *end) {
    size_t loops = p->loops;
    unsigned uses = p->uses;
    p->loops = 0;
    p->uses = 0;
    p->conditions++;
    if (parse_closed(p, end, &macro->body) != 0) return -1;
    p->conditions--;
    macro->uses = p->uses;
    p->uses = uses;
    p->loops = loops;
    return 0;
}

static int parse_macro(JinjaParser *p, JinjaNode *node) {
    node->value = p->token->value;
    if (jinja_parse_name(p, &node->name) != 0 || parse_parameters(p, node) != 0) return -1;
    for (JinjaNode *parameter = node->items; parameter != NULL; parameter = parameter->next)
        if (jinja_text_is(&parameter->value, "caller")) node->flag = true; // gets the caller by its place
    return parse_macro_body(p, node, "endmacro");
}

static int parse_call_block(JinjaParser *p, JinjaNode *node) {
    if ((node->right = jinja_node(p, JINJA_NODE_MACRO)) == NULL) return -1;
    node->right->value = jinja_literal("caller");
    if (jinja_at_sign(p, "(") && parse_parameters(p, node->right) != 0) return -1;
    if ((node->left = jinja_parse_expression(p)) == NULL) return -1;
    if (node->left->type != JINJA_NODE_CALL) return jinja_fail(p->run, "a call block needs the call of a macro");
    return parse_macro_body(p, node->right, "endcall");
}

static int parse_filter_block(JinjaParser *p, JinjaNode *node) {
    bool failed;
    node->left = jinja_parse_filters(p, NULL, true, &failed);
    return failed ? -1 : parse_closed(p, "endfilter", &node->body);
}

static int parse_with(JinjaParser *p, JinjaNode *node) {
    JinjaNode **tail = &node->items;
    while (p->token->type != JINJA_TOKEN_BLOCK_END) {
        if (node->count > 0 && jinja_expect_sign(p, ",") != 0) return -1;
        JinjaNode *set = jinja_node(p, JINJA_NODE_SET);
        if (set == NULL || (set->target = jinja_parse_target(p, false, NULL)) == NULL) return -1;
        if (jinja_expect_sign(p, "=") != 0 || (set->left = jinja_parse_expression(p)) == NULL) return -1;
        *tail = set;
        tail = &set->next;
        node->count++;
    }
    return parse_closed(p, "endwith", &node->body);
}

/* Transformers makes the block a macro without parameters, so `set` within does not reach beyond it. */
static int parse_generation(JinjaParser *p, JinjaNode *node) {
    JinjaNode body = {0};
    p->tree->marks_assistant = true;
    if (parse_macro_body(p, &body, "endgeneration") != 0) return -1;
    node->body = body.body;
    return 0;
}

/* {% print a, b %} */
static int parse_print(JinjaParser *p, JinjaNode *node) {
    for (JinjaNode *at = node;; at = at->next) {
        if ((at->left = jinja_parse_expression(p)) == NULL) return -1;
        if (!jinja_skip_sign(p, ",")) return 0;
        if ((at->next = jinja_node(p, JINJA_NODE_PRINT)) == NULL) return -1;
    }
}

static int parse_loop_control(JinjaParser *p, JinjaNode *node) {
    (void)node;
    return p->loops > 0 ? 0 : jinja_fail(p->run, "break and continue are for loops only");
}

static const struct {
    const char *word;
    JinjaNodeType type;
    int (*parse)(JinjaParser *p, JinjaNode *node); // behind the word, up to the last %}
} statements[] = {
    {"if", JINJA_NODE_IF, parse_if},
    {"for", JINJA_NODE_FOR, parse_for},
    {"set", JINJA_NODE_SET, parse_set},
    {"macro", JINJA_NODE_MACRO, parse_macro},
    {"call", JINJA_NODE_CALL_BLOCK, parse_call_block},
    {"filter", JINJA_NODE_FILTER_BLOCK, parse_filter_block},
    {"with", JINJA_NODE_WITH, parse_with},
    {"generation", JINJA_NODE_GENERATION, parse_generation},
    {"print", JINJA_NODE_PRINT, parse_print},
    {"break", JINJA_NODE_BREAK, parse_loop_control},
    {"continue", JINJA_NODE_CONTINUE, parse_loop_control},
};

static int fail_statement(JinjaParser *p) {
    static const char *const missing[] = {"block", "extends", "include", "import", "from", "autoescape"};
    if (p->token->type != JINJA_TOKEN_NAME) return jinja_unexpected(p, "the name of a statement");
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        if (jinja_at_name(p, missing[i]))
            return jinja_fail_code(p->run, ERROR_UNSUPPORTED, "the statement '%s' is not supported in a chat template",
                                   missing[i]);
    return jinja_unexpected(p, "a statement");
}

static JinjaNode *parse_statement(JinjaParser *p) {
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (!jinja_at_name(p, statements[i].word)) continue;
        JinjaNode *node = jinja_node(p, statements[i].type);
        if (node == NULL) return NULL;
        jinja_next(p);
        if (statements[i].parse(p, node) != 0) return NULL;
        if (p->token->type == JINJA_TOKEN_BLOCK_END) {
            jinja_next(p);
            return node;
        }
        jinja_unexpected(p, "'%}'");
        return NULL;
    }
    fail_statement(p);
    return NULL;
}

static JinjaNode *parse_print_tag(JinjaParser *p) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_PRINT);
    if (node == NULL) return NULL;
    jinja_next(p);
    if ((node->left = jinja_parse_tuple(p, true, NULL)) == NULL) return NULL;
    if (p->token->type != JINJA_TOKEN_PRINT_END) {
        jinja_unexpected(p, "'}}'");
        return NULL;
    }
    jinja_next(p);
    return node;
}

static bool at_end_word(const JinjaParser *p, const char *const *ends) {
    for (; ends != NULL && *ends != NULL; ends++)
        if (jinja_at_name(p, *ends)) return true;
    return false;
}

static JinjaNode *parse_data(JinjaParser *p) {
    JinjaNode *node = jinja_node(p, JINJA_NODE_DATA);
    if (node == NULL) return NULL;
    node->value = p->token->value;
    jinja_next(p);
    return node;
}

/* Statements and text up to a word of `ends`, which is missing where only `end` could follow a block begun at line
 * `begin`; with NULL up to the end of the template. */
static int parse_body(JinjaParser *p, const char *const *ends, const char *end, size_t begin, JinjaNode **body) {
    JinjaNode **tail = body;
    while (p->token->type != JINJA_TOKEN_END) {
        JinjaNode *node;
        if (p->token->type == JINJA_TOKEN_BLOCK_BEGIN) {
            jinja_next(p);
            if (at_end_word(p, ends)) return 0;
            node = parse_statement(p);
        } else
            node = p->token->type == JINJA_TOKEN_DATA ? parse_data(p) : parse_print_tag(p);
        if (node == NULL) return -1;
        *tail = node;
        while (node->next != NULL) node = node->next; // {% print a, b %} is several nodes
        tail = &node->next;
    }
    if (end == NULL) return 0;
    p->run->line = begin;
    return jinja_fail(p->run, "the block that begins here does not end; '{%% %s %%}' was expected", end);
}

int jinja_parse(JinjaRun *run, const char *source, size_t bytes, JinjaTree *tree) {
    JinjaTokens tokens;
    *tree = (JinjaTree){0};
    if (jinja_lex(run, source, bytes, &tokens) != 0) return -1;
    const char *const special[] = {"loop", "caller", "varargs", "kwargs"};
    size_t *const names[] = {&tree->loop, &tree->caller, &tree->varargs, &tree->kwargs};
    for (int i = 0; i < 4; i++) {
        JinjaValue text = jinja_literal(special[i]);
        if (jinja_tree_name(run, tree, &text, names[i]) != 0) return -1;
    }
    JinjaParser p = {.run = run, .tree = tree, .token = tokens.token, .last = tokens.token + tokens.count - 1};
    run->line = p.token->line;
    return parse_body(&p, NULL, NULL, 1, &tree->body);
}
