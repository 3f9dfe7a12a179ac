/* attention.h - causal attention over trunk and branches, forward and backward, without a (T x T) matrix.
 *
 * A segment is a run of query rows and a run of key/value rows. It sees its own keys causally, and all keys of its
 * parent, its parent's parent, ... (a prompt is a trunk, its responses are branches). The last query_length keys of a
 * segment are those of its queries; in training query_length == key_length and the rows coincide, when decoding
 * query_length is 1 and the keys live in a cache. With a window w > 0 a query sees only keys at most w - 1 positions
 * back, where the position of a segment's first key is the summed key_length of its ancestors. P = softmax(scale Q K^T
 * + mask),  O = P V;  heads share key/value heads: head h reads h / (heads / kv_heads). Softmax is online, in float32.
 * The bits of a result depend neither on other segments in the call (gradients: on other trees) nor on the thread count
 * [ATT-1], and a query gets the same bits whether its segment came at once or token by token [ATT-2]. Source: Rabe and
 * Staats, arXiv 2112.05682; Dao et al., FlashAttention, arXiv 2205.14135. */
#pragma once
#include "kernels/kernel_table.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t query_row, query_length;
    size_t key_row, key_length; // key_length >= query_length
    int32_t parent;             // index of an earlier segment, or -1
} AttentionSegment;

typedef struct {
    size_t heads, kv_heads, head_dim;
    size_t q_stride, k_stride, v_stride, o_stride; // elements between rows
    size_t window;                                 // 0: everything before
    float scale;
    DType type; // of q, k, v, o and their gradients
} AttentionShape;

/* Bytes of scratch that one call with these segments needs; `backward` non-zero for the backward call too. */
size_t attention_scratch_bytes(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                               size_t n, int backward);

/* q: rows x (H * D), k and v: rows x (Hkv * D), o like q. lse: (query rows, H) float32 log-sum-exp, or NULL. */
void attention_forward(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                       size_t n, const void *q, const void *k, const void *v, void *o, float *lse, void *scratch);
/* Writes dq, dk, dv (same strides as q, k, v; every row that a segment covers is overwritten). Needs query_length ==
 * key_length everywhere and query_row == key_row. dout has o_stride. A trunk's dk and dv sum over its branches. */
void attention_backward(const KernelTable *kernels, const AttentionShape *shape, const AttentionSegment *segment,
                        size_t n, const void *q, const void *k, const void *v, const void *o, const float *lse,
                        const void *dout, void *dq, void *dk, void *dv, void *scratch);
