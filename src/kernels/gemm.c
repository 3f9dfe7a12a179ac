#include "kernels/gemm.h"
#include "base/size.h"
#include "kernels/gemm_plan.h"
#include "kernels/ref/ref_gemm.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* A packed piece of a weight stays in a core's second-level cache while the rows stream by. */
enum { PIECE_BYTES = 1 << 20, PIECE_MULTIPLE = 32, PIECE_COLUMNS = 1024 };
/* A piece of a weight gradient, at most, and the rows that it sums at once. */
enum { GRADIENT_OUT = 512, GRADIENT_IN = 1024, GRADIENT_ROWS = 512 };

struct GemmContext {
    const KernelTable *kernels;
    int threads;
    GemmOnednn *library; // NULL: the plain product
    GemmPlans *plans;
    char **staging; // (threads) staging_bytes each, for rows that a product cannot read or write in place
    size_t staging_bytes;
};

/* One use of a weight: B (depth, columns), packed in pieces of `width` columns. */
typedef struct {
    size_t depth, columns, width, pieces;
    GemmPacked **packed; // (pieces)
} Side;

struct GemmWeight {
    size_t out, in;
    DType compute, packed_type;
    Side forward, data_gradient; // pieces 0: not used so
    void *plain;                 // (out, in) of type compute, for the plain product
};

