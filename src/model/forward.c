#include "model/forward.h"
#include "model/head.h"
#include "model/input.h"

BlockInput forward_input(const Batch *batch) {
    return (BlockInput){
        .rows = batch->rows, .position = batch->position, .segment = batch->segment, .segments = batch->segments};
}

size_t forward_attention_bytes(const Model *m, const BlockInput *input, Pass pass) {
    AttentionShape shape = block_attention_shape(&m->config, 0, m->options.compute, input->cache != NULL);
    return attention_scratch_bytes(m->options.kernels, &shape, input->segment, input->segments, pass != PASS_FORWARD);
}

size_t forward_planned_attention_bytes(const HfConfig *config, const ModelOptions *options, Pass pass, size_t rows,
                                       size_t targets) {
    size_t trunk = rows - targets, half = targets / 2;
    const AttentionSegment segment[] = {{.query_length = trunk, .key_length = trunk, .parent = -1},
                                        {.query_length = half, .key_length = half, .parent = 0},
                                        {.query_length = targets - half, .key_length = targets - half, .parent = 0}};
    AttentionShape shape = block_attention_shape(config, 0, options->compute, false);
    return attention_scratch_bytes(options->kernels, &shape, segment, 3, pass != PASS_FORWARD);
}

int forward_layers(Model *m, const BlockInput *input, const int32_t *token, Activations *a, Error *error) {
    const size_t L = m->dims.L;
    input_embed(m, input->rows, token, a->layer[0].x);
    for (size_t l = 0; l < L; l++)
        if (block_forward(m, l, input, a, l + 1 < L ? a->layer[l + 1].x : a->end, error) != 0) return -1;
    return 0;
}

static int run(Model *m, const Batch *batch, Activations *a, Pass pass, float *logprob, float *logsumexp,
               TokenFigures *figures, Error *error) {
    BlockInput input = forward_input(batch);
    if (batch->rows == 0) return 0;
    if (input_check(m, batch->rows, batch->token, batch->position, error) != 0) return -1;
    ActivationsNeed need = {.rows = batch->rows,
                            .head_rows = batch->head_rows,
                            .targets = batch->targets,
                            .attention_bytes = forward_attention_bytes(m, &input, pass)};
    if (activations_reserve(a, &m->config, &m->options, pass, &need, error) != 0) return -1;
    if (forward_layers(m, &input, batch->token, a, error) != 0) return -1;
    return head_logprob(m, batch, a, logprob, logsumexp, figures, error);
}

static Pass pass_of(const ModelOptions *options) {
    return !options->trainable ? PASS_FORWARD : options->checkpoint_activations ? PASS_CHECKPOINT : PASS_BOTH;
}

size_t activations_bytes(const HfConfig *config, const ModelOptions *options, size_t rows, size_t targets) {
    Pass pass = pass_of(options);
    ActivationsNeed need = {.rows = rows,
                            .head_rows = targets,
                            .targets = targets,
                            .attention_bytes = forward_planned_attention_bytes(config, options, pass, rows, targets)};
    return activations_count(config, options, pass, &need);
}

int model_logprob(Model *model, const Batch *batch, float *logprob, float *logsumexp, TokenFigures *figures,
                  Error *error) {
    return run(model, batch, model->scratch, PASS_FORWARD, logprob, logsumexp, figures, error);
}

int model_forward(Model *model, const Batch *batch, Activations **activations, float *logprob, TokenFigures *figures,
                  Error *error) {
    if (!model->options.trainable) return error_set(error, ERROR_INTERNAL, "only a trainable model keeps activations");
    if (*activations == NULL && activations_create(activations, model->dims.L, error) != 0) return -1;
    return run(model, batch, *activations, pass_of(&model->options), logprob, NULL, figures, error);
}
