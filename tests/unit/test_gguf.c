#include "base/rng.h"
#include "formats/gguf.h"
#include "gguf_build.h"

#include <math.h>

/* A file with a pair of every kind and three tensors. */
static Buffer good(void) {
    GgufBuild g = {0};
    const char *const words[] = {"one", "", "three"};
    const int32_t numbers[] = {-1, 0, 7};
    const float values[] = {0.5f, -1, 2, 3, 4, 5};
    uint8_t q8[68] = {0, 0x3c, 1, 2, 0xff}; // 1.0; 1, 2, -1, 0 ...
    q8[35] = 0x40;
    q8[36] = 3;
    gguf_build_string(&g, "general.architecture", "llama");
    gguf_build_integer(&g, "count", 77);
    gguf_build_pair(&g, "negative", 3, &(int16_t){-5}, 2);
    gguf_build_pair(&g, "large", 10, &(uint64_t){UINT64_MAX}, 8);
    gguf_build_pair(&g, "double", 12, &(double){0.25}, 8);
    gguf_build_float(&g, "single", 1.5f);
    gguf_build_bool(&g, "yes", 1);
    gguf_build_strings(&g, "words", words, 3);
    gguf_build_numbers(&g, "numbers", 5, numbers, 3);
    gguf_build_tensor(&g, "b.weight", GGUF_F32, 3, 2, values, sizeof values);
    gguf_build_tensor(&g, "a.weight", GGUF_Q8_0, 32, 2, q8, sizeof q8);
    gguf_build_tensor(&g, "c", GGUF_F32, 2, 0, values, 8);
    return gguf_build_finish(&g);
}

static void reads_every_kind(void **state) {
    (void)state;
    Buffer file = good();
    Gguf *g = NULL;
    Error error = {0};
    if (gguf_from_memory(&g, file.data, file.size, "m.gguf", &error) != 0) fail_msg("%s", error.message);
    int64_t whole = 3;
    double number = 3;
    bool yes = false;
    GgufString text;
    GgufArray array;
    assert_int_equal(gguf_integer(g, "count", 0, 100, &whole, &error), 0);
    assert_int_equal(whole, 77);
    assert_int_equal(gguf_integer(g, "negative", -10, 0, &whole, &error), 0);
    assert_int_equal(whole, -5);
    assert_int_equal(gguf_integer(g, "absent", 0, 1, &whole, &error), 0);
    assert_int_equal(whole, -5);
    assert_int_equal(gguf_number(g, "double", &number, &error), 0);
    assert_true(number == 0.25);
    assert_int_equal(gguf_number(g, "single", &number, &error), 0);
    assert_true(number == 1.5);
    assert_int_equal(gguf_number(g, "negative", &number, &error), 0);
    assert_true(number == -5);
    assert_int_equal(gguf_bool(g, "yes", &yes, &error), 0);
    assert_true(yes && gguf_has(g, "yes") && !gguf_has(g, "no"));
    assert_int_equal(gguf_string(g, "general.architecture", &text, &error), 0);
    assert_true(text.bytes == 5 && memcmp(text.text, "llama", 5) == 0);
    assert_int_equal(gguf_strings(g, "words", &array, &error), 0);
    assert_int_equal(array.count, 3);
    assert_int_equal(gguf_next_string(&array).bytes, 3);
    assert_int_equal(gguf_next_string(&array).bytes, 0);
    assert_int_equal(gguf_next_string(&array).bytes, 5);
    assert_int_equal(gguf_numbers(g, "numbers", &array, &error), 0);
    assert_true(gguf_next_number(&array) == -1 && gguf_next_number(&array) == 0 && gguf_next_number(&array) == 7 &&
                array.count == 0);
    assert_int_equal(gguf_numbers(g, "absent", &array, &error), 0);
    assert_int_equal(array.count, 0);
    assert_int_equal(gguf_tensors(g), 3);
    assert_string_equal(gguf_tensor_at(g, 0)->name, "b.weight");
    assert_null(gguf_tensor(g, "d"));
    const GgufTensor *t = gguf_tensor(g, "a.weight");
    float out[64];
    assert_true(t->rank == 2 && t->shape[0] == 32 && t->shape[1] == 2 && t->shape[2] == 1 && t->elements == 64);
    assert_int_equal(gguf_read_f32(t, 1, 1, out, &error), 0);
    assert_true(out[0] == 6 && out[1] == 0);
    assert_int_equal(gguf_read_f32(gguf_tensor(g, "b.weight"), 0, 2, out, &error), 0);
    assert_true(out[0] == 0.5f && out[5] == 5);
    gguf_close(g);
    buffer_free(&file);
}