int gemm_create(GemmContext **out, const KernelTable *kernels, Error *error) {
    GemmContext *context = *out = calloc(1, sizeof *context);
    if (context == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    context->kernels = kernels, context->threads = kernels->threads;
    if (kernels->isa <= ISA_REFERENCE) return 0;
    context->staging = calloc((size_t)kernels->threads, sizeof *context->staging);
    if (context->staging == NULL)
        error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    else if (gemm_onednn_open(&context->library, kernels, 1, error) == 0 &&
             gemm_plan_cache_create(context->library, &context->plans, error) == 0)
        return 0;
    gemm_destroy(context);
    *out = NULL;
    return -1;
}

void gemm_destroy(GemmContext *context) {
    if (context == NULL) return;
    gemm_plan_cache_destroy(context->plans);
    gemm_onednn_close(context->library);
    for (int i = 0; context->staging != NULL && i < context->threads; i++) free(context->staging[i]);
    free(context->staging);
    free(context);
}

/* Every thread has at least `bytes` of staging. */
static int stage(GemmContext *context, size_t bytes, Error *error) {
    if (bytes <= context->staging_bytes) return 0;
    for (int i = 0; i < context->threads; i++) {
        free(context->staging[i]);
        context->staging[i] = aligned_alloc(64, size_round_up(bytes, 64));
        if (context->staging[i] == NULL) {
            context->staging_bytes = 0;
            return error_set(error, ERROR_MEMORY, "no memory for %zu bytes of matrix rows", bytes);
        }
    }
    context->staging_bytes = bytes;
    return 0;
}

/* The type that products see: without bfloat16 units, bfloat16 values are multiplied as float32, which is exact. */
static DType input_type(const GemmContext *context, DType compute) {
    return context->library == NULL || gemm_onednn_has_bf16(context->library) ? compute : DTYPE_F32;
}

static void convert(const KernelTable *kernels, size_t n, const void *src, DType src_type, void *dst, DType dst_type) {
    if (src_type == dst_type)
        memcpy(dst, src, n * dtype_bytes(src_type));
    else if (dst_type == DTYPE_BF16)
        kernels->to_bf16(n, src, dst);
    else
        kernels->to_f32(n, src, dst);
}

/* `rows` rows of `width` elements to dst, and zeros up to `padded` rows. */
static void copy_rows(const KernelTable *kernels, size_t rows, size_t padded, size_t width, const void *src,
                      size_t src_stride, DType src_type, void *dst, size_t dst_stride, DType dst_type) {
    const char *from = src;
    char *to = dst;
    size_t from_bytes = src_stride * dtype_bytes(src_type), to_bytes = dst_stride * dtype_bytes(dst_type);
    for (size_t r = 0; r < rows; r++)
        convert(kernels, width, from + r * from_bytes, src_type, to + r * to_bytes, dst_type);
    for (size_t r = rows; r < padded; r++) memset(to + r * to_bytes, 0, width * dtype_bytes(dst_type));
}

/* --- weights --- */

/* Columns of a piece: all pieces equal but the last, an even number of them (for two threads and few rows), each small
 * enough for the cache. A function of the shape alone. */
static size_t piece_width(size_t depth, size_t columns, size_t element) {
    size_t most = PIECE_BYTES / (depth * element), pieces = 2;
    if (most < PIECE_MULTIPLE) most = PIECE_MULTIPLE;
    if (most > PIECE_COLUMNS) most = PIECE_COLUMNS;
    while (pieces * most < columns) pieces += 2;
    size_t width = size_round_up((columns + pieces - 1) / pieces, PIECE_MULTIPLE);
    return width < columns ? width : columns;
}

static size_t pieces_of(size_t columns, size_t width) { return (columns + width - 1) / width; }

static size_t width_of(const Side *side, size_t piece) {
    size_t first = piece * side->width;
    return side->columns - first < side->width ? side->columns - first : side->width;
}

/* Sources are tight: rows of W for forward, copied columns of W for the data gradient. */
static int side_create(GemmContext *context, Side *side, size_t depth, size_t columns, DType type, bool transposed,
                       Error *error) {
    size_t width = piece_width(depth, columns, dtype_bytes(type));
    *side = (Side){.depth = depth, .columns = columns, .width = width, .pieces = pieces_of(columns, width)};
    side->packed = calloc(side->pieces, sizeof *side->packed);
    if (side->packed == NULL)
        return error_set(error, ERROR_MEMORY, "no memory for a weight of %zu x %zu", depth, columns);
    for (size_t p = 0; p < side->pieces; p++) {
        size_t n = width_of(side, p);
        if (gemm_onednn_packed_create(context->library, depth, n, type, transposed ? 1 : n, transposed ? depth : 1,
                                      &side->packed[p], error) != 0)
            return -1;
    }
    return 0;
}

static void side_destroy(Side *side) {
    for (size_t p = 0; side->packed != NULL && p < side->pieces; p++) gemm_onednn_packed_destroy(side->packed[p]);
    free(side->packed);
}

static size_t side_bytes(size_t depth, size_t columns, size_t element) {
    size_t width = piece_width(depth, columns, element), pieces = pieces_of(columns, width),
           tail = columns - (pieces - 1) * width;
    size_t padded = (pieces - 1) * size_round_up(width, 64) + size_round_up(tail, 64);
    return size_round_up(depth, 64 / element) * padded * element;
}

int gemm_weight_create(GemmContext *context, size_t out, size_t in, DType compute, unsigned uses, GemmWeight **result,
                       Error *error) {
    size_t elements, bytes;
    *result = NULL;
    if (out == 0 || in == 0 || !size_multiply(out, in, &elements) || !size_multiply(elements, 4, &bytes))
        return error_set(error, ERROR_INTERNAL, "a weight of %zu x %zu cannot be multiplied", out, in);
    GemmWeight *weight = calloc(1, sizeof *weight);
    if (weight == NULL) return error_set(error, ERROR_MEMORY, "no memory for a weight of %zu x %zu", out, in);
    *weight = (GemmWeight){.out = out, .in = in, .compute = compute, .packed_type = input_type(context, compute)};
    int status = 0;
    if (context->library == NULL) {
        weight->plain = calloc(elements, dtype_bytes(compute));
        if (weight->plain == NULL)
            status = error_set(error, ERROR_MEMORY, "no memory for a weight of %zu x %zu", out, in);
    } else {
        if (uses & GEMM_FORWARD)
            status = side_create(context, &weight->forward, in, out, weight->packed_type, true, error);
        if (status == 0 && uses & GEMM_DATA_GRADIENT)
            status = side_create(context, &weight->data_gradient, out, in, weight->packed_type, false, error);
    }
    if (status == 0)
        *result = weight;
    else
        gemm_weight_destroy(weight);
    return status;
}

void gemm_weight_destroy(GemmWeight *weight) {
    if (weight == NULL) return;
    side_destroy(&weight->forward);
    side_destroy(&weight->data_gradient);
    free(weight->plain);
    free(weight);
}

size_t gemm_weight_bytes(size_t out, size_t in, DType compute, unsigned uses) {
    size_t element = isa_has_bf16(isa_of_cpu()) ? dtype_bytes(compute) : 4, bytes = sizeof(GemmWeight);
    if (uses & GEMM_FORWARD) bytes += side_bytes(in, out, element);
    if (uses & GEMM_DATA_GRADIENT) bytes += side_bytes(out, in, element);
    return bytes;
}

/* Source values in the precision of the compute type: float32 is rounded to bfloat16 even where it is stored wide. */
static void convert_values(const KernelTable *kernels, size_t n, const void *src, DType src_type, void *dst,
                           DType compute, DType dst_type) {
    enum { BLOCK = 512 };
    float wide[BLOCK];
    bf16 narrow[BLOCK];
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t count = n - first < BLOCK ? n - first : BLOCK;
        const void *from = (const char *)src + first * dtype_bytes(src_type);
        DType type = src_type;
        if (type == DTYPE_F16) {
            for (size_t i = 0; i < count; i++) wide[i] = dtype_f16_to_float(((const uint16_t *)from)[i]);
            from = wide, type = DTYPE_F32;
        }
        if (type != compute) {
            void *to = compute == DTYPE_BF16 ? (void *)narrow : (void *)wide;
            convert(kernels, count, from, type, to, compute);
            from = to, type = compute;
        }
        convert(kernels, count, from, type, (char *)dst + first * dtype_bytes(dst_type), dst_type);
    }
}

