/* size.h - sizes that cannot wrap around. Every product of numbers that a file supplied goes through here. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* *out = a * b; false (and *out untouched) where the product does not fit into size_t. */
static inline bool size_multiply(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* *out = a + b; false (and *out untouched) where the sum does not fit into size_t. */
static inline bool size_add(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline size_t size_round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }
