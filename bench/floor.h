/* floor.h - the least time that the matrix products of a job can take on this machine, measured in the same run.
 *
 * Every product that any correct implementation must do is measured alone, at exactly its shape, at the best rate that
 * oneDNN reaches with all threads: weights packed before, each thread a share of the rows or of the columns, the faster
 * of the two. Their sum is the floor; floor / wall time is the efficiency, which means the same on every CPU. Padding,
 * and anything computed twice, is not in the floor. MFU is against one large square product.
 * Counted: each token once; the head only for rows that predict something; of attention the pairs that see each other. */
#pragma once
#include "formats/hf_config.h"
#include "kernels/gemm_onednn.h"

typedef struct Floor Floor;

/* input: DTYPE_BF16 only where the CPU multiplies it. */
int floor_create(Floor **floor, const KernelTable *kernels, DType input, Error *error);
void floor_destroy(Floor *floor);

typedef struct {
    double seconds, flops;
} FloorCost;

/* rows x depth times a packed depth x columns; and depth x rows, transposed, times depth x columns: a weight gradient. */
int floor_product(Floor *floor, size_t rows, size_t columns, size_t depth, FloorCost *cost, Error *error);
int floor_gradient(Floor *floor, size_t rows, size_t columns, size_t depth, FloorCost *cost, Error *error);

/* One pass of a model over `rows` tokens, `head_rows` of which go through the head; `pairs` are all (query, key) that see
 * each other. training: forward and backward. */
int floor_model(Floor *floor, const HfConfig *config, size_t rows, size_t head_rows, double pairs, bool training, FloorCost *cost,
                Error *error);
/* Operations a second of a 2048 square product. */
int floor_peak(Floor *floor, double *flops_per_second, Error *error);
