/* round_export.h - what a round was made of, as JSON lines that other tools read (layouts: store/export.h,
 * docs/files.md).
 *
 *   OUTPUT/round-T/responses.jsonl  prompts with their K responses, rewards and log-probs
 *   OUTPUT/round-T/scores.jsonl     every summed log-prob with the model that gave it
 *   OUTPUT/round-T/pairs.jsonl      the generated pairs, TRL's preference layout
 *   OUTPUT/round-T/train.jsonl      the mixed training set in order: TRL's layout, and "source": generated or offline
 */
#pragma once
#include "align/round_table.h"

/* reward: (N, K) of the table, read where a cell is kept. */
int round_export_scored(const DiceRun *run, uint32_t round, const RoundTable *table, const double *reward,
                        Error *error);
/* After the mix is in the store. */
int round_export_mix(const DiceRun *run, uint32_t round, Error *error);
