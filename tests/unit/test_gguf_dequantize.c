#include "formats/gguf_dequantize.h"
#include "test.h"

#include <string.h>

static size_t from_hex(const char *text, uint8_t *out, size_t capacity) {
    size_t n = strlen(text) / 2;
    assert_true(n <= capacity);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return n;
}

/* [GD-1] Random blocks of every format give the bits that the reference gives; and a changed block others. */
static void gives_the_bits_of_the_reference(void **state) {
    (void)state;
    static char type[16], block_text[4096], value_text[16384];
    static uint8_t blocks[2048], values[8192];
    FILE *f = fopen("tests/data/gguf_dequantize.txt", "r");
    assert_non_null(f);
    size_t formats = 0;
    while (fscanf(f, "%15s %4095s %16383s", type, block_text, value_text) == 3) {
        uint32_t id = 0;
        while (id < 100 && (gguf_format(id)->name == NULL || strcmp(gguf_format(id)->name, type) != 0)) id++;
        const GgufFormat *format = gguf_format(id);
        size_t bytes = from_hex(block_text, blocks, sizeof blocks),
               count = from_hex(value_text, values, sizeof values) / 4;
        float out[1024];
        assert_true(format->bytes > 0 && bytes % format->bytes == 0 &&
                    count == bytes / format->bytes * format->elements);
        gguf_dequantize(format, blocks, bytes / format->bytes, out);
        for (size_t i = 0; i < count; i++) {
            const uint8_t *v = values + 4 * i;
            uint32_t want = (uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | v[3], found;
            memcpy(&found, &out[i], 4);
            if (found != want) fail_msg("%s, number %zu: %08x where %08x was expected", type, i, found, want);
        }
        float changed[1024];
        blocks[bytes / format->bytes * format->bytes - 1] ^= 0x11;
        gguf_dequantize(format, blocks, bytes / format->bytes, changed);
        assert_memory_not_equal(out, changed, count * sizeof(float));
        formats++;
    }
    fclose(f);
    assert_int_equal(formats, 13);
}

static void knows_what_it_does_not_support(void **state) {
    (void)state;
    assert_string_equal(gguf_format(16)->name, "IQ2_XXS");
    assert_string_equal(gguf_format(29)->name, "IQ1_M");
    assert_string_equal(gguf_format(35)->name, "TQ2_0");
    assert_int_equal(gguf_format(16)->bytes, 0);
    assert_null(gguf_format(4)->name);
    assert_null(gguf_format(UINT32_MAX)->name);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gives_the_bits_of_the_reference),
                                       cmocka_unit_test(knows_what_it_does_not_support)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
