#include "attention_cases.h"
#include "kernels/attention.h"
#include "simd_wide.h"

#include "base/size.h"
#include "kernels/attention_plan.h"

/* What the kernel made of a case: rows with gaps between them, of the case's type. */
typedef struct {
    void *q, *k, *v, *dout, *o, *dq, *dk, *dv, *scratch;
    float *lse;
} Arrays;

enum { GUARD = 4096 };

static void *spread(const double *x, size_t rows, size_t width, size_t stride, DType type) {
    char *y = malloc(rows * stride * dtype_bytes(type) + 1);
    assert_non_null(y);
    memset(y, 0xff, rows * stride * dtype_bytes(type)); // NaN in the gaps
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            float value = x == NULL ? NAN : (float)x[r * width + i];
            if (type == DTYPE_F32)
                ((float *)(void *)y)[r * stride + i] = value;
            else
                ((bf16 *)(void *)y)[r * stride + i] = dtype_bf16_from_float(value);
        }
    return y;
}

static double element(const void *x, DType type, size_t i) {
    return type == DTYPE_F32 ? ((const float *)x)[i] : dtype_bf16_to_float(((const bf16 *)x)[i]);
}

static Arrays arrays_run(const KernelTable *kernels, AttentionCase *c, DType type, int backward) {
    AttentionShape *s = &c->shape;
    size_t q = s->heads * s->head_dim, k = s->kv_heads * s->head_dim;
    s->type = type, s->q_stride = q + 3, s->o_stride = q + 1, s->k_stride = k + 5, s->v_stride = k + 2;
    Arrays a;
    a.q = spread(c->q, c->query_rows, q, s->q_stride, type), a.o = spread(NULL, c->query_rows, q, s->o_stride, type);
    a.k = spread(c->k, c->key_rows, k, s->k_stride, type), a.v = spread(c->v, c->key_rows, k, s->v_stride, type);
    a.dout = spread(c->dout, c->query_rows, q, s->o_stride, type),
    a.dq = spread(NULL, c->query_rows, q, s->q_stride, type);
    a.dk = spread(NULL, c->key_rows, k, s->k_stride, type), a.dv = spread(NULL, c->key_rows, k, s->v_stride, type);
    a.lse = calloc(c->query_rows * s->heads + 1, sizeof *a.lse);
    size_t bytes = attention_scratch_bytes(kernels, s, c->segment, c->n, backward);
    a.scratch = aligned_alloc(64, size_round_up(bytes + GUARD, 64));
    assert_true(a.lse != NULL && a.scratch != NULL);
    memset(a.scratch, 0xff, bytes + GUARD); // NaN: nothing may be read before it is written
    attention_forward(kernels, s, c->segment, c->n, a.q, a.k, a.v, a.o, a.lse, a.scratch);
    if (backward)
        attention_backward(kernels, s, c->segment, c->n, a.q, a.k, a.v, a.o, a.lse, a.dout, a.dq, a.dk, a.dv,
                           a.scratch);
    for (size_t i = 0; i < GUARD; i++) assert_int_equal(((unsigned char *)a.scratch)[bytes + i], 0xff);
    return a;
}

static void arrays_free(Arrays *a) {
    void *all[] = {a->q, a->k, a->v, a->dout, a->o, a->dq, a->dk, a->dv, a->scratch, a->lse};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The largest error against `expected`, in units of the largest expected value; gaps between rows must be untouched. */
static double error_of(const void *got, const double *expected, size_t rows, size_t width, size_t stride, DType type) {
    double worst = 0, largest = 1e-30;
    for (size_t i = 0; i < rows * width; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < width; i++) {
            double error = fabs(element(got, type, r * stride + i) - expected[r * width + i]);
            worst = error <= worst ? worst : error; // NaN stays
        }
        for (size_t i = width; i < stride; i++) assert_true(isnan(element(got, type, r * stride + i)));
    }
    return worst / largest;
}

typedef struct {
    double o, lse, dq, dk, dv;
} Errors;

static void take_larger(double *worst, double error) {
    if (!(error <= *worst)) *worst = error;
}

