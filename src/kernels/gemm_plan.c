#include "kernels/gemm_plan.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* Columns are cut at multiples of what oneDNN interleaves, so that pieces can lie behind each other. */
enum { PIECE_BYTES = 1 << 20, PIECE_MULTIPLE = 64, PIECE_COLUMNS = 1024, BUCKETS = 128 };

typedef struct Entry {
    GemmPlan plan;
    bool whole_tried;
    struct Entry *next;
} Entry;

typedef struct Packer {
    GemmPacking packing;
    GemmPrimitive *primitive;
    struct Packer *next;
} Packer;

struct GemmPlans {
    GemmOnednn *library;
    bool dense;
    Entry *bucket[BUCKETS];
    Packer *packers;
    GemmPrimitive **primitive; // all products, owned
    size_t primitives, capacity;
};

size_t gemm_plan_width(size_t depth, size_t columns, DType type) {
    size_t most = PIECE_BYTES / (depth * dtype_bytes(type)), pieces = 2;
    if (most < PIECE_MULTIPLE) most = PIECE_MULTIPLE;
    if (most > PIECE_COLUMNS) most = PIECE_COLUMNS;
    while (pieces * most < columns) pieces += 2;
    size_t width = size_round_up((columns + pieces - 1) / pieces, PIECE_MULTIPLE);
    return width < columns ? width : columns;
}

