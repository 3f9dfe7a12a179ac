/* dims.h - the letters of every shape comment in the program.
 *
 *   T tokens (rows) of a batch     L layers            C channels (hidden_size)
 *   H query heads                  Hkv key/value heads D elements of a head
 *   F feed-forward width           V vocabulary        R rows whose log-probs are needed
 *   N prompts                      K responses a prompt
 * QKV = (H + 2 Hkv) D is the width of the fused query-key-value projection. Matrices are row-major, (rows, columns). */
#pragma once
