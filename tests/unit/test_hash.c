#include "base/hash.h"
#include "test.h"

#include "base/file.h"
#include "base/rng.h"

#include <string.h>
#include <unistd.h>

/* XXH3's specification gives the hash of no bytes with seed 0. */
static void the_published_value_comes_out(void **state) {
    (void)state;
    assert_string_equal(hash_bytes("", 0).hex, "99aa06d3014798d86001c324468d497f");
}

/* However the bytes arrive, they have one name; and one changed bit is another name. */
static void pieces_hash_as_the_whole(void **state) {
    (void)state;
    static unsigned char bytes[5000];
    const RngAddress address = {.seed = test_seed()};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(256 * rng_uniform(&address, (uint32_t)i));
    const Hash whole = hash_bytes(bytes, sizeof bytes);
    Hasher *hasher = hasher_create();
    for (size_t at = 0, n; at < sizeof bytes; at += n) {
        n = 1 + (size_t)(700 * rng_uniform(&address, (uint32_t)(10000 + at)));
        if (n > sizeof bytes - at) n = sizeof bytes - at;
        hasher_add(hasher, bytes + at, n);
        hasher_add(hasher, NULL, 0);
    }
    assert_string_equal(hasher_result(hasher).hex, whole.hex);
    assert_string_equal(hasher_result(hasher).hex, whole.hex); // asking does not change it
    hasher_destroy(hasher);
    char path[] = "/tmp/dice-hash-XXXXXX";
    Error error;
    Hash file;
    close(mkstemp(path));
    assert_int_equal(file_write(path, bytes, sizeof bytes, &error), 0);
    assert_int_equal(hash_file(path, &file, &error), 0);
    assert_string_equal(file.hex, whole.hex);
    bytes[4321] ^= 1;
    assert_string_not_equal(hash_bytes(bytes, sizeof bytes).hex, whole.hex);
    unlink(path);
    assert_int_equal(hash_file(path, &file, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_value_comes_out),
        cmocka_unit_test(pieces_hash_as_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
