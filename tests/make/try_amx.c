/* try_amx.c - every tile instruction against plain C, on random tiles: holds emulate_amx.c, and would hold a processor.
 *
 *   cc -O1 -pthread -o try_amx try_amx.c
 *   tests/with_amx ./try_amx [SEED]
 *
 * Prints "ok NAME" or "not ok NAME" of each check; the exit code is the number of the latter. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64, FLOATS = ROW_BYTES / 4, ROUNDS = 200 };

typedef struct {
    uint8_t palette, start_row, zero[14];
    uint16_t columns[TILES];
    uint8_t zero_too[16], rows[TILES], and_zero[8];
} Config;

static int failures;

static void say(bool good, const char *name) {
    printf("%s %s\n", good ? "ok" : "not ok", name);
    failures += !good;
}

static uint32_t draw(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* --- instructions --- */

static void load_config(const Config *c) { __asm__ volatile("ldtilecfg %0" : : "m"(*c)); }
static void store_config(Config *c) { __asm__ volatile("sttilecfg %0" : "=m"(*c)); }
static void release(void) { __asm__ volatile("tilerelease"); }

/* Tiles are numbered in the instruction itself. */
#define EACH_TILE(CASE) CASE(0) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
#define LOAD(n)                                                                                                        \
    case n:                                                                                                            \
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #n : : "r"(from), "r"(stride) : "memory");                       \
        break;
