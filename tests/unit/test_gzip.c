#include "base/rng.h"
#include "formats/gzip.h"
#include "test.h"

#include <string.h>
#include <zlib.h>

/* One member, by zlib. */
static size_t deflate_to(uint8_t *out, size_t capacity, const void *in, size_t size) {
    z_stream s = {0};
    assert_int_equal(deflateInit2(&s, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    s.next_in = (Bytef *)(uintptr_t)in, s.avail_in = (uInt)size, s.next_out = out, s.avail_out = (uInt)capacity;
    assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
    size_t n = s.total_out;
    deflateEnd(&s);
    return n;
}

static void inflates_all_members(void **state) {
    (void)state;
    static uint8_t text[300000], packed[400000];
    RngAddress a = {.seed = test_seed(), .stream = RNG_TEST};
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)('a' + rng_below(&a, (uint32_t)i, 20));
    size_t n = deflate_to(packed, sizeof packed, text, 200000);
    n += deflate_to(packed + n, sizeof packed - n, text + 200000, 100000);
    n += deflate_to(packed + n, sizeof packed - n, "", 0);
    Buffer out = {0};
    Error error = {0};
    assert_true(gzip_is(packed, n));
    assert_int_equal(gzip_inflate(packed, n, sizeof text, &out, "x.gz", &error), 0);
    assert_int_equal(out.size, sizeof text);
    assert_memory_equal(out.data, text, sizeof text);
    buffer_free(&out);
    assert_int_equal(gzip_inflate(packed, n, sizeof text - 1, &out, "x.gz", &error), -1);
    assert_non_null(strstr(error.message, "more than 299999 bytes"));
    buffer_free(&out);
}

static void refuses_damage(void **state) {
    (void)state;
    uint8_t packed[200];
    const char *text = "one line and another line";
    size_t n = deflate_to(packed, sizeof packed, text, strlen(text));
    for (size_t cut = 3; cut < n; cut++) {
        Buffer out = {0};
        Error error = {0};
        assert_int_equal(gzip_inflate(packed, cut, 1000, &out, "x.gz", &error), -1);
        assert_int_equal(error.code, ERROR_INPUT);
        assert_non_null(strstr(error.message, "x.gz: the gzip data is cut short"));
        buffer_free(&out);
    }
    packed[n - 5] ^= 1; // the checksum
    Buffer out = {0};
    Error error = {0};
    assert_int_equal(gzip_inflate(packed, n, 1000, &out, "x.gz", &error), -1);
    assert_non_null(strstr(error.message, "damaged"));
    buffer_free(&out);
    packed[n - 5] ^= 1;
    packed[n] = 'x'; // something behind the member that is no member
    assert_int_equal(gzip_inflate(packed, n + 1, 1000, &out, "x.gz", &error), -1);
    buffer_free(&out);
    assert_false(gzip_is("{\"a\"", 4));
    assert_false(gzip_is("\x1f\x8b", 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(inflates_all_members), cmocka_unit_test(refuses_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
