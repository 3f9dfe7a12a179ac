#include "model/input.h"

#include <string.h>

static void fill_rope(const HfRope *r, size_t head_dim, size_t positions, float *table) {
    static const RopeScaling scaling[] = {[HF_ROPE_PLAIN] = ROPE_PLAIN,
                                          [HF_ROPE_LINEAR] = ROPE_LINEAR,
                                          [HF_ROPE_LLAMA3] = ROPE_LLAMA3,
                                          [HF_ROPE_YARN] = ROPE_YARN};
    const RopeParameters rope = {.theta = r->theta,
                                 .scaling = scaling[r->scaling],
                                 .factor = r->factor,
                                 .low_frequency_factor = r->low_frequency_factor,
                                 .high_frequency_factor = r->high_frequency_factor,
                                 .original_positions = r->original_positions,
                                 .beta_fast = r->beta_fast,
                                 .beta_slow = r->beta_slow,
                                 .attention_factor = r->attention_factor,
                                 .truncate = r->truncate};
    rope_table(&rope, head_dim, positions, table);
}

static void extend_rope(Model *m, size_t positions) {
    const HfConfig *c = &m->config;
    if (positions <= m->rope_positions) return;
    size_t doubled = 2 * m->rope_positions > 512 ? 2 * m->rope_positions : 512;
    if (positions < doubled) positions = doubled < c->max_positions ? doubled : c->max_positions;
    for (size_t k = 0; k < c->ropes; k++) fill_rope(&c->rope[k], c->head_dim, positions, m->rope[k]);
    m->rope_positions = positions;
}

int input_check(Model *m, size_t rows, const int32_t *token, const int32_t *position, Error *error) {
    const HfConfig *c = &m->config;
    size_t last = 0;
    for (size_t t = 0; t < rows; t++) {
        if (token[t] < 0 || (size_t)token[t] >= c->vocabulary)
            return error_set(error, ERROR_INPUT,
                             "token %d at position %d is outside the model's vocabulary of %zu: the tokenizer does not "
                             "belong to this model",
                             (int)token[t], (int)position[t], c->vocabulary);
        if (position[t] < 0 || (size_t)position[t] >= c->max_positions)
            return error_set(
                error, ERROR_INPUT,
                "position %d is outside the model's context of %zu tokens; shorten the prompt or the response",
                (int)position[t], c->max_positions);
        if ((size_t)position[t] > last) last = (size_t)position[t];
    }
    extend_rope(m, last + 1);
    return 0;
}

void input_embed(const Model *m, size_t rows, const int32_t *token, float *x) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    const float *master = parameters_at(&m->parameters, m->weights, m->parameters.model.embedding);
    const float scale = (float)m->config.embedding_scale;
    bool half = m->options.compute == DTYPE_BF16;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t t = 0; t < rows; t++) {
        size_t from = (size_t)token[t] * C;
        float *row = x + t * C;
        if (half && m->embedding != NULL)
            k->to_f32(C, (const bf16 *)m->embedding + from, row);
        else
            memcpy(row, (m->embedding != NULL ? (const float *)m->embedding : master) + from, C * sizeof *row);
        if (half && m->embedding == NULL) // masters: rounded as a model that was loaded without them has it
            for (size_t i = 0; i < C; i++) row[i] = dtype_bf16_to_float(dtype_bf16_from_float(row[i]));
        if (scale != 1) k->scale(C, scale, row);
    }
}

/* Columns that one thread adds; each goes through the rows in order. */
enum { COLUMNS = 64 };

void input_backward(Model *m, size_t rows, const int32_t *token, const float *dx) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    float *gradient = parameters_at(&m->parameters, m->gradients, m->parameters.model.embedding);
    const float scale = (float)m->config.embedding_scale;
    if (gradient == NULL) return;
#pragma omp parallel for num_threads(k->threads) schedule(static)
    for (size_t first = 0; first < C; first += COLUMNS) {
        size_t count = C - first < COLUMNS ? C - first : COLUMNS;
        for (size_t t = 0; t < rows; t++)
            if (token[t] != m->config.pad_token)
                k->axpy(count, scale, dx + t * C + first, gradient + (size_t)token[t] * C + first);
    }
}