static void names_the_key_of_another_type(void **state) {
    (void)state;
    Buffer file = good();
    Gguf *g = NULL;
    Error error = {0};
    int64_t whole;
    double number;
    bool yes;
    GgufString text;
    GgufArray array;
    assert_int_equal(gguf_from_memory(&g, file.data, file.size, "m.gguf", &error), 0);
    assert_int_equal(gguf_integer(g, "single", 0, 1, &whole, &error), -1);
    assert_string_equal(error.message, "m.gguf: \"single\" is of type float32 where a whole number was expected");
    assert_int_equal(gguf_integer(g, "count", 0, 5, &whole, &error), -1);
    assert_string_equal(error.message, "m.gguf: \"count\" is 77, outside 0 .. 5");
    assert_int_equal(gguf_integer(g, "large", 0, 5, &whole, &error), -1);
    assert_int_equal(gguf_number(g, "yes", &number, &error), -1);
    assert_int_equal(gguf_bool(g, "count", &yes, &error), -1);
    assert_int_equal(gguf_string(g, "words", &text, &error), -1);
    assert_int_equal(gguf_strings(g, "count", &array, &error), -1);
    assert_int_equal(gguf_strings(g, "numbers", &array, &error), -1);
    assert_string_equal(error.message,
                        "m.gguf: \"numbers\" is an array of type int32 where an array of strings was expected");
    assert_int_equal(gguf_numbers(g, "words", &array, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    gguf_close(g);
    buffer_free(&file);
}

static void expect_refusal(Buffer *file, ErrorCode code, const char *words) {
    Gguf *g = NULL;
    Error error = {0};
    assert_int_equal(gguf_from_memory(&g, file->data, file->size, "m.gguf", &error), -1);
    if (error.code != code || strstr(error.message, words) == NULL || strncmp(error.message, "m.gguf: ", 8) != 0)
        fail_msg("\"%s\" where \"%s\" was expected (code %d)", error.message, words, error.code);
    buffer_free(file);
}

static void refuses_lies_of_the_head(void **state) {
    (void)state;
    static const struct {
        size_t at, bytes;
        uint64_t value;
        ErrorCode code;
        const char *words;
    } cases[] = {{0, 4, 0x46554748, ERROR_INPUT, "no GGUF file"},
                 {4, 4, 1, ERROR_UNSUPPORTED, "version 1 is not supported; supported are 2 and 3"},
                 {4, 4, 0x03000000, ERROR_UNSUPPORTED, "big-endian"},
                 {8, 8, UINT64_MAX, ERROR_INPUT, "more than its"},
                 {16, 8, UINT64_MAX / 13, ERROR_INPUT, "more than its"},
                 {24, 8, UINT64_MAX, ERROR_INPUT, "truncated"},
                 {24, 8, 0, ERROR_INPUT, "a key must have 1 to 65535 bytes"},
                 {52, 4, 13, ERROR_INPUT, "\"general.architecture\" has the type 13"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buffer file = good();
        memcpy(file.data + cases[i].at, &cases[i].value, cases[i].bytes);
        expect_refusal(&file, cases[i].code, cases[i].words);
    }
}

/* One tensor that is wrong in one way [GG-1] [GG-2] [GG-3]. */
static void refuses_lies_of_a_tensor(void **state) {
    (void)state;
    static const struct {
        uint32_t rank;
        uint64_t columns, rows;
        uint32_t type;
        uint64_t offset;
        ErrorCode code;
        const char *words;
    } cases[] = {{2, 32, 1, GGUF_F32, 32, ERROR_INPUT, "goes beyond the end"},
                 {2, 32, 1, GGUF_F32, UINT64_MAX - 31, ERROR_INPUT, "goes beyond the end"},
                 {2, 32, 1, GGUF_F32, 8, ERROR_INPUT, "no multiple of the alignment 32"},
                 {2, 1ull << 62, 4, GGUF_F32, 0, ERROR_INPUT, "does not fit into 64 bits"},
                 {2, 1ull << 62, 1, GGUF_F32, 0, ERROR_INPUT, "does not fit into 64 bits"},
                 {2, 0, 1, GGUF_F32, 0, ERROR_INPUT, "dimension 0 is 0"},
                 {2, 16, 2, GGUF_Q8_0, 0, ERROR_INPUT, "no whole blocks of 32, which Q8_0 asks for"},
                 {5, 16, 2, GGUF_F32, 0, ERROR_INPUT, "has 5 dimensions, at most 4"},
                 {2, 256, 1, 18, 0, ERROR_UNSUPPORTED, "type 18 (IQ3_XXS), which is not supported; supported are F32"},
                 {2, 256, 1, 4, 0, ERROR_UNSUPPORTED, "type 4 (unknown)"}};
    float values[32] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufBuild g = {0};
        gguf_build_tensor(&g, "w", GGUF_F32, 32, 1, values, sizeof values);
        memcpy(g.tensors.data + 9, &cases[i].rank, 4);
        memcpy(g.tensors.data + 13, &cases[i].columns, 8);
        memcpy(g.tensors.data + 21, &cases[i].rows, 8);
        memcpy(g.tensors.data + 29, &cases[i].type, 4);
        memcpy(g.tensors.data + 33, &cases[i].offset, 8);
        Buffer file = gguf_build_finish(&g);
        expect_refusal(&file, cases[i].code, cases[i].words);
    }
    GgufBuild g = {0};
    gguf_build_tensor(&g, "w", GGUF_F32, 8, 0, values, 32);
    gguf_build_tensor(&g, "v", GGUF_F32, 8, 0, values, 32);
    memset(g.tensors.data + g.tensors.size - 8, 0, 8);
    Buffer file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "the tensors \"v\" and \"w\" overlap");
    gguf_build_tensor(&g, "w", GGUF_F32, 8, 0, values, 32);
    gguf_build_tensor(&g, "w", GGUF_F32, 8, 0, values, 32);
    file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "the tensor \"w\" is there twice");
}

