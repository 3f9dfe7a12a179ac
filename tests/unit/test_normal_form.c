#include "base/rng.h"
#include "test.h"
#include "text/normal_form.h"
#include "text/unicode.h"

#include <string.h>

static const NormalForm nfc = {true, false}, nfd = {false, false}, nfkc = {true, true}, nfkd = {false, true};

static Buffer form_of(NormalForm form, const char *text, size_t n) {
    Buffer out = {0};
    Error error = {0};
    if (normal_form_append(form, text, n, &out, &error) != 0) fail_msg("%s", error.message);
    buffer_append(&out, "", 0);
    return out;
}

/* [NF-1] Goldens of CPython 3.11's unicodedata.normalize. */
static void agrees_with_unicodedata(void **state) {
    (void)state;
    static const struct {
        const char *text, *c, *d, *kc, *kd;
    } cases[] = {{"", "", "", "", ""},
                 {"plain text\n", "plain text\n", "plain text\n", "plain text\n", "plain text\n"},
                 {"\u00e9a\u0301", "\u00e9\u00e1", "e\u0301a\u0301", "\u00e9\u00e1", "e\u0301a\u0301"},
                 {"ab\u0301\u0323c", "a\u1e05\u0301c", "ab\u0323\u0301c", "a\u1e05\u0301c", "ab\u0323\u0301c"},
                 {"\u212b\u2126", "\u00c5\u03a9", "A\u030a\u03a9", "\u00c5\u03a9", "A\u030a\u03a9"},
                 {"\u1112\u1161\u11ab \uac00", "\ud55c \uac00", "\u1112\u1161\u11ab \u1100\u1161", "\ud55c \uac00",
                  "\u1112\u1161\u11ab \u1100\u1161"},
                 {"\ufb01\u00b2\uff21", "\ufb01\u00b2\uff21", "\ufb01\u00b2\uff21", "fi2A", "fi2A"},
                 {"\u0301\u0958\u0344", "\u0301\u0915\u093c\u0308\u0301", "\u0301\u0915\u093c\u0308\u0301",
                  "\u0301\u0915\u093c\u0308\u0301", "\u0301\u0915\u093c\u0308\u0301"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const NormalForm forms[] = {nfc, nfd, nfkc, nfkd};
        const char *const want[] = {cases[i].c, cases[i].d, cases[i].kc, cases[i].kd};
        for (size_t k = 0; k < 4; k++) {
            Buffer out = form_of(forms[k], cases[i].text, strlen(cases[i].text));
            assert_string_equal(out.data, want[k]);
            buffer_free(&out);
        }
    }
}

/* A form of a form is that form, and composing again undoes decomposing; whatever the text. */
static void forms_are_stable(void **state) {
    (void)state;
    static const uint32_t codes[] = {'a',    'e',    ' ',    0xe9,    0xdf,   0x300,   0x301,  0x323,
                                     0x345,  0x591,  0x93c,  0x915,   0x1100, 0x1161,  0x11a8, 0xac00,
                                     0x3099, 0x304b, 0x212b, 0x1d15e, 0x4e00, 0x1f600, 0};
    uint64_t seed = test_seed();
    size_t changed = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        char text[200];
        size_t n = 0, count = rng_below(&a, 0, 40);
        for (uint32_t k = 1; k <= count; k++)
            n += unicode_encode(codes[rng_below(&a, k, sizeof codes / sizeof *codes)], text + n);
        Buffer d = form_of(nfd, text, n), c = form_of(nfc, text, n), dd = form_of(nfd, d.data, d.size),
               cc = form_of(nfc, c.data, c.size), cd = form_of(nfc, d.data, d.size);
        assert_true(dd.size == d.size && memcmp(dd.data, d.data, d.size) == 0);
        assert_true(cc.size == c.size && memcmp(cc.data, c.data, c.size) == 0);
        assert_true(cd.size == c.size && memcmp(cd.data, c.data, c.size) == 0);
        changed += c.size != d.size; // a planted nfd in the place of nfc is seen
        buffer_free(&d), buffer_free(&c), buffer_free(&dd), buffer_free(&cc), buffer_free(&cd);
    }
    assert_true(changed > 10000);
}

/* Two million marks, each pair out of order: swapping neighbours would take 10^12 steps. */
static void many_marks_take_linear_time(void **state) {
    (void)state;
    enum { PAIRS = 1000000 };
    char *text = malloc(4 * PAIRS + 1);
    assert_non_null(text);
    text[0] = 'a';
    for (size_t i = 0; i < PAIRS; i++) memcpy(text + 1 + 4 * i, "\u0301\u0323", 4);
    Buffer out = form_of(nfd, text, 4 * PAIRS + 1);
    assert_int_equal(out.size, 4 * PAIRS + 1);
    assert_memory_equal(out.data + 1, "\u0323\u0323", 4);
    assert_memory_equal(out.data + 1 + 2 * PAIRS - 2, "\u0323\u0301", 4);
    buffer_free(&out);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_unicodedata), cmocka_unit_test(forms_are_stable),
                                       cmocka_unit_test(many_marks_take_linear_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
