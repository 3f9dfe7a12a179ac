#include "kernel_cases.h"
#include "kernels/sampling_filter.h"

#include <math.h>
#include <string.h>

enum { MOST = 5000 };

/* The filters by their definition: sort everything, in double. */
typedef struct {
    double x, p;
    size_t id;
} Token;

static int by_value(const void *a, const void *b) { // largest first, equals by id
    const Token *p = a, *q = b;
    return p->x != q->x ? (p->x < q->x) - (p->x > q->x) : (p->id > q->id) - (p->id < q->id);
}

static double normalise(size_t n, Token *token) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) token[i].p = exp(token[i].x - token[0].x), sum += token[i].p;
    for (size_t i = 0; i < n; i++) token[i].p /= sum;
    return sum;
}

/* Fills p (V): the probability of every token. Returns how many are not 0. */
static size_t solve(const SamplingFilter *f, size_t V, const float *logits, const int32_t *seen, size_t seen_count,
                    double *p) {
    static Token token[MOST];
    for (size_t i = 0; i < V; i++) token[i] = (Token){logits[i], 0, i}, p[i] = 0;
    for (size_t i = 0; i < seen_count; i++) {
        double *x = &token[seen[i]].x;
        *x = *x > 0 ? *x / f->repetition_penalty : *x * f->repetition_penalty;
    }
    for (size_t i = 0; i < V; i++) token[i].x = (float)token[i].x; // as the filter stores them: decides what is equal
    if (f->temperature != 0)
        for (size_t i = 0; i < V; i++) token[i].x = (float)token[i].x * (1 / f->temperature);
    qsort(token, V, sizeof *token, by_value);
    size_t n = V;
    if (f->temperature == 0) n = 1;
    if (f->top_k != 0 && f->top_k < n)
        for (n = f->top_k; n < V && token[n].x == token[f->top_k - 1].x;) n++;
    normalise(n, token);
    double above = 0;
    for (size_t i = 0; f->top_p < 1 && i < n; above += token[i++].p)
        if (i > 0 && above >= f->top_p) n = i;
    for (size_t i = 0; i < n; i++)
        if (token[i].p < (double)f->min_p * token[0].p) n = i;
    normalise(n, token);
    for (size_t i = 0; i < n; i++) p[token[i].id] = token[i].p;
    return n;
}

typedef SampledToken Draw(const KernelTable *, const SamplingFilter *, size_t, const float *, const int32_t *, size_t,
                          double, void *);

/* Draws at evenly spread uniforms; each must land in its token's interval of the exact distribution. */
static int wrong_draws(const KernelTable *k, Draw *draw, const SamplingFilter *f, size_t V, const float *logits,
                       const int32_t *seen, size_t seen_count) {
    static double p[MOST], below[MOST + 1];
    enum { DRAWS = 60 };
    int wrong = 0;
    void *scratch = malloc(sampling_filter_scratch_bytes(V));
    assert_non_null(scratch);
    memset(scratch, 0xff, sampling_filter_scratch_bytes(V));
    solve(f, V, logits, seen, seen_count, p);
    double sum = 0, best = -INFINITY;
    for (size_t i = 0; i < V; i++) below[i + 1] = below[i] + p[i], best = fmax(best, logits[i]);
    for (size_t i = 0; i < V; i++) sum += exp(logits[i] - best);
    for (int d = 0; d < DRAWS; d++) {
        double u = d == 0 ? 0 : d == 1 ? 1 - 0x1p-53 : (d + 0.37) / DRAWS;
        SampledToken got = draw(k, f, V, logits, seen, seen_count, u, scratch);
        if (got.token < 0 || (size_t)got.token >= V || p[got.token] == 0) {
            wrong++;
            continue;
        }
        wrong += u < below[got.token] - 3e-6 || u > below[got.token + 1] + 3e-6;
        double lse = best + log(sum);
        wrong += fabs(got.logsumexp - lse) > 2e-6 * (1 + fabs(lse));
        wrong += fabs(got.logprob - (logits[got.token] - lse)) > 3e-6 * (1 + fabs(lse));
    }
    free(scratch);
    return wrong;
}

