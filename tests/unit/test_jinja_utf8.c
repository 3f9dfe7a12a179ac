#include "test.h"
#include "text/jinja_utf8.h"
#include <string.h>

static void every_code_point_comes_back(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        char bytes[8] = {'a', 0, 0, 0, 0, 'b', 0, 0};
        size_t n = jinja_utf8_encode(c, bytes + 1), taken, at;
        assert_int_equal(n, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        assert_int_equal(jinja_utf8_decode(bytes + 1, n, &taken), c);
        assert_int_equal(taken, n);
        assert_int_equal(jinja_utf8_size_before(bytes, n + 1), n);
        assert_int_equal(jinja_utf8_count(bytes, n + 1), 2);
        assert_int_equal(jinja_utf8_offset(bytes, n + 1, 1), 1);
        assert_int_equal(jinja_utf8_offset(bytes, n + 1, 5), n + 1);
        assert_int_equal(jinja_utf8_valid(bytes + 1, n, &at), c < 0xd800 || c >= 0xe000);
    }
}

static void what_is_no_utf8_is_found(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t bad;
    } cases[] = {
        {"a\x80", 1},
        {"\xc3", 0},
        {"ab\xc3(", 2},
        {"\xc0\x80", 0},
        {"\xe0\x80\x80", 0},
        {"\xed\xa0\x80", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xff", 0},
        {"\xe2\x82", 0},
        {"\xf8\x88\x80\x80\x80", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t at, size = strlen(cases[i].bytes), taken;
        assert_false(jinja_utf8_valid(cases[i].bytes, size, &at));
        assert_int_equal(at, cases[i].bad);
        for (size_t k = 0; k < size; k++) { // reading it anyway stays inside
            jinja_utf8_decode(cases[i].bytes + k, size - k, &taken);
            assert_true(taken >= 1 && taken <= size - k);
            assert_true(jinja_utf8_size_before(cases[i].bytes, k + 1) <= k + 1);
        }
    }
}

static uint64_t fnv(uint64_t hash, uint8_t byte) { return (hash ^ byte) * 0x100000001b3u; }

static uint64_t fnv_number(uint64_t hash, uint32_t number) {
    for (int i = 0; i < 4; i++) hash = fnv(hash, (uint8_t)(number >> 8 * i));
    return hash;
}

/* The hash that make_char_goldens.py makes of one character. */
static uint64_t add_char(uint64_t hash, uint32_t c) {
    static const JinjaCharClass classes[] = {JINJA_CHAR_SPACE,  JINJA_CHAR_LINE_END, JINJA_CHAR_PRINTABLE,
                                             JINJA_CHAR_LETTER, JINJA_CHAR_DECIMAL,  JINJA_CHAR_DIGIT,
                                             JINJA_CHAR_NUMERIC};
    static const JinjaCase cases[] = {JINJA_CASE_LOWER, JINJA_CASE_UPPER, JINJA_CASE_TITLE};
    unsigned flags = 0;
    for (unsigned i = 0; i < 7; i++) flags |= (unsigned)jinja_char_is(c, classes[i]) << i;
    hash = fnv(hash, (uint8_t)flags);
    for (int i = 0; i < 3; i++) {
        uint32_t letters[3];
        size_t n = jinja_char_case(c, cases[i], letters);
        for (size_t k = 0; k < n; k++) hash = fnv_number(hash, letters[k]);
        hash = fnv_number(hash, 0);
    }
    return hash;
}

static void classes_and_cases_are_pythons(void **state) {
    (void)state;
    FILE *f = fopen("tests/data/jinja_chars.txt", "r");
    char line[128];
    unsigned first, blocks = 0;
    unsigned long long wanted;
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (line[0] == '#' || sscanf(line, "%x %llx", &first, &wanted) != 2) continue;
        uint64_t hash = 0xcbf29ce484222325u;
        for (uint32_t c = first; c < first + 256; c++)
            if (c < 0xd800 || c >= 0xe000) hash = add_char(hash, c);
        if (hash != wanted) fail_msg("the characters from U+%04X on differ from Python's", first);
        blocks++;
    }
    fclose(f);
    assert_true(blocks >= 14);
    assert_int_not_equal(add_char(1, 'a'), add_char(1, 'b')); // the hash sees one letter
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(what_is_no_utf8_is_found),
        cmocka_unit_test(classes_and_cases_are_pythons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