/* Runs a case and raises `worst` to its errors. */
static void measure(const KernelTable *kernels, AttentionCase *c, DType type, int backward, Errors *worst) {
    Arrays a = arrays_run(kernels, c, type, backward);
    const AttentionShape *s = &c->shape;
    size_t q = s->heads * s->head_dim, k = s->kv_heads * s->head_dim;
    take_larger(&worst->o, error_of(a.o, c->o, c->query_rows, q, s->o_stride, type));
    take_larger(&worst->lse, error_of(a.lse, c->lse, c->query_rows, s->heads, s->heads, DTYPE_F32));
    if (backward) {
        take_larger(&worst->dq, error_of(a.dq, c->dq, c->query_rows, q, s->q_stride, type));
        take_larger(&worst->dk, error_of(a.dk, c->dk, c->key_rows, k, s->k_stride, type));
        take_larger(&worst->dv, error_of(a.dv, c->dv, c->key_rows, k, s->v_stride, type));
    }
    arrays_free(&a);
}

static const size_t head_dims[] = {8, 14, 16, 20, 24, 64, 80, 128};
enum { HEAD_DIMS = sizeof head_dims / sizeof *head_dims };

static KernelTable table_of(Isa isa, int threads) {
    KernelTable table;
    Error error = {0};
    if (kernel_table_create_capped(&table, threads, isa, &error) != 0) fail_msg("%s: %s", isa_name(isa), error.message);
    return table;
}

/* All random cases on one table. longest keys a segment; training cases run backward too. */
static Errors measure_all(const KernelTable *kernels, uint64_t seed, DType type, size_t longest) {
    Errors worst = {0};
    for (uint32_t i = 0; i < 2 * HEAD_DIMS; i++) {
        CaseRandom r = {{.seed = seed, .stream = RNG_TEST, .item = i}, 0};
        int training = i < HEAD_DIMS;
        AttentionCase c = case_random(&r, head_dims[i % HEAD_DIMS], training, longest);
        case_solve(&c);
        measure(kernels, &c, type, training, &worst);
        case_free(&c);
    }
    return worst;
}

static int within(Errors e, double forward, double backward) {
    return e.o <= forward && e.lse <= forward && e.dq <= backward && e.dk <= backward && e.dv <= backward;
}

static void check_table(const KernelTable *kernels, const char *name, uint64_t seed, DType type, size_t longest,
                        double forward, double backward) {
    Errors e = measure_all(kernels, seed, type, longest);
    printf("%s %s: o %.1e lse %.1e dq %.1e dk %.1e dv %.1e\n", name, dtype_name(type), e.o, e.lse, e.dq, e.dk, e.dv);
    assert_true(e.lse <= 1e-6);
    assert_true(within(e, forward, backward));
}

static void check_all(uint64_t seed, DType type, double forward, double backward) {
    for (Isa isa = ISA_REFERENCE; isa <= isa_of_cpu(); isa++) {
        KernelTable kernels = table_of(isa, 2);
        check_table(&kernels, isa_name(isa), seed, type, isa == ISA_REFERENCE ? 30 : 140, forward, backward);
    }
    KernelTable wide = simd_wide_table(2);
    check_table(&wide, "16 plain lanes", seed, type, 30, forward, backward);
}

static void float32_follows_the_formula(void **state) {
    (void)state;
    check_all(test_seed(), DTYPE_F32, 1e-6, 2e-6);
}

/* Inputs are exact in bfloat16; outputs are rounded once, and o as the backward pass reads it too. */
static void bfloat16_is_rounded_at_the_end(void **state) {
    (void)state;
    check_all(test_seed(), DTYPE_BF16, 0x1p-8, 0x1p-6);
}

static double objective(const AttentionCase *c) {
    double sum = 0;
    case_solve(c);
    for (size_t i = 0; i < c->query_rows * c->shape.heads * c->shape.head_dim; i++) sum += c->o[i] * c->dout[i];
    return sum;
}

/* The gradients of the formula itself are those of central differences. */
static double difference_error(AttentionCase *c, double *x, const double *gradient, size_t count, CaseRandom *r) {
    double worst = 0;
    for (int n = 0; n < 12; n++) {
        const double h = 1e-4;
        size_t i = case_below(r, count);
        double kept = x[i];
        x[i] = kept + h;
        double above = objective(c);
        x[i] = kept - h;
        double below = objective(c);
        x[i] = kept;
        case_solve(c);
        worst = fmax(worst, fabs((above - below) / (2 * h) - gradient[i]));
    }
    return worst;
}

static void gradients_are_central_differences(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint32_t i = 0; i < 3; i++) {
        CaseRandom r = {{.seed = seed, .stream = RNG_TEST, .item = 100 + i}, 0};
        AttentionCase c = case_random(&r, 8 + 6 * i, 1, 9);
        size_t q = c.query_rows * c.shape.heads * c.shape.head_dim,
               k = c.key_rows * c.shape.kv_heads * c.shape.head_dim;
        case_solve(&c);
        assert_true(difference_error(&c, c.q, c.dq, q, &r) < 1e-6);
        assert_true(difference_error(&c, c.k, c.dk, k, &r) < 1e-6);
        assert_true(difference_error(&c, c.v, c.dv, k, &r) < 1e-6);
        case_free(&c);
    }
}