/* Packs piece p of either side: forward pieces are rows of W, pieces of the data gradient are columns. */
static int pack_piece(GemmContext *context, GemmWeight *weight, size_t p, int thread, const void *source, DType type) {
    const KernelTable *kernels = context->kernels;
    bool forward = p < weight->forward.pieces;
    const Side *side = forward ? &weight->forward : &weight->data_gradient;
    if (!forward) p -= weight->forward.pieces;
    size_t first = p * side->width, width = width_of(side, p), in = weight->in, bytes = dtype_bytes(type);
    const char *from = (const char *)source + (forward ? first * in : first) * bytes;
    if (forward && type == weight->packed_type && type == weight->compute)
        return gemm_onednn_packed_fill(side->packed[p], thread, from);
    char *staged = context->staging[thread];
    if (forward)
        convert_values(kernels, width * in, from, type, staged, weight->compute, weight->packed_type);
    else
        for (size_t r = 0; r < side->depth; r++)
            convert_values(kernels, width, from + r * in * bytes, type,
                           staged + r * width * dtype_bytes(weight->packed_type), weight->compute, weight->packed_type);
    return gemm_onednn_packed_fill(side->packed[p], thread, staged);
}

int gemm_weight_pack(GemmContext *context, GemmWeight *weight, const void *source, DType source_type, Error *error) {
    const KernelTable *kernels = context->kernels;
    size_t in = weight->in, row = in * dtype_bytes(weight->compute), source_row = in * dtype_bytes(source_type);
    if (context->library == NULL) {
#pragma omp parallel for num_threads(context->threads) schedule(static)
        for (size_t r = 0; r < weight->out; r++)
            convert_values(kernels, in, (const char *)source + r * source_row, source_type,
                           (char *)weight->plain + r * row, weight->compute, weight->compute);
        return 0;
    }
    const Side *f = &weight->forward, *d = &weight->data_gradient;
    size_t most = f->width * f->depth > d->width * d->depth ? f->width * f->depth : d->width * d->depth;
    if (stage(context, most * dtype_bytes(weight->packed_type), error) != 0) return -1;
    int failed = 0;
#pragma omp parallel for num_threads(context->threads) schedule(dynamic) reduction(| : failed)
    for (size_t p = 0; p < f->pieces + d->pieces; p++)
        failed |= pack_piece(context, weight, p, omp_get_thread_num(), source, source_type);
    if (failed == 0) return 0;
    return error_set(error, ERROR_INTERNAL, "oneDNN gave status %d when a weight of %zu x %zu was packed", failed,
                     weight->out, in);
}

