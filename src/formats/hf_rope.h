/* hf_rope.h - rotary positions as config.json describes them, in both key styles.
 *
 * The old style has rope_theta beside rope_scaling; that of transformers 5 has all in rope_parameters. Gemma 3 has two
 * descriptions: of the layers that see everything, and of those with a sliding window (old: rope_local_base_freq; new:
 * members full_attention and sliding_attention). rope_scaling wins over rope_parameters, as in transformers; an
 * original context that is not named is max_position_embeddings [HR-1]. Kinds that are not listed here (dynamic,
 * longrope, a share of the channels) are ERROR_UNSUPPORTED. Source: transformers' modeling_rope_utils.
 * Claims: tests/unit/test_hf_rope.c. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>

typedef enum { HF_ROPE_PLAIN, HF_ROPE_LINEAR, HF_ROPE_LLAMA3, HF_ROPE_YARN } HfRopeScaling;

typedef struct {
    double theta;
    HfRopeScaling scaling;
    double factor;                                      // linear, llama3, yarn
    double low_frequency_factor, high_frequency_factor; // llama3
    double original_positions;                          // llama3, yarn
    double beta_fast, beta_slow;                        // yarn: turns within the original context
    double attention_factor;                            // yarn: of cosines and sines
    bool truncate;                                      // yarn: the ends of its ramp are whole numbers
} HfRope;

/* max_positions: of the same config. */
int hf_rope_read(const json_t *config, double max_positions, HfRope *rope, const char *name, Error *error);
/* Gemma 3's two: rope[0] of the layers that see everything, rope[1] of those that slide. */
int hf_rope_read_two(const json_t *config, double max_positions, HfRope rope[2], const char *name, Error *error);
