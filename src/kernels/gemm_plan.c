#include "kernels/gemm_plan.h"

#include <stdlib.h>
#include <string.h>

/* 64 rows run within 5 % of a thousand, 16 are the fewest that the widest units (AMX tiles) take at once. */
enum { TALL = 64, LOW = 16, BETWEEN = 32, BUCKETS = 128 };

typedef struct Entry {
    GemmPlan plan;
    struct Entry *next;
} Entry;

struct GemmPlans {
    GemmOnednn *library;
    Entry *bucket[BUCKETS];
};

int gemm_plan_cache_create(GemmOnednn *library, GemmPlans **out, Error *error) {
    GemmPlans *plans = *out = calloc(1, sizeof *plans);
    if (plans == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    plans->library = library;
    return 0;
}

static void entry_destroy(Entry *entry) {
    if (entry == NULL) return;
    if (entry->plan.low != entry->plan.tall) gemm_onednn_product_destroy(entry->plan.low);
    gemm_onednn_product_destroy(entry->plan.tall);
    free(entry);
}

void gemm_plan_cache_destroy(GemmPlans *plans) {
    if (plans == NULL) return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (Entry *entry = plans->bucket[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            entry_destroy(entry);
        }
    free(plans);
}

static bool same(const GemmShape *p, const GemmShape *q) {
    return p->columns == q->columns && p->depth == q->depth && p->a_row == q->a_row && p->a_depth == q->a_depth &&
           p->b_depth == q->b_depth && p->b_column == q->b_column && p->c_row == q->c_row && p->input == q->input &&
           p->output == q->output && p->accumulate == q->accumulate;
}

static size_t bucket_of(const GemmShape *s) {
    size_t mix = s->rows * 31 + s->columns * 7 + s->depth * 3 + s->c_row * 5 + s->a_row + (s->accumulate ? 11 : 0);
    return (mix ^ mix >> 7) % BUCKETS;
}

/* Floats of both signs, all mantissas and magnitudes of 2^-7 to 2^0, so that different orders of a sum round
 * differently. */
static float noise(size_t i) {
    uint32_t hash = (uint32_t)i * 2654435761u + 40503u;
    hash ^= hash >> 15, hash *= 2246822519u, hash ^= hash >> 13;
    uint32_t bits = (hash & 0x807fffffu) | (120u + (hash >> 23 & 7u)) << 23;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static void fill(size_t n, DType type, void *x) {
    for (size_t i = 0; i < n; i++) {
        if (type == DTYPE_F32)
            ((float *)x)[i] = noise(i);
        else
            ((bf16 *)x)[i] = dtype_bf16_from_float(noise(i));
    }
}

/* Runs one block of TALL rows as one and as several of LOW rows; *equal tells whether all bits agree. */
static int compare_heights(GemmOnednn *library, const GemmPlan *plan, bool *equal, Error *error) {
    const GemmShape *s = &plan->shape;
    size_t in = dtype_bytes(s->input), out = dtype_bytes(s->output), c_bytes = TALL * s->c_row * out;
    void *a = malloc(TALL * s->a_row * in), *b = malloc(s->depth * s->columns * in);
    char *first = malloc(c_bytes), *second = malloc(c_bytes);
    GemmPacked *packed = NULL;
    int result = -1, status;
    if (a == NULL || b == NULL || first == NULL || second == NULL) {
        error_set(error, ERROR_MEMORY, "no memory to try out a matrix product");
        goto done;
    }
    fill(TALL * s->a_row, s->input, a), fill(s->depth * s->columns, s->input, b);
    fill(TALL * s->c_row, s->output, first), memcpy(second, first, c_bytes);
    if (gemm_onednn_packed_create(library, s->depth, s->columns, s->input, 1, s->depth, &packed, error) != 0) goto done;
    status = gemm_onednn_packed_fill(packed, 0, b);
    if (status == 0) status = gemm_onednn_product_run(plan->tall, 0, a, NULL, packed, first);
    for (size_t row = 0; row < TALL && status == 0; row += LOW)
        status = gemm_onednn_product_run(plan->low, 0, (char *)a + row * s->a_row * in, NULL, packed,
                                         second + row * s->c_row * out);
    if (status == 0)
        *equal = memcmp(first, second, c_bytes) == 0, result = 0;
    else
        gemm_onednn_failed(s, status, error);
done:
    gemm_onednn_packed_destroy(packed);
    free(a), free(b), free(first), free(second);
    return result;
}

static int create(GemmOnednn *library, GemmPlan *plan, size_t tall_rows, size_t low_rows, Error *error) {
    plan->tall_rows = tall_rows, plan->low_rows = low_rows;
    GemmShape low = plan->shape;
    plan->shape.rows = tall_rows, low.rows = low_rows;
    if (gemm_onednn_product_create(library, &plan->shape, &plan->tall, error) != 0) return -1;
    plan->low = plan->tall;
    if (low_rows == tall_rows) return 0;
    plan->low = NULL;
    return gemm_onednn_product_create(library, &low, &plan->low, error);
}

static int create_for_any_rows(GemmOnednn *library, GemmPlan *plan, Error *error) {
    bool equal = false;
    if (create(library, plan, TALL, LOW, error) != 0 || compare_heights(library, plan, &equal, error) != 0) return -1;
    if (equal) return 0;
    gemm_onednn_product_destroy(plan->tall), gemm_onednn_product_destroy(plan->low);
    plan->tall = plan->low = NULL;
    return create(library, plan, BETWEEN, BETWEEN, error);
}

int gemm_plan_find(GemmPlans *plans, const GemmShape *shape, const GemmPlan **plan, Error *error) {
    Entry **bucket = &plans->bucket[bucket_of(shape)], *entry;
    for (entry = *bucket; entry != NULL; entry = entry->next)
        if (entry->plan.asked_rows == shape->rows && same(&entry->plan.shape, shape)) {
            *plan = &entry->plan;
            return 0;
        }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) return error_set(error, ERROR_MEMORY, "no memory for the matrix products");
    entry->plan.shape = *shape, entry->plan.asked_rows = shape->rows;
    int result = shape->rows == 0 ? create_for_any_rows(plans->library, &entry->plan, error)
                                  : create(plans->library, &entry->plan, shape->rows, shape->rows, error);
    if (result != 0) {
        entry_destroy(entry);
        return -1;
    }
    entry->next = *bucket, *bucket = entry;
    *plan = &entry->plan;
    return 0;
}
