/* decode_cases.h - a cache of keys and values, and decoding one sequence with it, for tests. */
#pragma once
#include "model/model.h"
#include "test.h"

enum { CACHE_ROWS = 256 };

static inline KvArrays cache_create(const Model *model) {
    const HfConfig *c = model_config(model);
    size_t bytes = CACHE_ROWS * c->kv_heads * c->head_dim * dtype_bytes(model_options(model)->compute);
    KvArrays cache = {
        .key = calloc(c->layers, sizeof(void *)), .value = calloc(c->layers, sizeof(void *)), .rows = CACHE_ROWS};
    for (size_t l = 0; l < c->layers; l++) cache.key[l] = malloc(bytes), cache.value[l] = malloc(bytes);
    assert_int_equal(model_kv_bytes(c, model_options(model), CACHE_ROWS), 2 * c->layers * bytes);
    return cache;
}

static inline void cache_free(const Model *model, KvArrays *cache) {
    for (size_t l = 0; l < model_config(model)->layers; l++) free(cache->key[l]), free(cache->value[l]);
    free(cache->key), free(cache->value);
}

/* `count` tokens of one sequence, at positions and cache rows from `first` on. Those from `trunk` on are a branch of
 * the tokens before. Logits of all of them. */
static inline void step(Model *model, const KvArrays *cache, const int32_t *ids, size_t first, size_t count,
                        size_t trunk, float *logits) {
    int32_t position[CACHE_ROWS], row[CACHE_ROWS];
    Error error = {0};
    for (size_t i = 0; i < count; i++) position[i] = (int32_t)(first + i), row[i] = (int32_t)i;
    size_t of_trunk = first >= trunk ? 0 : first + count <= trunk ? count : trunk - first;
    AttentionSegment segment[2] = {{.query_row = 0,
                                    .query_length = of_trunk,
                                    .key_row = 0,
                                    .key_length = first < trunk ? first + of_trunk : trunk,
                                    .parent = -1},
                                   {.query_row = of_trunk,
                                    .query_length = count - of_trunk,
                                    .key_row = trunk,
                                    .key_length = first + count - trunk,
                                    .parent = 0}};
    DecodeInput input = {.rows = count,
                         .token = ids + first,
                         .position = position,
                         .cache_row = position,
                         .segment = segment,
                         .segments = of_trunk == count ? 1 : 2,
                         .logit_row = row,
                         .logit_rows = count};
    if (model_decode(model, cache, &input, logits, &error) != 0) fail_msg("%s", error.message);
}
