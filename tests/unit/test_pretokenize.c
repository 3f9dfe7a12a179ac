#include "base/buffer.h"
#include "base/rng.h"
#include "test.h"
#include "text/pretokenize.h"
#include "text/unicode.h"

#include <string.h>

#define BYTE_LEVEL "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}"
#define PLAIN_BYTES "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}"
#define DIGITS "{\"type\": \"Digits\", \"individual_digits\": true}"
#define SPLIT(pattern, behavior)                                                                                       \
    "{\"type\": \"Split\", \"pattern\": " pattern ", \"behavior\": \"" behavior "\", \"invert\": false}"
#define SEQUENCE(parts) "{\"type\": \"Sequence\", \"pretokenizers\": [" parts "]}"
#define METASPACE(scheme, cuts)                                                                                        \
    "{\"type\": \"Metaspace\", \"replacement\": \"\u2581\", \"prepend_scheme\": \"" scheme "\", \"split\": " cuts "}"

static Pretokenizer *pretokenizer_of(const char *text) {
    Pretokenizer *p = NULL;
    Error error = {0};
    json_t *json = json_parse(text, strlen(text), "test", 1, &error);
    if (json == NULL || pretokenizer_from_json(&p, json, "test", &error) != 0) fail_msg("%s: %s", text, error.message);
    json_decref(json);
    return p;
}

static int append_piece(void *context, const char *piece, size_t bytes, Error *error) {
    (void)error;
    assert_true(bytes > 0);
    buffer_append(context, piece, bytes);
    buffer_append(context, "|", 1);
    return 0;
}

static Buffer pieces_of(const Pretokenizer *p, const char *text, size_t n, bool first) {
    PretokenizeScratch *scratch = pretokenize_scratch_create();
    Buffer out = {0};
    Error error = {0};
    assert_int_equal(pretokenize(p, scratch, text, n, first, append_piece, &out, &error), 0);
    buffer_append(&out, "", 0);
    pretokenize_scratch_free(scratch);
    return out;
}

