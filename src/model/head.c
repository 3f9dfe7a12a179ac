#include "model/head.h"
#include "kernels/rmsnorm.h"

#include <math.h>
#include <string.h>

/* hidden = norm of the rows; keeps what the backward pass of the norm reads. */
static void normed_rows(const Model *m, Activations *a, size_t R, const int32_t *head_row) {
    const size_t C = m->dims.C;
    const KernelTable *k = m->options.kernels;
    for (size_t r = 0; r < R; r++) memcpy(a->head_x + r * C, a->end + (size_t)head_row[r] * C, C * sizeof(float));
    rmsnorm_forward(k, R, C, a->head_x, m->final_norm, (float)m->config.norm_eps, a->hidden, m->options.compute,
                    a->head_inverse_rms);
}

/* Names the target whose log-prob is not finite. */
static int not_finite(const Batch *batch, size_t target, float value, Error *error) {
    size_t b = 0;
    while (batch->branch[b].first_target + batch->branch[b].length <= target) b++;
    size_t at = target - batch->branch[b].first_target;
    size_t row = batch->segment[batch->branch[b].segment].query_row + at;
    return error_set(error, ERROR_NUMERIC,
                     "the log-prob of token %zu of response %zu in the batch (row %zu, id %d) is %f: the weights are "
                     "broken or overflow",
                     at, b, row, (int)batch->token[row], (double)value);
}

int head_logprob(Model *m, const Batch *batch, Activations *a, float *logprob, float *logsumexp, TokenFigures *figures,
                 Error *error) {
    if (batch->targets == 0) return 0;
    normed_rows(m, a, batch->head_rows, batch->head_row);
    if (token_logprob_forward(m->gemm, m->options.kernels, m->head, batch->head_rows, a->hidden, batch->targets,
                              batch->sorted, a->logprob, a->logsumexp, figures == NULL ? NULL : a->figures, error) != 0)
        return -1;
    size_t bad = SIZE_MAX;
    for (size_t i = 0; i < batch->targets; i++) {
        size_t target = (size_t)batch->order[i];
        logprob[target] = a->logprob[i];
        if (logsumexp != NULL) logsumexp[target] = a->logsumexp[batch->sorted[i].row];
        if (figures != NULL) figures[target] = a->figures[i];
        if (!isfinite(a->logprob[i]) && target < bad) bad = target;
    }
    return bad == SIZE_MAX ? 0 : not_finite(batch, bad, logprob[bad], error);
}

int head_backward(Model *m, const Batch *batch, Activations *a, const float *dlogprob, Error *error) {
    const size_t C = m->dims.C, R = batch->head_rows;
    const KernelTable *k = m->options.kernels;
    const ModelParameters *at = &m->parameters.model;
    memset(a->dx, 0, batch->rows * C * sizeof(float));
    if (batch->targets == 0) return 0;
    for (size_t i = 0; i < batch->targets; i++) a->dlogprob[i] = dlogprob[batch->order[i]];
    if (token_logprob_backward(m->gemm, k, m->head, R, a->hidden, batch->targets, batch->sorted, a->dlogprob,
                               a->logsumexp, a->dhidden, parameters_at(&m->parameters, m->gradients, at->head),
                               error) != 0)
        return -1;
    memset(a->dhead_x, 0, R * C * sizeof(float));
    rmsnorm_backward(k, R, C, a->head_x, m->final_norm, a->head_inverse_rms, a->dhidden, a->dhead_x,
                     parameters_at(&m->parameters, m->gradients, at->norm), a->norm);
    for (size_t r = 0; r < R; r++)
        memcpy(a->dx + (size_t)batch->head_row[r] * C, a->dhead_x + r * C, C * sizeof(float));
    return 0;
}

int head_logits(Model *m, Activations *a, size_t R, const int32_t *head_row, float *logits, Error *error) {
    if (R == 0) return 0;
    normed_rows(m, a, R, head_row);
    for (size_t r = 0; r < R; r++)
        if (!isfinite(a->head_inverse_rms[r]))
            return error_set(error, ERROR_NUMERIC,
                             "the hidden state of row %d is not finite: the weights are broken or overflow",
                             (int)head_row[r]);
    return token_logits(m->gemm, m->head, R, a->hidden, logits, error);
}
