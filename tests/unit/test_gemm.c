#include "kernel_cases.h"
#include "kernels/gemm_side.h"
#include "kernels/gemm_weight.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Matrices with odd sizes and gaps between rows; guards of a known value around every row of a result. */
enum { MOST_T = 700, MOST_ROW = 1700, MOST_WEIGHT = 700 * 1600 };
static float x[MOST_T * MOST_ROW], w[MOST_WEIGHT], y[MOST_T * MOST_ROW], again[MOST_T * MOST_ROW];
static bf16 xh[MOST_T * MOST_ROW], wh[MOST_WEIGHT], dyh[MOST_T * MOST_ROW];
static float dy[MOST_T * MOST_ROW], dw[MOST_WEIGHT], dw_again[MOST_WEIGHT];
static const float guard = 12345;

typedef struct {
    size_t T, out, in, x_stride, y_stride;
} Size;

/* Contexts are opened as if oneDNN were slow for results with gaps, which it is on some CPUs. */
static bool dense;

static GemmContext *open_context(const KernelTable *k) {
    Error error = {0};
    GemmContext *context;
    if (gemm_create(&context, k, &error) != 0) fail_msg("%s", error.message);
    if (!dense || context->library == NULL) return context;
    gemm_plan_close(context->plans);
    if (gemm_plan_open(context->library, true, &context->plans, &error) != 0) fail_msg("%s", error.message);
    return context;
}

static GemmWeight *open_weight(GemmContext *context, size_t out, size_t in, DType compute, const void *source,
                               DType type) {
    Error error = {0};
    GemmWeight *weight = NULL;
    if (gemm_weight_create(context, out, in, compute, GEMM_FORWARD | GEMM_DATA_GRADIENT, &weight, &error) != 0 ||
        gemm_weight_pack(context, weight, source, type, &error) != 0)
        fail_msg("%s", error.message);
    return weight;
}

static void fill_all(void) {
    static bool filled;
    if (filled) return;
    filled = true;
    kernel_cases_fill(MOST_T * MOST_ROW, x, 1);
    kernel_cases_fill(MOST_WEIGHT, w, 2);
    kernel_cases_fill(MOST_T * MOST_ROW, dy, 3);
    for (size_t i = 0; i < MOST_T * MOST_ROW; i++)
        xh[i] = dtype_bf16_from_float(x[i]), dyh[i] = dtype_bf16_from_float(dy[i]);
    for (size_t i = 0; i < MOST_WEIGHT; i++) wh[i] = dtype_bf16_from_float(w[i]);
}

static const void *input(DType type, const float *wide, const bf16 *narrow) {
    return type == DTYPE_F32 ? (const void *)wide : narrow;
}
static double value(DType type, const float *wide, const bf16 *narrow, size_t i) {
    return type == DTYPE_F32 ? wide[i] : dtype_bf16_to_float(narrow[i]);
}

/* The product in double, and the bound of a float32 sum of `depth` products: depth * eps times the sum of magnitudes.
 */
typedef struct {
    double value, bound;
} Expected;

static Expected expect(DType type, size_t depth, const float *a, const bf16 *ah, size_t a_at, size_t a_step,
                       const float *b, const bf16 *bh, size_t b_at, size_t b_step, double start, DType output) {
    double sum = start, magnitude = fabs(start);
    for (size_t k = 0; k < depth; k++) {
        double product = value(type, a, ah, a_at + k * a_step) * value(type, b, bh, b_at + k * b_step);
        sum += product, magnitude += fabs(product);
    }
    double bound = (double)(depth + 1) * 0.5 * FLT_EPSILON * magnitude;
    if (output == DTYPE_BF16) bound += fabs(sum) / 256;
    return (Expected){sum, bound + 1e-30};
}

static size_t wrong; // elements out of bounds since the last reset
static void hold(Expected e, double got) { wrong += !(fabs(got - e.value) <= e.bound); }

/* Elements looked at: all of small matrices, a scatter of large ones with all corners. */
static size_t step_for(size_t elements) { return elements < 3000 ? 1 : elements / 1499 | 1; }