static int same_rows(const void *a, const void *b, size_t row, size_t rows, size_t width, size_t stride) {
    for (size_t r = row; r < row + rows; r++)
        if (memcmp((const float *)a + r * stride, (const float *)b + r * stride, width * sizeof(float)) != 0) return 0;
    return 1;
}

/* Whether segment s has the same bits in two runs of float32. */
static int same_segment(const AttentionCase *c, size_t s, const Arrays *a, const Arrays *b, int backward) {
    const AttentionShape *shape = &c->shape;
    const AttentionSegment *g = &c->segment[s];
    size_t q = shape->heads * shape->head_dim, k = shape->kv_heads * shape->head_dim;
    int same = same_rows(a->o, b->o, g->query_row, g->query_length, q, shape->o_stride) &&
               same_rows(a->lse, b->lse, g->query_row, g->query_length, shape->heads, shape->heads);
    if (!backward) return same;
    return same && same_rows(a->dq, b->dq, g->query_row, g->query_length, q, shape->q_stride) &&
           same_rows(a->dk, b->dk, g->key_row, g->key_length, k, shape->k_stride) &&
           same_rows(a->dv, b->dv, g->key_row, g->key_length, k, shape->v_stride);
}

/* [ATT-1], threads. */
static void threads_change_no_bit(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint32_t i = 0; i < 6; i++) {
        CaseRandom r = {{.seed = seed, .stream = RNG_TEST, .item = 200 + i}, 0};
        AttentionCase c = case_random(&r, head_dims[i], i % 3 != 0, 100);
        KernelTable one = table_of(isa_of_cpu(), 1);
        Arrays first = arrays_run(&one, &c, DTYPE_F32, i % 3 != 0);
        for (int threads = 2; threads <= 5; threads++) {
            KernelTable many = table_of(isa_of_cpu(), threads);
            Arrays again = arrays_run(&many, &c, DTYPE_F32, i % 3 != 0);
            for (size_t s = 0; s < c.n; s++) assert_true(same_segment(&c, s, &first, &again, i % 3 != 0));
            arrays_free(&again);
        }
        arrays_free(&first);
        case_free(&c);
    }
}

/* The segments with keep[s], under their new numbers. */
static AttentionCase without_others(const AttentionCase *c, const int *keep, size_t *from) {
    AttentionCase few = *c;
    int32_t number[CASE_SEGMENTS];
    few.n = 0;
    for (size_t s = 0; s < c->n; s++) {
        if (!keep[s]) continue;
        few.segment[few.n] = c->segment[s];
        if (c->segment[s].parent >= 0) few.segment[few.n].parent = number[c->segment[s].parent];
        number[s] = (int32_t)few.n, from[few.n++] = s;
    }
    return few;
}

static int32_t root_of(const AttentionCase *c, size_t s) {
    int32_t root = (int32_t)s;
    while (c->segment[root].parent >= 0) root = c->segment[root].parent;
    return root;
}

/* [ATT-1], other segments: a forward row needs only its ancestors, a gradient only its tree. */
static void other_segments_change_no_bit(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    KernelTable kernels = table_of(isa_of_cpu(), 2);
    for (uint32_t i = 0; i < 12; i++) {
        CaseRandom r = {{.seed = seed, .stream = RNG_TEST, .item = 300 + i}, 0};
        int backward = i % 2;
        AttentionCase c = case_random(&r, head_dims[i % 6], backward, 90);
        Arrays whole = arrays_run(&kernels, &c, DTYPE_F32, backward);
        for (size_t s = 0; s < c.n; s++) {
            int keep[CASE_SEGMENTS] = {0};
            size_t from[CASE_SEGMENTS];
            for (int32_t a = (int32_t)s; a >= 0; a = c.segment[a].parent) keep[a] = 1;
            if (backward)
                for (size_t t = 0; t < c.n; t++) keep[t] = root_of(&c, t) == root_of(&c, s);
            AttentionCase few = without_others(&c, keep, from);
            Arrays alone = arrays_run(&kernels, &few, DTYPE_F32, backward);
            for (size_t t = 0; t < few.n; t++) assert_true(same_segment(&c, from[t], &whole, &alone, backward));
            arrays_free(&alone);
        }
        arrays_free(&whole);
        case_free(&c);
    }
}

