#include "base/rng.h"
#include "formats/safetensors.h"
#include "test.h"

#include <math.h>
#include <string.h>

/* One file in memory: header text, then `data` bytes of zeros. */
static size_t compose(uint8_t *file, const char *header, size_t data) {
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(file + 8, header, n);
    memset(file + 8 + n, 0, data);
    return 8 + n + data;
}

static void reads_types_and_shapes(void **state) {
    (void)state;
    uint8_t file[512];
    Error error = {0};
    Checkpoint *c = NULL;
    size_t n =
        compose(file,
                "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]},\"a\":{\"dtype\":\"F32\",\"shape\":["
                "1,2],\"data_offsets\":[0,8]},"
                "\"h\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[12,14]},\"__metadata__\":{\"format\":\"pt\"}}",
                14);
    float values[2] = {1.5f, -2};
    memcpy(file + n - 14, values, 8);
    memcpy(file + n - 6, (uint16_t[]){0x3f80, 0xc040, 0x3c01}, 6);
    assert_int_equal(checkpoint_from_memory(&c, file, n, "memory", &error), 0);
    assert_int_equal(checkpoint_count(c), 3);
    assert_string_equal(checkpoint_at(c, 0)->name, "a");
    assert_null(checkpoint_find(c, "c"));
    float out[2];
    assert_int_equal(tensor_read_f32(checkpoint_find(c, "a"), 0, 2, out, &error), 0);
    assert_memory_equal(out, values, 8);
    assert_int_equal(tensor_read_f32(checkpoint_find(c, "b"), 0, 2, out, &error), 0);
    assert_true(out[0] == 1 && out[1] == -3);
    assert_int_equal(tensor_read_f32(checkpoint_find(c, "h"), 0, 1, out, &error), 0);
    assert_true(out[0] == 1 + 0x1p-10f);
    checkpoint_close(c);
}

/* Each broken file is refused with its code, and with a message that has the expected words. */
static void refuses_lies(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        ErrorCode code;
        const char *words;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, ERROR_INPUT, "truncated"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, ERROR_INPUT, "the file has 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, ERROR_INPUT, "need 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[0,4]}}",
         4, ERROR_INPUT, "header lies"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, ERROR_INPUT, "header lies"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}", 8, ERROR_INPUT, "begin <= end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         ERROR_INPUT, "64 bits"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,0]}}", 0, ERROR_INPUT,
         "64 bits"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, ERROR_INPUT, "dimension 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, ERROR_INPUT,
         "9 dimensions"},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, ERROR_UNSUPPORTED, "I64"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,8]}}", 8, ERROR_INPUT, "dtype"},
        {"{\"a\":7}", 0, ERROR_INPUT, "dtype"},
        {"{\"a\":{},\"a\":{}}", 0, ERROR_INPUT, "duplicate"},
        {"[]", 0, ERROR_INPUT, "object"},
        {"{\"a\":", 0, ERROR_INPUT, "JSON"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t file[512];
        Error error = {0};
        Checkpoint *c = NULL;
        size_t n = compose(file, cases[i].header, cases[i].data);
        assert_int_equal(checkpoint_from_memory(&c, file, n, "model.safetensors", &error), -1);
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL ||
            strstr(error.message, "model.safetensors") == NULL)
            fail_msg("case %zu: code %d, \"%s\"", i, error.code, error.message);
    }
}

static void refuses_short_files(void **state) {
    (void)state;
    Error error = {0};
    Checkpoint *c = NULL;
    const uint8_t file[9] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0};
    for (size_t n = 0; n <= sizeof file; n++) assert_int_equal(checkpoint_from_memory(&c, file, n, "x", &error), -1);
    assert_int_equal(checkpoint_open(&c, "there is no such directory", &error), -1);
    assert_int_equal(error.code, ERROR_IO);
}

static void names_the_place_of_a_nan(void **state) {
    (void)state;
    Error error = {0};
    float data[4] = {1, 2, NAN, 4}, out[4];
    TensorView t = {.name = "w", .file = "f", .type = DTYPE_F32, .elements = 4, .data = (const uint8_t *)data};
    assert_int_equal(tensor_read_f32(&t, 1, 3, out, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    assert_non_null(strstr(error.message, "element 2"));
}

/* Bytes of a good file changed at random: never a crash, never a tensor outside the file. */
static void survives_random_changes(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F16\","
                         "\"shape\":[2],\"data_offsets\":[8,12]}}";
    size_t accepted = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t file[256];
        size_t n = compose(file, header, 12);
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        for (uint32_t k = 0; k < 1 + i % 3; k++) file[rng_below(&a, 2 * k, n)] = (uint8_t)rng_below(&a, 2 * k + 1, 256);
        Checkpoint *c = NULL;
        Error error = {0};
        if (checkpoint_from_memory(&c, file, n, "x", &error) != 0) {
            assert_true(error.code != ERROR_NONE);
            continue;
        }
        accepted++;
        for (size_t t = 0; t < checkpoint_count(c); t++) {
            const TensorView *v = checkpoint_at(c, t);
            assert_true(v->data >= file && v->data + v->bytes <= file + n);
        }
        checkpoint_close(c);
    }
    assert_true(accepted > 0 && accepted < 20000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_types_and_shapes), cmocka_unit_test(refuses_lies), cmocka_unit_test(refuses_short_files),
        cmocka_unit_test(names_the_place_of_a_nan), cmocka_unit_test(survives_random_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
