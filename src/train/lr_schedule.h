/* lr_schedule.h - the learning rate of each step, as the schedules of transformers.
 *
 * Step k counts from 0. During the first `warmup` steps the rate is peak k / warmup (so the first step has rate 0 and
 * only fills the moments); after that
 *
 *   constant   peak
 *   linear     peak (steps - k) / (steps - warmup)
 *   cosine     peak (1 + cos(pi (k - warmup) / (steps - warmup))) / 2
 *
 * The warm-up works with every schedule, with constant too.
 * Source: transformers.optimization, get_{constant,linear,cosine}_schedule_with_warmup. */
#pragma once
#include <stddef.h>

typedef enum { LR_CONSTANT, LR_LINEAR, LR_COSINE } LrKind;

typedef struct {
    LrKind kind;
    double peak;
    size_t warmup, steps;
} LrSchedule;

double lr_schedule_rate(const LrSchedule *schedule, size_t step);
