/* emulate_amx.c - a library to preload that gives a program the AMX tiles which its processor lacks.
 *
 *   cc -shared -fPIC -O2 -o emulate_amx.so emulate_amx.c -ldl
 *   LD_PRELOAD=./emulate_amx.so PROGRAM
 *   REFUSE_AMX=1 LD_PRELOAD=./emulate_amx.so PROGRAM       the processor has tiles, but the kernel does not give them
 *
 * CPUID, XGETBV and the kernel's permission calls answer as on a processor with AMX-TILE, AMX-BF16 and AMX-INT8, so
 * that oneDNN takes its AMX path; the tile instructions, which are illegal here, are carried out by the signal handler
 * as the Intel SDM (volume 2, "Intel AMX Instruction Set Reference") has them. Of the products only that of bfloat16
 * is: oneDNN asks for INT8 before it uses tiles at all, but a program that multiplies integers dies of SIGILL. What a
 * processor would refuse, like a product of tiles whose sizes do not fit, aborts with a message.
 *
 * Needs a processor whose CPUID can be made to fault (cpuid_fault in /proc/cpuinfo), and AVX-512. A signal takes many
 * times as long as an instruction, so one signal serves all tile instructions that follow each other. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <dlfcn.h>
#include <immintrin.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

/* What LDTILECFG reads and STTILECFG writes. */
typedef struct {
    uint8_t palette, start_row, zero[14];
    uint16_t columns[TILES]; // bytes of a row
    uint8_t zero_too[16], rows[TILES], and_zero[8];
} Config;
_Static_assert(sizeof(Config) == 64, "the format of the SDM");

typedef struct {
    _Alignas(64) uint8_t row[ROWS][ROW_BYTES]; // beyond the tile's rows and columns: zero
} Tile;

/* Preloaded libraries have their thread-local storage from the start: a handler may use it. */
static __thread __attribute__((tls_model("initial-exec"))) Config config;
static __thread __attribute__((tls_model("initial-exec"))) Tile tiles[TILES];

static long (*next_syscall)(long, ...);
static int (*next_sigaction)(int, const struct sigaction *, struct sigaction *);

static _Noreturn void refuse(const char *instruction, const char *why) {
    fprintf(stderr, "emulate_amx: %s: %s; a processor would raise an exception\n", instruction, why);
    abort();
}

/* --- instructions --- */

