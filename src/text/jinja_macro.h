/* jinja_macro.h - macros and the bodies of call blocks: functions of the template that give text. */
#pragma once
#include "text/jinja_eval.h"

/* A macro as a value that remembers the variables around it. */
int jinja_macro_make(JinjaEval *e, const JinjaNode *node, JinjaValue *out);
/* Its text. `caller` is the body of a call block, or NULL. */
int jinja_macro_call(JinjaEval *e, const JinjaCallable *macro, const JinjaArguments *arguments,
                     const JinjaValue *caller, JinjaValue *out);