static void check_rows(GemmContext *context, const Size *s, DType type, DType output, bool accumulate, bool backward) {
    Error error = {0};
    size_t columns = backward ? s->in : s->out, depth = backward ? s->out : s->in;
    size_t a_stride = backward ? s->y_stride : s->x_stride, c_stride = backward ? s->x_stride : s->y_stride;
    const float *a = backward ? dy : x;
    const bf16 *ah = backward ? dyh : xh;
    GemmWeight *weight = open_weight(context, s->out, s->in, type, w, DTYPE_F32);
    float *c = y;
    bf16 *ch = (bf16 *)y;
    for (size_t i = 0; i < s->T * c_stride; i++) {
        if (output == DTYPE_F32)
            c[i] = i % c_stride < columns && accumulate ? x[i] : guard;
        else
            ch[i] = dtype_bf16_from_float(guard);
    }
    int status = (backward ? gemm_data_gradient : gemm_forward)(context, weight, s->T, input(type, a, ah), a_stride, y,
                                                                c_stride, output, accumulate, &error);
    if (status != 0) fail_msg("%s", error.message);
    size_t elements = s->T * columns, step = step_for(elements);
    for (size_t i = 0; i < elements; i += step) {
        size_t t = i / columns, n = i % columns, at = t * c_stride + n;
        Expected e = expect(type, depth, a, ah, t * a_stride, 1, w, wh, backward ? n : n * s->in, backward ? s->in : 1,
                            accumulate ? x[at] : 0, output);
        hold(e, output == DTYPE_F32 ? c[at] : dtype_bf16_to_float(ch[at]));
    }
    for (size_t i = 0; i < s->T * c_stride; i++)
        if (i % c_stride >= columns)
            wrong += (output == DTYPE_F32 ? c[i] : dtype_bf16_to_float(ch[i])) !=
                     value(output, &guard, (bf16[]){dtype_bf16_from_float(guard)}, 0);
    gemm_weight_destroy(weight);
}

static void check_weight_gradient(GemmContext *context, const Size *s, DType type) {
    Error error = {0};
    for (size_t i = 0; i < s->out * s->in; i++) dw[i] = w[i];
    if (gemm_weight_gradient(context, s->T, s->out, s->in, type, input(type, dy, dyh), s->y_stride, input(type, x, xh),
                             s->x_stride, dw, &error) != 0)
        fail_msg("%s", error.message);
    size_t elements = s->out * s->in, step = step_for(elements);
    for (size_t i = 0; i < elements; i += step)
        hold(expect(type, s->T, dy, dyh, i / s->in, s->y_stride, x, xh, i % s->in, s->x_stride, w[i], DTYPE_F32),
             dw[i]);
}

static void values(const KernelTable *k) {
    static const Size sizes[] = {{1, 1, 1, 1, 1},        {1, 576, 576, 576, 576},     {5, 33, 7, 9, 40},
                                 {16, 64, 48, 48, 64},   {17, 192, 576, 600, 200},    {64, 70, 31, 31, 70},
                                 {65, 129, 65, 70, 130}, {130, 40, 50, 50, 40},       {600, 20, 24, 24, 21},
                                 {512, 40, 70, 70, 40},  {100, 600, 1536, 1536, 600}, {30, 3, 1700, 1700, 3}};
    bool plain = k->isa == ISA_REFERENCE;
    if (plain && dense) return;
    GemmContext *context = open_context(k);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (DType type = DTYPE_F32; type <= DTYPE_BF16; type++) {
            const Size *s = &sizes[i];
            if (plain && s->T * s->out * s->in > 2500000) continue;
            for (int backward = 0; backward < 2; backward++) {
                check_rows(context, s, type, DTYPE_F32, false, backward);
                check_rows(context, s, type, DTYPE_F32, true, backward);
                if (type == DTYPE_BF16) check_rows(context, s, type, DTYPE_BF16, false, backward);
            }
            check_weight_gradient(context, s, type);
            if (wrong > 0)
                fail_msg("%s %s %d threads, T %zu out %zu in %zu: %zu elements out of bounds", isa_name(k->isa),
                         dtype_name(type), k->threads, s->T, s->out, s->in, wrong);
        }
    gemm_destroy(context);
}

static void agrees_with_double(void **state) {
    (void)state;
    fill_all();
    kernel_cases_each(values);
    dense = true;
    kernel_cases_each(values);
    dense = false;
}

/* One weight off by one part in a thousand must be noticed by the bound of the test above. */
static void a_wrong_weight_is_caught(void **state) {
    (void)state;
    fill_all();
    KernelTable k;
    assert_int_equal(kernel_table_create(&k, 2, NULL), 0);
    GemmContext *context = open_context(&k);
    const Size s = {17, 33, 40, 40, 33};
    float kept = w[5 * 40 + 7];
    GemmWeight *weight = open_weight(context, s.out, s.in, DTYPE_F32, w, DTYPE_F32);
    assert_int_equal(gemm_forward(context, weight, s.T, x, s.x_stride, y, s.y_stride, DTYPE_F32, false, NULL), 0);
    w[5 * 40 + 7] *= 1.001f;
    wrong = 0;
    for (size_t t = 0; t < s.T; t++)
        hold(expect(DTYPE_F32, s.in, x, xh, t * 40, 1, w, wh, 5 * 40, 1, 0, DTYPE_F32), y[t * 33 + 5]);
    w[5 * 40 + 7] = kept;
    assert_true(wrong > s.T / 2);
    wrong = 0;
    gemm_weight_destroy(weight);
    gemm_destroy(context);
}

