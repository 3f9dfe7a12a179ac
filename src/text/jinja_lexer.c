#include "text/jinja_lexer.h"
#include "text/jinja_literal.h"
#include "text/jinja_utf8.h"

#include <string.h>

typedef struct {
    JinjaRun *run;
    const char *source;
    size_t size, at;
    bool line_starts; // the token before ended with a newline, or there was none
    JinjaTokens *tokens;
    size_t capacity;
} Lexer;

static bool looking_at(const Lexer *l, size_t at, const char *text) {
    size_t n = strlen(text);
    return at <= l->size && n <= l->size - at && memcmp(l->source + at, text, n) == 0;
}

static size_t skip_space(const Lexer *l, size_t at) {
    while (at < l->size) {
        size_t taken;
        if (!jinja_char_is(jinja_utf8_decode(l->source + at, l->size - at, &taken), JINJA_CHAR_SPACE)) break;
        at += taken;
    }
    return at;
}

/* Moves on and counts lines. */
static void move_to(Lexer *l, size_t at) {
    for (; l->at < at; l->at++) l->run->line += l->source[l->at] == '\n';
    l->line_starts = at > 0 && l->source[at - 1] == '\n';
}

static int emit(Lexer *l, JinjaTokenType type, JinjaValue value) {
    if (l->tokens->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 64 : 2 * l->capacity;
        JinjaToken *grown = jinja_take(l->run, capacity, sizeof *grown);
        if (grown == NULL) return -1;
        if (l->capacity > 0) memcpy(grown, l->tokens->token, l->capacity * sizeof *grown);
        l->tokens->token = grown;
        l->capacity = capacity;
    }
    l->tokens->token[l->tokens->count++] = (JinjaToken){type, l->run->line, value};
    return 0;
}

static int emit_span(Lexer *l, JinjaTokenType type, size_t end) {
    if (emit(l, type, jinja_string(l->source + l->at, end - l->at)) != 0) return -1;
    move_to(l, end);
    return 0;
}

/* The text before a tag whose sign is '-', '+' or anything else. */
static int emit_data(Lexer *l, size_t end, char sign, bool strips) {
    size_t begin = l->at, last = end;
    if (sign == '-') {
        for (size_t n, taken; last > begin; last -= n) {
            n = jinja_utf8_size_before(l->source + begin, last - begin);
            if (!jinja_char_is(jinja_utf8_decode(l->source + last - n, n, &taken), JINJA_CHAR_SPACE)) break;
        }
    } else if (sign != '+' && strips) {
        size_t line = end;
        while (line > begin && l->source[line - 1] != '\n') line--;
        if ((line > begin || l->line_starts) && skip_space(l, line) >= end) last = line;
    }
    if (last > begin && emit(l, JINJA_TOKEN_DATA, jinja_string(l->source + begin, last - begin)) != 0) return -1;
    move_to(l, end);
    return 0;
}

/* Where a tag ends whose closing mark is at `at`: behind the blanks that go with it. 0 where no mark is. */
static size_t tag_end(const Lexer *l, size_t at, const char *mark, bool trims) {
    size_t n = strlen(mark);
    if (looking_at(l, at, mark)) return at + n + (trims && looking_at(l, at + n, "\n"));
    if (looking_at(l, at, "-") && looking_at(l, at + 1, mark)) return skip_space(l, at + 1 + n);
    if (trims && looking_at(l, at, "+") && looking_at(l, at + 1, mark)) return at + 1 + n;
    return 0;
}

static int lex_comment(Lexer *l) {
    for (size_t at = l->at; at < l->size; at++) {
        size_t end = tag_end(l, at, "#}", true);
        if (end == 0) continue;
        move_to(l, end);
        return 0;
    }
    return jinja_fail(l->run, "the comment that begins here does not end; '#}' was expected");
}

/* The end of "{% WORD %}" at `at`; 0 where it is something else. */
static size_t word_tag(const Lexer *l, size_t at, const char *word, bool trims) {
    if (!looking_at(l, at, "{%")) return 0;
    at += 2;
    if (looking_at(l, at, "-") || looking_at(l, at, "+")) at++;
    at = skip_space(l, at);
    if (!looking_at(l, at, word)) return 0;
    at = skip_space(l, at + strlen(word));
    return !trims && looking_at(l, at, "%}")  ? at + 2
           : !trims && looking_at(l, at, "+") ? 0
                                              : tag_end(l, at, "%}", trims);
}

static int lex_raw(Lexer *l) {
    for (size_t at = l->at; at < l->size; at++) {
        size_t end = word_tag(l, at, "endraw", true);
        if (end == 0) continue;
        if (emit_data(l, at, l->source[at + 2], true) != 0) return -1;
        move_to(l, end);
        return 0;
    }
    return jinja_fail(l->run, "the raw block that begins here does not end; '{%% endraw %%}' was expected");
}

static bool is_word(const Lexer *l, size_t at, size_t *taken) {
    if (at >= l->size) return false;
    uint32_t c = jinja_utf8_decode(l->source + at, l->size - at, taken);
    return c == '_' || jinja_char_is(c, JINJA_CHAR_LETTER) || jinja_char_is(c, JINJA_CHAR_NUMERIC);
}

static int lex_name(Lexer *l) {
    size_t end = l->at, taken = 0;
    while (is_word(l, end, &taken)) end += taken;
    return emit_span(l, JINJA_TOKEN_NAME, end);
}

