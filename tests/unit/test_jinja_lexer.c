#include "test.h"
#include "text/jinja_lexer.h"
#include <string.h>

/* The tokens as "line:text" with a letter for the kind, to be read at a glance. */
static void check(const char *source, const char *expected) {
    static const char kinds[] = ".D{}[]NSL";
    Error error = {0};
    JinjaRun run = jinja_run("t", 1 << 20, 1 << 20, &error);
    JinjaTokens tokens;
    char shown[1024] = "";
    if (jinja_lex(&run, source, strlen(source), &tokens) != 0) snprintf(shown, sizeof shown, "%s", error.message);
    for (size_t i = 0; i < tokens.count && error.code == ERROR_NONE; i++) {
        const JinjaToken *t = &tokens.token[i];
        size_t n = strlen(shown);
        if (t->value.type == JINJA_STRING && t->type != JINJA_TOKEN_END)
            snprintf(shown + n, sizeof shown - n, "%c%zu<%.*s> ", kinds[t->type], t->line, (int)t->value.text.size,
                     t->value.text.bytes);
        else if (t->type != JINJA_TOKEN_END)
            snprintf(shown + n, sizeof shown - n, "%c%zu ", kinds[t->type], t->line);
    }
    if (strcmp(shown, expected) != 0) fail_msg("%s\n got: %s\nwant: %s", source, shown, expected);
    jinja_run_free(&run);
}

static void tokens_carry_text_and_line(void **state) {
    (void)state;
    check("", "");
    check("\n", "");
    check("a\nb", "D1<a\nb> ");
    check("a{{ b.c }}", "D1<a> {1<{{> N1<b> S1<.> N1<c> }1<}}> ");
    check("{%- if x\n== 'y' -%}\n z", "[1<{%-> N1<if> N1<x> S2<==> L2<y> ]2<-%}\n > D3<z> ");
    check("x\n  {# a\nb #}\ny", "D1<x\n> D4<y> ");
    check("{% raw %}{{ x }}{% endraw %}", "D1<{{ x }}> ");
    check("{{ 1.5 + 0x1F ** 'a' }}", "{1<{{> L1 S1<+> L1 S1<**> L1<a> }1<}}> ");
    check("{{ {'a': {}}['}}'] }}", "{1<{{> S1<{> L1<a> S1<:> S1<{> S1<}> S1<}> S1<[> L1<}}> S1<]> }1<}}> ");
    check("a\r\n{{ b }}\rc", "D1<a\n> {2<{{> N2<b> }2<}}> D2<\nc> ");
}

static void white_space_follows_the_signs(void **state) {
    (void)state;
    check("a  {% x %}\nb", "D1<a  > [1<{%> N1<x> ]1<%}\n> D2<b> ");     // trim_blocks
    check("a\n  {% x +%}\nb", "D1<a\n> [2<{%> N2<x> ]2<+%}> D2<\nb> "); // lstrip_blocks, + keeps the newline
    check("a\n  {%+ x %}", "D1<a\n  > [2<{%+> N2<x> ]2<%}> ");          // + keeps the blanks
    check("a\n  {{ x }}\n\n", "D1<a\n  > {2<{{> N2<x> }2<}}> D2<\n> "); // not for {{ }}; one newline at the end goes
    check("a \n{{- x -}}\n b", "D1<a> {2<{{-> N2<x> }2<-}}\n > D3<b> ");
    check("{% x %}  {% y %}", "[1<{%> N1<x> ]1<%}> D1<  > [1<{%> N1<y> ]1<%}> "); // not at the start of a line
}

static void what_is_no_token_is_refused(void **state) {
    (void)state;
    check("a\n{{ 'b }}", "t:2: the text that begins here does not end; ' was expected");
    check("{{ a ? b }}", "t:1: unexpected character '?' in a tag");
    check("{{ (a }}", "t:1: unexpected '}', ')' was expected");
    check("\n\n{% a", "t:3: the tag that begins here does not end; '%}' was expected");
    check("{{ '\\x4g' }}", "t:1: an escape in a text needs 2 hexadecimal digits");
    check("{{ 99999999999999999999 }}", "t:1: the whole number 99999999999999999999 does not fit into 64 bits");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_carry_text_and_line),
        cmocka_unit_test(white_space_follows_the_signs),
        cmocka_unit_test(what_is_no_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