/* [GEMM-1] All rows at once with one thread against any rows, with any threads: the bits of a row are the same. */
typedef int Product(GemmContext *, const GemmWeight *, size_t, const void *, size_t, void *, size_t, DType, bool,
                    Error *);

static void rows_and_threads_change_no_bit(const KernelTable *k) {
    static const struct { size_t out, in; } shapes[] = {{576, 576}, {40, 60}, {576, 1536}, {1001, 130}};
    static const size_t first[] = {0, 3, 64, 100, 149};
    enum { T = 150, THREADS = 3 };
    static const size_t count[] = {T, 64, 16, 33, 1};
    if (k->isa == ISA_REFERENCE || k->threads == 1) return;
    GemmContext *context[THREADS];
    KernelTable table[THREADS];
    for (int i = 0; i < THREADS; i++) table[i] = *k, table[i].threads = i + 1, context[i] = open_context(&table[i]);
    for (size_t i = 0; i < 4 * 2 * 2 * 2; i++) {
        DType type = i & 1 ? DTYPE_BF16 : DTYPE_F32;
        bool accumulate = i & 4;
        Product *product = i & 2 ? gemm_data_gradient : gemm_forward;
        size_t out = shapes[i / 8].out, in = shapes[i / 8].in, columns = i & 2 ? in : out, depth = i & 2 ? out : in;
        const char *a = input(type, x, xh);
        memcpy(again, dy, T * columns * sizeof *again);
        GemmWeight *weight = open_weight(context[0], out, in, type, w, DTYPE_F32);
        assert_int_equal(product(context[0], weight, T, a, depth, again, columns, DTYPE_F32, accumulate, NULL), 0);
        for (size_t c = 0; c < 5 * THREADS; c++) {
            size_t begin = first[c % 5], rows = count[c % 5];
            memcpy(y, dy + begin * columns, rows * columns * sizeof *y);
            assert_int_equal(product(context[c / 5], weight, rows, a + begin * depth * dtype_bytes(type), depth, y,
                                     columns, DTYPE_F32, accumulate, NULL),
                             0);
            if (memcmp(y, again + begin * columns, rows * columns * sizeof *y) != 0)
                fail_msg("%s %s %s, %zu x %zu, %zu threads: rows %zu + %zu differ", isa_name(k->isa), dtype_name(type),
                         i & 2 ? "backward" : "forward", out, in, c / 5 + 1, begin, rows);
        }
        gemm_weight_destroy(weight);
    }
    for (int i = 0; i < THREADS; i++) gemm_destroy(context[i]);
}

static void bits_of_a_row_are_its_own(void **state) {
    (void)state;
    fill_all();
    kernel_cases_each(rows_and_threads_change_no_bit);
    dense = true;
    kernel_cases_each(rows_and_threads_change_no_bit);
    dense = false;
}

static void threads_change_no_bit_of_a_weight_gradient(void **state) {
    (void)state;
    fill_all();
    enum { T = 600, OUT = 600, IN = 130 };
    for (Isa isa = ISA_REFERENCE; isa <= isa_of_cpu(); isa++)
        for (int i = 0; i < 6; i++) {
            KernelTable k;
            DType type = i & 1 ? DTYPE_BF16 : DTYPE_F32;
            size_t rows = isa == ISA_REFERENCE ? 50 : T;
            assert_int_equal(kernel_table_create_capped(&k, 1 + i / 2, isa, NULL), 0);
            GemmContext *context = open_context(&k);
            float *result = i < 2 ? dw : dw_again;
            memcpy(result, w, sizeof dw);
            assert_int_equal(gemm_weight_gradient(context, rows, OUT, IN, type, input(type, dy, dyh), OUT,
                                                  input(type, x, xh), IN, result, NULL),
                             0);
            if (i >= 2) {
                memcpy(dw, w, sizeof dw);
                k.threads = 1;
                GemmContext *one = open_context(&k);
                assert_int_equal(gemm_weight_gradient(one, rows, OUT, IN, type, input(type, dy, dyh), OUT,
                                                      input(type, x, xh), IN, dw, NULL),
                                 0);
                gemm_destroy(one);
                assert_memory_equal(dw, dw_again, sizeof dw);
            }
            gemm_destroy(context);
        }
}

