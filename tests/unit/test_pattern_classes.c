#include "test.h"
#include "text/pattern_classes.h"

#include <string.h>

#define SPACES                                                                                                         \
    "\\x{9}-\\x{D}\\x{20}-\\x{20}\\x{85}-\\x{85}\\x{A0}-\\x{A0}\\x{1680}-\\x{1680}\\x{2000}-\\x{200A}\\x{2028}-\\x{"   \
    "2029}\\x{202F}-\\x{202F}\\x{205F}-\\x{205F}\\x{3000}-\\x{3000}"
#define OTHERS                                                                                                         \
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}" \
    "\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{10FFFF}"

static void classes_become_ranges(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a\\n[b]", "a\\n[b]"},
        {"\\s", "[" SPACES "]"},
        {"\\S+", "[^" SPACES "]+"},
        {"[\\s\\n]", "[" SPACES "\\n]"},
        {"[^\\S]", "[^" OTHERS "]"},
        {"\\p{Zl}\\P{Zl}\\p{^Zl}[\\P{^Zl}]",
         "[\\x{2028}-\\x{2028}][^\\x{2028}-\\x{2028}][^\\x{2028}-\\x{2028}][\\x{2028}-\\x{2028}]"},
        {"\\\\s\\p{Han}\\b", "\\\\s\\p{Han}\\b"},
        {"[]\\\\]\\p{Zp}", "[]\\\\][\\x{2029}-\\x{2029}]"},
        {"[^]a]\\p{Zp}", "[^]a][\\x{2029}-\\x{2029}]"},
        {"\\p{Zl", "\\p{Zl"},
        {"\\", "\\"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buffer out = {0};
        Error error = {0};
        if (pattern_classes_rewrite(cases[i][0], strlen(cases[i][0]), "test", &out, &error) != 0)
            fail_msg("%s", error.message);
        if (strcmp(out.data, cases[i][1]) != 0) fail_msg("case %zu: %s", i, out.data);
        buffer_free(&out);
    }
}

static void names_what_it_refuses(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\\h", "\\h"}, {"a\\R", "\\R"}, {"[a[b]", "byte 2"}, {"[ab&&[^b]]", "byte 3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buffer out = {0};
        Error error = {0};
        assert_int_equal(pattern_classes_rewrite(cases[i][0], strlen(cases[i][0]), "x/tokenizer.json", &out, &error),
                         -1);
        if (error.code != ERROR_UNSUPPORTED || strstr(error.message, cases[i][1]) == NULL ||
            strstr(error.message, "x/tokenizer.json") == NULL)
            fail_msg("case %zu: %s", i, error.message);
        buffer_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(classes_become_ranges),
                                       cmocka_unit_test(names_what_it_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
