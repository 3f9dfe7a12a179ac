/* jinja_tree.h - a parsed template: statements and expressions as a tree of nodes of one shape.
 *
 * Lists of nodes (a body, arguments, the items of a list) are chained by `next`. Names are numbers: index into
 * JinjaTree.name. The tree lives in the JinjaRun of the compilation and never changes afterwards. */
#pragma once
#include "text/jinja_builtin.h"

typedef enum {
    // expressions
    JINJA_NODE_CONSTANT,    // value
    JINJA_NODE_NAME,        // name
    JINJA_NODE_ITEMS,       // [items] or (items): value.type says which; count
    JINJA_NODE_DICT_ITEMS,  // {items}: key, value, key, value, ...; count of both
    JINJA_NODE_CONDITIONAL, // left if condition else right (NULL: undefined)
    JINJA_NODE_OR,          // items
    JINJA_NODE_AND,         // items
    JINJA_NODE_NOT,         // left
    JINJA_NODE_NEGATIVE,    // -left
    JINJA_NODE_POSITIVE,    // +left
    JINJA_NODE_COMPARE,     // left, then items: OPERAND nodes with sign and left
    JINJA_NODE_OPERAND,
    JINJA_NODE_SUM,        // items added, count
    JINJA_NODE_JOIN,       // items ~, count
    JINJA_NODE_ARITHMETIC, // left sign right
    JINJA_NODE_ATTRIBUTE,  // left . value (a text)
    JINJA_NODE_ITEM,       // left [right]
    JINJA_NODE_SLICE,      // left [condition:right:other], each may be NULL
    JINJA_NODE_CALL,       // left (items)
    JINJA_NODE_FILTER,     // left | builtin (items); left NULL: the captured text of the block around
    JINJA_NODE_TEST,       // left is builtin (items)
    // arguments: the kind of each node in a call's items
    JINJA_NODE_ARGUMENT,      // left
    JINJA_NODE_KEYWORD,       // value (a text) = left
    JINJA_NODE_ARGUMENT_LIST, // *left
    JINJA_NODE_KEYWORD_DICT,  // **left
    // statements
    JINJA_NODE_DATA,  // value (a text)
    JINJA_NODE_PRINT, // left
    JINJA_NODE_IF,    // condition, body, other: with the flag an IF node (elif), else a body
    JINJA_NODE_FOR,   // target, left, condition (filter), body, other; flag: uses `loop`; recursive
    JINJA_NODE_BREAK,
    JINJA_NODE_CONTINUE,
    JINJA_NODE_SET,              // target, left
    JINJA_NODE_SET_BLOCK,        // target, body, left (filter chain or NULL)
    JINJA_NODE_TARGET_ATTRIBUTE, // name . value, as a target
    JINJA_NODE_MACRO,            // name, items: PARAMETER nodes, count; body; uses
    JINJA_NODE_PARAMETER,        // name, left: default or NULL
    JINJA_NODE_CALL_BLOCK,       // left: the CALL, right: the MACRO that becomes `caller`
    JINJA_NODE_FILTER_BLOCK,     // left: filter chain, body
    JINJA_NODE_WITH,             // items: SET nodes, body
    JINJA_NODE_SCOPE,            // body with variables of its own
    JINJA_NODE_GENERATION,       // body: the assistant's part
} JinjaNodeType;

typedef enum {
    JINJA_SIGN_EQUAL,
    JINJA_SIGN_UNEQUAL,
    JINJA_SIGN_LESS,
    JINJA_SIGN_LESS_EQUAL,
    JINJA_SIGN_GREATER,
    JINJA_SIGN_GREATER_EQUAL,
    JINJA_SIGN_IN,
    JINJA_SIGN_NOT_IN,
    JINJA_SIGN_SUBTRACT,
    JINJA_SIGN_MULTIPLY,
    JINJA_SIGN_DIVIDE,
    JINJA_SIGN_FLOOR_DIVIDE,
    JINJA_SIGN_MODULO,
    JINJA_SIGN_POWER
} JinjaSign;

/* What a macro's body asks for beside its parameters. */
enum { JINJA_USES_CALLER = 1, JINJA_USES_VARARGS = 2, JINJA_USES_KWARGS = 4 };

typedef struct JinjaNode JinjaNode;
struct JinjaNode {
    JinjaNodeType type;
    JinjaSign sign;
    size_t line;
    size_t name;    // index
    size_t count;   // of items
    unsigned uses;  // MACRO
    bool flag;      // FOR: the body asks for `loop`; IF: an elif follows; MACRO: `caller` is a parameter
    bool recursive; // FOR
    JinjaValue value;
    JinjaNode *left, *right, *condition, *other;
    JinjaNode *items, *body, *target;
    JinjaNode *next;
    const JinjaBuiltin *builtin;                    // FILTER, TEST; NULL: unknown, an error when it is reached
    const JinjaBuiltin *method[JINJA_METHOD_TYPES]; // ATTRIBUTE, ITEM with a constant text: methods of that name
};

typedef struct {
    JinjaNode *body;
    JinjaValue *name; // texts
    size_t names, capacity;
    size_t loop, caller, varargs, kwargs; // the numbers of these names
    bool marks_assistant;
} JinjaTree;

/* The number of a name, a new one if need be; -1 beyond the memory. */
int jinja_tree_name(JinjaRun *run, JinjaTree *tree, const JinjaValue *text, size_t *name);
