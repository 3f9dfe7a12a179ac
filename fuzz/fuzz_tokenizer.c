/* Any bytes as a tokenizer.json: refused, or it encodes and decodes a hard text, and streaming gives what decoding at
 * once does. */
#include "text/bpe_tokenizer.h"
#include "text/token_decoder.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char hard[] =
    "The \xe2\x96\x81 boats'll <|end|>  \n\n 1234 \xc3\xa9"
    "e\xcc\x81 \xf0\x9f\x9a\xa4 \xff\xe2\x96 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \0\x04 </s><0x41>";

static void encode_and_decode(const Tokenizer *t) {
    TokenList ids = {0};
    Buffer whole = {0}, parts = {0};
    TokenDecoder *decoder = NULL;
    Error error = {0};
    if (tokenizer_encode(t, hard, sizeof hard - 1, true, &ids, &error) != 0) {
        if (error.code != ERROR_INPUT && error.code != ERROR_MEMORY) abort();
        token_list_free(&ids);
        return;
    }
    for (size_t i = 0; i < ids.count; i++)
        if (ids.data[i] < 0 || (size_t)ids.data[i] >= tokenizer_vocabulary(t) ||
            tokenizer_token(t, ids.data[i], NULL) == NULL)
            abort();
    if (tokenizer_decode(t, ids.data, ids.count, false, &whole, &error) != 0 ||
        token_decoder_create(&decoder, t, false, &error) != 0)
        abort();
    for (size_t i = 0; i < ids.count; i++)
        if (token_decoder_push(decoder, ids.data[i], &parts, &error) != 0) abort();
    if (token_decoder_finish(decoder, &parts, &error) != 0) abort();
    if (parts.size != whole.size || (parts.size > 0 && memcmp(parts.data, whole.data, parts.size) != 0)) abort();
    if (unicode_valid_prefix(whole.data, whole.size) != whole.size) abort();
    token_decoder_free(decoder);
    token_list_free(&ids);
    buffer_free(&whole);
    buffer_free(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Error error = {0};
    Tokenizer *t = NULL;
    json_t *root = json_parse((const char *)data, size, "x/tokenizer.json", 1, &error);
    if (root == NULL) return 0;
    if (tokenizer_from_json(&t, root, "x/tokenizer.json", &error) == 0) {
        encode_and_decode(t);
        tokenizer_free(t);
    } else if (error.code != ERROR_INPUT && error.code != ERROR_UNSUPPORTED && error.code != ERROR_MEMORY)
        abort();
    json_decref(root);
    return 0;
}
