/* Any bytes as a tokenizer.model: refused, or the document that it becomes is one that the tokenizer reads or refuses.
 */
#include "formats/spm_model.h"
#include "text/bpe_tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const json_t *document) {
    static const char text[] = "The  \xe2\x96\x81 boat <s> 12\n \xc3\xa9";
    Tokenizer *t;
    TokenList ids = {0};
    Error error = {0};
    if (tokenizer_from_json(&t, document, "x", &error) != 0) {
        if (error.code == ERROR_NONE || error.message[0] == 0) abort();
        return;
    }
    if (tokenizer_encode(t, text, sizeof text - 1, true, &ids, &error) == 0)
        for (size_t i = 0; i < ids.count; i++)
            if (ids.data[i] < 0 || (size_t)ids.data[i] >= tokenizer_vocabulary(t)) abort();
    token_list_free(&ids);
    tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *document, *config;
    Error error = {0};
    if (spm_model_json(data, size, "x.model", &document, &config, &error) == 0) {
        use(document);
        json_decref(document);
        json_decref(config);
    } else if (error.code != ERROR_INPUT && error.code != ERROR_UNSUPPORTED && error.code != ERROR_MEMORY) {
        abort();
    }
    return 0;
}
