/* train_metrics.h - figures of a training step or a validation as a JSON object, under the names that TRL users plot:
 * loss, the objective's metrics (rewards/..., logps/...), grad_norm, learning_rate, epoch, num_tokens; step and seconds
 * are ours. num_tokens counts each distinct token once (TRL counts a pair's prompt twice). */
#pragma once
#include "base/json.h"
#include "train/trainer.h"

/* New references; NULL when memory is exhausted. */
json_t *train_metrics_step(const TrainReport *report, const TrainObjective *objective);
json_t *train_metrics_validation(const TrainReport *report, const TrainObjective *objective); // names with "eval_"
