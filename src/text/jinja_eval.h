/* jinja_eval.h - the state of one rendering, its variables, and the values of expressions.
 *
 * Variables: a scope per loop body, macro call, with, set block and generation block; what is set inside ends with it.
 * The root scope is an array over the names of the template; a name that was not set is looked up in the context once.
 * Scopes that no macro keeps are used again. */
#pragma once
#include "text/chat_template.h"
#include "text/jinja_tree.h"

typedef struct {
    size_t name;
    JinjaValue value;
} JinjaBinding;

typedef struct JinjaScope JinjaScope;
struct JinjaScope {
    JinjaScope *parent; // NULL: the root
    JinjaBinding *binding;
    size_t count, capacity;
    bool kept; // by a macro or loop that may outlive it
};

typedef struct {
    JinjaRun run;
    const JinjaTree *tree;
    const ChatContext *context;
    JinjaValue *root;   // [tree->names]; ABSENT: not looked up yet
    JinjaScope *scope;  // the innermost one; NULL: the root
    JinjaScope *unused; // for reuse
    Buffer *out;        // output; captured text is behind it for a while
    size_t begin;       // where the rendering begins in it
    size_t output_limit;
    size_t captures;                     // open captures
    size_t top_bytes;                    // output without the captured text, while captures > 0
    ChatSpans *spans;                    // or NULL
    size_t counted_bytes, counted_chars; // code points counted so far, from `begin`
} JinjaEval;

JinjaScope *jinja_scope_push(JinjaEval *e, JinjaScope *parent); // becomes the innermost; NULL beyond the memory
void jinja_scope_pop(JinjaEval *e, JinjaScope *before);         // back to `before`
void jinja_scope_keep(JinjaScope *scope);
int jinja_variable(JinjaEval *e, size_t name, JinjaValue *out);
int jinja_assign(JinjaEval *e, size_t name, const JinjaValue *value); // in the innermost scope

int jinja_eval(JinjaEval *e, const JinjaNode *node, JinjaValue *out);
/* The filters of a filter block on its text. */
int jinja_eval_filters(JinjaEval *e, const JinjaNode *filter, const JinjaValue *text, JinjaValue *out);
/* A call whose macro also gets `caller`, which may be NULL. */
int jinja_eval_call(JinjaEval *e, const JinjaNode *call, const JinjaValue *caller, JinjaValue *out);