/* --- forward and data gradient --- */

typedef struct {
    size_t T;
    const void *a; // (T, depth) of type compute
    size_t a_stride;
    void *c; // (T, columns)
    size_t c_stride;
    DType compute, c_type;
    bool accumulate;
} Rows;

/* One call: how its pieces read, multiply and write. */
typedef struct {
    GemmContext *context;
    const Side *side;
    const Rows *rows;
    size_t first_piece, pieces;
    DType input, output;              // of the product
    bool stage_a, stage_c;            // always; otherwise only where fewer rows are left than the product has
    size_t a_row, c_row;              // strides that the product sees
    const GemmPlan *plan, *last_plan; // last_plan: the last piece, which may be narrower
} Call;

static size_t blocks_of(const GemmPlan *plan, size_t T) {
    return T / plan->tall_rows + (T % plan->tall_rows + plan->low_rows - 1) / plan->low_rows;
}

/* A block of rows and its product; rows beyond T are made up. */
typedef struct {
    const GemmProduct *product;
    size_t first, height, count;
} Block;

static Block block_at(const GemmPlan *plan, size_t T, size_t index) {
    size_t tall_blocks = T / plan->tall_rows;
    bool tall = index < tall_blocks;
    Block b = {.product = tall ? plan->tall : plan->low, .height = tall ? plan->tall_rows : plan->low_rows};
    b.first = tall ? index * b.height : tall_blocks * plan->tall_rows + (index - tall_blocks) * b.height;
    b.count = T - b.first < b.height ? T - b.first : b.height;
    return b;
}

static int run_piece(const Call *call, size_t p, size_t index, int thread) {
    const Rows *rows = call->rows;
    const KernelTable *kernels = call->context->kernels;
    const GemmPlan *plan = p + 1 == call->pieces ? call->last_plan : call->plan;
    const Block block = block_at(plan, rows->T, index);
    size_t depth = call->side->depth, width = plan->shape.columns;
    bool stage_a = call->stage_a || block.count < block.height, stage_c = call->stage_c || block.count < block.height;
    const void *a = (const char *)rows->a + block.first * rows->a_stride * dtype_bytes(rows->compute);
    void *c = (char *)rows->c + (block.first * rows->c_stride + p * call->side->width) * dtype_bytes(rows->c_type);
    char *staged_a = call->context->staging[thread];
    char *staged_c = staged_a + size_round_up(block.height * call->a_row * dtype_bytes(call->input), 64);
    if (stage_a)
        copy_rows(kernels, block.count, block.height, depth, a, rows->a_stride, rows->compute, staged_a, call->a_row,
                  call->input);
    if (stage_c && rows->accumulate)
        copy_rows(kernels, block.count, block.height, width, c, rows->c_stride, rows->c_type, staged_c, call->c_row,
                  call->output);
    int status = gemm_onednn_product_run(block.product, thread, stage_a ? staged_a : a, NULL,
                                         call->side->packed[call->first_piece + p], stage_c ? staged_c : c);
    if (stage_c)
        copy_rows(kernels, block.count, block.count, width, staged_c, call->c_row, call->output, c, rows->c_stride,
                  rows->c_type);
    return status;
}

