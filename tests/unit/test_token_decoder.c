#include "base/rng.h"
#include "test.h"
#include "text/byte_alphabet.h"
#include "text/token_decoder.h"
#include "text/unicode.h"

#include <string.h>

static Tokenizer *tokenizer_with(const char *base, const char *decoder) {
    char path[128];
    Tokenizer *t;
    Error error = {0};
    snprintf(path, sizeof path, "tests/data/tokenizer_%s.json", base);
    json_t *root = json_parse_file(path, &error);
    assert_non_null(root);
    if (decoder != NULL) json_object_set_new(root, "decoder", json_parse(decoder, strlen(decoder), "test", 1, &error));
    if (tokenizer_from_json(&t, root, path, &error) != 0) fail_msg("%s", error.message);
    json_decref(root);
    return t;
}

/* [TD-1], [TD-2] Random ids, many of them single bytes: every push is valid, and all together are the decoding at once.
 */
static void pushes_are_valid_and_add_up(void **state) {
    (void)state;
    static const char *const kinds[][2] = {
        {"bytes", NULL},
        {"pieces", NULL},
        {"pieces", "null"},
        {"pieces", "{\"type\": \"Metaspace\", \"replacement\": \"\u2581\", \"prepend_scheme\": \"first\"}"}};
    uint64_t seed = test_seed();
    size_t held_back = 0;
    for (size_t k = 0; k < 4; k++) {
        Tokenizer *t = tokenizer_with(kinds[k][0], kinds[k][1]);
        TokenDecoder *d;
        Error error = {0};
        assert_int_equal(token_decoder_create(&d, t, k % 2, &error), 0);
        for (uint32_t i = 0; i < 5000; i++) {
            RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
            int32_t ids[24];
            size_t count = rng_below(&a, 0, 25);
            Buffer parts = {0}, whole = {0};
            for (uint32_t p = 0; p < count; p++) {
                ids[p] = (int32_t)rng_below(&a, p + 1, i % 2 ? 262 : tokenizer_vocabulary(t) + 1);
                size_t before = parts.size;
                assert_int_equal(token_decoder_push(d, ids[p], &parts, &error), 0);
                size_t shown = parts.size - before;
                if (shown > 0 && unicode_valid_prefix(parts.data + before, shown) != shown)
                    fail_msg("broken UTF-8 after token %d", ids[p]);
                held_back += shown == 0;
            }
            assert_int_equal(token_decoder_finish(d, &parts, &error), 0);
            assert_int_equal(tokenizer_decode(t, ids, count, k % 2, &whole, &error), 0);
            assert_int_equal(parts.size, whole.size);
            if (whole.size > 0) assert_memory_equal(parts.data, whole.data, whole.size);
            buffer_free(&parts), buffer_free(&whole);
        }
        token_decoder_free(d);
        tokenizer_free(t);
    }
    assert_true(held_back > 10000); // that nothing was held back would be the planted fault
}

static void decodes_to(const Tokenizer *t, const char *const *tokens, size_t count, const char *want) {
    Buffer text = {0};
    Error error = {0};
    int32_t ids[16];
    for (size_t i = 0; i < count; i++) {
        ids[i] = tokenizer_id(t, tokens[i]);
        if (ids[i] < 0) fail_msg("no token %s", tokens[i]);
    }
    assert_int_equal(tokenizer_decode(t, ids, count, false, &text, &error), 0);
    if (text.size != strlen(want) || memcmp(text.data, want, text.size) != 0)
        fail_msg("decoded to \"%.*s\", not \"%s\"", (int)text.size, text.data, want);
    buffer_free(&text);
}
#define DECODES(t, want, ...)                                                                                          \
    decodes_to(t, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), want)

/* Goldens of tokenizers 0.23.3: one U+FFFD a byte where a run of <0xNN> is not UTF-8 as a whole. */
static void runs_of_bytes_are_all_or_nothing(void **state) {
    (void)state;
    Tokenizer *t = tokenizer_with("pieces", NULL);
    DECODES(t, "\u6cb3", "<0xE6>", "<0xB2>", "<0xB3>");
    DECODES(t, "\ufffd\ufffd\ufffd\ufffd", "<0xE6>", "<0xB2>", "<0xB3>", "<0xFF>");
    DECODES(t, "\ufffd\ufffde", "<0xE6>", "<0xB2>", "e");
    DECODES(t, "e e", "\u2581", "e", "\u2581", "e"); // one space is taken off the beginning
    DECODES(t, " e", "\u2581", "\u2581", "e");
    DECODES(t, "Ae", "<0x41>", "e");
    tokenizer_free(t);
}

static void byte_level_replaces_maximal_beginnings(void **state) {
    (void)state;
    Tokenizer *t = tokenizer_with("bytes", NULL);
    DECODES(t, "\u6cb3", "\u00e6", "\u00b2", "\u00b3"); // bytes E6 B2 B3
    DECODES(t, "\ufffd\ufffd", "\u00e6", "\u00b2", "\u00ff");
    DECODES(t, "\ufffd<|end|>", "\u00e6", "<|end|>");
    DECODES(t, "\ufffd", "\u00e6");
    tokenizer_free(t);
}

/* Every byte has one character, and no other character has a byte. */
static void the_byte_alphabet_is_a_bijection(void **state) {
    (void)state;
    size_t seen[256] = {0}, count = 0;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        int byte = byte_alphabet_byte(code);
        if (byte < 0) continue;
        seen[byte]++;
        count++;
    }
    assert_int_equal(count, 256);
    for (size_t byte = 0; byte < 256; byte++) assert_int_equal(seen[byte], 1);
    assert_int_equal(byte_alphabet_byte(0x120), ' ');
    assert_int_equal(byte_alphabet_byte(0x10a), '\n');
    assert_int_equal(byte_alphabet_byte(0x143), 0xad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_are_valid_and_add_up), cmocka_unit_test(runs_of_bytes_are_all_or_nothing),
        cmocka_unit_test(byte_level_replaces_maximal_beginnings), cmocka_unit_test(the_byte_alphabet_is_a_bijection)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