/* Sources of every type give the same product as their values in float32. */
static void packs_sources_of_every_type(void **state) {
    (void)state;
    enum { OUT = 70, IN = 90, T = 20 };
    static uint16_t half[OUT * IN];
    static float wide[OUT * IN];
    fill_all();
    for (size_t i = 0; i < OUT * IN; i++)
        half[i] = (uint16_t)(0x3000 + i * 7 % 0x0fff) | (i % 3 == 0 ? 0x8000 : 0),
        wide[i] = dtype_f16_to_float(half[i]);
    KernelTable k;
    assert_int_equal(kernel_table_create(&k, 2, NULL), 0);
    GemmContext *context = open_context(&k);
    for (DType type = DTYPE_F32; type <= DTYPE_BF16; type++) {
        for (int kind = 0; kind < 4; kind++) { // float16 and its values, bfloat16 and its values
            const void *source = kind == 0 ? half : kind == 1 ? (void *)wide : kind == 2 ? (void *)wh : (void *)wide;
            if (kind == 3)
                for (size_t i = 0; i < OUT * IN; i++) wide[i] = dtype_bf16_to_float(wh[i]);
            GemmWeight *weight = open_weight(context, OUT, IN, type, source,
                                             kind == 0   ? DTYPE_F16
                                             : kind == 2 ? DTYPE_BF16
                                                         : DTYPE_F32);
            float *result = kind & 1 ? again : y;
            assert_int_equal(
                gemm_forward(context, weight, T, input(type, x, xh), IN, result, OUT, DTYPE_F32, false, NULL), 0);
            assert_int_equal(gemm_data_gradient(context, weight, T, input(type, dy, dyh), OUT, result + T * OUT, IN,
                                                DTYPE_F32, false, NULL),
                             0);
            if (kind & 1) assert_memory_equal(y, again, T * (OUT + IN) * sizeof *y);
            gemm_weight_destroy(weight);
        }
        for (size_t i = 0; i < OUT * IN; i++) wide[i] = dtype_f16_to_float(half[i]);
    }
    gemm_destroy(context);
}

/* Runs first: nothing has started threads yet, so any that appear are oneDNN's own. */
static int threads_of_process(void) {
    int threads = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "Threads:", 8) == 0) threads = (int)strtol(line + 8, NULL, 10);
    if (f != NULL) fclose(f);
    return threads;
}

/* A weight that is packed for forward alone, turned, gives the bits of one that was packed for both. */
static void turned_weights_are_those_packed_for_both(void **state) {
    (void)state;
    static const Size sizes[] = {{65, 300, 64, 0, 0}, {70, 1500, 130, 0, 0}, {33, 22, 5, 0, 0}};
    fill_all();
    for (Isa cap = ISA_REFERENCE; cap <= isa_of_cpu(); cap++)
        for (int i = 0; i < 6; i++) {
            const Size *s = &sizes[i / 2];
            const DType type = i % 2 == 0 ? DTYPE_F32 : DTYPE_BF16;
            KernelTable k;
            Error error = {0};
            GemmWeight *forward, *turned;
            assert_int_equal(kernel_table_create_capped(&k, 2, cap, &error), 0);
            GemmContext *context = open_context(&k);
            GemmWeight *both = open_weight(context, s->out, s->in, type, w, DTYPE_F32);
            assert_int_equal(gemm_weight_create(context, s->out, s->in, type, GEMM_FORWARD, &forward, &error), 0);
            assert_int_equal(gemm_weight_create(context, s->out, s->in, type, GEMM_DATA_GRADIENT, &turned, &error), 0);
            assert_int_equal(gemm_weight_pack(context, forward, w, DTYPE_F32, &error), 0);
            assert_int_equal(gemm_weight_turn(context, forward, 0, turned, &error), 0);
            const void *from = input(type, dy, dyh);
            const size_t bytes = s->T * s->in * sizeof *y;
            assert_int_equal(gemm_data_gradient(context, both, s->T, from, s->out, y, s->in, DTYPE_F32, false, &error),
                             0);
            assert_int_equal(
                gemm_data_gradient(context, turned, s->T, from, s->out, again, s->in, DTYPE_F32, false, &error), 0);
            assert_memory_equal(y, again, bytes);
            assert_int_equal(gemm_weight_pack(context, forward, w + 1, DTYPE_F32, &error), 0); // planted: other values
            assert_int_equal(gemm_weight_turn(context, forward, 0, turned, &error), 0);
            assert_int_equal(
                gemm_data_gradient(context, turned, s->T, from, s->out, again, s->in, DTYPE_F32, false, &error), 0);
            assert_memory_not_equal(y, again, bytes);
            gemm_weight_destroy(both), gemm_weight_destroy(forward), gemm_weight_destroy(turned);
            gemm_destroy(context);
        }
}