/* Registers by their number in instructions. */
static const int by_number[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

enum { NO_PREFIX, PREFIX_66, PREFIX_F3, PREFIX_F2 };

typedef struct {
    uint8_t opcode, prefix; // of the map 0F38
    uint8_t reg, rm, third; // third: the operand that only VEX names
    bool memory, sib;
    char *address;    // of memory, without the index where `sib`
    ptrdiff_t stride; // the index of `sib`
    size_t length;
} Instruction;

/* The memory operand at `at`, where ModRM is. */
static void decode_memory(const uint8_t *at, const greg_t *registers, unsigned x, unsigned b, Instruction *i) {
    const uint8_t *start = at;
    unsigned mode = at[0] >> 6, base = at[0] & 7;
    uint64_t address = 0;
    i->sib = base == 4, at++;
    if (i->sib) {
        unsigned index = (at[0] >> 3 & 7) | x << 3;
        base = at[0] & 7;
        if (index != 4) i->stride = (ptrdiff_t)((uint64_t)registers[by_number[index]] << (at[0] >> 6));
        at++;
    }
    bool is_absolute = mode == 0 && base == 5;
    if (!is_absolute) address = (uint64_t)registers[by_number[base | b << 3]];
    if (mode == 1) {
        address += (uint64_t)(int8_t)at[0];
        at++;
    } else if (mode == 2 || is_absolute) {
        int32_t offset;
        memcpy(&offset, at, sizeof offset);
        address += (uint64_t)offset;
        at += sizeof offset;
    }
    i->length += (size_t)(at - start);
    if (is_absolute && !i->sib) address += (uint64_t)registers[REG_RIP] + i->length;
    i->address = (char *)address;
}

/* False: not of the form VEX.128.0F38.W0. */
static bool decode(const uint8_t *at, const greg_t *registers, Instruction *i) {
    if (at[0] != 0xc4 || (at[1] & 0x1f) != 2 || (at[2] & 0x84) != 0) return false;
    unsigned r = !(at[1] & 0x80), x = !(at[1] & 0x40), b = !(at[1] & 0x20);
    *i = (Instruction){.opcode = at[3], .prefix = at[2] & 3, .third = ~at[2] >> 3 & 15, .length = 4};
    i->reg = (uint8_t)((at[4] >> 3 & 7) | r << 3);
    i->memory = at[4] >> 6 != 3;
    if (i->memory)
        decode_memory(at + 4, registers, x, b, i);
    else
        i->rm = (uint8_t)((at[4] & 7) | b << 3), i->length++;
    return true;
}

static void release(void) {
    config = (Config){0};
    memset(tiles, 0, sizeof tiles);
}

static void load_config(const char *from) {
    static const uint8_t zero[16];
    Config c;
    memcpy(&c, from, sizeof c);
    release();
    if (c.palette == 0) return;
    bool fits = c.palette == 1 && memcmp(c.zero, zero, sizeof c.zero) == 0 &&
                memcmp(c.zero_too, zero, sizeof c.zero_too) == 0 && memcmp(c.and_zero, zero, sizeof c.and_zero) == 0;
    for (int n = 0; n < TILES; n++) fits = fits && c.rows[n] <= ROWS && c.columns[n] <= ROW_BYTES;
    if (!fits) refuse("LDTILECFG", "the configuration is none of palette 1");
    if (c.start_row != 0) refuse("LDTILECFG", "start_row is not 0, which is not emulated");
    config = c;
}

static Tile *tile(const char *instruction, unsigned n) {
    if (config.palette == 0) refuse(instruction, "tiles are not configured");
    if (n >= TILES || config.rows[n] == 0 || config.columns[n] == 0) refuse(instruction, "the tile is not configured");
    return &tiles[n];
}

static void load(const Instruction *i) {
    Tile *t = tile("TILELOADD", i->reg);
    memset(t, 0, sizeof *t);
    for (int r = 0; r < config.rows[i->reg]; r++) memcpy(t->row[r], i->address + r * i->stride, config.columns[i->reg]);
}

static void store(const Instruction *i) {
    const Tile *t = tile("TILESTORED", i->reg);
    for (int r = 0; r < config.rows[i->reg]; r++) memcpy(i->address + r * i->stride, t->row[r], config.columns[i->reg]);
}

/* c += a b: the products of even and of odd elements are added up apart from zero, in order, then both to c. Rounds to
 * nearest even; subnormal numbers are zero on both sides, which the handler's MXCSR sees to. */
__attribute__((target("avx512f"))) static void multiply(const Instruction *i) {
    const char *const name = "TDPBF16PS";
    const unsigned nc = i->reg, na = i->rm, nb = i->third;
    Tile *c = tile(name, nc);
    const Tile *a = tile(name, na), *b = tile(name, nb);
    const size_t rows = config.rows[nc], depth = config.rows[nb], columns = config.columns[nc] / 4;
    if (na == nb || na == nc || nb == nc) refuse(name, "the tiles are not different ones");
    if (config.columns[nc] % 4 != 0 || config.rows[na] != rows || config.columns[na] != 4 * depth ||
        config.columns[nb] != config.columns[nc])
        refuse(name, "the sizes of the tiles do not fit");
    const __mmask16 mask = (__mmask16)((1u << columns) - 1);
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    for (size_t m = 0; m < rows; m++) {
        __m512 even = _mm512_setzero_ps(), odd = even;
        for (size_t k = 0; k < depth; k++) {
            int pair;
            memcpy(&pair, &a->row[m][4 * k], sizeof pair);
            const __m512i left = _mm512_set1_epi32(pair), right = _mm512_load_si512(b->row[k]);
            even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(left, 16)),
                                   _mm512_castsi512_ps(_mm512_slli_epi32(right, 16)), even);
            odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(left, high)),
                                  _mm512_castsi512_ps(_mm512_and_si512(right, high)), odd);
        }
        const __m512 sum = _mm512_load_ps(c->row[m]);
        _mm512_store_ps(c->row[m], _mm512_maskz_add_ps(mask, sum, _mm512_add_ps(even, odd)));
    }
}

