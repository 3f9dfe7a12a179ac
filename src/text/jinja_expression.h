/* jinja_expression.h - the half of the parser that reads expressions, and what both halves share. */
#pragma once
#include "text/jinja_lexer.h"
#include "text/jinja_tree.h"

typedef struct {
    JinjaRun *run;
    JinjaTree *tree;
    const JinjaToken *token; // the current one
    const JinjaToken *last;  // JINJA_TOKEN_END
    size_t loops;            // nested for statements, within the macro
    size_t conditions;       // nested parts that may not run: there an unknown filter is no error yet
    unsigned uses;           // of the macro being parsed
    bool asks_loop;          // the innermost for's body names `loop`
} JinjaParser;

/* A node with the line of the current token; NULL beyond a limit. */
JinjaNode *jinja_node(JinjaParser *p, JinjaNodeType type);
void jinja_next(JinjaParser *p);
bool jinja_at_sign(const JinjaParser *p, const char *sign);
bool jinja_at_name(const JinjaParser *p, const char *name);
/* Skips that token if it is there. */
bool jinja_skip_sign(JinjaParser *p, const char *sign);
bool jinja_skip_name(JinjaParser *p, const char *name);
/* Fails unless it is there. */
int jinja_expect_sign(JinjaParser *p, const char *sign);
/* "unexpected X, EXPECTED was expected", with the line of the current token. Returns -1. */
int jinja_unexpected(JinjaParser *p, const char *expected);

/* NULL (and an error) where the tokens do not make one. */
JinjaNode *jinja_parse_expression(JinjaParser *p);
/* One or several with commas between them; `end` (a name or NULL) ends them too. `conditional` allows "a if b else c".
 */
JinjaNode *jinja_parse_tuple(JinjaParser *p, bool conditional, const char *end);
/* A name, (a, b) of them, or ns.attribute, as a target of set and for; `end` as above. */
JinjaNode *jinja_parse_target(JinjaParser *p, bool attributes, const char *end);
/* "| upper | trim" or, when `inline_first`, "upper | trim"; on top of left, which may be NULL. *failed tells NULL
 * apart. */
JinjaNode *jinja_parse_filters(JinjaParser *p, JinjaNode *left, bool inline_first, bool *failed);
/* The name token there and its number. */
int jinja_parse_name(JinjaParser *p, size_t *name);
