/* dims.h - the letters of every shape comment in the program.
 *
 *   T tokens (rows) of a batch     L layers            C channels (hidden_size)
 *   H query heads                  Hkv key/value heads D elements of a head
 *   F feed-forward width           V vocabulary        R rows whose log-probs are needed
 *   N prompts                      K responses a prompt
 * QKV = (H + 2 Hkv) D is the width of the fused query-key-value projection. Matrices are row-major, (rows, columns). */
#pragma once
#include "formats/hf_config.h"

typedef struct {
    size_t L, C, H, Hkv, D, F, V;
    size_t HD, KD, QKV; // H D, Hkv D and the sum of all three
} Dims;

static inline Dims dims_of(const HfConfig *c) {
    size_t HD = c->heads * c->head_dim, KD = c->kv_heads * c->head_dim;
    return (Dims){.L = c->layers,
                  .C = c->channels,
                  .H = c->heads,
                  .Hkv = c->kv_heads,
                  .D = c->head_dim,
                  .F = c->feed_forward,
                  .V = c->vocabulary,
                  .HD = HD,
                  .KD = KD,
                  .QKV = HD + 2 * KD};
}
