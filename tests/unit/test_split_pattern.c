#include "base/rng.h"
#include "test.h"
#include "text/split_pattern.h"
#include "text/unicode.h"

#include <string.h>

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(digits)                                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                               \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static SplitPattern *pattern_of(const char *regex, bool by_hand) {
    SplitPattern *p;
    Error error = {0};
    int result = by_hand ? split_pattern_regex(&p, regex, strlen(regex), "test", &error)
                         : split_pattern_pcre(&p, regex, strlen(regex), "test", &error);
    if (result != 0) fail_msg("%s", error.message);
    return p;
}

/* The ends of all matches, as "2,5,"; gaps as "(1)". */
static Buffer matches(const SplitPattern *p, const char *text, size_t n) {
    PatternScratch *scratch = NULL;
    SplitSearch search = {p, &scratch, text, n, 0, 0, false};
    Buffer out = {0};
    size_t at = 0, begin, end;
    int found;
    Error error = {0};
    buffer_append(&out, "", 0);
    while ((found = split_search_next(&search, &begin, &end, &error)) > 0) {
        if (begin > at) buffer_format(&out, "(%zu)", begin);
        buffer_format(&out, "%zu,", end);
        at = end;
    }
    assert_int_equal(found, 0);
    pattern_scratch_free(scratch);
    return out;
}

static size_t random_text(const RngAddress *a, char *text) {
    static const uint32_t codes[] = {'a',    'Z',    's',     'S',     't',     'r',   'e',   'v',    'm',    'l',
                                     'L',    'd',    '\'',    '\'',    ' ',     ' ',   ' ',   '\n',   '\r',   '\t',
                                     '1',    '2',    '9',     '.',     '!',     '-',   0,     0x17f,  0xe9,   0x301,
                                     0xa0,   0x85,   0x180e,  0x2003,  0x1c,    0xb2,  0x660, 0x4e00, 0x3042, 0x1f600,
                                     0x2581, 0x16ee, 0x105c0, 0x11de0, 0x10d40, 0xe000};
    size_t n = 0, count = rng_below(a, 0, 24);
    for (uint32_t k = 1; k <= count; k++) {
        uint64_t random = rng_below(a, 2 * k, 10) == 0 ? rng_below(a, 2 * k + 1, 0x30000)
                                                       : codes[rng_below(a, 2 * k + 1, sizeof codes / sizeof *codes)];
        n += unicode_encode(random >= 0xd800 && random < 0xe000 ? 'x' : (uint32_t)random, text + n);
    }
    return n;
}

/* [SP-1] Hand-written and by PCRE2, the same matches on random text, which cover it without gaps. */
static void both_ways_agree(void **state) {
    (void)state;
    static const char *const patterns[] = {GPT2, LLAMA3("\\p{N}{1,3}"), LLAMA3("\\p{N}")};
    uint64_t seed = test_seed();
    for (size_t k = 0; k < 3; k++) {
        SplitPattern *hand = pattern_of(patterns[k], true), *pcre = pattern_of(patterns[k], false),
                     *planted = pattern_of(patterns[(k + 1) % 3], true);
        size_t caught = 0;
        for (uint32_t i = 0; i < 20000; i++) {
            RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i, .k = (uint32_t)k};
            char text[128];
            size_t n = random_text(&a, text);
            Buffer one = matches(hand, text, n), other = matches(pcre, text, n), fault = matches(planted, text, n);
            if (strcmp(one.data, other.data) != 0)
                fail_msg("pattern %zu, text %u: %s by hand, %s by PCRE2", k, i, one.data, other.data);
            assert_null(strchr(one.data, '('));
            caught += strcmp(one.data, fault.data) != 0;
            buffer_free(&one), buffer_free(&other), buffer_free(&fault);
        }
        assert_true(caught > 1000);
        split_pattern_free(hand), split_pattern_free(pcre), split_pattern_free(planted);
    }
}

/* Goldens of tokenizers 0.23.3 (Split): classes are those of Unicode 16, ^ and $ match at lines, matches may be empty.
 */