/* Whether the instruction was one of tiles, and so is done. */
static bool execute(const Instruction *i) {
    enum { CONFIG = 0x49, MEMORY = 0x4b, BF16_PRODUCT = 0x5c };
    const bool vex_names_none = i->third == 0;
    if (i->opcode == BF16_PRODUCT && i->prefix == PREFIX_F3 && !i->memory)
        multiply(i);
    else if (i->opcode == MEMORY && i->sib && vex_names_none && i->prefix != NO_PREFIX)
        (i->prefix == PREFIX_F3 ? store : load)(i); // 66 is the load that hints at one use
    else if (i->opcode == CONFIG && i->memory && i->reg == 0 && vex_names_none && i->prefix == NO_PREFIX)
        load_config(i->address);
    else if (i->opcode == CONFIG && i->memory && i->reg == 0 && vex_names_none && i->prefix == PREFIX_66)
        memcpy(i->address, &config, sizeof config);
    else if (i->opcode == CONFIG && !i->memory && i->rm == 0 && vex_names_none && i->prefix == PREFIX_F2)
        memset(tile("TILEZERO", i->reg), 0, sizeof(Tile));
    else if (i->opcode == CONFIG && !i->memory && i->rm == 0 && i->reg == 0 && i->prefix == NO_PREFIX)
        release();
    else
        return false;
    return true;
}

/* --- what the processor says of itself --- */

static void set_cpuid(bool works) {
    if (next_syscall(SYS_arch_prctl, ARCH_SET_CPUID, (long)works) == 0) return;
    fprintf(stderr, "AMX is not emulated: the kernel does not let CPUID fault\n");
    _exit(77); // as tests/with_amx has it
}

/* XGETBV does not fault, but programs ask CPUID first whether they may use it: what follows such a question in the code
 * is made illegal, by one byte, which leaves a pattern that no compiler writes. */
static const uint8_t xgetbv[] = {0x0f, 0x01, 0xd0}, patched[] = {0x0f, 0x0b, 0xd0};

static void patch_xgetbv(const uint8_t *code) {
    enum { REACH = 1024 };
    uint8_t copy[REACH]; // as far as there is memory
    ssize_t read = process_vm_readv(getpid(), &(struct iovec){copy, REACH}, 1,
                                    &(struct iovec){(void *)(uintptr_t)code, REACH}, 1, 0);
    for (ssize_t i = 0; i + 3 <= read; i++) {
        if (memcmp(copy + i, xgetbv, sizeof xgetbv) != 0) continue;
        uintptr_t place = (uintptr_t)code + (uintptr_t)i + 1, size = (uintptr_t)sysconf(_SC_PAGESIZE);
        void *page = (void *)(place / size * size);
        if (mprotect(page, size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) continue;
        *(volatile uint8_t *)place = patched[1];
        mprotect(page, size, PROT_READ | PROT_EXEC);
    }
}

static void emulate_xgetbv(greg_t *registers) {
    uint32_t low, high, which = (uint32_t)registers[REG_RCX];
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(which));
    if (which == 0) low |= 0x60000; // the system saves tiles
    registers[REG_RAX] = low, registers[REG_RDX] = high;
    registers[REG_RIP] += (greg_t)sizeof xgetbv;
}

