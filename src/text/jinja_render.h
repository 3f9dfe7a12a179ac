/* jinja_render.h - statements at work: output, loops, assignments, macros, and the spans of the assistant's parts. */
#pragma once
#include "text/jinja_eval.h"

/* What a body ended with. */
typedef enum { JINJA_FLOW_FAILED = -1, JINJA_FLOW_ON, JINJA_FLOW_BREAK, JINJA_FLOW_CONTINUE } JinjaFlow;

/* Runs the statements of a body. */
JinjaFlow jinja_render_body(JinjaEval *e, const JinjaNode *body);
/* Assigns to a name, to names in a tuple, or to an attribute of a namespace. */
int jinja_assign_target(JinjaEval *e, const JinjaNode *target, const JinjaValue *value);
/* Between the two, what is written becomes a value instead of output; `start` is what the first one gave. */
size_t jinja_capture_begin(JinjaEval *e);
int jinja_capture_end(JinjaEval *e, size_t start, JinjaFlow flow, JinjaValue *out);
/* loop(items) in a recursive loop: the text of its body over other items. */
int jinja_loop_recurse(JinjaEval *e, JinjaLoop *loop, const JinjaArguments *arguments, JinjaValue *out);