static void refuses_lies_of_a_pair(void **state) {
    (void)state;
    GgufBuild g = {0};
    gguf_build_integer(&g, "a", 1);
    gguf_build_integer(&g, "a", 2);
    Buffer file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "the key \"a\" is there twice");
    gguf_build_integer(&g, "general.alignment", 12);
    file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "general.alignment is 12; a multiple of 8");
    gguf_build_integer(&g, "general.alignment", 0);
    file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "outside 1");
    gguf_build_pair(&g, "array", 9, (uint32_t[]){9, 0, 0}, 12);
    file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "the array \"array\" has elements of type 9");
    gguf_build_pair(&g, "array", 9, (uint32_t[]){8, UINT32_MAX, UINT32_MAX}, 12);
    file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "more than the rest of the file can hold");
    gguf_build_pair(&g, "array", 9, (uint32_t[]){10, UINT32_MAX, UINT32_MAX / 4}, 12);
    file = gguf_build_finish(&g);
    expect_refusal(&file, ERROR_INPUT, "more than the rest of the file can hold");
}

static void names_the_place_of_an_infinity(void **state) {
    (void)state;
    GgufBuild g = {0};
    float values[6] = {1, 2, 3, 4, INFINITY, 6}, out[6];
    gguf_build_tensor(&g, "w", GGUF_F32, 3, 2, values, sizeof values);
    Buffer file = gguf_build_finish(&g);
    Gguf *gguf = NULL;
    Error error = {0};
    assert_int_equal(gguf_from_memory(&gguf, file.data, file.size, "m.gguf", &error), 0);
    assert_int_equal(gguf_read_f32(gguf_tensor(gguf, "w"), 1, 1, out, &error), -1);
    assert_int_equal(error.code, ERROR_NUMERIC);
    assert_non_null(strstr(error.message, "tensor \"w\" (F32), row 1, column 1 is infinite"));
    gguf_close(gguf);
    buffer_free(&file);
}

