/* token_logprob.h - log p(token) from hidden states, without a (tokens x vocabulary) matrix.
 *
 *   logits = hidden head^T,  logsumexp_r = ln sum_v exp(logits_rv)
 *   logprob_n = logits[row_n, token_n] - logsumexp[row_n]
 * The vocabulary is walked in chunks (online maximum and sum); the backward pass computes each chunk again:
 *   dlogits_rv = sum over n with row_n = r of dlogprob_n ([v = token_n] - exp(logits_rv - logsumexp_r))
 * Where asked for, also what the target's row tells of the model (TokenFigures).
 * A row's results do not depend on other rows nor on the thread count [TL-1]; dhead is summed in a fixed order [TL-2].
 * Several targets may share a row: the first tokens of all responses are predicted at the prompt's last position. */
#pragma once
#include "kernels/gemm.h"
#include <stdint.h>

typedef struct {
    int32_t row;   // row of `hidden`
    int32_t token; // 0 .. vocabulary - 1
} TokenTarget;

/* What else the logits of a target's row tell, with p_v = exp(logit_v - logsumexp). */
typedef struct {
    float log_sum_square; // ln sum_v p_v^2, the chance that two draws agree
    float entropy;        // - sum_v p_v ln p_v
    float mean_logit;     // over the vocabulary
    float top;            // 1: the target is the likeliest word, the first of them; else 0
} TokenFigures;

typedef struct TokenHead TokenHead; // the (V, C) head, packed in vocabulary chunks
/* Without token_logprob_backward; with it, but no gradient of the head itself: only the chunk in use is packed for the
 * data gradient too; or with both, packed in both layouts whenever the head has changed. */
typedef enum { TOKEN_HEAD_FORWARD, TOKEN_HEAD_FROZEN, TOKEN_HEAD_TRAINED } TokenHeadUse;
int token_head_create(GemmContext *gemm, size_t vocabulary, size_t channels, DType compute, TokenHeadUse use,
                      TokenHead **head, Error *error);
int token_head_pack(GemmContext *gemm, TokenHead *head, const void *source, DType source_type, Error *error);
void token_head_destroy(TokenHead *head);
size_t token_head_bytes(Isa isa, size_t vocabulary, size_t channels, DType compute, TokenHeadUse use);

/* hidden: (R, C) compute type, after the final norm. logprob (n), logsumexp (R) float32 results; figures (n), or NULL:
 * not computed, at no cost. Targets sorted by row. Scratch is the head's own and does not grow with R. */
int token_logprob_forward(GemmContext *gemm, const KernelTable *kernels, TokenHead *head, size_t R, const void *hidden,
                          size_t n, const TokenTarget *target, float *logprob, float *logsumexp, TokenFigures *figures,
                          Error *error);
/* dlogprob (n): gradient of the loss; logsumexp as forward left it. dhidden (R, C) float32, overwritten.
 * dhead (V, C) float32 +=, or NULL when the head is frozen. */
int token_logprob_backward(GemmContext *gemm, const KernelTable *kernels, TokenHead *head, size_t R, const void *hidden,
                           size_t n, const TokenTarget *target, const float *dlogprob, const float *logsumexp,
                           float *dhidden, float *dhead, Error *error);
/* Whole logits rows, float32, (R, V): for sampling. */
int token_logits(GemmContext *gemm, const TokenHead *head, size_t R, const void *hidden, float *logits, Error *error);