static void other_patterns(void **state) {
    (void)state;
    static const struct {
        const char *regex, *text, *want;
    } cases[] = {{"\\s+", "a \302\205\u180eb\034c", "(1)4,"},
                 {"\\S", "\u2003a\u180e", "(3)4,7,"},
                 {"[^\\S\\n]+", " \n\t", "1,(2)3,"},
                 {"\\p{Lu}\\p{Ll}*", "AbcDE\u00c9\u00e9f", "3,4,5,10,"},
                 {"\\p{^L}+|\\P{N}", "a1-b", "1,3,4,"},
                 {"\\d+", "12\u0661\u00b2", "4,"},
                 {"\\w+", "a_1\u0301\u203f-b", "8,(9)10,"},
                 {"^a|b$", "a\nab", "1,(2)3,4,"},
                 {"x*", "axb", "0,(1)2,(3)3,"},
                 {"(?i:k)", "kK\u212a", "1,2,5,"},
                 {"\\p{Han}+", "a\u4e00\u4e8cb", "(1)7,"},
                 {"[\\]\\[]+|[]a]", "[]a", "2,3,"},
                 {"[\\x00-\\x02]", "a\001", "(1)2,"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SplitPattern *p = pattern_of(cases[i].regex, true);
        Buffer found = matches(p, cases[i].text, strlen(cases[i].text));
        if (strcmp(found.data, cases[i].want) != 0) fail_msg("case %zu: %s, not %s", i, found.data, cases[i].want);
        buffer_free(&found);
        split_pattern_free(p);
    }
}

static void literals(void **state) {
    (void)state;
    SplitPattern *p;
    Error error = {0};
    assert_int_equal(split_pattern_literal(&p, "ab", 2, &error), 0);
    Buffer found = matches(p, "abxabab", 7);
    assert_string_equal(found.data, "2,(3)5,7,");
    buffer_free(&found);
    split_pattern_free(p);
    assert_int_equal(split_pattern_literal(&p, "", 0, &error), 0);
    found = matches(p, "ab", 2);
    assert_string_equal(found.data, "");
    buffer_free(&found);
    split_pattern_free(p);
}

static void refuses_what_it_cannot_read(void **state) {
    (void)state;
    static const char *const bad[][2] = {{"(", "PCRE2"},
                                         {"[a", "PCRE2"},
                                         {"\\p{Nonsense}", "PCRE2"},
                                         {"[a[b]]", "class within a class"},
                                         {"[a&&b]", "class within a class"},
                                         {"\\h", "\\h"},
                                         {"a\\C", "PCRE2"},
                                         {"\\", "PCRE2"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        SplitPattern *p;
        Error error = {0};
        assert_int_equal(split_pattern_regex(&p, bad[i][0], strlen(bad[i][0]), "x/tokenizer.json", &error), -1);
        assert_null(p);
        if (error.code != ERROR_UNSUPPORTED || strstr(error.message, bad[i][1]) == NULL ||
            strstr(error.message, "x/tokenizer.json") == NULL)
            fail_msg("case %zu: %s", i, error.message);
    }
}

/* A pattern whose backtracking grows exponentially ends with an error, not never. */
static void a_pattern_that_gives_up_is_an_error(void **state) {
    (void)state;
    SplitPattern *p = pattern_of("(a+)+b", true);
    PatternScratch *scratch = NULL;
    char text[60];
    memset(text, 'a', sizeof text);
    SplitSearch search = {p, &scratch, text, sizeof text, 0, 0, false};
    size_t begin, end;
    Error error = {0};
    assert_true(split_search_next(&search, &begin, &end, &error) <= 0);
    pattern_scratch_free(scratch);
    split_pattern_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways_agree), cmocka_unit_test(other_patterns),
                                       cmocka_unit_test(literals), cmocka_unit_test(refuses_what_it_cannot_read),
                                       cmocka_unit_test(a_pattern_that_gives_up_is_an_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
