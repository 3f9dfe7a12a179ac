/* jinja_lexer.h - a template's source as tokens, with Jinja2's rules for white space already applied.
 *
 * trim_blocks: the newline behind a block or comment goes. lstrip_blocks: blanks before a block or comment that begins
 * a line go. A minus inside a tag strips that side, a plus keeps it. Newlines become "\n", and one at the very end
 * goes. Source: the token rules of Jinja2 3.1.6. */
#pragma once
#include "text/jinja_value.h"

typedef enum {
    JINJA_TOKEN_END, // of the source
    JINJA_TOKEN_DATA,
    JINJA_TOKEN_PRINT_BEGIN, // {{
    JINJA_TOKEN_PRINT_END,
    JINJA_TOKEN_BLOCK_BEGIN, // {%
    JINJA_TOKEN_BLOCK_END,
    JINJA_TOKEN_NAME,
    JINJA_TOKEN_SIGN,
    JINJA_TOKEN_LITERAL // a text or a number
} JinjaTokenType;

typedef struct {
    JinjaTokenType type;
    size_t line;
    JinjaValue value; // DATA, NAME, SIGN, ends: the text; LITERAL: its value
} JinjaToken;

typedef struct {
    JinjaToken *token; // the last one is JINJA_TOKEN_END
    size_t count;
} JinjaTokens;

/* The tokens live in `run`. ERROR_INPUT names the line of what cannot be a token. */
int jinja_lex(JinjaRun *run, const char *source, size_t bytes, JinjaTokens *tokens);
