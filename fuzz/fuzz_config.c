/* Any bytes as config.json, and what follows the first 0 byte as generation_config.json: refused, or consistent. */
#include "formats/hf_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    HfConfig c;
    Error error = {0};
    const char *text = (const char *)data, *cut = size == 0 ? NULL : memchr(text, 0, size);
    const char *generation = cut == NULL ? NULL : cut + 1;
    size_t bytes = cut == NULL ? size : (size_t)(cut - text);
    size_t generation_bytes = cut == NULL ? 0 : size - bytes - 1;
    if (hf_config_parse(&c, text, bytes, generation, generation_bytes, "config.json", &error) != 0) {
        if (error.code == ERROR_NONE || error.message[0] == 0) abort();
        return 0;
    }
    if (c.kv_heads == 0 || c.heads % c.kv_heads != 0 || c.head_dim % 2 != 0 || c.eos_count > HF_EOS_MAX) abort();
    for (size_t i = 0; i < c.eos_count; i++)
        if (c.eos_token[i] < 0 || (size_t)c.eos_token[i] >= c.vocabulary) abort();
    return 0;
}
