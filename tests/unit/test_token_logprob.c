#include "kernel_cases.h"
#include "kernels/token_logprob.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A vocabulary of several chunks and an odd rest; rows of more than one tile; some rows with several targets, some with
 * none. */
enum { V = 5003, C = 24, MOST_R = 530, MOST_N = 700 };
static float hidden[MOST_R * C], head[V * C], dlogprob[MOST_N];
static bf16 hidden_bf16[MOST_R * C];
static TokenTarget target[MOST_N];
static TokenFigures figures[MOST_N];
static float logprob[MOST_N], logsumexp[MOST_R], dhidden[MOST_R * C], dhead[V * C], logits[40 * V];

typedef struct {
    GemmContext *gemm;
    TokenHead *head;
    DType type;
    const KernelTable *kernels;
} Case;

/* Inputs are bfloat16 values, so that both compute types see the same numbers. */
static void fill(float *x, size_t n, uint32_t item, float scale) {
    kernel_cases_fill(n, x, item);
    for (size_t i = 0; i < n; i++) x[i] = dtype_bf16_to_float(dtype_bf16_from_float(scale * x[i]));
}

static size_t fill_all(size_t R) {
    fill(hidden, R * C, 1, 1.3f), fill(head, V * C, 2, 0.7f), fill(dlogprob, MOST_N, 3, 1);
    for (size_t i = 0; i < R * C; i++) hidden_bf16[i] = dtype_bf16_from_float(hidden[i]);
    RngAddress a = {.seed = 7, .stream = RNG_TEST};
    size_t n = 0;
    for (size_t r = 0; r < R; r++)
        for (size_t k = rng_below(&a, (uint32_t)r, 3); k > 0 && n < MOST_N; k--, n++)
            target[n] = (TokenTarget){(int32_t)r, (int32_t)rng_below(&a, 100000 + (uint32_t)n, V)};
    if (n > 1) target[0].token = V - 1, target[1].token = 0;
    return n;
}

static Case open_head(const KernelTable *k, DType type, TokenHeadUse use) {
    Case c = {.type = type, .kernels = k};
    Error error = {0};
    if (gemm_create(&c.gemm, k, &error) != 0 || token_head_create(c.gemm, V, C, type, use, &c.head, &error) != 0 ||
        token_head_pack(c.gemm, c.head, head, DTYPE_F32, &error) != 0)
        fail_msg("%s", error.message);
    return c;
}

static Case open_case(const KernelTable *k, DType type) { return open_head(k, type, TOKEN_HEAD_TRAINED); }

static void close_case(Case *c) {
    token_head_destroy(c->head);
    gemm_destroy(c->gemm);
}

static const void *rows_from(const Case *c, size_t r) {
    return c->type == DTYPE_F32 ? (const void *)(hidden + r * C) : (const void *)(hidden_bf16 + r * C);
}

/* --- the same in double --- */

static double logit(size_t r, size_t v) {
    double sum = 0;
    for (size_t i = 0; i < C; i++) sum += (double)hidden[r * C + i] * head[v * C + i];
    return sum;
}

static double row_logsumexp(size_t r) {
    double sum = 0; // logits of this test are small enough for exp
    for (size_t v = 0; v < V; v++) sum += exp(logit(r, v));
    return log(sum);
}

/* The figures of a target by their definitions; top: NAN where another word is as likely as float32 can tell. */
static TokenFigures expected_figures(TokenTarget t, double lse) {
    double square = 0, entropy = 0, total = 0, best = -INFINITY, own = logit((size_t)t.row, (size_t)t.token);
    for (size_t v = 0; v < V; v++) {
        double x = logit((size_t)t.row, v);
        square += exp(2 * (x - lse)), entropy -= exp(x - lse) * (x - lse), total += x;
        if (v != (size_t)t.token) best = fmax(best, x);
    }
    return (TokenFigures){.log_sum_square = (float)log(square),
                          .entropy = (float)entropy,
                          .mean_logit = (float)(total / V),
                          .top = fabs(own - best) < 1e-5 ? NAN : own > best};
}