#define STORE(n)                                                                                                       \
    case n:                                                                                                            \
        __asm__ volatile("tilestored %%tmm" #n ", (%0,%1,1)" : : "r"(to), "r"(stride) : "memory");                     \
        break;
#define ZERO(n)                                                                                                        \
    case n:                                                                                                            \
        __asm__ volatile("tilezero %%tmm" #n : :);                                                                     \
        break;

static void load(int n, const void *from, ptrdiff_t stride) {
    switch (n) { EACH_TILE(LOAD) }
}
static void store(int n, void *to, ptrdiff_t stride) {
    switch (n) { EACH_TILE(STORE) }
}
static void zero(int n) {
    switch (n) { EACH_TILE(ZERO) }
}

/* --- moves --- */

static Config random_config(uint64_t *random) {
    Config c = {.palette = 1};
    for (int n = 0; n < TILES; n++)
        c.rows[n] = (uint8_t)(1 + draw(random) % ROWS), c.columns[n] = (uint16_t)(1 + draw(random) % ROW_BYTES);
    return c;
}

static bool configurations(uint64_t *random) {
    bool good = true;
    for (int i = 0; i < ROUNDS; i++) {
        const Config c = random_config(random), none = {0};
        Config got;
        load_config(&c), store_config(&got);
        good = good && memcmp(&c, &got, sizeof c) == 0;
        release(), store_config(&got);
        good = good && memcmp(&none, &got, sizeof c) == 0;
    }
    return good;
}

/* Every tile is loaded before any is stored; what lies between the rows of memory stays. */
static bool moves(uint64_t *random) {
    enum { STRIDE = 80, GUARD = 0xa5 };
    static uint8_t from[TILES][ROWS][STRIDE], to[ROWS][STRIDE];
    bool good = true;
    for (int i = 0; i < ROUNDS; i++) {
        const Config c = random_config(random);
        const int zeroed = (int)(draw(random) % TILES);
        load_config(&c);
        for (size_t k = 0; k < sizeof from; k++) ((uint8_t *)from)[k] = (uint8_t)draw(random);
        for (int n = 0; n < TILES; n++) load(n, from[n], STRIDE);
        zero(zeroed);
        for (int n = 0; n < TILES; n++) {
            memset(to, GUARD, sizeof to);
            store(n, to[ROWS - 1], -STRIDE); // the last row comes first
            for (int r = 0; r < ROWS; r++)
                for (int k = 0; k < STRIDE; k++) {
                    bool within = r < c.rows[n] && k < c.columns[n];
                    good = good && to[ROWS - 1 - r][k] == (!within ? GUARD : n == zeroed ? 0 : from[n][r][k]);
                }
        }
        release();
    }
    return good;
}

/* Base, index, scale and displacement of the encodings: 16 rows from `first`, `step` bytes apart. */
#define ADDRESS(text, base, base_value, index_value, first, step)                                                      \
    do {                                                                                                               \
        register uintptr_t b __asm__(base) = (uintptr_t)(base_value);                                                  \
        register ptrdiff_t x __asm__("r14") = index_value;                                                             \
        __asm__ volatile(text ", %%tmm3" : : "r"(b), "r"(x) : "memory");                                               \
        store(3, to, ROW_BYTES);                                                                                       \
        for (int r = 0; r < ROWS; r++) good = good && memcmp(to[r], (first) + (step)*r, ROW_BYTES) == 0;               \
    } while (0)

static bool addresses(uint64_t *random) {
    static uint8_t from[4 * ROWS * ROW_BYTES], to[ROWS][ROW_BYTES];
    const uint8_t *f = from + 2 * ROWS * ROW_BYTES;
    const Config c = {.palette = 1, .rows[3] = ROWS, .columns[3] = ROW_BYTES};
    bool good = true;
    for (size_t k = 0; k < sizeof from; k++) from[k] = (uint8_t)draw(random);
    load_config(&c);
    ADDRESS("tileloadd (%0,%1,1)", "r13", f, 64, f, 64);
    ADDRESS("tileloadd (%0,%1,2)", "rax", f, 24, f, 48);
    ADDRESS("tileloadd 64(%0,%1,4)", "rsi", f, 16, f + 64, 64);
    ADDRESS("tileloaddt1 -64(%0,%1,8)", "r12", f, 8, f - 64, 64);
    ADDRESS("tileloaddt1 960(%0,%1,1)", "rdx", f, -64, f + 960, -64);
    ADDRESS("tileloadd -4096(%0,%1,8)", "r15", f + 4096, 16, f, 128);
    ADDRESS("tileloadd 128(%0)", "rdi", f, 0, f + 128, 0); // no index: every row from one place
    release();
    return good;
}

/* --- products --- */

typedef struct {
    uint16_t a[ROWS][2 * FLOATS], b[ROWS][2 * FLOATS]; // b: pairs of rows, interleaved
    float c[ROWS][FLOATS];
    size_t rows, depth, columns; // depth in pairs
} Product;

static float wide(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Of both signs and 2^-8 to 2^7: none of their products is subnormal. */
static uint16_t random_bf16(uint64_t *random) {
    return (uint16_t)((draw(random) & 0x807f) | (119 + draw(random) % 16) << 7);
}

static Product random_product(uint64_t *random) {
    Product p = {
        .rows = 1 + draw(random) % ROWS, .depth = 1 + draw(random) % ROWS, .columns = 1 + draw(random) % FLOATS};
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < 2 * FLOATS; k++) p.a[r][k] = random_bf16(random), p.b[r][k] = random_bf16(random);
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < FLOATS; k++) p.c[r][k] = wide(random_bf16(random));
    return p;
}

#define PRODUCT(nc, na, nb)                                                                                            \
    do {                                                                                                               \
        const Config config = {.palette = 1,                                                                           \
                               .rows = {[nc] = rows, [na] = rows, [nb] = (uint8_t)p->depth},                           \
                               .columns = {[nc] = columns, [na] = (uint16_t)(4 * p->depth), [nb] = columns}};          \
        load_config(&config);                                                                                          \
        load(nc, p->c, sizeof p->c[0]), load(na, p->a, sizeof p->a[0]), load(nb, p->b, sizeof p->b[0]);                \
        __asm__ volatile("tdpbf16ps %%tmm" #nb ", %%tmm" #na ", %%tmm" #nc : :);                                       \
        store(nc, p->c, sizeof p->c[0]);                                                                               \
        release();                                                                                                     \
    } while (0)

static void multiply(Product *p, int permutation) {
    const uint8_t rows = (uint8_t)p->rows;
    const uint16_t columns = (uint16_t)(4 * p->columns);
    switch (permutation % 4) {
    case 0:
        PRODUCT(0, 1, 2);
        break;
    case 1:
        PRODUCT(7, 3, 5);
        break;
    case 2:
        PRODUCT(4, 6, 1);
        break;
    default:
        PRODUCT(2, 0, 7);
    }
}

/* The order of the SDM, in float. All that is not part of the tile stays as it was. */
static void multiply_plainly(Product *p) {
    for (size_t m = 0; m < p->rows; m++)
        for (size_t n = 0; n < p->columns; n++) {
            float even = 0, odd = 0;
            for (size_t k = 0; k < p->depth; k++) {
                even += wide(p->a[m][2 * k]) * wide(p->b[k][2 * n]);
                odd += wide(p->a[m][2 * k + 1]) * wide(p->b[k][2 * n + 1]);
            }
            p->c[m][n] += even + odd;
        }
}

/* In double, and within what float sums may be off. */
static bool is_near_double(const Product *before, const Product *after) {
    bool good = true;
    for (size_t m = 0; m < before->rows; m++)
        for (size_t n = 0; n < before->columns; n++) {
            double sum = before->c[m][n], magnitude = fabs(sum);
            for (size_t k = 0; k < 2 * before->depth; k++) {
                double product = (double)wide(before->a[m][k]) * wide(before->b[k / 2][2 * n + k % 2]);
                sum += product, magnitude += fabs(product);
            }
            good = good && fabs(after->c[m][n] - sum) <= (double)(before->depth + 2) * FLT_EPSILON / 2 * magnitude;
        }
    return good;
}

static bool products(uint64_t *random) {
    bool good = true;
    for (int i = 0; i < ROUNDS; i++) {
        const Product before = random_product(random);
        Product got = before, expected = before;
        multiply(&got, i), multiply_plainly(&expected);
        good = good && memcmp(&got, &expected, sizeof got) == 0 && is_near_double(&before, &got);
    }
    return good;
}

/* One changed bit of one input must be seen by both comparisons. */
static bool planted_faults(uint64_t *random) {
    int bits = 0, bounds = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const Product before = random_product(random);
        Product wrong = before, expected = before;
        wrong.a[before.rows - 1][2 * before.depth - 1] ^= 0x40;
        multiply(&wrong, i), multiply_plainly(&expected);
        bits += memcmp(wrong.c, expected.c, sizeof wrong.c) != 0, bounds += !is_near_double(&before, &wrong);
    }
    return bits > ROUNDS * 9 / 10 && bounds > ROUNDS * 9 / 10;
}

/* Subnormal inputs count as zero, subnormal results become zero, ties go to even, whatever MXCSR says. */
static bool special_numbers(uint64_t *random) {
    (void)random;
    enum {
        ONE = 0x3f80,
        HALF = 0x3f00,
        SUBNORMAL = 0x007f,
        LEAST = 0x0080,
        HUGE = 0x7f00,
        TWO_24 = 0x4b80,
        MINUS_ONE = 0xbf80
    };
    enum { UPWARDS_WITH_SUBNORMALS = 0x5f80 };
    static const struct {
        uint16_t a[2], b;
        float start, expected;
    } cases[] = {{{0, 0}, ONE, 1e-40f, 0},
                 {{SUBNORMAL, 0}, HUGE, 0, 0},
                 {{HUGE, ONE}, SUBNORMAL, 3, 3},
                 {{LEAST, 0}, HALF, 0, 0},
                 {{LEAST, 0}, MINUS_ONE, 1.5f * FLT_MIN, 0},
                 {{TWO_24, ONE}, ONE, 0, 16777216},
                 {{ONE, ONE}, ONE, 0.5f, 2.5f}};
    bool good = true;
    const unsigned kept = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(UPWARDS_WITH_SUBNORMALS);
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        Product p = {.rows = 1, .depth = 1, .columns = 1, .c[0][0] = cases[i].start};
        memcpy(p.a[0], cases[i].a, sizeof cases[i].a);
        p.b[0][0] = p.b[0][1] = cases[i].b;
        multiply(&p, i);
        good = good && memcmp(&p.c[0][0], &cases[i].expected, sizeof(float)) == 0;
    }
    good = good && __builtin_ia32_stmxcsr() == UPWARDS_WITH_SUBNORMALS;
    __builtin_ia32_ldmxcsr(kept);
    return good;
}