/* Chooses strides, finds the plans and gets the staging for their highest blocks. */
static int prepare(Call *call, Error *error) {
    const Side *side = call->side;
    const Rows *rows = call->rows;
    call->input = input_type(call->context, rows->compute);
    bool widened = call->input != rows->compute;
    call->output = widened ? DTYPE_F32 : rows->c_type;
    call->stage_a = widened, call->stage_c = call->output != rows->c_type;
    call->a_row = call->stage_a ? side->depth : rows->a_stride;
    call->c_row = call->stage_c ? side->width : rows->c_stride;
    GemmShape shape = {.columns = width_of(side, call->first_piece + call->pieces - 1),
                       .depth = side->depth,
                       .a_row = call->a_row,
                       .a_depth = 1,
                       .c_row = call->c_row,
                       .input = call->input,
                       .output = call->output,
                       .accumulate = rows->accumulate};
    if (gemm_plan_find(call->context->plans, &shape, &call->last_plan, error) != 0) return -1;
    call->plan = call->last_plan;
    shape.columns = side->width;
    if (call->pieces > 1 && gemm_plan_find(call->context->plans, &shape, &call->plan, error) != 0) return -1;
    size_t highest =
        call->plan->tall_rows > call->last_plan->tall_rows ? call->plan->tall_rows : call->last_plan->tall_rows;
    size_t a_bytes = size_round_up(highest * call->a_row * dtype_bytes(call->input), 64);
    return stage(call->context, a_bytes + highest * call->c_row * dtype_bytes(call->output), error);
}

/* The pieces [first, first + pieces) of a side. */
static int run_side(GemmContext *context, const Side *side, size_t first, size_t pieces, const Rows *rows,
                    Error *error) {
    Call call = {.context = context, .side = side, .rows = rows, .first_piece = first, .pieces = pieces};
    if (rows->T == 0) return 0;
    if (prepare(&call, error) != 0) return -1;
    size_t blocks = blocks_of(call.plan, rows->T), last = pieces - 1,
           work = last * blocks + blocks_of(call.last_plan, rows->T);
    int failed = 0;
#pragma omp parallel for num_threads(context->threads) schedule(dynamic) reduction(| : failed)
    for (size_t i = 0; i < work; i++) {
        size_t p = i / blocks < last ? i / blocks : last;
        failed |= run_piece(&call, p, i - p * blocks, omp_get_thread_num());
    }
    if (failed == 0) return 0;
    const GemmShape shape = {.rows = rows->T, .columns = side->columns, .depth = side->depth, .input = rows->compute};
    return gemm_onednn_failed(&shape, failed, error);
}

static void run_plain(int threads, const RefGemm *plain, const Rows *rows, const void *b) {
    size_t a_bytes = rows->a_stride * dtype_bytes(rows->compute), c_bytes = rows->c_stride * dtype_bytes(rows->c_type);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t t = 0; t < rows->T; t++)
        ref_gemm_row(plain, (const char *)rows->a + t * a_bytes, b, (char *)rows->c + t * c_bytes);
}

size_t gemm_weight_piece(const GemmWeight *weight) { return weight->plain != NULL ? 1 : weight->forward.width; }

int gemm_forward_columns(GemmContext *context, const GemmWeight *weight, size_t first, size_t count, size_t T,
                         const void *x, size_t x_stride, void *y, size_t y_stride, DType y_type, bool accumulate,
                         Error *error) {
    const Rows rows = {.T = T,
                       .a = x,
                       .a_stride = x_stride,
                       .c = y,
                       .c_stride = y_stride,
                       .compute = weight->compute,
                       .c_type = y_type,
                       .accumulate = accumulate};
    size_t piece = gemm_weight_piece(weight);
    assert(first % piece == 0 && (count % piece == 0 || first + count == weight->out) && count > 0);
    if (context->library != NULL)
        return run_side(context, &weight->forward, first / piece, pieces_of(count, piece), &rows, error);
    const RefGemm plain = {.columns = count,
                           .depth = weight->in,
                           .a_depth = 1,
                           .b_depth = 1,
                           .b_column = weight->in,
                           .input = weight->compute,
                           .output = y_type,
                           .accumulate = accumulate};
    run_plain(context->threads, &plain, &rows,
              (char *)weight->plain + first * weight->in * dtype_bytes(weight->compute));
    return 0;
}