static void assert_figures(TokenFigures found, TokenFigures expected) {
    assert_true(fabsf(found.log_sum_square - expected.log_sum_square) < 6e-6f);
    assert_true(fabsf(found.entropy - expected.entropy) < 6e-6f);
    assert_true(fabsf(found.mean_logit - expected.mean_logit) < 1e-6f);
    assert_true(isnan(expected.top) || found.top == expected.top);
}

static double loss(size_t R, size_t n) {
    double sum = 0, lse = 0;
    (void)R;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || target[i].row != target[i - 1].row) lse = row_logsumexp((size_t)target[i].row);
        sum += dlogprob[i] * (logit((size_t)target[i].row, (size_t)target[i].token) - lse);
    }
    return sum;
}

static double slope(float *at, size_t R, size_t n) {
    const float h = 0x1p-10f, kept = *at;
    *at = kept + h;
    double high = loss(R, n), moved = *at;
    *at = kept - h;
    double low = loss(R, n), width = moved - *at;
    *at = kept;
    return (high - low) / width;
}

/* --- tests --- */

static void values(const KernelTable *k) {
    enum { R = 21 };
    size_t n = fill_all(R);
    for (DType type = DTYPE_F32; type <= DTYPE_BF16; type++) {
        Case c = open_case(k, type);
        assert_int_equal(
            token_logprob_forward(c.gemm, k, c.head, R, rows_from(&c, 0), n, target, logprob, logsumexp, figures, NULL),
            0);
        assert_int_equal(token_logits(c.gemm, c.head, R, rows_from(&c, 0), logits, NULL), 0);
        for (size_t r = 0; r < R; r++) {
            double lse = row_logsumexp(r);
            assert_true(fabs(logsumexp[r] - lse) < 3e-6);
            for (size_t v = r; v < V; v += 37) assert_true(fabs(logits[r * V + v] - logit(r, v)) < 2e-5);
            for (size_t i = 0; i < n; i++)
                if ((size_t)target[i].row == r) {
                    assert_figures(figures[i], expected_figures(target[i], lse));
                    assert_true(fabs(logprob[i] - (logit(r, (size_t)target[i].token) - lse)) < 1e-5);
                }
        }
        close_case(&c);
    }
}

static void agrees_with_double(void **state) {
    (void)state;
    kernel_cases_each(values);
}

/* How far gradients are from central differences at a scatter of elements. In bfloat16 dlogits are rounded to 8 bits.
 */
static double gradient_error(const Case *c, size_t R, size_t n, const float *given) {
    double worst = 0;
    memset(dhead, 0, sizeof dhead), memset(dhidden, 0x5a, sizeof dhidden);
    Error error = {0};
    if (token_logprob_backward(c->gemm, c->kernels, c->head, R, rows_from(c, 0), n, target, given, logsumexp, dhidden,
                               dhead, &error) != 0)
        fail_msg("%s", error.message);
    for (size_t i = 1; i < R * C; i += R * C / 12) worst = fmax(worst, fabs(slope(&hidden[i], R, n) - dhidden[i]));
    for (size_t i = 0; i < 6; i++) {
        size_t at = (size_t)target[i].token * C + i, far = (V - 1 - i * 900) * C + 2 * i;
        worst = fmax(worst, fabs(slope(&head[at], R, n) - dhead[at]));
        worst = fmax(worst, fabs(slope(&head[far], R, n) - dhead[far]));
    }
    return worst;
}

static void gradients(const KernelTable *k) {
    enum { R = 5 };
    if (k->threads == 1) return;
    size_t n = fill_all(R);
    assert_true(n > 4 && n < 10);
    for (DType type = DTYPE_F32; type <= DTYPE_BF16; type++) {
        Case c = open_case(k, type);
        assert_int_equal(
            token_logprob_forward(c.gemm, k, c.head, R, rows_from(&c, 0), n, target, logprob, logsumexp, NULL, NULL),
            0);
        double bound = type == DTYPE_F32 ? 3e-5 : 2e-2, error = gradient_error(&c, R, n, dlogprob);
        if (!(error < bound)) fail_msg("%s %s: gradient off by %g", isa_name(k->isa), dtype_name(type), error);
        float planted[MOST_N];
        memcpy(planted, dlogprob, sizeof planted);
        planted[n / 2] *= 0.9f; // one target counted too little
        assert_true(gradient_error(&c, R, n, planted) > bound);
        close_case(&c);
    }
}