/* Goldens of tokenizers 0.23.3, pre_tokenize_str. */
static void cuts_as_the_reference(void **state) {
    (void)state;
    static const struct {
        const char *json, *text, *want;
    } cases[] = {{"null", "a b", "a b|"},
                 {BYTE_LEVEL, "Hello  world, it's 12\n\n", "Hello| | world|,| it|'s| 12|\n\n|"},
                 {SEQUENCE(DIGITS ", " BYTE_LEVEL), "\n\n2. a12  3",
                  "\n\n|2|.| a|1|2|  |3|"}, // white space before a digit stays whole
                 {BYTE_LEVEL, "\n\n2.", "\n|\n|2|.|"},
                 {SPLIT("{\"String\": \"-\"}", "Removed"), "-a--b-", "a|b|"},
                 {SPLIT("{\"String\": \"-\"}", "Isolated"), "-a--b-", "-|a|-|-|b|-|"},
                 {SPLIT("{\"String\": \"-\"}", "MergedWithPrevious"), "-a--b-", "-|a-|-|b-|"},
                 {SPLIT("{\"String\": \"-\"}", "MergedWithNext"), "-a--b-", "-a|-|-b|-|"},
                 {SPLIT("{\"String\": \"-\"}", "Contiguous"), "-a--b-", "-|a|--|b|-|"},
                 {"{\"type\": \"Digits\", \"individual_digits\": false}", "a12\u0663b\u00bd", "a|12\u0663|b|\u00bd|"},
                 {METASPACE("always", "true"), "a  b", "\u2581a|\u2581|\u2581b|"},
                 {METASPACE("always", "false"), " a b", "\u2581a\u2581b|"},
                 {METASPACE("never", "true"), "a b", "a|\u2581b|"},
                 {"{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"use_regex\": true}", "a b", " a| b|"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Pretokenizer *p = pretokenizer_of(cases[i].json);
        Buffer found = pieces_of(p, cases[i].text, strlen(cases[i].text), true);
        if (strcmp(found.data, cases[i].want) != 0) fail_msg("%s: %s", cases[i].json, found.data);
        buffer_free(&found);
        pretokenizer_free(p);
    }
}

static void prepends_only_at_the_beginning(void **state) {
    (void)state;
    Pretokenizer *p = pretokenizer_of(METASPACE("first", "true"));
    Buffer first = pieces_of(p, "a", 1, true), later = pieces_of(p, "a", 1, false);
    assert_string_equal(first.data, "\u2581a|");
    assert_string_equal(later.data, "a|");
    buffer_free(&first), buffer_free(&later);
    pretokenizer_free(p);
}

static int check_place(void *context, const char *piece, size_t bytes, Error *error) {
    const char **at = context;
    (void)error;
    if (piece != *at) return -1;
    *at += bytes;
    return 0;
}

/* [PT-1] Pieces are the text, in order and whole; the planted Removed is seen. */
static void pieces_are_the_text(void **state) {
    (void)state;
    static const char *const kinds[] = {
        BYTE_LEVEL,
        SEQUENCE(DIGITS ", " BYTE_LEVEL),
        SPLIT("{\"Regex\": \"\\\\s+|e*\"}", "MergedWithPrevious"),
        SPLIT("{\"Regex\": \"\\\\p{L}+\"}", "MergedWithNext"),
        SEQUENCE(SPLIT("{\"String\": \" \"}", "Contiguous") ", " DIGITS ", " PLAIN_BYTES),
        SPLIT("{\"String\": \"a\"}", "Removed")};
    static const uint32_t codes[] = {'a', 'e', ' ', ' ', '1', '\n', '.', '\'', 's', 0xe9, 0x4e00, 0x1f600, 0x660, 0xa0};
    uint64_t seed = test_seed();
    size_t broken[6] = {0};
    for (size_t k = 0; k < 6; k++) {
        Pretokenizer *p = pretokenizer_of(kinds[k]);
        PretokenizeScratch *scratch = pretokenize_scratch_create();
        for (uint32_t i = 0; i < 3000; i++) {
            RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
            char text[160];
            size_t n = 0, count = rng_below(&a, 0, 40);
            for (uint32_t c = 1; c <= count; c++)
                n += unicode_encode(codes[rng_below(&a, c, sizeof codes / sizeof *codes)], text + n);
            const char *at = text;
            Error error = {0};
            broken[k] += pretokenize(p, scratch, text, n, true, check_place, &at, &error) != 0 || at != text + n;
        }
        pretokenize_scratch_free(scratch);
        pretokenizer_free(p);
    }
    for (size_t k = 0; k < 5; k++) assert_int_equal(broken[k], 0);
    assert_true(broken[5] > 1000);
}

static int count_piece(void *context, const char *piece, size_t bytes, Error *error) {
    (void)piece, (void)bytes, (void)error;
    ++*(size_t *)context;
    return 0;
}

/* [PT-2] Two million bytes of one kind: a quadratic rule would take 10^12 steps. */
static void hard_texts_take_linear_time(void **state) {
    (void)state;
    enum { BYTES = 2000000 };
    static const struct {
        const char *unit;
        size_t pieces;
    } texts[] = {{"a", 1}, {" ", 1}, {"\n", 1},         {"1", BYTES},
                 {".", 1}, {"'", 1}, {" a", BYTES / 2}, {"  a", 2 * (BYTES / 3)}};
    static char text[BYTES];
    Pretokenizer *p = pretokenizer_of(SEQUENCE(DIGITS ", " BYTE_LEVEL));
    PretokenizeScratch *scratch = pretokenize_scratch_create();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t unit = strlen(texts[i].unit), n = BYTES / unit * unit, count = 0;
        Error error = {0};
        for (size_t k = 0; k < n; k++) text[k] = texts[i].unit[k % unit];
        assert_int_equal(pretokenize(p, scratch, text, n, true, count_piece, &count, &error), 0);
        assert_int_equal(count, texts[i].pieces);
    }
    pretokenize_scratch_free(scratch);
    pretokenizer_free(p);
}

static int stop_at_once(void *context, const char *piece, size_t bytes, Error *error) {
    (void)piece, (void)bytes;
    ++*(size_t *)context;
    return error_set(error, ERROR_FAILED, "enough");
}

static void the_sink_can_stop_it(void **state) {
    (void)state;
    Pretokenizer *p = pretokenizer_of(SEQUENCE(DIGITS ", " BYTE_LEVEL));
    PretokenizeScratch *scratch = pretokenize_scratch_create();
    size_t count = 0;
    Error error = {0};
    assert_int_equal(pretokenize(p, scratch, "a b c", 5, true, stop_at_once, &count, &error), -1);
    assert_int_equal(count, 1);
    assert_string_equal(error.message, "enough");
    pretokenize_scratch_free(scratch);
    pretokenizer_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_as_the_reference), cmocka_unit_test(prepends_only_at_the_beginning),
        cmocka_unit_test(pieces_are_the_text), cmocka_unit_test(hard_texts_take_linear_time),
        cmocka_unit_test(the_sink_can_stop_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
