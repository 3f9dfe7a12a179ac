#include "base/rng.h"
#include "test.h"
#include "text/unicode.h"

#include <string.h>

/* Every scalar value survives encoding and decoding; every length is the shortest. */
static void scalar_values_round_trip(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        if (code == 0xd800) code = 0xe000;
        char bytes[4];
        uint32_t back;
        size_t n = unicode_encode(code, bytes);
        if (n != (code < 0x80 ? 1u : code < 0x800 ? 2u : code < 0x10000 ? 3u : 4u))
            fail_msg("U+%04X has %zu bytes", code, n);
        if (unicode_decode(bytes, n, &back) != n || back != code) fail_msg("U+%04X decodes to U+%04X", code, back);
        if (unicode_valid_prefix(bytes, n) != n || unicode_incomplete_suffix(bytes, n) != 0) fail_msg("U+%04X", code);
        for (size_t k = 1; k < n; k++)
            if (unicode_incomplete_suffix(bytes, k) != k || unicode_valid_prefix(bytes, k) != 0)
                fail_msg("U+%04X, %zu bytes", code, k);
    }
}

/* [UC-1] Goldens of CPython 3.11, bytes.decode("utf-8", "replace"). */
static void broken_bytes_become_replacement_characters(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *text;
        size_t valid;
    } cases[] = {
        {"abc", "abc", 3},
        {"\xff", UNICODE_REPLACEMENT, 0},
        {"a\xc3", "a" UNICODE_REPLACEMENT, 1},
        {"\xc3\xa4\x80!", "\xc3\xa4" UNICODE_REPLACEMENT "!", 2},
        {"\xe2\x96\xff", UNICODE_REPLACEMENT UNICODE_REPLACEMENT, 0},
        {"\xf0\x9f\x98x", UNICODE_REPLACEMENT "x", 0},
        {"\xed\xa0\x80", UNICODE_REPLACEMENT UNICODE_REPLACEMENT UNICODE_REPLACEMENT, 0},
        {"\xc0\xaf", UNICODE_REPLACEMENT UNICODE_REPLACEMENT, 0},
        {"\xe0\x80\xaf", UNICODE_REPLACEMENT UNICODE_REPLACEMENT UNICODE_REPLACEMENT, 0},
        {"\xf4\x90\x80\x80", UNICODE_REPLACEMENT UNICODE_REPLACEMENT UNICODE_REPLACEMENT UNICODE_REPLACEMENT, 0},
        {"12345678\x80 12345678", "12345678" UNICODE_REPLACEMENT " 12345678", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buffer out = {0};
        size_t n = strlen(cases[i].bytes);
        unicode_append_lossy(&out, cases[i].bytes, n);
        assert_string_equal(out.data, cases[i].text);
        assert_int_equal(unicode_valid_prefix(cases[i].bytes, n), cases[i].valid);
        buffer_free(&out);
    }
}

/* Whatever the bytes: what comes out is valid, valid input is unchanged, and a held-back suffix changes nothing. */
static void random_bytes_come_out_valid(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    size_t held = 0, changed = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        static const unsigned char interesting[] = {0x41, 0x80, 0x96, 0xbf, 0xc3, 0xe2,
                                                    0xed, 0xf0, 0xf4, 0x9f, 0xa0, 0xff};
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        char bytes[12];
        size_t n = rng_below(&a, 0, sizeof bytes + 1);
        for (uint32_t k = 0; k < n; k++) bytes[k] = (char)interesting[rng_below(&a, k + 1, sizeof interesting)];
        Buffer whole = {0}, parts = {0};
        unicode_append_lossy(&whole, bytes, n);
        size_t cut = n - unicode_incomplete_suffix(bytes, n);
        unicode_append_lossy(&parts, bytes, cut);
        unicode_append_lossy(&parts, bytes + cut, n - cut);
        assert_int_equal(whole.size, parts.size);
        if (n > 0) {
            assert_memory_equal(whole.data, parts.data, whole.size);
            assert_int_equal(unicode_valid_prefix(whole.data, whole.size), whole.size);
        }
        held += cut < n;
        changed += unicode_valid_prefix(bytes, n) < n;
        buffer_free(&whole);
        buffer_free(&parts);
    }
    assert_true(held > 1000 && changed > 1000 && changed < 20000); // the planted fault: most inputs are broken
}

