/* kernel_table.h - the inner loops, one function pointer each, chosen once for the CPU that runs the program.
 *
 * kernels/ref holds the plain version of every entry; it stays for ever, fills the table first, and the tests hold the
 * others against it. kernels/avx2 and kernels/avx512 override what they do better. Nothing outside those two folders is
 * compiled for a special CPU. DICE_ISA=reference|avx2|avx512|avx512_bf16|amx caps the choice, so that every path can be
 * tested on every machine.
 *
 * Entries work on one row or one block, on one thread; the files kernels/X.c split the work among threads in a way that
 * does not depend on the thread count, so results are bit-equal whatever `threads` is. */
#pragma once
#include "base/dtype.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct AdamwStep;

typedef enum { ISA_REFERENCE, ISA_AVX2, ISA_AVX512, ISA_AVX512_BF16, ISA_AMX } Isa;

typedef struct {
    Isa isa;
    int threads; // >= 1: how many threads the drivers in kernels/ use
    // float32 <-> bfloat16, round to nearest even
    void (*to_bf16)(size_t n, const float *src, bf16 *dst);
    void (*to_f32)(size_t n, const bf16 *src, float *dst);
    // elementwise and reductions over n floats; sums in a fixed order of the implementation
    void (*add)(size_t n, const float *x, float *y);           // y += x
    void (*scale)(size_t n, float a, float *y);                // y *= a
    void (*axpy)(size_t n, float a, const float *x, float *y); // y += a x
    float (*dot)(size_t n, const float *x, const float *y);
    float (*dot_bf16)(size_t n, const bf16 *x, const bf16 *y);     // products exact, accumulation float32
    void (*axpy_bf16)(size_t n, float a, const bf16 *x, float *y); // y += a x
    float (*maximum)(size_t n, const float *x);
    // max-shifted: returns sum of exp(x_i - shift), writes exp(x_i - shift) to y unless y == NULL (y may be x)
    float (*exp_sum)(size_t n, const float *x, float shift, float *y);
    double (*sum_squares)(size_t n, const float *x);
    // rmsnorm of one row of C floats: y = x * inverse_rms * weight; returns inverse_rms = 1/sqrt(mean(x^2)+eps)
    float (*rmsnorm_row)(size_t C, const float *x, const float *weight, float eps, void *y, DType y_type);
    // dx += d(loss)/dx of one row; dweight (C) += ; dy float32
    void (*rmsnorm_row_backward)(size_t C, const float *x, const float *weight, float inverse_rms, const float *dy,
                                 float *dx, float *dweight);
    // out = silu(gate) * up, and its gradients, dgate and dup perhaps where gate and up are; n elements
    void (*swiglu)(size_t n, DType type, const void *gate, const void *up, void *out);
    void (*swiglu_backward)(size_t n, DType type, const void *gate, const void *up, const void *dout, void *dgate,
                            void *dup);
    // the same with gelu (its tanh form, see kernels/glu.h) for silu
    void (*geglu)(size_t n, DType type, const void *gate, const void *up, void *out);
    void (*geglu_backward)(size_t n, DType type, const void *gate, const void *up, const void *dout, void *dgate,
                           void *dup);
    // turns all heads of one row in place, see kernels/rope.h: element i with element i + half of each; sign 1 or -1
    void (*rope_row)(size_t heads, size_t half, DType type, const float *cosine, const float *sine, float sign,
                     void *x);
    // Tiles of attention, see kernels/attention_plan.h; x_row is the row length of x, columns a multiple of 16.
    // dst (rows, columns) float32 = src of `type`; the rest of a row of dst becomes 0
    void (*tile_load)(size_t rows, size_t columns, DType type, const void *src, size_t src_row, float *dst,
                      size_t dst_row);
    // dst (columns, rows) float32 = src (rows, columns) of `type` transposed; any columns
    void (*tile_transpose)(size_t rows, size_t columns, DType type, const void *src, size_t src_row, float *dst,
                           size_t dst_row);
    // c (M, N) = c * keep[n] + a b, or a b where keep is NULL; a(m, k) = a[m a_row + k a_column], b (K, N), N a
    // multiple of 16. The order of a sum over k depends on K alone
    void (*tile_product)(size_t M, size_t N, size_t K, const float *a, size_t a_row, size_t a_column, const float *b,
                         size_t b_row, const float *keep, float *c, size_t c_row);
    // One block of keys of an online softmax. s (keys, columns), a column for a query, becomes exp(s - new maximum),
    // and 0 where key < first[column] or key >= end[column] (first and end NULL: all visible);
    // keep = exp(old maximum - new); sum = sum * keep + that of the block
    void (*softmax_columns)(size_t keys, size_t columns, float *s, size_t s_row, const int32_t *first,
                            const int32_t *end, float *maximum, float *sum, float *keep);
    // The same with s (rows, keys), a row for a query; any rows and keys, same bits
    void (*softmax_rows)(size_t rows, size_t keys, float *s, size_t s_row, const int32_t *first, const int32_t *end,
                         float *maximum, float *sum, float *keep);
    // s (keys, columns) becomes P = exp(s - lse[column]), ds becomes P (ds - delta[column]); 0 where not visible
    void (*softmax_columns_backward)(size_t keys, size_t columns, float *s, float *ds, size_t s_row,
                                     const int32_t *first, const int32_t *end, const float *lse, const float *delta);
    // one AdamW update of n elements, see kernels/adamw.h
    void (*adamw)(size_t n, const struct AdamwStep *step, float *w, float *m, float *v, const float *g);
} KernelTable;

/* The table of isa_preferred() or of DICE_ISA, with `threads` threads (0: one per core that the process may use).
 * ERROR_USAGE for an unknown DICE_ISA or one that this CPU does not have. */
int kernel_table_create(KernelTable *table, int threads, Error *error);
/* The same, capped by argument instead of by environment. */
int kernel_table_create_capped(KernelTable *table, int threads, Isa cap, Error *error);
const char *isa_name(Isa isa);
Isa isa_of_cpu(void); // the most that CPU and operating system support
Isa isa_preferred(
    void); // the fastest of them: less than isa_of_cpu() where bfloat16 products are slower than float32's
/* Whether bfloat16 is worth choosing as compute type. The reference computes it too (tests), slowly. */
bool isa_has_bf16(Isa isa);