static void emulate_cpuid(greg_t *registers) {
    enum { LEAF_FEATURES = 1, LEAF_MORE_FEATURES = 7, LEAF_TILES = 0x1d };
    uint32_t leaf = (uint32_t)registers[REG_RAX], part = (uint32_t)registers[REG_RCX], a, b, c, d;
    set_cpuid(true);
    __cpuid_count(leaf, part, a, b, c, d);
    set_cpuid(false);
    if (leaf == 0 && a < LEAF_TILES) a = LEAF_TILES;
    if (leaf == LEAF_MORE_FEATURES && part == 0) d |= 1u << 22 | 1u << 24 | 1u << 25; // BF16, TILE, INT8
    if (leaf == LEAF_TILES) {
        a = b = c = d = 0;
        if (part == 0) a = 1; // the last palette
        if (part == 1) a = sizeof(Tile) << 16 | sizeof tiles, b = TILES << 16 | ROW_BYTES, c = ROWS;
    }
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
    if (leaf == LEAF_FEATURES) patch_xgetbv((const uint8_t *)registers[REG_RIP]);
}

/* --- signals --- */

/* What the program wants to happen at a SIGILL or SIGSEGV that is not for us. */
static struct sigaction wanted_ill, wanted_segv;

static struct sigaction *wanted(int number) {
    return number == SIGILL ? &wanted_ill : number == SIGSEGV ? &wanted_segv : NULL;
}

static void pass_on(int number, siginfo_t *info, void *context) {
    const struct sigaction *action = wanted(number);
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(number, info, context);
    else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN)
        action->sa_handler(number);
    else
        next_sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); // and the instruction faults again
}

static void on_illegal(int number, siginfo_t *info, void *context) {
    enum { MASKED = 0x1f80, SUBNORMALS_ARE_ZERO = 0x8040 };
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    Instruction i;
    bool any = false;
    _mm_setcsr(MASKED | SUBNORMALS_ARE_ZERO); // the signal's return restores that of the program
    for (;; any = true) {
        const uint8_t *at = (const uint8_t *)registers[REG_RIP];
        if (at[0] == patched[0] && memcmp(at, patched, sizeof patched) == 0)
            emulate_xgetbv(registers);
        else if (decode(at, registers, &i) && execute(&i))
            registers[REG_RIP] += (greg_t)i.length;
        else
            break;
    }
    if (!any) pass_on(number, info, context);
}

static void on_fault(int number, siginfo_t *info, void *context) {
    enum { GENERAL_PROTECTION = 13 };
    static const uint8_t cpuid[] = {0x0f, 0xa2};
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (registers[REG_TRAPNO] == GENERAL_PROTECTION &&
        memcmp((const void *)registers[REG_RIP], cpuid, sizeof cpuid) == 0)
        emulate_cpuid(registers);
    else
        pass_on(number, info, context);
}

int sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    struct sigaction *ours = wanted(number);
    if (ours == NULL) return next_sigaction(number, action, old);
    struct sigaction before = *ours;
    if (action != NULL) *ours = *action;
    if (old != NULL) *old = before;
    return 0;
}

sighandler_t signal(int number, sighandler_t handler) {
    struct sigaction old;
    return sigaction(number, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART}, &old) == 0
               ? old.sa_handler
               : SIG_ERR;
}

/* By this function programs ask the kernel whether they may use tiles. */
long syscall(long number, ...) {
    enum { ARGUMENTS = 6, GET_SUPPORTED = 0x1021, GET_PERMITTED = 0x1022, REQUEST = 0x1023, TILE_DATA = 18 };
    long a[ARGUMENTS];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < ARGUMENTS; i++) a[i] = va_arg(list, long);
    va_end(list);
    bool asks = number == SYS_arch_prctl && getenv("REFUSE_AMX") == NULL;
    if (asks && a[0] == REQUEST && a[1] == TILE_DATA) return 0;
    long result = next_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (asks && (a[0] == GET_SUPPORTED || a[0] == GET_PERMITTED) && result == 0)
        *(uint64_t *)a[1] |= 3ul << (TILE_DATA - 1);
    return result;
}

__attribute__((constructor)) static void begin(void) {
    *(void **)&next_syscall = dlsym(RTLD_NEXT, "syscall");
    *(void **)&next_sigaction = dlsym(RTLD_NEXT, "sigaction");
    const struct sigaction illegal = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO};
    const struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    next_sigaction(SIGILL, &illegal, &wanted_ill);
    next_sigaction(SIGSEGV, &fault, &wanted_segv);
    set_cpuid(false);
}
