#include "base/arena.h"
#include "base/size.h"

#include <stdint.h>
#include <sys/mman.h>

Arena arena_counting(void) { return (Arena){.block = NULL, .used = 0, .size = SIZE_MAX}; }

int arena_create(Arena *arena, size_t size, Error *error) {
    *arena = (Arena){0};
    if (size == 0) return 0;
    /* mmap gives zeroed pages that cost nothing until touched; huge pages spare page faults on gigabyte arenas. */
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return error_set(error, ERROR_MEMORY,
                         "cannot allocate %.1f MiB of memory; use smaller batches, shorter sequences or fewer branches "
                         "(`dice plan` prints what each costs)",
                         (double)size / 1048576.0);
    madvise(block, size, MADV_HUGEPAGE);
    *arena = (Arena){.block = block, .used = 0, .size = size};
    return 0;
}

void arena_destroy(Arena *arena) {
    if (arena->block != NULL) munmap(arena->block, arena->size);
    *arena = (Arena){0};
}

void *arena_take(Arena *arena, size_t count, size_t element) {
    size_t bytes, end;
    if (!size_multiply(count, element, &bytes) || bytes > SIZE_MAX - 63 ||
        !size_add(arena->used, size_round_up(bytes, 64), &end)) {
        if (arena->block == NULL) arena->used = SIZE_MAX;
        return NULL;
    }
    if (arena->block == NULL) {
        arena->used = end;
        return NULL;
    }
    if (end > arena->size) return NULL;
    void *piece = arena->block + arena->used;
    arena->used = end;
    return piece;
}
