#include "model/activations.h"
#include "kernels/rmsnorm.h"
#include "model/qkv.h"

#include <stdlib.h>

typedef struct {
    Dims d;
    DType type;
    size_t size; // of the compute type
    bool qk_norm, vectors, sandwich;
    Pass pass;
    size_t T, R, N, attention_bytes;
    size_t chunk; // rows of the longest chunk
} Plan;

static Plan plan_of(const HfConfig *c, const ModelOptions *options, Pass pass, const ActivationsNeed *need) {
    size_t chunk = need->rows < BLOCK_CHUNK ? need->rows : BLOCK_CHUNK;
    return (Plan){.d = dims_of(c),
                  .type = options->compute,
                  .size = dtype_bytes(options->compute),
                  .qk_norm = c->qk_norm,
                  .vectors = c->qk_norm || c->qkv_bias,
                  .sandwich = c->sandwich_norms,
                  .pass = pass,
                  .T = need->rows,
                  .R = need->head_rows,
                  .N = need->targets,
                  .attention_bytes = need->attention_bytes,
                  .chunk = chunk};
}

/* What a layer has besides its input. */
static void take_layer(LayerActivations *l, Arena *arena, const Plan *p) {
    const Dims d = p->d;
    bool back = p->pass != PASS_FORWARD;
    l->middle = back ? arena_take(arena, p->T * d.C, sizeof(float)) : l->x;
    l->qkv = arena_take(arena, p->T * d.QKV, p->size);
    l->unnormed = back && p->qk_norm ? arena_take(arena, p->T * (d.HD + d.KD), p->size) : NULL;
    l->attended = arena_take(arena, p->T * d.HD, p->size);
    l->lse = back ? arena_take(arena, p->T * d.H, sizeof(float)) : NULL;
    l->attention_end = back && p->sandwich ? arena_take(arena, p->T * d.C, p->size) : NULL;
    l->mlp_end = back && p->sandwich ? arena_take(arena, p->T * d.C, p->size) : NULL;
    l->gate_up = arena_take(arena, (back ? p->T : p->chunk) * 2 * d.F, p->size);
}

/* `layer` is NULL when only counting. */
static void take_layers(LayerActivations *layer, Arena *arena, const Plan *p) {
    LayerActivations shared = {0};
    if (p->pass == PASS_FORWARD) shared.x = arena_take(arena, p->T * p->d.C, sizeof(float));
    if (p->pass != PASS_BOTH) take_layer(&shared, arena, p);
    for (size_t l = 0; l < p->d.L; l++) {
        LayerActivations own = shared;
        if (p->pass != PASS_FORWARD) own.x = arena_take(arena, p->T * p->d.C, sizeof(float));
        if (p->pass == PASS_BOTH) take_layer(&own, arena, p);
        if (layer != NULL) layer[l] = own;
    }
}

static void take_backward(Activations *a, Arena *arena, const Plan *p) {
    const Dims d = p->d;
    a->dx = arena_take(arena, p->T * d.C, sizeof(float));
    a->dattended = arena_take(arena, p->T * d.HD, p->size);
    a->dqkv = arena_take(arena, p->T * d.QKV, p->size);
    a->dx_compute = p->type == DTYPE_F32 ? NULL : arena_take(arena, p->chunk * d.C, p->size);
    a->dnormed = arena_take(arena, p->chunk * d.C, sizeof(float));
    a->dproduct = arena_take(arena, p->chunk * d.F, p->size);
    a->inverse_rms = arena_take(arena, p->chunk, sizeof(float));
    a->norm = arena_take(arena, rmsnorm_scratch_bytes(p->chunk > p->R ? p->chunk : p->R, d.C), 1);
    a->vectors = p->vectors ? arena_take(arena, qkv_scratch_bytes(p->d, p->chunk), 1) : NULL;
    a->dhidden = arena_take(arena, p->R * d.C, sizeof(float));
    a->dhead_x = arena_take(arena, p->R * d.C, sizeof(float));
    a->dlogprob = arena_take(arena, p->N, sizeof(float));
}

static void lay_out(Activations *a, Arena *arena, const Plan *p) {
    const Dims d = p->d;
    take_layers(a->layer, arena, p);
    a->end = p->pass == PASS_FORWARD ? NULL : arena_take(arena, p->T * d.C, sizeof(float));
    if (p->pass == PASS_FORWARD && a->layer != NULL) a->end = a->layer[0].x;
    a->head_x = arena_take(arena, p->R * d.C, sizeof(float));
    a->head_inverse_rms = arena_take(arena, p->R, sizeof(float));
    a->hidden = arena_take(arena, p->R * d.C, p->size);
    a->logsumexp = arena_take(arena, p->R, sizeof(float));
    a->figures = arena_take(arena, p->N, sizeof *a->figures);
    a->logprob = arena_take(arena, p->N, sizeof(float));
    a->normed = arena_take(arena, p->chunk * d.C, p->size);
    a->product = arena_take(arena, p->chunk * d.F, p->size);
    a->projected = p->type == DTYPE_F32 ? NULL : arena_take(arena, p->chunk * d.QKV, sizeof(float));
    a->branch = p->sandwich ? arena_take(arena, p->chunk * d.C, sizeof(float)) : NULL;
    a->attention = arena_take(arena, p->attention_bytes, 1);
    if (p->pass != PASS_FORWARD) take_backward(a, arena, p);
}

int activations_create(Activations **activations, size_t layers, Error *error) {
    Activations *a = calloc(1, sizeof *a);
    if (a != NULL) a->layer = calloc(layers, sizeof *a->layer);
    if (a == NULL || a->layer == NULL) {
        free(a);
        return error_set(error, ERROR_MEMORY, "no memory for the activations of %zu layers", layers);
    }
    a->layers = layers;
    *activations = a;
    return 0;
}

void activations_free(Activations *a) {
    if (a == NULL) return;
    arena_destroy(&a->arena);
    free(a->layer);
    free(a);
}

size_t activations_count(const HfConfig *config, const ModelOptions *options, Pass pass, const ActivationsNeed *need) {
    Activations counted = {0};
    Arena arena = arena_counting();
    Plan plan = plan_of(config, options, pass, need);
    lay_out(&counted, &arena, &plan);
    return arena.used;
}

int activations_reserve(Activations *a, const HfConfig *config, const ModelOptions *options, Pass pass,
                        const ActivationsNeed *need, Error *error) {
    size_t bytes = activations_count(config, options, pass, need);
    if (bytes > a->arena.size) {
        arena_destroy(&a->arena);
        if (arena_create(&a->arena, bytes, error) != 0)
            return error_prefix(error, "activations of %zu tokens", need->rows);
    }
    Plan plan = plan_of(config, options, pass, need);
    a->pass = pass;
    arena_rewind(&a->arena, 0);
    lay_out(a, &a->arena, &plan);
    return 0;
}