/* Token t of all segments at once, as a decoder asks for it: leaves end at t, others are complete by then. */
static AttentionCase step_of(const AttentionCase *c, size_t t) {
    AttentionCase step = *c;
    for (size_t s = 0; s < c->n; s++) {
        int leaf = 1;
        for (size_t u = s + 1; u < c->n; u++) leaf &= c->segment[u].parent != (int32_t)s;
        size_t keys = c->segment[s].key_length;
        step.segment[s].query_length = leaf ? t < keys : t + 1 == keys;
        step.segment[s].query_row += t;
        if (leaf && t < keys) step.segment[s].key_length = t + 1;
    }
    return step;
}

static void check_steps(const KernelTable *kernels, uint64_t seed, size_t longest) {
    for (uint32_t i = 0; i < 6; i++) {
        CaseRandom r = {{.seed = seed, .stream = RNG_TEST, .item = 400 + i}, 0};
        AttentionCase c = case_random(&r, head_dims[i], 1, longest);
        Arrays whole = arrays_run(kernels, &c, DTYPE_F32, 0);
        for (size_t t = 0; t < longest; t += 1 + t / 8) {
            AttentionCase step = step_of(&c, t);
            Arrays alone = arrays_run(kernels, &step, DTYPE_F32, 0);
            for (size_t s = 0; s < c.n; s++)
                if (step.segment[s].query_length == 1) assert_true(same_segment(&step, s, &whole, &alone, 0));
            arrays_free(&alone);
        }
        arrays_free(&whole);
        case_free(&c);
    }
}

/* [ATT-2] */
static void token_by_token_changes_no_bit(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (Isa isa = ISA_REFERENCE; isa <= isa_of_cpu(); isa++) {
        KernelTable kernels = table_of(isa, 2);
        check_steps(&kernels, seed, isa == ISA_REFERENCE ? 12 : 80);
    }
    KernelTable wide = simd_wide_table(2);
    check_steps(&wide, seed, 20);
}

static KernelTable honest; // what the planted entries call

static void planted_softmax(size_t keys, size_t columns, float *s, size_t s_row, const int32_t *first,
                            const int32_t *end, float *maximum, float *sum, float *keep) {
    honest.softmax_columns(keys, columns, s, s_row, first, end, maximum, sum, keep);
    for (size_t q = 0; q < columns; q++) keep[q] = 1; // forgets that the maximum has moved
}
static void planted_mask(size_t keys, size_t columns, float *s, size_t s_row, const int32_t *first, const int32_t *end,
                         float *maximum, float *sum, float *keep) {
    (void)first, (void)end; // sees the future
    honest.softmax_columns(keys, columns, s, s_row, NULL, NULL, maximum, sum, keep);
}
static void planted_backward(size_t keys, size_t columns, float *s, float *ds, size_t s_row, const int32_t *first,
                             const int32_t *end, const float *lse, const float *delta) {
    float none[PIECE_ROWS] = {0};
    (void)delta; // forgets that the weights sum to one
    honest.softmax_columns_backward(keys, columns, s, ds, s_row, first, end, lse, none);
}
static void planted_product(size_t M, size_t N, size_t K, const float *a, size_t a_row, size_t a_column, const float *b,
                            size_t b_row, const float *keep, float *c, size_t c_row) {
    honest.tile_product(M, N, K > 1 ? K - 1 : K, a, a_row, a_column, b, b_row, keep, c, c_row); // one key short
}

static void planted_faults_are_found(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    KernelTable wrong = honest = table_of(isa_of_cpu(), 1);
    wrong.softmax_columns = planted_softmax;
    assert_false(within(measure_all(&wrong, seed, DTYPE_F32, 100), 1e-6, 2e-6));
    wrong = honest, wrong.softmax_columns = planted_mask;
    assert_false(within(measure_all(&wrong, seed, DTYPE_F32, 20), 1e-6, 2e-6));
    wrong = honest, wrong.softmax_columns_backward = planted_backward;
    assert_false(within(measure_all(&wrong, seed, DTYPE_F32, 20), 1e-6, 2e-6));
    wrong = honest, wrong.tile_product = planted_product;
    assert_false(within(measure_all(&wrong, seed, DTYPE_F32, 20), 1e-6, 2e-6));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_follows_the_formula),       cmocka_unit_test(bfloat16_is_rounded_at_the_end),
        cmocka_unit_test(gradients_are_central_differences), cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(other_segments_change_no_bit),      cmocka_unit_test(token_by_token_changes_no_bit),
        cmocka_unit_test(planted_faults_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
