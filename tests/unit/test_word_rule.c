#include "test.h"
#include "text/word_rule.h"

#include <string.h>

typedef enum { GPT2, LLAMA3, QWEN } Rule;

/* Goldens of tokenizers 0.23.3: where each match ends, in bytes. All texts at random: test_split_pattern.c. */
static void words_end_where_the_reference_ends_them(void **state) {
    (void)state;
    static const struct {
        Rule rule;
        const char *text, *want;
    } cases[] = {{GPT2, "I'm 'SUre it's", "1 3 5 9 12 14 "},
                 {LLAMA3, "I'm 'SUre it's", "1 3 5 9 12 14 "},
                 {GPT2, "a  b\n\nc \n", "1 2 4 5 6 7 9 "},
                 {LLAMA3, "a  b\n\nc \n d", "1 2 4 6 7 9 11 "},
                 {GPT2, "12345 6", "5 7 "},
                 {LLAMA3, "12345 6", "3 5 6 7 "},
                 {QWEN, "12345 6", "1 2 3 4 5 6 7 "},
                 {LLAMA3, "\tx .a-b!\n\nc", "2 4 5 7 10 11 "},
                 {GPT2, "\tx .a-b!\n\nc", "1 2 4 5 6 7 8 9 10 11 "},
                 {LLAMA3, "'\u017f '", "3 5 "},
                 {GPT2, "'\u017f '", "1 3 5 "},
                 {LLAMA3, "\u00b2\u0663x\u0301\u00e9", "4 5 9 "},
                 {LLAMA3, "   ", "3 "},
                 {GPT2, "'", "1 "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[128] = "";
        size_t n = strlen(cases[i].text);
        for (size_t at = 0; at < n;) {
            size_t end = cases[i].rule == GPT2
                             ? word_rule_gpt2(cases[i].text, n, at)
                             : word_rule_llama3(cases[i].text, n, at, cases[i].rule == LLAMA3 ? 3 : 1);
            assert_true(end > at && end <= n);
            at = end;
            snprintf(found + strlen(found), sizeof found - strlen(found), "%zu ", at);
        }
        if (strcmp(found, cases[i].want) != 0) fail_msg("case %zu: %s", i, found);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_end_where_the_reference_ends_them)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
