/* Encoding and decoding in MB of text per second on one core, against the speed of reading the same bytes once.
 * usage: bench_tokenizer [TOKENIZER [DOCUMENTS.jsonl]]   a tokenizer.json or its directory; lines {"text": ...}
 * Without documents: words drawn at random. Best of several runs, CPU time; load time once. */
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "text/bpe_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEATS = 7, DRAWN_BYTES = 4000000, DOCUMENT_BYTES = 2000 };

typedef struct {
    Buffer text;
    size_t *end, count, capacity; // of each document
} Documents;

static double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

static int fail(const char *message) {
    fprintf(stderr, "bench_tokenizer: %s\n", message);
    return 1;
}

static void end_document(Documents *d) {
    if (d->count == d->capacity) {
        d->capacity = d->capacity == 0 ? 1024 : 2 * d->capacity;
        d->end = realloc(d->end, d->capacity * sizeof *d->end);
        if (d->end == NULL) exit(fail("no memory"));
    }
    d->end[d->count++] = d->text.size;
}

static int read_documents(Documents *d, const char *path, Error *error) {
    FileMap map;
    if (file_map(&map, path, error) != 0) return -1;
    const char *at = (const char *)map.data, *last = at + map.size;
    for (size_t line = 1; at < last; line++) {
        const char *end = memchr(at, '\n', (size_t)(last - at));
        if (end == NULL) end = last;
        json_t *object = json_parse(at, (size_t)(end - at), path, line, error);
        const json_t *text = object == NULL ? NULL : json_need(object, "text", JSON_STRING, path, error);
        if (text == NULL) return -1;
        buffer_append(&d->text, json_string_value(text), json_string_length(text));
        end_document(d);
        json_decref(object);
        at = end + 1;
    }
    file_unmap(&map);
    return 0;
}

/* Words of one to nine letters, frequent ones short, with some punctuation, numbers and line ends. */
static void draw_documents(Documents *d) {
    for (uint32_t i = 0; d->text.size < DRAWN_BYTES; i++) {
        RngAddress a = {.seed = 1, .stream = RNG_TEST, .item = i};
        uint64_t kind = rng_below(&a, 0, 20), word = rng_below(&a, 1, 1 + rng_below(&a, 2, 5000));
        if (kind == 0)
            buffer_format(&d->text, " %d", (int)word);
        else if (kind == 1)
            buffer_append_text(&d->text, word % 2 ? ".\n" : ",");
        else
            for (buffer_append_text(&d->text, " "); word > 0; word /= 8)
                buffer_append(&d->text, &"etaoinsr"[word % 8], 1);
        if (d->text.size - (d->count == 0 ? 0 : d->end[d->count - 1]) > DOCUMENT_BYTES) end_document(d);
    }
    end_document(d);
}

static double scan_rate(const Documents *d) {
    double best = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = cpu_seconds();
        uint64_t sum = 0, word;
        for (size_t i = 0; i + 8 <= d->text.size; i += 8) {
            memcpy(&word, d->text.data + i, 8);
            sum += word;
        }
        volatile uint64_t kept = sum;
        (void)kept;
        double rate = (double)d->text.size / (cpu_seconds() - start + 1e-9);
        if (rate > best) best = rate;
    }
    return best;
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "tests/data/tokenizer_bytes.json";
    Tokenizer *t;
    Error error = {0};
    Documents d = {0};
    double start = cpu_seconds(), encode = 0, decode = 0;
    if (tokenizer_load(&t, path, &error) != 0) return fail(error.message);
    double load = cpu_seconds() - start;
    if (argc <= 2)
        draw_documents(&d);
    else if (read_documents(&d, argv[2], &error) != 0)
        return fail(error.message);
    size_t tokens = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        TokenList ids = {0};
        Buffer text = {0};
        start = cpu_seconds();
        for (size_t i = 0, at = 0; i < d.count; at = d.end[i++])
            if (tokenizer_encode(t, d.text.data + at, d.end[i] - at, false, &ids, &error) != 0)
                return fail(error.message);
        double middle = cpu_seconds();
        if (tokenizer_decode(t, ids.data, ids.count, false, &text, &error) != 0) return fail(error.message);
        double end = cpu_seconds(), mb = (double)d.text.size * 1e-6;
        if (mb / (middle - start) > encode) encode = mb / (middle - start);
        if (mb / (end - middle) > decode) decode = mb / (end - middle);
        tokens = ids.count;
        token_list_free(&ids);
        buffer_free(&text);
    }
    printf("%s: %.1f MB in %zu documents, %zu tokens; load %.3f s, encode %.1f MB/s, decode %.1f MB/s, reading the "
           "bytes %.0f MB/s\n",
           path, (double)d.text.size * 1e-6, d.count, tokens, load, encode, decode, scan_rate(&d) * 1e-6);
    tokenizer_free(t);
    buffer_free(&d.text);
    free(d.end);
}
