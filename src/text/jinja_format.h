/* jinja_format.h - Python's two ways of filling values into a text: "%s" % x and "{}".format(x). */
#pragma once
#include "text/jinja_builtin.h"

/* text % values: %s %r %d %i %f %e %g %x %o %c %% with flags, width, precision and %(name)s. */
int jinja_format_percent(JinjaRun *run, const JinjaValue *text, const JinjaValue *values, JinjaValue *out);
/* text.format(...): {} {0} {name} {name.attribute} {0[key]} with !r, !s and
 * [[fill]align][sign][0][width][,][.precision][type]. */
int jinja_format_braces(JinjaRun *run, const JinjaValue *text, const JinjaArguments *arguments, JinjaValue *out);