static void one_thread_stays_one(void **state) {
    (void)state;
    enum { T = 600, OUT = 640, IN = 640 };
    int before = threads_of_process();
    KernelTable k;
    assert_int_equal(kernel_table_create(&k, 1, NULL), 0);
    GemmContext *context = open_context(&k);
    GemmWeight *weight = open_weight(context, OUT, IN, DTYPE_F32, w, DTYPE_F32);
    assert_int_equal(gemm_forward(context, weight, T, x, IN, y, OUT, DTYPE_F32, false, NULL), 0);
    assert_int_equal(gemm_weight_gradient(context, T, OUT, IN, DTYPE_F32, dy, OUT, x, IN, dw, NULL), 0);
    assert_int_equal(threads_of_process(), before);
    gemm_weight_destroy(weight);
    gemm_destroy(context);
}

/* What a plan counts for a weight holds what oneDNN's layouts take of it, and is not much more than the numbers. */
static void plans_hold_every_layout(const KernelTable *k) {
    static const size_t sizes[] = {1, 2, 7, 16, 17, 31, 33, 48, 64, 65, 127, 130, 576, 1000, 1536, 3001};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    if (k->isa == ISA_REFERENCE || k->threads > 1) return;
    GemmContext *context = open_context(k);
    for (size_t i = 0; i < SIZES * SIZES * 2; i++) {
        const size_t out = sizes[i / 2 % SIZES], in = sizes[i / 2 / SIZES];
        const DType type = i % 2 == 0 ? DTYPE_F32 : DTYPE_BF16;
        const unsigned uses = GEMM_FORWARD | GEMM_DATA_GRADIENT;
        GemmWeight *weight;
        Error error = {0};
        if (gemm_weight_create(context, out, in, type, uses, &weight, &error) != 0) fail_msg("%s", error.message);
        const size_t taken = sizeof *weight + weight->forward.bytes + weight->data_gradient.bytes;
        const size_t planned = gemm_weight_bytes(k->isa, out, in, type, uses);
        if (planned < taken)
            fail_msg("%s %s %zu x %zu: %zu bytes are planned, %zu taken", isa_name(k->isa), dtype_name(type), out, in,
                     planned, taken);
        if (out >= 576 && in >= 576) // 2 sides, and an eighth
            assert_true(planned < out * in * dtype_bytes(weight->forward.type) * 18 / 8);
        gemm_weight_destroy(weight);
    }
    gemm_destroy(context);
}

static void plans_hold_the_layouts_of_every_isa(void **state) {
    (void)state;
    kernel_cases_each(plans_hold_every_layout);
}

static void refuses_empty_weights(void **state) {
    (void)state;
    KernelTable k;
    Error error = {0};
    GemmWeight *weight;
    assert_int_equal(kernel_table_create(&k, 1, NULL), 0);
    GemmContext *context = open_context(&k);
    assert_int_equal(gemm_weight_create(context, 0, 5, DTYPE_F32, GEMM_FORWARD, &weight, &error), -1);
    assert_int_equal(error.code, ERROR_INTERNAL);
    assert_int_equal(gemm_weight_create(context, SIZE_MAX / 2, 5, DTYPE_F32, GEMM_FORWARD, &weight, &error), -1);
    assert_null(weight);
    assert_true(gemm_weight_bytes(ISA_AVX2, 576, 1536, DTYPE_F32, GEMM_FORWARD) >= 4 * 576 * 1536);
    gemm_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_thread_stays_one),
                                       cmocka_unit_test(agrees_with_double),
                                       cmocka_unit_test(a_wrong_weight_is_caught),
                                       cmocka_unit_test(bits_of_a_row_are_its_own),
                                       cmocka_unit_test(threads_change_no_bit_of_a_weight_gradient),
                                       cmocka_unit_test(packs_sources_of_every_type),
                                       cmocka_unit_test(turned_weights_are_those_packed_for_both),
                                       cmocka_unit_test(plans_hold_the_layouts_of_every_isa),
                                       cmocka_unit_test(refuses_empty_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