static void agrees_with_central_differences(void **state) {
    (void)state;
    kernel_cases_each(gradients);
}

/* [TL-1] Any rows, any threads: the bits of a row are its own. [TL-2] dhead does not depend on the threads. */
static void rows_and_threads_change_no_bit(void **state) {
    (void)state;
    enum { R = MOST_R, FIRST = 203, SOME = 40 };
    static TokenFigures all_figures[MOST_N];
    static float all_logprob[MOST_N], all_logsumexp[R], all_dhidden[R * C], all_dhead[V * C];
    size_t n = fill_all(R);
    for (DType type = DTYPE_F32; type <= DTYPE_BF16; type++)
        for (int threads = 1; threads <= 3; threads++) {
            KernelTable k;
            assert_int_equal(kernel_table_create(&k, threads, NULL), 0);
            Case c = open_case(&k, type);
            memset(dhead, 0, sizeof dhead);
            assert_int_equal(token_logprob_forward(c.gemm, &k, c.head, R, rows_from(&c, 0), n, target, logprob,
                                                   logsumexp, figures, NULL),
                             0);
            assert_int_equal(token_logprob_backward(c.gemm, &k, c.head, R, rows_from(&c, 0), n, target, dlogprob,
                                                    logsumexp, dhidden, dhead, NULL),
                             0);
            if (threads == 1) {
                memcpy(all_logprob, logprob, sizeof logprob), memcpy(all_logsumexp, logsumexp, sizeof logsumexp);
                memcpy(all_figures, figures, sizeof figures);
                memcpy(all_dhidden, dhidden, sizeof dhidden), memcpy(all_dhead, dhead, sizeof dhead);
            }
            assert_memory_equal(all_logprob, logprob, n * sizeof *logprob);
            assert_memory_equal(all_logsumexp, logsumexp, sizeof all_logsumexp);
            assert_memory_equal(all_figures, figures, n * sizeof *figures);
            assert_memory_equal(all_dhidden, dhidden, sizeof all_dhidden);
            assert_memory_equal(all_dhead, dhead, sizeof all_dhead);
            TokenTarget some[MOST_N];
            size_t from = 0, count = 0;
            while ((size_t)target[from].row < FIRST) from++;
            for (; from + count < n && (size_t)target[from + count].row < FIRST + SOME; count++)
                some[count] = (TokenTarget){target[from + count].row - FIRST, target[from + count].token};
            const void *rows = rows_from(&c, FIRST);
            assert_int_equal(
                token_logprob_forward(c.gemm, &k, c.head, SOME, rows, count, some, logprob, logsumexp, NULL, NULL), 0);
            assert_memory_equal(all_logprob + from, logprob, count * sizeof *logprob);
            assert_memory_equal(all_logsumexp + FIRST, logsumexp, SOME * sizeof *logsumexp);
            assert_int_equal(token_logprob_backward(c.gemm, &k, c.head, SOME, rows, count, some, dlogprob + from,
                                                    logsumexp, dhidden, NULL, NULL),
                             0);
            assert_memory_equal(all_dhidden + FIRST * C, dhidden, SOME * C * sizeof *dhidden);
            close_case(&c);
        }
}

