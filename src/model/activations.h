/* activations.h - everything a forward or backward pass writes besides its results, in one arena whose list is written
 * once, for counting and for allocating.
 *
 * Of each layer the backward pass reads the residual stream before and after attention, the keys, queries and values,
 * the attention's output and log-sum-exp, and the feed-forward's gate and up: 4 (2 C + H) + s (QKV + H D + 2 F) bytes
 * a token, s the size of the compute type. Norms and the gate are computed again, which is cheaper than reading them
 * back. With checkpointing only the layer's input is kept, 4 C bytes a token, and the layers share the rest; when
 * nothing goes back they share all of it, and the residual stream is updated in place. */
#pragma once
#include "base/arena.h"
#include "kernels/gemm.h"
#include "model/dims.h"
#include "model/model.h"

/* A layer takes this many rows at a time through each chain of products, so that what one leaves is still in the cache
 * for the next. A multiple of what the sums over blocks of 64 rows and a weight gradient take at once. */
enum { BLOCK_CHUNK = GEMM_GRADIENT_ROWS };

/* What one layer's forward pass leaves behind. */
typedef struct {
    float *x;       // (T, C) residual stream at the layer's input
    float *middle;  // (T, C) after attention; the same memory as x when nothing goes back
    void *qkv;      // (T, QKV) as attention reads it: after bias, norm and rope
    void *unnormed; // (T, (H + Hkv) D) queries and keys before their norm; NULL without, or when nothing goes back
    void *attended; // (T, H D)
    float *lse;     // (T, H); NULL when nothing goes back
    void *attention_end, *mlp_end; // (T, C) what their last products gave, before a norm; NULL without, or as above
    void *gate_up;                 // (T, 2F), overwritten by its gradient; (BLOCK_CHUNK, 2F) when nothing goes back
} LayerActivations;

typedef enum { PASS_FORWARD, PASS_BOTH, PASS_CHECKPOINT } Pass;

struct Activations {
    Arena arena;
    size_t layers;
    Pass pass;
    LayerActivations *layer; // (L)
    float *end;              // (T, C) after the last layer
    /* the head: R rows that predict something, N targets in the head's order */
    float *head_x, *head_inverse_rms; // (R, C) gathered from `end`; (R)
    void *hidden;                     // (R, C) after the final norm
    float *logsumexp, *logprob;       // (R), (N)
    TokenFigures *figures;            // (N)
    /* one layer at a time */
    void *normed;     // (BLOCK_CHUNK, C)
    void *product;    // (BLOCK_CHUNK, F) glu(gate, up)
    float *projected; // (BLOCK_CHUNK, QKV) before it becomes bfloat16; NULL when computing in float32
    float *branch;    // (BLOCK_CHUNK, C) what is normed before it is added; NULL without sandwich norms
    void *attention;  // scratch of the attention kernel
    /* backward */
    float *dx;                           // (T, C) gradient of the residual stream
    void *dattended;                     // (T, H D)
    void *dqkv;                          // (T, QKV)
    void *dx_compute;                    // (BLOCK_CHUNK, C) dx in the compute type; NULL when that is float32
    float *dnormed;                      // (BLOCK_CHUNK, C)
    void *dproduct;                      // (BLOCK_CHUNK, F)
    float *inverse_rms;                  // (BLOCK_CHUNK)
    void *norm;                          // scratch of rmsnorm_backward
    float *vectors;                      // scratch of qkv_backward; NULL where the family has neither bias nor q/k norm
    float *dhidden, *dhead_x, *dlogprob; // (R, C), (R, C), (N)
};

typedef struct {
    size_t rows, head_rows, targets; // T, R, N
    size_t attention_bytes;          // scratch of the attention kernel
} ActivationsNeed;

int activations_create(Activations **activations, size_t layers, Error *error);
/* Lays the arrays out for a pass, in memory that grows when it must. What they held is lost. */
int activations_reserve(Activations *a, const HfConfig *config, const ModelOptions *options, Pass pass,
                        const ActivationsNeed *need, Error *error);
/* Bytes that activations_reserve will take. */
size_t activations_count(const HfConfig *config, const ModelOptions *options, Pass pass, const ActivationsNeed *need);
