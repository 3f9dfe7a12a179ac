#include "kernels/gemm_onednn.h"
#include "base/size.h"
#include "kernels/gemm.h"

#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct GemmOnednn {
    dnnl_engine_t engine;
    int threads, inner_threads;
    dnnl_stream_t *stream; // (threads)
    void **scratch;        // (threads) scratch_bytes each
    size_t scratch_bytes;
    bool has_bf16;
};

/* Memory objects only carry a pointer here, so each thread has its own. */
typedef struct {
    dnnl_memory_t source, b, result, scratch; // a packing has no result: it writes b
} Operands;

struct GemmPrimitive {
    GemmOnednn *library;
    dnnl_primitive_t primitive;
    Operands *operands; // (threads)
    size_t packed_bytes;
    bool slow;
};

typedef struct {
    dnnl_primitive_desc_t description;
    dnnl_status_t status;
} Described;

static dnnl_data_type_t type_of(DType type) { return type == DTYPE_F32 ? dnnl_f32 : dnnl_bf16; }

/* Layouts: a struct in version 2, a handle in version 3. A Layout is what either calls a pointer to a description. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t Layout;

static void layout_destroy(Layout layout) {
    if (layout != NULL) dnnl_memory_desc_destroy(layout);
}

static Layout layout_plain(size_t rows, size_t columns, DType type, size_t row, size_t column) {
    const dnnl_dims_t size = {(dnnl_dim_t)rows, (dnnl_dim_t)columns}, stride = {(dnnl_dim_t)row, (dnnl_dim_t)column};
    Layout layout;
    return dnnl_memory_desc_create_with_strides(&layout, 2, size, type_of(type), stride) == dnnl_success ? layout
                                                                                                         : NULL;
}

static Layout layout_any(size_t rows, size_t columns, DType type) {
    const dnnl_dims_t size = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    Layout layout;
    return dnnl_memory_desc_create_with_tag(&layout, 2, size, type_of(type), dnnl_format_tag_any) == dnnl_success
               ? layout
               : NULL;
}

static Layout layout_of(const_dnnl_primitive_desc_t description, dnnl_query_t what) {
    Layout layout;
    const_dnnl_memory_desc_t found = dnnl_primitive_desc_query_md(description, what, 0);
    return dnnl_memory_desc_clone(&layout, found) == dnnl_success ? layout : NULL;
}

static Described describe_product(dnnl_engine_t engine, Layout a, Layout b, Layout c,
                                  dnnl_primitive_attr_t attributes) {
    Described d = {0};
    d.status = dnnl_matmul_primitive_desc_create(&d.description, engine, a, b, NULL, c, attributes);
    return d;
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) {
    return dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef);
}
#else
typedef dnnl_memory_desc_t *Layout;

static void layout_destroy(Layout layout) { free(layout); }

static Layout layout_plain(size_t rows, size_t columns, DType type, size_t row, size_t column) {
    const dnnl_dims_t size = {(dnnl_dim_t)rows, (dnnl_dim_t)columns}, stride = {(dnnl_dim_t)row, (dnnl_dim_t)column};
    Layout layout = malloc(sizeof *layout);
    if (layout == NULL || dnnl_memory_desc_init_by_strides(layout, 2, size, type_of(type), stride) == dnnl_success)
        return layout;
    free(layout);
    return NULL;
}

static Layout layout_any(size_t rows, size_t columns, DType type) {
    const dnnl_dims_t size = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    Layout layout = malloc(sizeof *layout);
    if (layout == NULL ||
        dnnl_memory_desc_init_by_tag(layout, 2, size, type_of(type), dnnl_format_tag_any) == dnnl_success)
        return layout;
    free(layout);
    return NULL;
}

static Layout layout_of(const_dnnl_primitive_desc_t description, dnnl_query_t what) {
    Layout layout = malloc(sizeof *layout);
    if (layout != NULL) *layout = *dnnl_primitive_desc_query_md(description, what, 0);
    return layout;
}

static Described describe_product(dnnl_engine_t engine, Layout a, Layout b, Layout c,
                                  dnnl_primitive_attr_t attributes) {
    Described d = {0};
    dnnl_matmul_desc_t operation;
    d.status = dnnl_matmul_desc_init(&operation, a, b, NULL, c);
    if (d.status == dnnl_success)
        d.status = dnnl_primitive_desc_create(&d.description, &operation, attributes, engine, NULL);
    return d;
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) { return dnnl_post_ops_append_sum(operations, 1); }
#endif

/* oneDNN takes as many threads as OpenMP would give to the next parallel region, when creating and when running. */
static int inner_begin(const GemmOnednn *library) {
    int before = omp_get_max_threads();
    omp_set_num_threads(library->inner_threads);
    return before;
}

