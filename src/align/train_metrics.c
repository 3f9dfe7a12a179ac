#include "align/train_metrics.h"

#include <stdio.h>

static json_t *named(const TrainReport *report, const TrainObjective *objective, const char *prefix) {
    json_t *m = json_pack("{s:I}", "step", (json_int_t)report->step);
    char name[64];
    snprintf(name, sizeof name, "%sloss", prefix);
    json_object_set_new(m, name, json_real(report->loss));
    for (size_t i = 0; i < objective->metrics; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, objective->metric_names[i]);
        json_object_set_new(m, name, json_real(report->metric[i]));
    }
    return m;
}

json_t *train_metrics_step(const TrainReport *report, const TrainObjective *objective) {
    json_t *m = named(report, objective, "");
    json_object_set_new(m, "grad_norm", json_real(report->grad_norm));
    json_object_set_new(m, "learning_rate", json_real(report->learning_rate));
    json_object_set_new(m, "epoch", json_real(report->epoch));
    json_object_set_new(m, "num_tokens", json_integer((json_int_t)report->tokens));
    json_object_set_new(m, "seconds", json_real(report->seconds));
    return m;
}

json_t *train_metrics_validation(const TrainReport *report, const TrainObjective *objective) {
    return named(report, objective, "eval_");
}
