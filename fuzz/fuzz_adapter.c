/* Any bytes as adapter_config.json: refused with a message, or consistent. */
#include "formats/peft_adapter.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    LoraSettings s;
    Error error = {0};
    char *base = NULL;
    if (peft_adapter_parse((const char *)data, size, "adapter_config.json", &s, &base, &error) != 0) {
        if (error.code == ERROR_NONE || error.message[0] == 0 || base != NULL) abort();
        return 0;
    }
    free(base);
    if (s.r == 0 || s.r > PEFT_MOST_RANK || s.targets == 0 || s.targets > PEFT_ALL_LINEAR) abort();
    if (!(s.dropout >= 0 && s.dropout < 1) || !isfinite(peft_adapter_scale(&s))) abort();
    return 0;
}