static void inner_end(int before) { omp_set_num_threads(before); }

/* A cap by environment holds for the whole process, and so does oneDNN's. It is refused once oneDNN has looked at the
 * CPU; then what it dispatches to is asked for, not assumed. */
static void respect_cap(Isa isa) {
    static const dnnl_cpu_isa_t most[] = {dnnl_cpu_isa_sse41, dnnl_cpu_isa_avx2, dnnl_cpu_isa_avx512_core,
                                          dnnl_cpu_isa_avx512_core_bf16, dnnl_cpu_isa_avx512_core_amx};
    const char *cap = getenv("DICE_ISA");
    if (cap != NULL && *cap != '\0') dnnl_set_max_cpu_isa(most[isa]);
}

int gemm_onednn_open(GemmOnednn **out, const KernelTable *kernels, int inner_threads, Error *error) {
    GemmOnednn *library = calloc(1, sizeof *library);
    *out = library;
    if (library == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    respect_cap(kernels->isa);
    unsigned dispatched = (unsigned)dnnl_get_effective_cpu_isa(), bits = dnnl_cpu_isa_avx512_core_bf16;
    library->has_bf16 = isa_has_bf16(kernels->isa) && (dispatched & bits) == bits;
    library->threads = kernels->threads, library->inner_threads = inner_threads;
    library->stream = calloc((size_t)kernels->threads, sizeof *library->stream);
    library->scratch = calloc((size_t)kernels->threads, sizeof *library->scratch);
    if (library->stream == NULL || library->scratch == NULL)
        return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    dnnl_status_t status = dnnl_engine_create(&library->engine, dnnl_cpu, 0);
    for (int i = 0; i < library->threads && status == dnnl_success; i++)
        status = dnnl_stream_create(&library->stream[i], library->engine, dnnl_stream_default_flags);
    if (status != dnnl_success)
        return error_set(error, ERROR_INTERNAL, "oneDNN gave status %d when it was opened", (int)status);
    return 0;
}

void gemm_onednn_close(GemmOnednn *library) {
    if (library == NULL) return;
    for (int i = 0; i < library->threads; i++) {
        if (library->stream != NULL && library->stream[i] != NULL) dnnl_stream_destroy(library->stream[i]);
        if (library->scratch != NULL) free(library->scratch[i]);
    }
    if (library->engine != NULL) dnnl_engine_destroy(library->engine);
    free(library->stream);
    free(library->scratch);
    free(library);
}

bool gemm_onednn_has_bf16(const GemmOnednn *library) { return library->has_bf16; }

int gemm_onednn_failed(const GemmShape *shape, int status, Error *error) {
    if (status == dnnl_out_of_memory)
        return error_set(error, ERROR_MEMORY, "no memory for a matrix product (%zu x %zu) = (%zu x %zu)(%zu x %zu)",
                         shape->rows, shape->columns, shape->rows, shape->depth, shape->depth, shape->columns);
    return error_set(error, ERROR_INTERNAL,
                     "oneDNN gave status %d for a %s matrix product (%zu x %zu) = (%zu x %zu)(%zu x %zu)", status,
                     dtype_name(shape->input), shape->rows, shape->columns, shape->rows, shape->depth, shape->depth,
                     shape->columns);
}

/* Scratch only grows, and is the same for all products of a thread, which run one after the other. */
static bool grow_scratch(GemmOnednn *library, size_t bytes) {
    if (bytes <= library->scratch_bytes) return true;
    for (int i = 0; i < library->threads; i++) {
        void *larger = aligned_alloc(64, size_round_up(bytes, 64));
        if (larger == NULL) return false;
        free(library->scratch[i]);
        library->scratch[i] = larger;
    }
    library->scratch_bytes = bytes;
    return true;
}

static dnnl_primitive_attr_t attributes_create(bool accumulate) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t operations = NULL;
    if (dnnl_primitive_attr_create(&attributes) != dnnl_success) return NULL;
    bool good = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success;
    if (accumulate)
        good = good && dnnl_post_ops_create(&operations) == dnnl_success && append_sum(operations) == dnnl_success &&
               dnnl_primitive_attr_set_post_ops(attributes, operations) == dnnl_success;
    if (operations != NULL) dnnl_post_ops_destroy(operations);
    if (good) return attributes;
    dnnl_primitive_attr_destroy(attributes);
    return NULL;
}