int gemm_forward(GemmContext *context, const GemmWeight *weight, size_t T, const void *x, size_t x_stride, void *y,
                 size_t y_stride, DType y_type, bool accumulate, Error *error) {
    return gemm_forward_columns(context, weight, 0, weight->out, T, x, x_stride, y, y_stride, y_type, accumulate,
                                error);
}

int gemm_data_gradient(GemmContext *context, const GemmWeight *weight, size_t T, const void *dy, size_t dy_stride,
                       void *dx, size_t dx_stride, DType dx_type, bool accumulate, Error *error) {
    const Rows rows = {.T = T,
                       .a = dy,
                       .a_stride = dy_stride,
                       .c = dx,
                       .c_stride = dx_stride,
                       .compute = weight->compute,
                       .c_type = dx_type,
                       .accumulate = accumulate};
    if (context->library != NULL)
        return run_side(context, &weight->data_gradient, 0, weight->data_gradient.pieces, &rows, error);
    const RefGemm plain = {.columns = weight->in,
                           .depth = weight->out,
                           .a_depth = 1,
                           .b_depth = weight->in,
                           .b_column = 1,
                           .input = weight->compute,
                           .output = dx_type,
                           .accumulate = accumulate};
    run_plain(context->threads, &plain, &rows, weight->plain);
    return 0;
}

/* --- weight gradient --- */

/* dW in pieces of out_width x in_width, each summed by one thread over all T in steps of GRADIENT_ROWS. The last step
 * is padded with rows of zeros to a multiple, so that few shapes of products are needed. */
typedef struct {
    GemmContext *context;
    size_t T, out, in, out_width, in_width;
    DType compute, input;
    const void *dy, *x;
    size_t dy_stride, x_stride;
    float *dw;
    const GemmPlan *plan[2][2][2]; // [last step][last out piece][last in piece]
} Gradient;

static size_t padded_rows(size_t rows) { return size_round_up(rows, rows < 64 ? 16 : 64); }

/* Whether the rows of a step are copied: to widen them, or to pad them. */
static bool gradient_stages(const Gradient *g, size_t rows) {
    return g->input != g->compute || rows != padded_rows(rows);
}

static size_t gradient_width(size_t n, size_t most, size_t fewest) {
    size_t pieces = fewest;
    while (pieces * most < n) pieces += fewest;
    size_t width = size_round_up((n + pieces - 1) / pieces, PIECE_MULTIPLE);
    return width < n ? width : n;
}

static int gradient_plans(Gradient *g, Error *error) {
    size_t out_tail = g->out - (pieces_of(g->out, g->out_width) - 1) * g->out_width;
    size_t in_tail = g->in - (pieces_of(g->in, g->in_width) - 1) * g->in_width;
    for (int i = 0; i < 8; i++) {
        bool last = i & 4;
        size_t rows = last ? g->T % GRADIENT_ROWS : GRADIENT_ROWS;
        if (rows == 0 || (!last && g->T < GRADIENT_ROWS)) continue;
        bool staged = gradient_stages(g, rows);
        size_t out = i & 2 ? out_tail : g->out_width, in = i & 1 ? in_tail : g->in_width;
        const GemmShape shape = {.rows = out,
                                 .columns = in,
                                 .depth = padded_rows(rows),
                                 .a_row = 1,
                                 .a_depth = staged ? out : g->dy_stride,
                                 .b_depth = staged ? in : g->x_stride,
                                 .b_column = 1,
                                 .c_row = g->in,
                                 .input = g->input,
                                 .output = DTYPE_F32,
                                 .accumulate = true};
        if (gemm_plan_find(g->context->plans, &shape, &g->plan[last][i >> 1 & 1][i & 1], error) != 0) return -1;
    }
    return 0;
}

