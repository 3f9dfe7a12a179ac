#include "model/weights.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values are read, converted and hashed in blocks that stay in a core's cache. Part of the hash: must not change. */
enum { BLOCK = 1 << 16 };

typedef struct {
    Model *model;
    const TensorView **view; // (tensors) of the checkpoint; NULL when hashing masters
    size_t *first_block;     // (tensors + 1)
    Hash *hash;              // (blocks)
    float *buffer;           // (threads, BLOCK)
} Reader;

static void reader_free(Reader *r) {
    free(r->view);
    free(r->first_block);
    free(r->hash);
    free(r->buffer);
}

static int reader_create(Reader *r, Model *model, Error *error) {
    const Parameters *p = &model->parameters;
    size_t threads = (size_t)model->options.kernels->threads, blocks = 0;
    *r = (Reader){.model = model, .view = calloc(p->tensors, sizeof *r->view)};
    r->first_block = calloc(p->tensors + 1, sizeof *r->first_block);
    if (r->first_block != NULL)
        for (size_t i = 0; i < p->tensors; i++)
            r->first_block[i + 1] = blocks += (p->tensor[i].elements + BLOCK - 1) / BLOCK;
    r->hash = calloc(blocks + 1, sizeof *r->hash);
    r->buffer = malloc(threads * BLOCK * sizeof *r->buffer);
    if (r->view != NULL && r->first_block != NULL && r->hash != NULL && r->buffer != NULL) return 0;
    reader_free(r);
    return error_set(error, ERROR_MEMORY, "no memory to read %zu tensors", p->tensors);
}

/* Whether a tensor that no parameter claims may be left unread. */
static bool may_ignore(const Model *m, const char *name) {
    const char *end = strstr(name, ".rotary_emb.inv_freq");
    return (m->config.tied_head && strcmp(name, "lm_head.weight") == 0) ||
           (end != NULL && strchr(end + 1, 0) == end + 20);
}

static int find_tensors(Reader *r, const Checkpoint *checkpoint, const char *directory, Error *error) {
    const Parameters *p = &r->model->parameters;
    for (size_t i = 0; i < p->tensors; i++) {
        const ModelTensor *t = &p->tensor[i];
        const TensorView *v = r->view[i] = checkpoint_find(checkpoint, t->name);
        if (v == NULL)
            return error_set(error, ERROR_INPUT, "%s: the tensor \"%s\" that config.json asks for is missing",
                             directory, t->name);
        bool same = v->rank == t->rank;
        for (size_t k = 0; same && k < t->rank; k++) same = v->shape[k] == t->shape[k];
        if (same) continue;
        char found[200] = "";
        for (size_t k = 0, at = 0; k < v->rank; k++)
            at += (size_t)snprintf(found + at, sizeof found - at, "%s%zu", k == 0 ? "" : ", ", v->shape[k]);
        char expected[64];
        snprintf(expected, sizeof expected, t->rank == 1 ? "%zu" : "%zu, %zu", t->shape[0], t->shape[1]);
        return error_set(error, ERROR_INPUT, "%s: tensor \"%s\" has shape (%s), but config.json asks for (%s)", v->file,
                         t->name, found, expected);
    }
    for (size_t k = 0; k < checkpoint_count(checkpoint); k++) {
        const TensorView *v = checkpoint_at(checkpoint, k);
        bool claimed = may_ignore(r->model, v->name);
        for (size_t i = 0; !claimed && i < p->tensors; i++) claimed = r->view[i] == v;
        if (!claimed)
            return error_set(
                error, ERROR_UNSUPPORTED,
                "%s: tensor \"%s\" has no place in a model with this config.json, so results would be wrong without it",
                v->file, v->name);
    }
    return 0;
}

/* One block of tensor i, to `out` + its offset from tensor `first`. */
static int read_block(Reader *r, size_t i, size_t block, size_t first, void *out, DType type, Error *error) {
    const ModelTensor *t = &r->model->parameters.tensor[i];
    const KernelTable *k = r->model->options.kernels;
    size_t begin = (block - r->first_block[i]) * BLOCK,
           count = t->elements - begin < BLOCK ? t->elements - begin : BLOCK;
    size_t at = t->offset - r->model->parameters.tensor[first].offset + begin;
    float *values = type == DTYPE_F32 ? (float *)out + at : r->buffer + (size_t)omp_get_thread_num() * BLOCK;
    if (r->view[i] != NULL && tensor_read_f32(r->view[i], begin, count, values, error) != 0) return -1;
    r->hash[block] = hash_bytes(values, count * sizeof *values);
    if (type == DTYPE_BF16) k->to_bf16(count, values, (bf16 *)out + at);
    return 0;
}

/* Tensors [first, first + count), which are neighbours, to `out`. Without views: hashes what `out` holds. */
static int read_tensors(Reader *r, size_t first, size_t count, void *out, DType type, Error *error) {
    size_t begin = r->first_block[first], end = r->first_block[first + count], failed = SIZE_MAX;
#pragma omp parallel for num_threads(r->model->options.kernels->threads) schedule(dynamic)
    for (size_t block = begin; block < end; block++) {
        Error own;
        size_t i = first;
        while (r->first_block[i + 1] <= block) i++;
        if (read_block(r, i, block, first, out, type, &own) == 0) continue;
#pragma omp critical(weights_read)
        if (block < failed) { // the first place in the file, whatever the threads did
            failed = block;
            if (error != NULL) *error = own;
        }
    }
    return failed == SIZE_MAX ? 0 : -1;
}

