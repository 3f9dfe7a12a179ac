/* gemm_plan.h - which products a call runs, made once for each shape and kept.
 *
 * A matrix of T rows is cut into blocks of `tall` rows and, where fewer are left, of `low` rows. Both heights give a
 * row the same bits: oneDNN does not promise that, so it is tried out on random numbers when a plan is made, and where
 * it does not hold one height in between does all the work [GEMM-1]. */
#pragma once
#include "kernels/gemm_onednn.h"

typedef struct {
    GemmShape shape; // rows is that of `tall`, or as asked
    size_t asked_rows;
    size_t tall_rows, low_rows;
    GemmProduct *tall, *low; // may be the same
} GemmPlan;

typedef struct GemmPlans GemmPlans;
int gemm_plan_cache_create(GemmOnednn *library, GemmPlans **plans, Error *error);
void gemm_plan_cache_destroy(GemmPlans *plans);
/* shape->rows 0: for any number of rows, B packed. Otherwise one product of exactly that shape. The plan is the
 * cache's. */
int gemm_plan_find(GemmPlans *plans, const GemmShape *shape, const GemmPlan **plan, Error *error);