static int gradient_piece(const Gradient *g, size_t out_piece, size_t in_piece, int thread) {
    const KernelTable *kernels = g->context->kernels;
    size_t o = out_piece * g->out_width, i = in_piece * g->in_width, bytes = dtype_bytes(g->compute);
    bool last_out = o + g->out_width >= g->out, last_in = i + g->in_width >= g->in;
    for (size_t t = 0; t < g->T; t += GRADIENT_ROWS) {
        size_t rows = g->T - t < GRADIENT_ROWS ? g->T - t : GRADIENT_ROWS;
        const GemmPlan *plan = g->plan[rows < GRADIENT_ROWS][last_out][last_in];
        const GemmShape *shape = &plan->shape;
        const void *a = (const char *)g->dy + (t * g->dy_stride + o) * bytes,
                   *b = (const char *)g->x + (t * g->x_stride + i) * bytes;
        if (gradient_stages(g, rows)) {
            char *to_a = g->context->staging[thread],
                 *to_b = to_a + size_round_up(shape->depth * shape->rows * dtype_bytes(g->input), 64);
            copy_rows(kernels, rows, shape->depth, shape->rows, a, g->dy_stride, g->compute, to_a, shape->rows,
                      g->input);
            copy_rows(kernels, rows, shape->depth, shape->columns, b, g->x_stride, g->compute, to_b, shape->columns,
                      g->input);
            a = to_a, b = to_b;
        }
        int status = gemm_onednn_product_run(plan->tall, thread, a, b, NULL, g->dw + o * g->in + i);
        if (status != 0) return status;
    }
    return 0;
}

static void gradient_plain(const Gradient *g) {
    const RefGemm plain = {.columns = g->in,
                           .depth = g->T,
                           .a_depth = g->dy_stride,
                           .b_depth = g->x_stride,
                           .b_column = 1,
                           .input = g->compute,
                           .output = DTYPE_F32,
                           .accumulate = true};
#pragma omp parallel for num_threads(g->context->threads) schedule(static)
    for (size_t o = 0; o < g->out; o++)
        ref_gemm_row(&plain, (const char *)g->dy + o * dtype_bytes(g->compute), g->x, g->dw + o * g->in);
}

int gemm_weight_gradient(GemmContext *context, size_t T, size_t out, size_t in, DType compute, const void *dy,
                         size_t dy_stride, const void *x, size_t x_stride, float *dw, Error *error) {
    Gradient g = {.context = context,
                  .T = T,
                  .out = out,
                  .in = in,
                  .compute = compute,
                  .input = input_type(context, compute),
                  .dy = dy,
                  .x = x,
                  .dy_stride = dy_stride,
                  .x_stride = x_stride,
                  .dw = dw,
                  .out_width = gradient_width(out, GRADIENT_OUT, 2),
                  .in_width = gradient_width(in, GRADIENT_IN, 1)};
    if (context->library == NULL) {
        gradient_plain(&g);
        return 0;
    }
    if (gradient_plans(&g, error) != 0) return -1;
    if (stage(context, GRADIENT_ROWS * (g.out_width + g.in_width) * dtype_bytes(g.input) + 64, error) != 0) return -1;
    size_t in_pieces = pieces_of(in, g.in_width), work = pieces_of(out, g.out_width) * in_pieces;
    int failed = 0;
#pragma omp parallel for num_threads(context->threads) schedule(dynamic) reduction(| : failed)
    for (size_t i = 0; i < work; i++) failed |= gradient_piece(&g, i / in_pieces, i % in_pieces, omp_get_thread_num());
    const GemmShape shape = {.rows = out, .columns = in, .depth = T, .input = g.input};
    return failed == 0 ? 0 : gemm_onednn_failed(&shape, failed, error);
}
