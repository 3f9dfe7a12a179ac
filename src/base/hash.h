/* hash.h - names for contents: XXH3, 128 bits, as 32 hexadecimal digits. Not a defence against forgery. */
#pragma once
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char hex[33];
} Hash;
typedef struct Hasher Hasher;

Hasher *hasher_create(void); // NULL only when memory is exhausted; free with hasher_destroy
void hasher_add(Hasher *hasher, const void *bytes, size_t count);
Hash hasher_result(const Hasher *hasher);
void hasher_destroy(Hasher *hasher);

Hash hash_bytes(const void *bytes, size_t count);
int hash_file(const char *path, Hash *hash, Error *error);
