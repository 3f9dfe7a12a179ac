/* fail_allocation.c - a library to preload in which the n-th allocation of the program's own code fails.
 *
 *   cc -shared -fPIC -o fail_allocation.so fail_allocation.c -ldl
 *   FAIL_AT=n LD_PRELOAD=./fail_allocation.so PROGRAM             the n-th (from 1) returns no memory, the others do
 *   FAIL_FROM=n LD_PRELOAD=./fail_allocation.so PROGRAM           the n-th and all that follow
 *   FAIL_COUNT=FILE LD_PRELOAD=./fail_allocation.so PROGRAM       writes how many there were to FILE at the end
 *
 * Only calls that come from the program itself count, not those of its shared libraries: how these stand a failure is
 * theirs to say. The names that are wrapped are those that the program calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uintptr_t program_begin, program_end;
static unsigned long calls, at, from;

static int find_program(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size, (void)context;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        program_begin = info->dlpi_addr + part->p_vaddr;
        program_end = program_begin + part->p_memsz;
    }
    return 1; // the program is the first object
}

static unsigned long number(const char *name) {
    const char *text = getenv(name);
    return text == NULL ? 0 : strtoul(text, NULL, 10);
}

__attribute__((constructor)) static void begin(void) {
    dl_iterate_phdr(find_program, NULL);
    at = number("FAIL_AT");
    from = number("FAIL_FROM");
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAIL_COUNT");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file == NULL) return;
    fprintf(file, "%lu\n", calls);
    fclose(file);
}

static bool fails(void *caller) {
    uintptr_t place = (uintptr_t)caller;
    if (place < program_begin || place >= program_end) return false;
    unsigned long n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (n != at && (from == 0 || n < from)) return false;
    errno = ENOMEM;
    return true;
}

#define WRAP(type, name, parameters, arguments)                                                                        \
    type name parameters {                                                                                             \
        static type(*next) parameters;                                                                                 \
        if (fails(__builtin_return_address(0))) return NULL;                                                           \
        if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, #name);                                                   \
        return next arguments;                                                                                         \
    }

/* dlsym allocates, so the plain ones go to glibc by its own names. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size); }

WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))

int asprintf(char **text, const char *format, ...) {
    if (fails(__builtin_return_address(0))) {
        *text = NULL;
        return -1;
    }
    va_list values;
    va_start(values, format);
    int length = vasprintf(text, format, values);
    va_end(values);
    return length;
}
