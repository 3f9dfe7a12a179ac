/* loss_reference.h - the loss reference's log-probs of a file of pairs, computed once before training.
 *
 * A row that brings "reference_logprobs" (`dice score` writes them) is believed, unless `recompute`, or ld_alpha asks
 * for other sums. A loss without a reference gets none. */
#pragma once
#include "align/dpo_objective.h"
#include "align/preference_data.h"

/* sums: (data->pairs). model: the reference; only used for what is missing, or for all with `recompute`. */
int loss_reference_sums(Model *model, const PreferenceData *data, const PreferenceLoss *loss, bool recompute,
                        size_t micro_tokens, ReferenceSums *sums, const Log *log, Error *error);
