/* jinja_operator.h - what Python's operators do with values: arithmetic, comparison, membership, attributes, slices.
 * Whole numbers have 64 bits; a result beyond them is ERROR_UNSUPPORTED. */
#pragma once
#include "text/jinja_tree.h"

int jinja_add(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, JinjaValue *out);
/* a - b, a * b, a / b, a // b, a % b, a ** b. */
int jinja_arithmetic(JinjaRun *run, JinjaSign sign, const JinjaValue *a, const JinjaValue *b, JinjaValue *out);
int jinja_negate(JinjaRun *run, const JinjaValue *a, JinjaValue *out);
/* a == b, a < b, ..., a in b. */
int jinja_compare(JinjaRun *run, JinjaSign sign, const JinjaValue *a, const JinjaValue *b, bool *out);
/* Texts put together, as ~ and + do. */
int jinja_join(JinjaRun *run, const JinjaValue *text, size_t count, JinjaValue *out);

/* object.name: methods first, then items. `method` holds the methods of that name by kind, or is NULL. A missing
 * attribute gives an undefined value; an undefined object fails. Not for loops. */
int jinja_attribute(JinjaRun *run, const JinjaValue *object, const JinjaValue *name, const JinjaBuiltin *const *method,
                    JinjaValue *out);
/* object[key]: items first, then methods. */
int jinja_item(JinjaRun *run, const JinjaValue *object, const JinjaValue *key, JinjaValue *out);
/* object[start:stop:step]; None stands for a part that is not there. */
int jinja_slice(JinjaRun *run, const JinjaValue *object, const JinjaValue part[3], JinjaValue *out);
