#include "random_model.h"
#include "base/file.h"
#include "formats/safetensors_writer.h"
#include "model/parameters.h"

#include <stdlib.h>
#include <string.h>

static const char *const smollm2 =
    "{\"model_type\": \"llama\", \"hidden_size\": 576, \"num_hidden_layers\": 30, \"num_attention_heads\": 9, "
    "\"num_key_value_heads\": 3, \"intermediate_size\": 1536, \"vocab_size\": 49152, \"max_position_embeddings\": "
    "8192, \"rms_norm_eps\": 1e-5, \"rope_theta\": 100000, \"tie_word_embeddings\": true}";

static int write_weights(const char *directory, const Parameters *p, Error *error) {
    float *values = malloc(p->elements * sizeof *values);
    TensorSource *source = calloc(p->tensors, sizeof *source);
    int result = -1;
    if (values == NULL || source == NULL) {
        error_set(error, ERROR_MEMORY, "no memory for random weights");
        goto done;
    }
    uint64_t state = 1;
    for (size_t i = 0; i < p->elements; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = i < p->vectors ? 1.0f : ((float)(state >> 40) * 0x1p-24f - 0.5f) * 0.12f;
    }
    for (size_t i = 0; i < p->tensors; i++) source[i] = model_tensor_source(&p->tensor[i], DTYPE_BF16, values);
    result = safetensors_write(directory, source, p->tensors, 0, error);
done:
    free(values);
    free(source);
    return result;
}

int random_model_write(const char *directory, Error *error) {
    HfConfig config;
    Parameters p = {0};
    char *path = file_join(directory, "config.json");
    int result = -1;
    if (path == NULL)
        error_set(error, ERROR_MEMORY, "no memory for a path");
    else if (file_make_directory(directory, error) == 0 && file_write(path, smollm2, strlen(smollm2), error) == 0 &&
             hf_config_read(&config, directory, error) == 0 && parameters_create(&p, &config, error) == 0)
        result = write_weights(directory, &p, error);
    parameters_free(&p);
    free(path);
    return result;
}