/* The rows for which the layout of a packed B is asked. One number, so that products of all heights share the matrix.
 */
enum { CANONICAL_ROWS = 64 };

/* The layout that a product with B (depth, columns) likes best; NULL on failure. */
static Layout best_layout(GemmOnednn *library, size_t depth, size_t columns, DType type, dnnl_status_t *status) {
    dnnl_primitive_attr_t attributes = attributes_create(false);
    Layout a = layout_plain(CANONICAL_ROWS, depth, type, depth, 1), b = layout_any(depth, columns, type),
           c = layout_plain(CANONICAL_ROWS, columns, DTYPE_F32, columns, 1), best = NULL;
    *status = dnnl_out_of_memory;
    if (attributes != NULL && a != NULL && b != NULL && c != NULL) {
        Described d = describe_product(library->engine, a, b, c, attributes);
        *status = d.status;
        if (d.status == dnnl_success) best = layout_of(d.description, dnnl_query_weights_md);
        if (d.description != NULL) dnnl_primitive_desc_destroy(d.description);
    }
    layout_destroy(a), layout_destroy(b), layout_destroy(c);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    return best;
}

/* The primitive itself, its scratch and its operands, from a description. `result` may be NULL. */
static dnnl_status_t complete(GemmPrimitive *p, const_dnnl_primitive_desc_t description, Layout source, Layout b,
                              Layout result) {
    GemmOnednn *library = p->library;
    const char *implementation = "";
    dnnl_status_t status = dnnl_primitive_create(&p->primitive, description);
    if (status != dnnl_success) return status;
    dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &implementation);
    p->slow = strncmp(implementation, "ref", 3) == 0;
    Layout scratch = layout_of(description, dnnl_query_scratchpad_md);
    p->operands = calloc((size_t)library->threads, sizeof *p->operands);
    p->packed_bytes = size_round_up(dnnl_memory_desc_get_size(b), 64);
    if (scratch == NULL || p->operands == NULL || !grow_scratch(library, dnnl_memory_desc_get_size(scratch)))
        status = dnnl_out_of_memory;
    for (int i = 0; i < library->threads && status == dnnl_success; i++) {
        Operands *o = &p->operands[i];
        status = dnnl_memory_create(&o->source, source, library->engine, DNNL_MEMORY_NONE);
        if (status == dnnl_success) status = dnnl_memory_create(&o->b, b, library->engine, DNNL_MEMORY_NONE);
        if (status == dnnl_success)
            status = dnnl_memory_create(&o->scratch, scratch, library->engine, DNNL_MEMORY_NONE);
        if (status == dnnl_success && result != NULL)
            status = dnnl_memory_create(&o->result, result, library->engine, DNNL_MEMORY_NONE);
    }
    layout_destroy(scratch);
    return status;
}

static dnnl_status_t create_product(GemmPrimitive *p, const GemmShape *s) {
    GemmOnednn *library = p->library;
    dnnl_status_t status;
    dnnl_primitive_attr_t attributes = attributes_create(s->accumulate);
    Layout a = layout_plain(s->rows, s->depth, s->input, s->depth, 1),
           c = layout_plain(s->rows, s->columns, s->output, s->c_row, 1);
    Layout b = best_layout(library, s->depth, s->columns, s->input, &status);
    Described d = {0};
    if (status == dnnl_success && (attributes == NULL || a == NULL || b == NULL || c == NULL))
        status = dnnl_out_of_memory;
    if (status == dnnl_success) {
        d = describe_product(library->engine, a, b, c, attributes);
        status = d.status == dnnl_success ? complete(p, d.description, a, b, c) : d.status;
    }
    if (d.description != NULL) dnnl_primitive_desc_destroy(d.description);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    layout_destroy(a), layout_destroy(b), layout_destroy(c);
    return status;
}