/* [GG-1] Cut anywhere and changed anywhere: never a crash, never a tensor or string outside the file. */
static void survives_cuts_and_changes(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    Buffer file = good();
    size_t accepted = 0, cut_accepted = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        size_t n = i < file.size ? i : file.size;
        uint8_t *bytes = malloc(n + 1); // exactly as long as the file: the sanitizer sees each step beyond it
        memcpy(bytes, file.data, n);
        if (n == file.size)
            for (uint32_t k = 0; k < 1 + i % 3; k++)
                bytes[rng_below(&a, 2 * k, n)] = (uint8_t)rng_below(&a, 2 * k + 1, 256);
        bytes = realloc(bytes, n > 0 ? n : 1);
        Gguf *g = NULL;
        Error error = {0};
        if (gguf_from_memory(&g, bytes, n, "x", &error) != 0) {
            assert_true(error.code == ERROR_INPUT || error.code == ERROR_UNSUPPORTED);
            free(bytes);
            continue;
        }
        if (n < file.size) cut_accepted++;
        accepted++;
        for (size_t t = 0; t < gguf_tensors(g); t++) {
            const GgufTensor *v = gguf_tensor_at(g, t);
            assert_true(v->data >= bytes && v->data + v->bytes <= bytes + n);
        }
        GgufArray array;
        if (gguf_strings(g, "words", &array, &error) == 0)
            while (array.count > 0) {
                GgufString s = gguf_next_string(&array);
                assert_true((const uint8_t *)s.text >= bytes && (const uint8_t *)s.text + s.bytes <= bytes + n);
            }
        gguf_close(g);
        free(bytes);
    }
    assert_true(accepted > 0 && accepted < 20000);
    assert_true(cut_accepted < 32); // the padding at the end may go
    buffer_free(&file);
}

/* Files that other programs wrote. */
static void reads_real_files(void **state) {
    (void)state;
    static const struct {
        const char *name, *model;
        size_t tokens;
    } files[] = {{"data/tokenizers/llama_cpp/ggml-vocab-gpt-2.gguf", "gpt2", 50257},
                 {"data/tokenizers/llama_cpp/ggml-vocab-llama-spm.gguf", "llama", 32000},
                 {"data/tokenizers/llama_cpp/ggml-vocab-phi-3.gguf", "llama", 32064}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        if (test_shared(files[i].name, path, sizeof path) == NULL) skip();
        Gguf *g = NULL;
        Error error = {0};
        GgufString model = {0};
        GgufArray tokens;
        if (gguf_open(&g, path, &error) != 0) fail_msg("%s", error.message);
        assert_int_equal(gguf_string(g, "tokenizer.ggml.model", &model, &error), 0);
        assert_true(model.bytes == strlen(files[i].model) && memcmp(model.text, files[i].model, model.bytes) == 0);
        assert_int_equal(gguf_strings(g, "tokenizer.ggml.tokens", &tokens, &error), 0);
        assert_int_equal(tokens.count, files[i].tokens);
        gguf_close(g);
    }
    Gguf *g = NULL;
    Error error = {0};
    assert_int_equal(gguf_open(&g, "there is no such file", &error), -1);
    assert_int_equal(error.code, ERROR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),          cmocka_unit_test(names_the_key_of_another_type),
        cmocka_unit_test(refuses_lies_of_the_head),  cmocka_unit_test(refuses_lies_of_a_tensor),
        cmocka_unit_test(refuses_lies_of_a_pair),    cmocka_unit_test(names_the_place_of_an_infinity),
        cmocka_unit_test(survives_cuts_and_changes), cmocka_unit_test(reads_real_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