static int combine(const Reader *r, Hash *hash, Error *error) {
    const Parameters *p = &r->model->parameters;
    Hasher *hasher = hasher_create();
    if (hasher == NULL) return error_set(error, ERROR_MEMORY, "no memory for a hash");
    for (size_t i = 0; i < p->tensors; i++) {
        const ModelTensor *t = &p->tensor[i];
        char place[160];
        snprintf(place, sizeof place, "%s %zu %zu %zu\n", t->name, t->rank, t->shape[0], t->shape[1]);
        hasher_add(hasher, place, strlen(place));
        for (size_t b = r->first_block[i]; b < r->first_block[i + 1]; b++) hasher_add(hasher, r->hash[b].hex, 32);
    }
    *hash = hasher_result(hasher);
    hasher_destroy(hasher);
    return 0;
}

/* One fused matrix: the tensors it is made of, and its packed form. */
typedef struct {
    size_t first, count;
    GemmWeight *weight;
} Group;
enum { GROUPS = 4 };

static void groups_of(const Model *m, size_t layer, Group group[GROUPS]) {
    const LayerParameters *at = &m->parameters.layer[layer];
    const LayerWeights *w = &m->layer[layer];
    group[0] = (Group){at->q, 3, w->qkv};
    group[1] = (Group){at->o, 1, w->o};
    group[2] = (Group){at->gate, 2, w->gate_up};
    group[3] = (Group){at->down, 1, w->down};
}

/* What norms multiply by, after their weights changed. */
static void offset_norms(Model *m) {
    for (size_t i = 0; m->norms != NULL && i < m->parameters.vectors; i++)
        m->norms[i] = (float)m->config.norm_offset + m->weights[i];
}

int weights_pack(Model *m, Error *error) {
    offset_norms(m);
    for (size_t l = 0; l < m->dims.L; l++) {
        Group group[GROUPS];
        groups_of(m, l, group);
        for (size_t g = 0; g < GROUPS; g++)
            if (gemm_weight_pack(m->gemm, group[g].weight, parameters_at(&m->parameters, m->weights, group[g].first),
                                 DTYPE_F32, error) != 0)
                return -1;
    }
    return token_head_pack(m->gemm, m->head, parameters_at(&m->parameters, m->weights, m->parameters.model.head),
                           DTYPE_F32, error);
}

/* Matrices one after the other through one buffer, so that nothing is in memory twice. */
static int load_packed(Reader *r, Error *error) {
    Model *m = r->model;
    const Dims d = m->dims;
    const DType type = m->options.compute;
    size_t largest = 2 * d.F > d.QKV ? 2 * d.F : d.QKV;
    void *staging = malloc(largest * d.C * dtype_bytes(type));
    int result = -1;
    if (staging == NULL) {
        error_set(error, ERROR_MEMORY, "no memory to pack matrices of %zu by %zu", largest, d.C);
        goto done;
    }
    if (read_tensors(r, 0, m->parameters.vector_tensors, m->weights, DTYPE_F32, error) != 0) goto done;
    offset_norms(m);
    const ModelParameters *at = &m->parameters.model;
    if (at->head != at->embedding && (read_tensors(r, at->head, 1, m->embedding, type, error) != 0 ||
                                      token_head_pack(m->gemm, m->head, m->embedding, type, error) != 0))
        goto done;
    if (read_tensors(r, at->embedding, 1, m->embedding, type, error) != 0) goto done;
    if (at->head == at->embedding && token_head_pack(m->gemm, m->head, m->embedding, type, error) != 0) goto done;
    for (size_t l = 0; l < d.L; l++) {
        Group group[GROUPS];
        groups_of(m, l, group);
        for (size_t g = 0; g < GROUPS; g++)
            if (read_tensors(r, group[g].first, group[g].count, staging, type, error) != 0 ||
                gemm_weight_pack(m->gemm, group[g].weight, staging, type, error) != 0)
                goto done;
    }
    result = 0;
done:
    free(staging);
    return result;
}

int weights_load(Model *m, const Checkpoint *checkpoint, const char *directory, Error *error) {
    Reader r;
    if (reader_create(&r, m, error) != 0) return -1;
    int result = find_tensors(&r, checkpoint, directory, error);
    if (result == 0 && model_has_masters(&m->options)) {
        result = read_tensors(&r, 0, m->parameters.tensors, m->weights, DTYPE_F32, error);
        if (result == 0) result = weights_pack(m, error);
    } else if (result == 0)
        result = load_packed(&r, error);
    if (result == 0) result = combine(&r, &m->file_hash, error);
    reader_free(&r);
    return result;
}

int weights_hash(const Model *m, Hash *hash, Error *error) {
    Reader r;
    if (reader_create(&r, (Model *)(uintptr_t)m, error) != 0) return -1;
    int result = read_tensors(&r, 0, m->parameters.tensors, m->weights, DTYPE_F32, error);
    if (result == 0) result = combine(&r, hash, error);
    reader_free(&r);
    return result;
}