static bool in_class(const char *name, uint32_t code) {
    static const struct {
        const char *name;
        uint32_t categories;
    } known[] = {{"\\p{L}", UNICODE_LETTER},      {"\\p{N}", UNICODE_NUMBER}, {"\\p{M}", UNICODE_MARK},
                 {"\\p{P}", UNICODE_PUNCTUATION}, {"\\p{S}", UNICODE_SYMBOL}, {"\\p{Lu}", UNICODE_LU},
                 {"\\p{Ll}", UNICODE_LL},         {"\\p{Lt}", UNICODE_LT},    {"\\p{Lm}", UNICODE_LM},
                 {"\\p{Lo}", UNICODE_LO}};
    if (strcmp(name, "\\s") == 0) return unicode_is_space(code);
    if (strcmp(name, "Digits") == 0) return unicode_is_numeric(code);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) return unicode_category(code) & known[i].categories;
    fail_msg("no class %s", name);
    return false;
}

/* The number of code points in which a class differs from "41-5A 61 ...". */
static size_t differences(const char *name, const char *ranges) {
    size_t count = 0;
    uint32_t code = 0;
    for (char *end; *ranges != 0; ranges = *end == ' ' ? end + 1 : end) {
        uint32_t first = (uint32_t)strtoul(ranges, &end, 16), last = first;
        if (*end == '-') last = (uint32_t)strtoul(end + 1, &end, 16);
        if (end == ranges) break;
        for (; code < first; code++) count += in_class(name, code);
        for (; code <= last; code++) count += !in_class(name, code);
    }
    for (; code <= 0x10ffff; code++) count += in_class(name, code);
    return count;
}

/* [UC-2] */
static void classes_are_those_of_the_reference(void **state) {
    (void)state;
    char path[512];
    static char line[1 << 16];
    if (test_shared("oracle/tokenizers/unicode_classes.txt", path, sizeof path) == NULL) skip();
    FILE *f = fopen(path, "rb");
    size_t checked = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        char *name = line, *count = strchr(line, ' ');
        if (line[0] == '#' || name[0] == '(' || strncmp(name, "Punctuation", 11) == 0) continue;
        *count++ = 0;
        line[strcspn(line, "\n")] = 0;
        count[strcspn(count, "\n")] = 0;
        size_t wrong = differences(name, strchr(count, ' ') + 1);
        if (wrong > 0) fail_msg("%s differs in %zu code points", name, wrong);
        checked++;
    }
    fclose(f);
    assert_int_equal(checked, 12);
    assert_int_equal(differences("\\s", "9-D 20 85 A0 1680 180E 2000-200A 2028-2029 202F 205F 3000"),
                     1); // a planted U+180E is seen
}

static void words_have_letters_marks_and_joiners(void **state) {
    (void)state;
    static const uint32_t word[] = {'a', 'Z', '0', '_', 0xe4, 0x300, 0x4e2d, 0x16ee, 0x200d, 0x24b6, 0x203f, 0x1f130},
                          other[] = {' ', '-', 0xb2, 0x2581, 0x1f600, 0x200b};
    for (size_t i = 0; i < sizeof word / sizeof *word; i++) assert_true(unicode_is_word(word[i]));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) assert_false(unicode_is_word(other[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalar_values_round_trip), cmocka_unit_test(broken_bytes_become_replacement_characters),
        cmocka_unit_test(random_bytes_come_out_valid), cmocka_unit_test(classes_are_those_of_the_reference),
        cmocka_unit_test(words_have_letters_marks_and_joiners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