/* --- threads, processes, other faults --- */

static void *multiply_for_long(void *seed) {
    for (int i = 0; i < 10; i++)
        if (!products(seed)) return seed;
    return NULL;
}

static bool threads(uint64_t *random) {
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    uint64_t seed[THREADS];
    bool good = true;
    for (int i = 0; i < THREADS; i++) {
        seed[i] = draw(random);
        if (pthread_create(&thread[i], NULL, multiply_for_long, &seed[i]) != 0) return false;
    }
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        good = pthread_join(thread[i], &wrong) == 0 && wrong == NULL && good;
    }
    return good;
}

static int signal_of(void (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
        signal(SIGINT, SIG_DFL), signal(SIGTERM, SIG_DFL); // a shell ignores SIGINT for what it runs in the background
        alarm(60); // a fault that comes back forever is not one of those awaited
        body();
        _exit(0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void unconfigured(void) { release(), zero(1); }
static void unconfigured_tile(void) {
    const Config c = {.palette = 1, .rows[0] = 4, .columns[0] = 16};
    load_config(&c), zero(0), zero(1);
}
static void too_many_rows(void) {
    const Config c = {.palette = 1, .rows[0] = ROWS + 1, .columns[0] = 16};
    load_config(&c);
}
static void another_palette(void) {
    const Config c = {.palette = 2, .rows[0] = 4, .columns[0] = 16};
    load_config(&c);
}
static void sizes_that_do_not_fit(void) {
    const Config c = {.palette = 1, .rows = {4, 4, 3}, .columns = {16, 16, 16}};
    load_config(&c);
    __asm__ volatile("tdpbf16ps %%tmm2, %%tmm1, %%tmm0" : :);
}
static void other_sizes_that_do_not_fit(void) {
    const Config c = {.palette = 1, .rows = {4, 3, 4}, .columns = {16, 16, 16}};
    load_config(&c);
    __asm__ volatile("tdpbf16ps %%tmm2, %%tmm1, %%tmm0" : :);
}
static void integers(void) { __asm__ volatile("tdpbssd %%tmm2, %%tmm1, %%tmm0" : :); }
static void illegal(void) { __asm__ volatile("ud2"); }
static void nowhere(void) { __asm__ volatile("movl $0, 0"); }
static void stop(int number) { raise(number == SIGILL ? SIGTERM : SIGINT); }
static void illegal_with_handler(void) {
    signal(SIGILL, stop), multiply(&(Product){.rows = 1, .depth = 1, .columns = 1}, 0), illegal();
}
static void nowhere_with_handler(void) { signal(SIGSEGV, stop), nowhere(); }

static bool refusals(uint64_t *random) {
    (void)random;
    return signal_of(unconfigured) == SIGABRT && signal_of(unconfigured_tile) == SIGABRT &&
           signal_of(too_many_rows) == SIGABRT && signal_of(another_palette) == SIGABRT &&
           signal_of(sizes_that_do_not_fit) == SIGABRT && signal_of(other_sizes_that_do_not_fit) == SIGABRT;
}

static bool other_faults(uint64_t *random) {
    (void)random;
    return signal_of(integers) == SIGILL && signal_of(illegal) == SIGILL && signal_of(nowhere) == SIGSEGV &&
           signal_of(illegal_with_handler) == SIGTERM && signal_of(nowhere_with_handler) == SIGINT;
}

static bool processor_says_so(uint64_t *random) {
    (void)random;
    enum { ALL_OF_AMX = 1 << 22 | 1 << 24 | 1 << 25, TILES_SAVED = 0x60000 };
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & ALL_OF_AMX) != ALL_OF_AMX) return false;
    if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d) || a != (1024u << 16 | 8192) || b != (8u << 16 | 64) || c != 16)
        return false;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0) return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & TILES_SAVED) == TILES_SAVED;
}

int main(int count, char **argument) {
    static const struct {
        bool (*check)(uint64_t *);
        const char *name;
    } checks[] = {{processor_says_so, "the_processor_says_so"},           {configurations, "configurations_come_back"},
                  {moves, "tiles_come_back_and_nothing_else_is_written"}, {addresses, "every_form_of_address"},
                  {products, "products_have_the_bits_of_the_manual"},     {planted_faults, "planted_faults_are_found"},
                  {special_numbers, "subnormal_numbers_are_zero"},        {threads, "every_thread_has_its_tiles"},
                  {refusals, "what_a_processor_refuses_aborts"},          {other_faults, "other_faults_stay_faults"}};
    uint64_t random = count > 1 ? strtoull(argument[1], NULL, 10) : 20240609;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) say(checks[i].check(&random), checks[i].name);
    return failures;
}
