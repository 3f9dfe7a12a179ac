/* jinja_loop.h - a running for loop and its `loop` variable.
 *
 * The filter of "for x in y if z" is asked item by item as the loop goes on (its answer may depend on what the body
 * sets); only loop.last, loop.length and their like look ahead. */
#pragma once
#include "text/jinja_eval.h"

struct JinjaLoop {
    const JinjaNode *node;
    JinjaScope *outer;       // where the loop stands; its filter sees these variables
    const JinjaRange *range; // what it walks over, or NULL: `all`
    const JinjaValue *all;
    size_t count, looked;   // items of `all`, and how many of them the filter was asked for
    const JinjaValue *item; // those that pass
    JinjaValue *passing;    // `item` where there is a filter
    size_t found;           // so far
    size_t index;           // current item, from 0
    size_t depth;           // of a recursive loop, from 1
    JinjaValue changed;     // last argument of loop.changed
};

/* A loop of `node` over anything that can be walked. */
int jinja_loop_begin(JinjaEval *e, JinjaLoop *loop, const JinjaNode *node, const JinjaValue *iterable, size_t depth);
/* *there: whether item `index` exists; asks the filter as far as needed. */
int jinja_loop_find(JinjaEval *e, JinjaLoop *loop, size_t index, bool *there);
/* An item that exists. */
JinjaValue jinja_loop_item(const JinjaLoop *loop, size_t index);
/* loop.index, loop.last, loop.cycle, ... */
int jinja_loop_attribute(JinjaEval *e, JinjaLoop *loop, const JinjaValue *name, JinjaValue *out);
/* The call of loop.cycle or loop.changed. */
int jinja_loop_method(JinjaEval *e, const JinjaCallable *method, const JinjaArguments *arguments, JinjaValue *out);
