#include "base/size.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/input.h"

#include <assert.h>

int model_decode(Model *m, const KvArrays *cache, const DecodeInput *input, float *logits, Error *error) {
    BlockInput rows = {.rows = input->rows,
                       .position = input->position,
                       .segment = input->segment,
                       .segments = input->segments,
                       .cache = cache,
                       .cache_row = input->cache_row};
    if (input->rows == 0) return 0;
    if (input_check(m, input->rows, input->token, input->position, error) != 0) return -1;
    for (size_t t = 0; t < input->rows; t++)
        assert(input->cache_row[t] >= 0 && (size_t)input->cache_row[t] < cache->rows);
    ActivationsNeed need = {.rows = input->rows,
                            .head_rows = input->logit_rows,
                            .attention_bytes = forward_attention_bytes(m, &rows, PASS_FORWARD)};
    if (activations_reserve(m->scratch, &m->config, &m->options, PASS_FORWARD, &need, error) != 0) return -1;
    if (forward_layers(m, &rows, input->token, m->scratch, error) != 0) return -1;
    return head_logits(m, m->scratch, input->logit_rows, input->logit_row, logits, error);
}

size_t model_decode_bytes(const HfConfig *config, const ModelOptions *options, size_t rows, size_t logit_rows) {
    ActivationsNeed need = {.rows = rows,
                            .head_rows = logit_rows,
                            .attention_bytes = forward_planned_attention_bytes(config, options, PASS_FORWARD, rows, 0)};
    return activations_count(config, options, PASS_FORWARD, &need);
}

size_t model_kv_bytes(const HfConfig *config, const ModelOptions *options, size_t rows) {
    size_t bytes = 2 * dtype_bytes(options->compute),
           factors[] = {config->layers, config->kv_heads, config->head_dim, rows};
    for (size_t i = 0; i < 4; i++)
        if (!size_multiply(bytes, factors[i], &bytes)) return SIZE_MAX;
    return bytes;
}