static const SamplingFilter filters[] = {
    {1, 0, 1, 0, 1},          {0.9f, 0, 1, 0, 1},
    {0.7f, 0, 0.9f, 0, 1},    {0, 0, 1, 0, 1},
    {1, 1, 1, 0, 1},          {1, 50, 1, 0, 1},
    {1.3f, 40, 0.8f, 0, 1},   {1, 0, 0.5f, 0, 1.2f},
    {1, 0, 1, 0.05f, 1},      {0.7f, 20, 0.95f, 0.1f, 1.1f},
    {1, 0, 0.999f, 0, 1},     {2, 0, 0.9f, 0.02f, 1},
    {1, 0, 0.0f, 0, 1},       {1, 0, 1e-6f, 0, 1},
    {0.01f, 0, 0.9f, 0, 1},   {1, MOST * 2, 1, 0, 1},
    {1, 2000, 0.99f, 0, 1},   {1, 3, 1, 0, 0.5f},
    {0, 5, 0.5f, 0.5f, 1.5f}, {1e-4f, 0, 1, 0, 1},
};
enum { FILTERS = sizeof filters / sizeof *filters };

/* Kinds of rows: like a language model's, flat, a coarse grid full of equals, all equal, one token with all the mass.
 */
enum { PEAKED, FLAT, GRID, EQUAL, CERTAIN, KINDS };

static void make_row(int kind, size_t V, const RngAddress *a, float *logits) {
    for (uint32_t i = 0; i < V; i++) {
        double z = rng_normal(a, i);
        logits[i] = (float)(kind == PEAKED ? 3 * z : kind == FLAT ? 0.3 * z : kind == GRID ? round(2 * z) / 4 : -1.5);
    }
    if (kind == CERTAIN) logits[rng_below(a, (uint32_t)V, V)] = 60;
    if (kind == PEAKED && V > 3) logits[rng_below(a, (uint32_t)V, V)] = 12;
}

static int wrong_rows(const KernelTable *k, Draw *draw, uint64_t seed) {
    static const size_t sizes[] = {1, 2, 7, 63, 64, 65, 600, 1500, MOST};
    static float logits[MOST];
    int wrong = 0;
    for (uint32_t i = 0; i < FILTERS * KINDS; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        size_t V = sizes[rng_below(&a, 1u << 30, 9)];
        make_row((int)(i % KINDS), V, &a, logits);
        int32_t seen[5];
        size_t seen_count = V < 10 ? 0 : 5; // distinct: every third from some start
        for (size_t s = 0; s < seen_count; s++) seen[s] = (int32_t)(V / 6 + s * (V / 10));
        wrong += wrong_draws(k, draw, &filters[i / KINDS], V, logits, seen, seen_count);
    }
    return wrong;
}

/* [SF-1], [SF-2] */
static void check_formula(const KernelTable *k) {
    assert_int_equal(wrong_rows(k, sampling_filter_draw, test_seed()), 0);
}
static void draws_follow_the_definition(void **state) {
    (void)state;
    kernel_cases_each(check_formula);
}

static SampledToken planted_exclusive(const KernelTable *k, const SamplingFilter *f, size_t V, const float *logits,
                                      const int32_t *seen, size_t seen_count, double uniform, void *scratch) {
    SamplingFilter wrong = *f;
    wrong.top_p *= 0.98f; // loses the token that crosses the border
    return sampling_filter_draw(k, &wrong, V, logits, seen, seen_count, uniform, scratch);
}
static SampledToken planted_order(const KernelTable *k, const SamplingFilter *f, size_t V, const float *logits,
                                  const int32_t *seen, size_t seen_count, double uniform, void *scratch) {
    SamplingFilter first = *f; // top-p before temperature
    if (f->temperature > 0 && f->top_p < 1) first.temperature = 1;
    return sampling_filter_draw(k, &first, V, logits, seen, seen_count, uniform, scratch);
}
static SampledToken planted_logprob(const KernelTable *k, const SamplingFilter *f, size_t V, const float *logits,
                                    const int32_t *seen, size_t seen_count, double uniform, void *scratch) {
    SampledToken token = sampling_filter_draw(k, f, V, logits, seen, seen_count, uniform, scratch);
    if (f->temperature > 0) token.logprob /= f->temperature;
    return token;
}