static int lex_literal(Lexer *l) {
    JinjaValue value;
    size_t taken;
    bool behind_dot = l->at > 0 && l->source[l->at - 1] == '.'; // x.0.1 asks for item 0, then item 1
    const char *begin = l->source + l->at;
    int status = *begin == '"' || *begin == '\''
                     ? jinja_read_text(l->run, begin, l->size - l->at, &value, &taken)
                     : jinja_read_number(l->run, begin, l->size - l->at, !behind_dot, &value, &taken);
    if (status != 0 || emit(l, JINJA_TOKEN_LITERAL, value) != 0) return -1;
    move_to(l, l->at + taken);
    return 0;
}

/* An operator or bracket; open brackets are kept on `open`. */
static int lex_sign(Lexer *l, char *open, size_t *depth) {
    static const char *const signs[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    char c = l->source[l->at];
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (!looking_at(l, l->at, signs[i])) continue;
        if (c == '(' || c == '[' || c == '{') {
            if (*depth == JINJA_DEPTH_MAX)
                return jinja_fail(l->run, "brackets are nested deeper than %d levels", JINJA_DEPTH_MAX);
            open[(*depth)++] = (char)(c == '(' ? ')' : c == '[' ? ']' : '}');
        } else if (c == ')' || c == ']' || c == '}') {
            if (*depth == 0) return jinja_fail(l->run, "unexpected '%c' without an opening bracket", c);
            if (open[--*depth] != c) return jinja_fail(l->run, "unexpected '%c', '%c' was expected", c, open[*depth]);
        }
        return emit_span(l, JINJA_TOKEN_SIGN, l->at + strlen(signs[i]));
    }
    return jinja_fail(l->run, "unexpected character '%.*s' in a tag",
                      (int)jinja_utf8_size(l->source + l->at, l->size - l->at), l->source + l->at);
}

/* Everything between {{ and }} or {% and %}, and the closing mark. */
static int lex_tag(Lexer *l, bool block) {
    char open[JINJA_DEPTH_MAX];
    size_t depth = 0, taken = 0, begin_line = l->run->line;
    for (;;) {
        size_t end = depth > 0 ? 0 : tag_end(l, l->at, block ? "%}" : "}}", block);
        if (end > 0) return emit_span(l, block ? JINJA_TOKEN_BLOCK_END : JINJA_TOKEN_PRINT_END, end);
        end = skip_space(l, l->at);
        if (end > l->at) {
            move_to(l, end);
            continue;
        }
        if (l->at == l->size) {
            l->run->line = begin_line;
            return jinja_fail(l->run, "the tag that begins here does not end; '%s' was expected", block ? "%}" : "}}");
        }
        char c = l->source[l->at];
        int status;
        if ((c >= '0' && c <= '9') || c == '"' || c == '\'')
            status = lex_literal(l);
        else if (is_word(l, l->at, &taken))
            status = lex_name(l);
        else
            status = lex_sign(l, open, &depth);
        if (status != 0) return -1;
    }
}

static int lex_next(Lexer *l) {
    size_t at = l->at;
    while (at < l->size && !looking_at(l, at, "{{") && !looking_at(l, at, "{%") && !looking_at(l, at, "{#")) at++;
    if (at == l->size) return emit_span(l, JINJA_TOKEN_DATA, l->size);
    char kind = l->source[at + 1], sign = at + 2 < l->size ? l->source[at + 2] : 0;
    if (emit_data(l, at, sign, kind != '{') != 0) return -1;
    size_t raw = word_tag(l, at, "raw", false);
    if (raw > 0) {
        move_to(l, raw);
        return lex_raw(l);
    }
    size_t opening = at + 2 + (sign == '-' || sign == '+');
    if (kind == '#') {
        move_to(l, opening);
        return lex_comment(l);
    }
    if (emit_span(l, kind == '{' ? JINJA_TOKEN_PRINT_BEGIN : JINJA_TOKEN_BLOCK_BEGIN, opening) != 0) return -1;
    return lex_tag(l, kind == '%');
}

/* The source with "\n" for every kind of newline, without one at its end. */
static char *normalise(JinjaRun *run, const char *source, size_t bytes, size_t *size) {
    char *copy = jinja_take(run, bytes + 1, 1);
    *size = 0;
    for (size_t i = 0; copy != NULL && i < bytes; i++) {
        if (source[i] == '\r' && i + 1 < bytes && source[i + 1] == '\n') continue;
        copy[(*size)++] = (char)(source[i] == '\r' ? '\n' : source[i]);
    }
    if (*size > 0 && copy[*size - 1] == '\n') --*size;
    return copy;
}

int jinja_lex(JinjaRun *run, const char *source, size_t bytes, JinjaTokens *tokens) {
    *tokens = (JinjaTokens){0};
    size_t bad;
    if (!jinja_utf8_valid(source, bytes, &bad))
        return jinja_fail(run, "the chat template is not UTF-8: byte %zu is wrong", bad);
    Lexer l = {.run = run, .line_starts = true, .tokens = tokens};
    char *copy = normalise(run, source, bytes, &l.size);
    l.source = copy;
    if (copy == NULL || jinja_charge_text(run, bytes) != 0) return -1;
    while (l.at < l.size)
        if (lex_next(&l) != 0) return -1;
    return emit(&l, JINJA_TOKEN_END, jinja_literal("the end of the template"));
}