int gemm_plan_open(GemmOnednn *library, bool dense, GemmPlans **out, Error *error) {
    GemmPlans *plans = *out = calloc(1, sizeof *plans);
    if (plans == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    plans->library = library, plans->dense = dense;
    return 0;
}

void gemm_plan_close(GemmPlans *plans) {
    if (plans == NULL) return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (Entry *entry = plans->bucket[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            free(entry);
        }
    for (Packer *packer = plans->packers, *next; packer != NULL; packer = next) {
        next = packer->next;
        gemm_onednn_destroy(packer->primitive);
        free(packer);
    }
    for (size_t i = 0; i < plans->primitives; i++) gemm_onednn_destroy(plans->primitive[i]);
    free(plans->primitive);
    free(plans);
}

int gemm_plan_packer(GemmPlans *plans, const GemmPacking *wanted, const GemmPrimitive **out, Error *error) {
    for (Packer *packer = plans->packers; packer != NULL; packer = packer->next) {
        const GemmPacking *p = &packer->packing;
        if (p->depth == wanted->depth && p->columns == wanted->columns && p->type == wanted->type &&
            p->depth_stride == wanted->depth_stride && p->column_stride == wanted->column_stride &&
            p->unpack == wanted->unpack) {
            *out = packer->primitive;
            return 0;
        }
    }
    Packer *packer = calloc(1, sizeof *packer);
    if (packer == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    packer->packing = *wanted;
    if (gemm_onednn_packing(plans->library, wanted, &packer->primitive, error) != 0) {
        free(packer);
        return -1;
    }
    packer->next = plans->packers, plans->packers = packer;
    *out = packer->primitive;
    return 0;
}

/* --- trying products out --- */

/* Floats of both signs, all mantissas and magnitudes of 2^-7 to 2^0: sums of their products in another order round
 * differently. The period is odd, so that columns that should differ do. */
enum { NOISE = 65521 };

static float noise(size_t i) {
    uint32_t hash = (uint32_t)i * 2654435761u + 40503u;
    hash ^= hash >> 15, hash *= 2246822519u, hash ^= hash >> 13;
    uint32_t bits = (hash & 0x807fffffu) | (120u + (hash >> 23 & 7u)) << 23;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static void *noise_create(size_t bytes, DType type) {
    size_t n = bytes / dtype_bytes(type), period = n < NOISE ? n : NOISE;
    void *x = aligned_alloc(64, size_round_up(bytes, 64));
    if (x == NULL) return NULL;
    for (size_t i = 0; i < period; i++) {
        if (type == DTYPE_F32)
            ((float *)x)[i] = noise(i);
        else
            ((bf16 *)x)[i] = dtype_bf16_from_float(noise(i));
    }
    size_t width = dtype_bytes(type);
    for (size_t at = period; at < n; at += period)
        memcpy((char *)x + at * width, x, (n - at < period ? n - at : period) * width);
    return x;
}

static size_t width_of(const GemmPlan *plan, size_t piece) {
    size_t first = piece * plan->key.width;
    return plan->key.columns - first < plan->key.width ? plan->key.columns - first : plan->key.width;
}

/* A product of `rows` rows and the pieces [first, first + pieces) of B, against blocks of `base` rows piece by piece.
 */
typedef struct {
    const GemmPlan *plan;
    const GemmPrimitive *candidate;
    size_t rows, first, pieces;
    GemmHeight base;
} Trial;

/* One block of C, where rows are c_row apart; by way of `block` where the product writes without gaps. */
static int multiply(const Trial *t, const GemmPrimitive *product, size_t rows, size_t columns, const void *a,
                    const void *b, char *c, char *block) {
    const GemmPlanKey *key = &t->plan->key;
    size_t row = key->c_row * dtype_bytes(key->output), bytes = columns * dtype_bytes(key->output);
    if (!t->plan->dense || columns == key->c_row) return gemm_onednn_multiply(product, 0, a, b, c);
    for (size_t r = 0; r < rows; r++) memcpy(block + r * bytes, c + r * row, bytes);
    int status = gemm_onednn_multiply(product, 0, a, b, block);
    for (size_t r = 0; r < rows; r++) memcpy(c + r * row, block + r * bytes, bytes);
    return status;
}

static int compare(const Trial *t, size_t columns, const char *a, const char *b, char *c, char *expected, char *block,
                   bool *equal) {
    const GemmPlan *plan = t->plan;
    const GemmPlanKey *key = &plan->key;
    size_t in = dtype_bytes(key->input), out = dtype_bytes(key->output), base_rows = gemm_height_rows[t->base];
    int status = multiply(t, t->candidate, t->rows, columns, a, b, c, block);
    for (size_t p = t->first; p < t->first + t->pieces; p++)
        for (size_t row = 0; row < t->rows && status == 0; row += base_rows) {
            const GemmPrimitive *base = p + 1 == plan->pieces ? plan->last[t->base] : plan->piece[t->base];
            status = multiply(t, base, base_rows, width_of(plan, p), a + row * key->depth * in,
                              b + (p - t->first) * plan->piece_bytes,
                              expected + (row * key->c_row + (p - t->first) * key->width) * out, block);
        }
    *equal = status == 0 && memcmp(c, expected, t->rows * key->c_row * out) == 0;
    return status;
}

static int try_out(const Trial *t, bool *equal, Error *error) {
    const GemmPlan *plan = t->plan;
    const GemmPlanKey *key = &plan->key;
    size_t last = t->first + t->pieces - 1, columns = (t->pieces - 1) * key->width + width_of(plan, last);
    size_t b_bytes = (t->pieces - 1) * plan->piece_bytes +
                     gemm_onednn_packed_bytes(last + 1 == plan->pieces ? plan->last[t->base] : plan->piece[t->base]);
    *equal = false;
    if (gemm_onednn_packed_bytes(t->candidate) > b_bytes) return 0; // laid out otherwise
    size_t c_bytes = t->rows * key->c_row * dtype_bytes(key->output);
    void *a = noise_create(t->rows * key->depth * dtype_bytes(key->input), key->input),
         *b = noise_create(b_bytes, key->input);
    void *c = noise_create(c_bytes, key->output), *expected = noise_create(c_bytes, key->output),
         *block = malloc(c_bytes);
    int result = -1;
    if (a == NULL || b == NULL || c == NULL || expected == NULL || block == NULL)
        error_set(error, ERROR_MEMORY, "no memory to try out a matrix product of %zu x %zu", key->depth, columns);
    else {
        const GemmShape shape = {.rows = t->rows, .columns = columns, .depth = key->depth, .input = key->input};
        int status = compare(t, columns, a, b, c, expected, block, equal);
        result = status == 0 ? 0 : gemm_onednn_failed(&shape, status, error);
    }
    free(a), free(b), free(c), free(expected), free(block);
    return result;
}

/* --- plans --- */

static int product(GemmPlans *plans, const GemmPlanKey *key, size_t rows, size_t columns, size_t c_row,
                   const GemmPrimitive **out, Error *error) {
    if (plans->primitives == plans->capacity) {
        size_t more = plans->capacity == 0 ? 64 : 2 * plans->capacity;
        GemmPrimitive **grown = realloc(plans->primitive, more * sizeof *grown);
        if (grown == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
        plans->primitive = grown, plans->capacity = more;
    }
    const GemmShape shape = {.rows = rows,
                             .columns = columns,
                             .depth = key->depth,
                             .c_row = c_row,
                             .input = key->input,
                             .output = key->output,
                             .accumulate = key->accumulate};
    if (gemm_onednn_product(plans->library, &shape, &plans->primitive[plans->primitives], error) != 0) return -1;
    *out = plans->primitive[plans->primitives++];
    return 0;
}

static int create_piece(GemmPlans *plans, GemmPlan *plan, GemmHeight h, size_t columns, const GemmPrimitive **out,
                        Error *error) {
    return product(plans, &plan->key, gemm_height_rows[h], columns, plan->dense ? columns : plan->key.c_row, out,
                   error);
}

/* The products of single pieces. Where 16 rows differ from 64, all is done with 64. */
static int create_pieces(GemmPlans *plans, GemmPlan *plan, Error *error) {
    const GemmPlanKey *key = &plan->key;
    size_t last = width_of(plan, plan->pieces - 1);
    bool equal = true;
    if (create_piece(plans, plan, GEMM_TALL, last, &plan->last[GEMM_TALL], error) != 0) return -1;
    plan->dense = plans->dense || gemm_onednn_is_slow(plan->last[GEMM_TALL]);
    for (GemmHeight h = GEMM_LOW; h <= GEMM_TALL; h++) {
        if ((h == GEMM_LOW || plan->dense) && create_piece(plans, plan, h, last, &plan->last[h], error) != 0) return -1;
        plan->piece[h] = plan->last[h];
        if (last != key->width && create_piece(plans, plan, h, key->width, &plan->piece[h], error) != 0) return -1;
    }
    plan->piece_bytes = gemm_onednn_packed_bytes(plan->piece[GEMM_TALL]);
    Trial trial = {plan, plan->last[GEMM_TALL], gemm_height_rows[GEMM_TALL], plan->pieces - 1, 1, GEMM_LOW};
    if (try_out(&trial, &equal, error) != 0) return -1;
    if (equal && last != key->width) {
        trial.candidate = plan->piece[GEMM_TALL], trial.first = 0;
        if (try_out(&trial, &equal, error) != 0) return -1;
    }
    if (!equal) plan->piece[GEMM_LOW] = plan->last[GEMM_LOW] = NULL;
    return 0;
}

static int create_whole(GemmPlans *plans, GemmPlan *plan, Error *error) {
    for (GemmHeight h = GEMM_TALL; h <= GEMM_HUGE; h++) {
        Trial trial = {plan, NULL, gemm_height_rows[h], 0, plan->pieces, GEMM_TALL};
        bool equal;
        if (product(plans, &plan->key, gemm_height_rows[h], plan->key.columns, plan->key.columns, &trial.candidate,
                    error) != 0 ||
            try_out(&trial, &equal, error) != 0)
            return -1;
        if (!equal) return 0;
        plan->whole[h] = trial.candidate;
    }
    return 0;
}

static bool same(const GemmPlanKey *p, const GemmPlanKey *q) {
    return p->columns == q->columns && p->depth == q->depth && p->width == q->width && p->c_row == q->c_row &&
           p->input == q->input && p->output == q->output && p->accumulate == q->accumulate;
}

int gemm_plan_find(GemmPlans *plans, const GemmPlanKey *key, bool whole, const GemmPlan **plan, Error *error) {
    size_t mix =
        key->columns * 7 + key->depth * 3 + key->c_row * 13 + (size_t)key->output * 5 + (key->accumulate ? 11 : 0);
    Entry **bucket = &plans->bucket[(mix ^ mix >> 7) % BUCKETS], *entry = *bucket;
    while (entry != NULL && !same(&entry->plan.key, key)) entry = entry->next;
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        if (entry == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
        entry->plan = (GemmPlan){.key = *key, .pieces = (key->columns + key->width - 1) / key->width};
        if (create_pieces(plans, &entry->plan, error) != 0) {
            free(entry);
            return -1;
        }
        entry->next = *bucket, *bucket = entry;
    }
    if (whole && !entry->whole_tried) {
        if (create_whole(plans, &entry->plan, error) != 0) return -1;
        entry->whole_tried = true;
    }
    *plan = &entry->plan;
    return 0;
}
