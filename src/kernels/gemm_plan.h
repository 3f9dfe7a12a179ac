/* gemm_plan.h - which oneDNN products make up a call. Made once for each shape, tried out, and kept.
 *
 * B (depth, columns) lies packed in pieces of `width` columns, one behind the other. Rows are cut into blocks:
 *   piece[LOW], piece[TALL]    16 or 64 rows times one piece of B
 *   whole[TALL], whole[HUGE]   64 or 256 rows times all of B: C is written where it belongs, the fastest where rows
 * abound A row must get the same bits from each [GEMM-1], and pieces that lie behind each other must mean the same as
 * all of B. oneDNN promises neither; it depends on CPU, version and shape. So each product is tried on random numbers
 * before it is used, and one that differs from the pieces is not used. */
#pragma once
#include "kernels/gemm_onednn.h"

typedef struct {
    size_t depth, columns, width;
    size_t c_row; // of C (rows, columns)
    DType input, output;
    bool accumulate;
} GemmPlanKey;

typedef enum { GEMM_LOW, GEMM_TALL, GEMM_HUGE, GEMM_HEIGHTS } GemmHeight;
static const size_t gemm_height_rows[GEMM_HEIGHTS] = {16, 64, 256};

typedef struct {
    GemmPlanKey key;
    size_t pieces, piece_bytes; // all pieces but the last have piece_bytes
    bool dense;                 // products of pieces write rows without gaps; otherwise rows c_row apart
    const GemmPrimitive *piece[GEMM_HEIGHTS],
        *last[GEMM_HEIGHTS];                  // last: of the last piece. LOW is NULL where it differs
    const GemmPrimitive *whole[GEMM_HEIGHTS]; // NULL: not to be used
} GemmPlan;

typedef struct GemmPlans GemmPlans;
/* dense: as if oneDNN were slow for every C with gaps. False but for tests. */
int gemm_plan_open(GemmOnednn *library, bool dense, GemmPlans **plans, Error *error);
void gemm_plan_close(GemmPlans *plans);
/* `whole`: whether products of all of B are wanted too, if they can be had. The plan stays the cache's. */
int gemm_plan_find(GemmPlans *plans, const GemmPlanKey *key, bool whole, const GemmPlan **plan, Error *error);
int gemm_plan_packer(GemmPlans *plans, const GemmPacking *packing, const GemmPrimitive **packer, Error *error);

/* Columns of a piece of B. Pieces are equal but for the last, and fit into a core's second-level cache; where there are
 * columns enough their number is even, for two threads and few rows. A function of the shape alone. */
size_t gemm_plan_width(size_t depth, size_t columns, DType type);
