#include "kernels/kernel_table.h"

#include "kernels/avx2/avx2_table.h"
#include "kernels/avx512/avx512_table.h"
#include "kernels/ref/ref_table.h"

#include <cpuid.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const names[] = {"reference", "avx2", "avx512", "avx512_bf16", "amx"};

const char *isa_name(Isa isa) { return names[isa]; }

bool isa_has_bf16(Isa isa) { return isa >= ISA_AVX512_BF16; }

/* Which register files the operating system saves on a task switch; using others would corrupt them. */
static uint64_t saved_by_system(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Linux gives tiles only to a process that asks for them, and a sandbox may refuse; oneDNN asks likewise. */
static bool may_use_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static bool all(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

/* Bit numbers: Intel SDM volume 2, CPUID leaves 1 and 7; volume 1, XCR0. */
Isa isa_of_cpu(void) {
    enum { YMM = 0x6, ZMM = 0xe6, TILES = 0x60000 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return ISA_REFERENCE;
    if (!all(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return ISA_REFERENCE;
    uint64_t saved = saved_by_system();
    if (!all(saved, YMM) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !all(b, bit_AVX2)) return ISA_REFERENCE;
    unsigned leaves = a, tiles = d;
    if (!all(saved, ZMM) || !all(b, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ)) return ISA_AVX2;
    if (leaves < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !all(a, 1u << 5)) return ISA_AVX512;
    bool has_tiles = all(saved, TILES) && all(tiles, 1u << 22 | 1u << 24) && may_use_tiles();
    return has_tiles ? ISA_AMX : ISA_AVX512_BF16;
}

/* Intel's cores give vdpbf16ps half the rate of their float32 multiply-adds (bench_gemm: 160 and 330 GFLOP/s on an
 * Emerald Rapids whose tiles are hidden): bfloat16 is left to the tiles there. Cooper Lake, model 0x55, has units for
 * it, as AMD has. */
static bool is_slow_at_bf16(void) {
    enum { COOPER_LAKE = 0x55 };
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_INTEL_ebx || !__get_cpuid(1, &a, &b, &c, &d)) return false;
    return ((a >> 12 & 0xf0) | (a >> 4 & 0xf)) != COOPER_LAKE;
}

Isa isa_preferred(void) {
    Isa isa = isa_of_cpu();
    return isa == ISA_AVX512_BF16 && is_slow_at_bf16() ? ISA_AVX512 : isa;
}

int kernel_table_create_capped(KernelTable *table, int threads, Isa cap, Error *error) {
    Isa cpu = isa_of_cpu();
    if (cap > cpu)
        return error_set(error, ERROR_USAGE,
                         "instruction set %s is asked for, but this CPU has only %s: choose %s or less", isa_name(cap),
                         isa_name(cpu), isa_name(cpu));
    *table = (KernelTable){.isa = cap, .threads = threads > 0 ? threads : omp_get_num_procs()};
    ref_table_fill(table);
    if (cap >= ISA_AVX2) avx2_table_override(table);
    if (cap >= ISA_AVX512) avx512_table_override(table);
    return 0;
}

int kernel_table_create(KernelTable *table, int threads, Error *error) {
    const char *text = getenv("DICE_ISA");
    if (text == NULL || *text == '\0') return kernel_table_create_capped(table, threads, isa_preferred(), error);
    for (int isa = ISA_REFERENCE; isa <= ISA_AMX; isa++)
        if (strcmp(text, names[isa]) == 0) {
            if (kernel_table_create_capped(table, threads, (Isa)isa, error) == 0) return 0;
            return error_prefix(error, "DICE_ISA");
        }
    return error_set(error, ERROR_USAGE, "DICE_ISA is \"%.100s\": expected reference, avx2, avx512, avx512_bf16 or amx",
                     text);
}
