/* jinja_builtin.h - functions, filters, tests and methods that the engine brings along, and how they get their
 * arguments.
 *
 * A JinjaBuiltin lists its parameters as words: "old new count?" takes two or three arguments, by place or by name; a
 * word with ? may be left out (its value is then JINJA_ABSENT). "*" takes anything and reads `all` itself. */
#pragma once
#include "text/jinja_value.h"

#define JINJA_PARAMETERS_MAX 6

typedef struct {
    const JinjaValue *value; // by place
    size_t count;
    const JinjaEntry *keyword; // by name
    size_t keywords;
} JinjaArguments;

/* `self`: what a filter or test is applied to, or whose method it is; NULL for a global function. */
typedef int JinjaFunction(JinjaRun *run, const JinjaValue *self, const JinjaValue *argument, const JinjaArguments *all,
                          JinjaValue *out);

typedef struct {
    const char *name;
    JinjaFunction *function;
    const char *parameters;
} JinjaBuiltin;

typedef struct {
    const JinjaBuiltin *entry;
    size_t count;
} JinjaBuiltins;

/* The entry of that name or NULL. */
const JinjaBuiltin *jinja_builtin_find(const JinjaBuiltins *table, const JinjaValue *name);
int jinja_builtin_call(JinjaRun *run, const JinjaBuiltin *builtin, const JinjaValue *self,
                       const JinjaArguments *arguments, JinjaValue *out);

/* The kinds of values that have methods. */
enum { JINJA_METHODS_STRING, JINJA_METHODS_LIST, JINJA_METHODS_TUPLE, JINJA_METHODS_DICT, JINJA_METHOD_TYPES };
/* Which of them a value has, or -1. */
int jinja_method_type(const JinjaValue *value);
/* The method of that name; its function is NULL where the sandbox forbids it. NULL: there is none. */
const JinjaBuiltin *jinja_method_find(int type, const JinjaValue *name);

extern const JinjaBuiltins jinja_filters, jinja_tests, jinja_globals;
/* True for a filter of Jinja2 that is not here. */
bool jinja_filter_known(const JinjaValue *name);

/* Arguments of builtins with their defaults; -1 with a message where the type is wrong. */
int jinja_argument_int(JinjaRun *run, const JinjaValue *argument, const char *name, int64_t missing, int64_t *out);
/* Text of a str argument. */
int jinja_argument_text(JinjaRun *run, const JinjaValue *argument, const char *name, JinjaValue *out);

/* A function as a value: a builtin, a method bound to `self`, or a macro with the scope it was defined in. */
struct JinjaCallable {
    const JinjaBuiltin *builtin; // NULL: a macro or a loop
    JinjaValue self;
    const struct JinjaNode *macro;
    struct JinjaScope *scope;
};
