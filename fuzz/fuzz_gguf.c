/* Any bytes as a GGUF file: refused, or every string and tensor can be read to its end, and the documents of a
 * checkpoint can be made of it or are refused. */
#include "formats/gguf.h"
#include "formats/gguf_config.h"
#include "formats/gguf_tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensor(const GgufTensor *t) {
    enum { NUMBERS_MAX = 1 << 16 };
    if (t->shape[0] > NUMBERS_MAX) return;
    float *row = malloc(t->shape[0] * sizeof *row);
    if (row == NULL) return;
    for (size_t r = 0; r < t->elements / t->shape[0]; r++) {
        Error error = {0};
        if (gguf_read_f32(t, r, 1, row, &error) != 0 && error.code != ERROR_NUMERIC) abort();
    }
    free(row);
}

static void check_refusal(const Error *error) {
    if (error->code == ERROR_NONE || error->message[0] == 0) abort();
}

static void make_documents(const Gguf *g) {
    json_t *config, *generation, *document;
    HfConfig parsed;
    Error error = {0};
    if (gguf_tokenizer_json(g, &document, &error) == 0)
        json_decref(document);
    else
        check_refusal(&error);
    error = (Error){0};
    if (gguf_tokenizer_config(g, &document, &error) == 0)
        json_decref(document);
    else
        check_refusal(&error);
    error = (Error){0};
    if (gguf_config_json(g, DTYPE_F32, &config, &generation, &parsed, &error) == 0) {
        json_decref(config);
        json_decref(generation);
    } else {
        check_refusal(&error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.scores", "general.architecture",
                                       "general.alignment"};
    Gguf *g = NULL;
    Error error = {0};
    if (gguf_from_memory(&g, data, size, "x.gguf", &error) != 0) {
        if (error.code != ERROR_INPUT && error.code != ERROR_UNSUPPORTED && error.code != ERROR_MEMORY) abort();
        return 0;
    }
    size_t sum = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        GgufArray array;
        GgufString text = {0};
        int64_t whole;
        double number;
        if (gguf_strings(g, keys[i], &array, &error) == 0)
            while (array.count > 0) {
                GgufString s = gguf_next_string(&array);
                for (size_t k = 0; k < s.bytes; k++) sum += (unsigned char)s.text[k];
            }
        if (gguf_numbers(g, keys[i], &array, &error) == 0)
            while (array.count > 0) sum += gguf_next_number(&array) > 0;
        if (gguf_string(g, keys[i], &text, &error) == 0)
            for (size_t k = 0; k < text.bytes; k++) sum += (unsigned char)text.text[k];
        (void)gguf_integer(g, keys[i], 0, 100, &whole, &error);
        (void)gguf_number(g, keys[i], &number, &error);
    }
    for (size_t i = 0; i < gguf_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor_at(g, i);
        if (gguf_tensor(g, t->name) != t) abort();
        read_tensor(t);
    }
    make_documents(g);
    gguf_close(g);
    return sum == SIZE_MAX;
}
