/* json_torture.h - lets allocations of the JSON library fail, one after another: a function that builds documents must
 * then say so, or give the same document as ever. */
#pragma once
#include "base/json.h"
#include "test.h"

static size_t torture_left; // allocations that still succeed
static int torture_struck;  // whether one failed

static void *torture_malloc(size_t size) {
    if (torture_left == 0) {
        torture_struck = 1;
        return NULL;
    }
    torture_left--;
    return malloc(size);
}

static inline void torture_begin(size_t allocations) {
    torture_left = allocations;
    torture_struck = 0;
    json_set_alloc_funcs(torture_malloc, free);
}

/* Whether an allocation failed since torture_begin. */
static inline int torture_end(void) {
    json_set_alloc_funcs(malloc, free);
    return torture_struck;
}
