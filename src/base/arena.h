/* arena.h - one block of memory, sized first, handed out in 64-byte-aligned pieces, freed at once.
 *
 * The size is computed by running the same allocation list on a counting arena (block == NULL), so that the plan and
 * the allocation cannot disagree: a list of `arena_take` calls is written once and used for both.
 * Memory: the arena owns its block; pieces die with it. Not thread-safe. */
#pragma once
#include "base/error.h"
#include <stddef.h>

typedef struct {
    unsigned char *block; // NULL: counting only
    size_t used, size;    // bytes; when counting, size is SIZE_MAX
} Arena;

/* An arena that hands out NULL and only adds up what would be used. */
Arena arena_counting(void);

/* Allocates `size` bytes, zeroed, page-backed where large. ERROR_MEMORY where the system has not that much. */
int arena_create(Arena *arena, size_t size, Error *error);
void arena_destroy(Arena *arena);

/* `count` elements of `element` bytes, 64-byte aligned. NULL while counting, and NULL when the product overflows or the
 * block is exhausted (a counting arena then has used == SIZE_MAX, which no machine can allocate). */
void *arena_take(Arena *arena, size_t count, size_t element);

/* Marks and rewinds, for scratch that lives inside one call. */
static inline size_t arena_mark(const Arena *arena) { return arena->used; }
static inline void arena_rewind(Arena *arena, size_t mark) { arena->used = mark; }
