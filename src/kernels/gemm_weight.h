/* gemm_weight.h - what a GemmWeight is made of; its functions are declared in gemm.h. */
#pragma once
#include "base/arena.h"
#include "kernels/gemm_side.h"

struct GemmWeight {
    size_t out, in;
    DType compute;
    GemmSide forward, data_gradient; // pieces 0: not used so
    Arena block;                     // of both
    void *plain;                     // (out, in) of type compute, for the plain product
};