/* Logits of +-60 and a row whose words are all equal: no overflow, exact answers. */
static void survives_extremes(void **state) {
    (void)state;
    KernelTable k;
    assert_int_equal(kernel_table_create(&k, 2, NULL), 0);
    memset(head, 0, sizeof head), memset(hidden, 0, sizeof hidden);
    head[4000 * C] = 1000, head[10 * C + 1] = -1000;
    hidden[0] = 100, hidden[C + 1] = 100; // row 0: word 4000 has 1e5; row 1: word 10 has -1e5; row 2: all 0
    TokenTarget t[] = {{0, 4000}, {0, 3}, {1, 10}, {1, 3}, {2, 7}};
    const double expected[] = {0, -1e5, -1e5 - log(V - 1), -log(V - 1), -log(V)};
    Case c = open_case(&k, DTYPE_F32);
    assert_int_equal(token_logprob_forward(c.gemm, &k, c.head, 3, hidden, 5, t, logprob, logsumexp, figures, NULL), 0);
    for (int i = 0; i < 5; i++) assert_true(fabs(logprob[i] - expected[i]) <= 1e-6 * fabs(expected[i]));
    for (int i = 0; i < 5; i++) {
        const double squares[] = {0, -log(V - 1), -log(V)}, squared = squares[t[i].row];
        assert_true(fabs(figures[i].log_sum_square - squared) <= 1e-6 * fabs(squared));
        assert_true(fabs(figures[i].entropy + squared) <=
                    1e-6 * fabs(squared));       // as all words or one are equally likely
        assert_true(figures[i].top == (i == 0)); // of equals the first: word 0, in rows 1 and 2
    }
    close_case(&c);
}

/* A frozen head turns its chunks one by one: the bits of one that is packed in both layouts. */
static void a_frozen_head_passes_the_same_gradient(void **state) {
    (void)state;
    enum { R = 50 };
    static float found[2][R * C];
    size_t n = fill_all(R);
    for (Isa cap = ISA_REFERENCE; cap <= isa_of_cpu(); cap++)
        for (int type = 0; type < 2; type++) {
            KernelTable k;
            Error error = {0};
            assert_int_equal(kernel_table_create_capped(&k, 2, cap, &error), 0);
            for (int frozen = 0; frozen < 2; frozen++) {
                Case c =
                    open_head(&k, type == 0 ? DTYPE_F32 : DTYPE_BF16, frozen ? TOKEN_HEAD_FROZEN : TOKEN_HEAD_TRAINED);
                for (int twice = 0; twice < 2; twice++) {
                    assert_int_equal(token_logprob_forward(c.gemm, &k, c.head, R, rows_from(&c, 0), n, target, logprob,
                                                           logsumexp, NULL, &error),
                                     0);
                    assert_int_equal(token_logprob_backward(c.gemm, &k, c.head, R, rows_from(&c, 0), n, target,
                                                            dlogprob, logsumexp, found[frozen], NULL, &error),
                                     0);
                }
                close_case(&c);
            }
            assert_memory_equal(found[0], found[1], sizeof found[0]);
        }
}

static void says_what_is_wrong(void **state) {
    (void)state;
    KernelTable k;
    assert_int_equal(kernel_table_create(&k, 1, NULL), 0);
    Case c = open_case(&k, DTYPE_F32);
    const TokenTarget bad[][2] = {
        {{1, 5}, {0, 5}}, {{0, V}, {1, 1}}, {{0, -1}, {1, 1}}, {{0, 1}, {2, 1}}, {{-1, 1}, {1, 1}}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Error error = {0};
        assert_int_equal(
            token_logprob_forward(c.gemm, &k, c.head, 2, hidden, 2, bad[i], logprob, logsumexp, NULL, &error), -1);
        assert_int_equal(error.code, ERROR_INTERNAL);
        assert_non_null(strstr(error.message, "is not in order within 2 rows and 5003 words"));
    }
    size_t forward = token_head_bytes(ISA_AVX2, V, C, DTYPE_F32, TOKEN_HEAD_FORWARD),
           frozen = token_head_bytes(ISA_AVX2, V, C, DTYPE_F32, TOKEN_HEAD_FROZEN),
           trained = token_head_bytes(ISA_AVX2, V, C, DTYPE_F32, TOKEN_HEAD_TRAINED);
    assert_true(trained > forward + 4 * V * C);
    assert_true(frozen > forward && frozen + V * C < trained); // a whole chunk and the last of three
    close_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_double),
                                       cmocka_unit_test(agrees_with_central_differences),
                                       cmocka_unit_test(rows_and_threads_change_no_bit),
                                       cmocka_unit_test(survives_extremes),
                                       cmocka_unit_test(a_frozen_head_passes_the_same_gradient),
                                       cmocka_unit_test(says_what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
