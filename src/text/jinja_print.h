/* jinja_print.h - values as text: Python's str() and repr(), and json.dumps. */
#pragma once
#include "text/jinja_builder.h"

/* str(): what {{ value }} prints. Undefined gives nothing. */
int jinja_print(JinjaBuilder *b, const JinjaValue *value);
/* repr(): how a value looks inside a list. */
int jinja_print_repr(JinjaBuilder *b, const JinjaValue *value);
/* str() as a value; a string comes back as it is. */
int jinja_to_text(JinjaRun *run, const JinjaValue *value, JinjaValue *out);
/* Python's repr of a float: the shortest digits that read back as the same number. */
size_t jinja_print_float(double real, char out[32]);

typedef struct {
    bool ascii;        // \u escapes for everything beyond ASCII
    bool sorted;       // keys in order
    bool indented;     // one line per item
    JinjaValue indent; // text for one level
    JinjaValue item_separator, key_separator;
} JinjaJsonStyle;

/* json.dumps; fails for what JSON cannot hold (Undefined, namespaces, ...). */
int jinja_print_json(JinjaBuilder *b, const JinjaValue *value, const JinjaJsonStyle *style);
