#include "base/hash.h"
#include "base/file.h"

#include <stdio.h>
#include <xxhash.h>

Hasher *hasher_create(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL) return NULL;
    XXH3_128bits_reset(state);
    return (Hasher *)state; // the state is the hasher; the struct only gives it a type of our own
}

void hasher_add(Hasher *hasher, const void *bytes, size_t count) {
    if (count > 0) XXH3_128bits_update((XXH3_state_t *)hasher, bytes, count);
}

static Hash to_hex(XXH128_hash_t h) {
    Hash hash;
    snprintf(hash.hex, sizeof hash.hex, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    return hash;
}

Hash hasher_result(const Hasher *hasher) { return to_hex(XXH3_128bits_digest((const XXH3_state_t *)hasher)); }

void hasher_destroy(Hasher *hasher) { XXH3_freeState((XXH3_state_t *)hasher); }

Hash hash_bytes(const void *bytes, size_t count) { return to_hex(XXH3_128bits(bytes, count)); }

int hash_file(const char *path, Hash *hash, Error *error) {
    FileMap map;
    if (file_map(&map, path, error) != 0) return -1;
    *hash = hash_bytes(map.data, map.size);
    file_unmap(&map);
    return 0;
}
