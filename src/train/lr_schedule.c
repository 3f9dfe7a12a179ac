#include "train/lr_schedule.h"

#include <math.h>

double lr_schedule_rate(const LrSchedule *schedule, size_t step) {
    if (step < schedule->warmup) return schedule->peak * (double)step / (double)schedule->warmup;
    if (schedule->kind == LR_CONSTANT) return schedule->peak;
    if (step >= schedule->steps) return 0;
    double length = (double)(schedule->steps - schedule->warmup), done = (double)(step - schedule->warmup) / length;
    if (schedule->kind == LR_LINEAR) return schedule->peak * ((double)(schedule->steps - step) / length);
    return schedule->peak * 0.5 * (1 + cos(3.14159265358979323846 * done));
}
