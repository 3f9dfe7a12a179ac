/* Any bytes as a safetensors file: refused, or every element of every tensor can be read. */
#include "formats/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Checkpoint *c = NULL;
    Error error = {0};
    if (checkpoint_from_memory(&c, data, size, "x.safetensors", &error) != 0) {
        if (error.code == ERROR_NONE || error.message[0] == 0) abort();
        return 0;
    }
    for (size_t i = 0; i < checkpoint_count(c); i++) {
        const TensorView *t = checkpoint_at(c, i);
        if (checkpoint_find(c, t->name) != t) abort();
        for (size_t k = 0; k < t->elements; k++) {
            float value;
            if (tensor_read_f32(t, k, 1, &value, &error) != 0 && error.code != ERROR_NUMERIC) abort();
        }
    }
    checkpoint_close(c);
    return 0;
}