static void planted_faults_are_found(void **state) {
    (void)state;
    KernelTable k;
    assert_int_equal(kernel_table_create(&k, 1, NULL), 0);
    assert_true(wrong_rows(&k, planted_exclusive, test_seed()) > 0);
    assert_true(wrong_rows(&k, planted_order, test_seed()) > 0);
    assert_true(wrong_rows(&k, planted_logprob, test_seed()) > 0);
}

/* Frequencies of many draws against the exact probabilities. */
static void frequencies_pass_chi_square(void **state) {
    (void)state;
    enum { V = 400, DRAWS = 40000 };
    static const SamplingFilter filter = {0.8f, 30, 0.95f, 0, 1};
    static float logits[V];
    static double p[V];
    static int count[V];
    RngAddress a = {.seed = test_seed(), .stream = RNG_TEST, .item = 999};
    KernelTable k;
    assert_int_equal(kernel_table_create(&k, 1, NULL), 0);
    make_row(PEAKED, V, &a, logits);
    for (size_t i = 0; i < V; i++) logits[i] /= 4;
    size_t kept = solve(&filter, V, logits, NULL, 0, p);
    void *scratch = malloc(sampling_filter_scratch_bytes(V));
    assert_true(scratch != NULL && kept > 5 && kept < 30);
    for (uint32_t d = 0; d < DRAWS; d++)
        count[sampling_filter_draw(&k, &filter, V, logits, NULL, 0, rng_uniform(&a, V + 1 + d), scratch).token]++;
    double chi = 0;
    for (size_t i = 0; i < V; i++) {
        assert_true(p[i] > 0 || count[i] == 0);
        if (p[i] > 0) chi += (count[i] - DRAWS * p[i]) * (count[i] - DRAWS * p[i]) / (DRAWS * p[i]);
    }
    double freedom = (double)kept - 1;
    assert_true(fabs(chi - freedom) < 5 * sqrt(2 * freedom)); // mean and deviation of chi square
    free(scratch);
}

static void greedy_takes_the_lower_of_equals(void **state) {
    (void)state;
    static const SamplingFilter greedy = {0, 0, 1, 0, 2};
    static const float logits[] = {-3, 8, 5, 5, 4};
    static const int32_t seen[] = {1};
    KernelTable k;
    char scratch[1 << 16];
    assert_int_equal(kernel_table_create(&k, 1, NULL), 0);
    assert_true(sampling_filter_scratch_bytes(5) <= sizeof scratch);
    SampledToken token = sampling_filter_draw(&k, &greedy, 5, logits, seen, 1, 0.999, scratch);
    assert_int_equal(token.token, 2); // 8 / 2 = 4
    assert_true(fabs(token.logsumexp - 8.1113) < 1e-3 && fabsf(token.logprob - (5 - token.logsumexp)) < 1e-6f);
}

/* [SF-3] under every filter, wherever the bad value is. */
static void check_bad_logits(const KernelTable *k) {
    static const SamplingFilter some[] = {
        {1, 0, 1, 0, 1}, {0, 0, 1, 0, 1}, {0.7f, 9, 1, 0, 1}, {0.7f, 0, 0.9f, 0.05f, 1.2f}};
    static const float bad[] = {NAN, -NAN, INFINITY};
    static const int32_t seen[] = {3};
    float logits[101];
    char scratch[1 << 17];
    assert_true(sampling_filter_scratch_bytes(101) <= sizeof scratch);
    for (size_t at = 0; at < 101; at += 20)
        for (size_t i = 0; i < 12; i++) {
            kernel_cases_fill(101, logits, 1);
            logits[at] = bad[i % 3];
            SampledToken t = sampling_filter_draw(k, &some[i / 3], 101, logits, seen, 1, 0.5, scratch);
            assert_true(!isfinite(t.logsumexp) && !isfinite(t.logprob) && t.token == 0);
        }
}

static void bad_logits_show(void **state) {
    (void)state;
    kernel_cases_each(check_bad_logits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_definition),
        cmocka_unit_test(planted_faults_are_found),
        cmocka_unit_test(frequencies_pass_chi_square),
        cmocka_unit_test(greedy_takes_the_lower_of_equals),
        cmocka_unit_test(bad_logits_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
