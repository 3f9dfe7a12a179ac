/* jinja_parser.h - tokens become a tree. Grammar and precedence are those of Jinja2 3.1.6 with its loop controls and
 * the
 * {% generation %} tag of transformers. */
#pragma once
#include "text/jinja_lexer.h"
#include "text/jinja_tree.h"

/* Parses a whole template; the tree lives in `run`. ERROR_INPUT for a syntax error, ERROR_UNSUPPORTED for a part of
 * Jinja that is not here, both with the line. */
int jinja_parse(JinjaRun *run, const char *source, size_t bytes, JinjaTree *tree);