static dnnl_status_t create_packing(GemmPrimitive *p, const GemmPacking *k) {
    dnnl_engine_t engine = p->library->engine;
    dnnl_status_t status;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_attr_t attributes = attributes_create(false);
    Layout source = layout_plain(k->depth, k->columns, k->type, k->depth_stride, k->column_stride);
    Layout b = best_layout(p->library, k->depth, k->columns, k->type, &status);
    if (status == dnnl_success && (attributes == NULL || source == NULL || b == NULL)) status = dnnl_out_of_memory;
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&description, k->unpack ? b : source, engine,
                                                    k->unpack ? source : b, engine, attributes);
    if (status == dnnl_success) status = complete(p, description, k->unpack ? b : source, k->unpack ? source : b, NULL);
    if (description != NULL) dnnl_primitive_desc_destroy(description);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    layout_destroy(source), layout_destroy(b);
    return status;
}

int gemm_onednn_product(GemmOnednn *library, const GemmShape *shape, GemmPrimitive **out, Error *error) {
    GemmPrimitive *p = *out = calloc(1, sizeof *p);
    if (p == NULL) return gemm_onednn_failed(shape, dnnl_out_of_memory, error);
    p->library = library;
    int before = inner_begin(library);
    dnnl_status_t status = create_product(p, shape);
    inner_end(before);
    if (status == dnnl_success) return 0;
    gemm_onednn_destroy(p);
    *out = NULL;
    return gemm_onednn_failed(shape, status, error);
}

int gemm_onednn_packing(GemmOnednn *library, const GemmPacking *packing, GemmPrimitive **out, Error *error) {
    GemmPrimitive *p = *out = calloc(1, sizeof *p);
    dnnl_status_t status = dnnl_out_of_memory;
    if (p != NULL) {
        p->library = library;
        int before = inner_begin(library);
        status = create_packing(p, packing);
        inner_end(before);
    }
    if (status == dnnl_success) return 0;
    gemm_onednn_destroy(p);
    *out = NULL;
    return error_set(error, status == dnnl_out_of_memory ? ERROR_MEMORY : ERROR_INTERNAL,
                     "oneDNN gave status %d for packing a %s matrix of %zu x %zu", (int)status,
                     dtype_name(packing->type), packing->depth, packing->columns);
}

static void memory_destroy(dnnl_memory_t memory) {
    if (memory != NULL) dnnl_memory_destroy(memory);
}

void gemm_onednn_destroy(GemmPrimitive *p) {
    if (p == NULL) return;
    for (int i = 0; p->operands != NULL && i < p->library->threads; i++) {
        const Operands *o = &p->operands[i];
        memory_destroy(o->source), memory_destroy(o->b), memory_destroy(o->result), memory_destroy(o->scratch);
    }
    if (p->primitive != NULL) dnnl_primitive_destroy(p->primitive);
    free(p->operands);
    free(p);
}

bool gemm_onednn_is_slow(const GemmPrimitive *product) { return product->slow; }

size_t gemm_onednn_packed_bytes(const GemmPrimitive *primitive) { return primitive->packed_bytes; }

static void point(dnnl_memory_t memory, const void *bytes) {
    dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)bytes);
}

static int execute(const GemmPrimitive *p, int thread, int count, const dnnl_exec_arg_t *arguments) {
    int before = inner_begin(p->library);
    dnnl_status_t status = dnnl_primitive_execute(p->primitive, p->library->stream[thread], count, arguments);
    inner_end(before);
    return (int)status;
}

int gemm_onednn_multiply(const GemmPrimitive *p, int thread, const void *a, const void *b, void *c) {
    const Operands *o = &p->operands[thread];
    point(o->source, a), point(o->b, b), point(o->result, c), point(o->scratch, p->library->scratch[thread]);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, o->source},
                                         {DNNL_ARG_WEIGHTS, o->b},
                                         {DNNL_ARG_DST, o->result},
                                         {DNNL_ARG_SCRATCHPAD, o->scratch}};
    return execute(p, thread, 4, arguments);
}

int gemm_onednn_pack(const GemmPrimitive *p, int thread, const void *source, void *b) {
    const Operands *o = &p->operands[thread];
    point(o->source, source), point(o->b, b), point(o->scratch, p->library->scratch[thread]);
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_FROM, o->source}, {DNNL_ARG_TO, o->b}, {DNNL_ARG_SCRATCHPAD, o->scratch}};
    return execute(p, thread, 3, arguments);
}

void gemm_library_version(char *out, size_t capacity) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(out, capacity, "%d.%d.%d", v->major, v->minor, v->patch);
}
