/* test.h - what every unit test includes: cmocka with its prerequisites, and the seed of random inputs. */
#pragma once
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>

/* The seed of this run's random inputs: DICE_TEST_SEED or a fixed default. Printed so that a run can be repeated. */
static inline uint64_t test_seed(void) {
    const char *text = getenv("DICE_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20240609;
    printf("seed %llu\n", (unsigned long long)seed);
    return seed;
}

/* "../shared/NAME" beside the repository (or under DICE_SHARED), or NULL where it is not there: then skip(). */
static inline const char *test_shared(const char *name, char *path, size_t capacity) {
    const char *root = getenv("DICE_SHARED");
    snprintf(path, capacity, "%s/%s", root != NULL ? root : "../shared", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        printf("skipped: %s is not there\n", path);
        return NULL;
    }
    fclose(f);
    return path;
}
