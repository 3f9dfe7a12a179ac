/* floor.h - the least time that the matrix products of a job can take on this machine, measured in the same run.
 *
 * Every product that any correct implementation must do is measured alone, at exactly its shape, at the best rate that
 * oneDNN reaches with all threads: weights packed before; split among the threads by oneDNN itself, or in the pieces of
 * kernels/gemm, whichever is faster. Their sum is the floor; floor / wall time is the efficiency, which means the same
 * on every CPU. Padding, and anything computed twice, is not in the floor. MFU is against one large square product.
 * Counted: each token once; the head only for rows that predict something; of attention the pairs that see each other.
 */
#pragma once
#include "formats/hf_config.h"
#include "kernels/kernel_table.h"

typedef struct Floor Floor;

/* compute: bfloat16 only where the CPU multiplies it. kernels outlives the floor. */
int floor_create(Floor **floor, const KernelTable *kernels, DType compute, Error *error);
void floor_destroy(Floor *floor);

typedef struct {
    double seconds, flops;
} FloorCost;

/* One pass of a model over `rows` tokens, `head_rows` of which go through the head; `pairs` are all (query, key) that
 * see each other. training: forward and backward. */
int floor_model(Floor *floor, const HfConfig *config, size_t rows, size_t head_rows, double pairs, bool training,
                FloorCost *cost, Error *error);
/* Operations a second of a 2048 square product. */
int floor_peak(Floor *floor, double *flops_per_second, Error *error);
