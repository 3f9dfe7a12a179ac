#include "model/activations.h"
#include "model/forward.h"
#include "tiny_cases.h"

static KernelTable kernels;
static const HfConfig config = {.layers = 3,
                                .channels = 24,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 8,
                                .feed_forward = 40,
                                .vocabulary = 50,
                                .qk_norm = true,
                                .norm_eps = 1e-5};

/* A run of bytes that belongs to one array; arrays must not share any. */
typedef struct {
    const char *begin;
    size_t bytes;
} Piece;

static int by_place(const void *a, const void *b) {
    const Piece *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* How many arrays overlap their neighbour or leave the arena. NULL arrays are those that the pass does not have. */
static size_t overlaps(const Activations *a, Piece *piece, size_t *count) {
    size_t bad = 0, kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (piece[i].begin != NULL) piece[kept++] = piece[i];
    *count = kept;
    qsort(piece, kept, sizeof *piece, by_place);
    const char *block = (const char *)a->arena.block;
    for (size_t i = 0; i < kept; i++) {
        bad += piece[i].begin < block || piece[i].begin + piece[i].bytes > block + a->arena.size;
        bad += i > 0 && piece[i - 1].begin + piece[i - 1].bytes > piece[i].begin;
    }
    return bad;
}

static void arrays_do_not_overlap(void **state) {
    (void)state;
    const Dims d = dims_of(&config);
    const ActivationsNeed need = {.rows = 1000, .head_rows = 300, .targets = 310, .attention_bytes = 4096};
    for (int pass = PASS_FORWARD; pass <= PASS_CHECKPOINT; pass++)
        for (int type = DTYPE_F32; type <= DTYPE_BF16; type++) {
            const ModelOptions options = {
                .kernels = &kernels, .compute = (DType)type, .trainable = pass != PASS_FORWARD};
            const size_t s = dtype_bytes((DType)type), T = need.rows, chunk = BLOCK_CHUNK;
            Activations *a = NULL;
            Error error = {0};
            assert_int_equal(activations_create(&a, config.layers, &error), 0);
            assert_int_equal(activations_reserve(a, &config, &options, (Pass)pass, &need, &error), 0);
            assert_int_equal(a->arena.used, activations_count(&config, &options, (Pass)pass, &need));
            Piece piece[64];
            size_t n = 0;
            for (size_t l = 0; l < config.layers; l++) {
                const LayerActivations *own = &a->layer[l];
                if (pass != PASS_FORWARD || l == 0) piece[n++] = (Piece){(char *)own->x, 4 * T * d.C};
                if (pass != PASS_BOTH && l > 0) continue; // shared by all layers
                if (pass != PASS_FORWARD) piece[n++] = (Piece){(char *)own->middle, 4 * T * d.C};
                piece[n++] = (Piece){own->qkv, s * T * d.QKV};
                piece[n++] = (Piece){own->unnormed, s * T * (d.HD + d.KD)};
                piece[n++] = (Piece){own->attended, s * T * d.HD};
                piece[n++] = (Piece){(char *)own->lse, 4 * T * d.H};
                piece[n++] = (Piece){own->gate_up, s * (pass == PASS_FORWARD ? chunk : T) * 2 * d.F};
            }
            if (pass != PASS_FORWARD)
                piece[n++] = (Piece){(char *)a->end, 4 * T * d.C};
            else
                assert_ptr_equal(a->end, a->layer[0].middle);
            const Piece rest[] = {{(char *)a->head_x, 4 * need.head_rows * d.C},
                                  {a->hidden, s * need.head_rows * d.C},
                                  {(char *)a->logsumexp, 4 * need.head_rows},
                                  {(char *)a->logprob, 4 * need.targets},
                                  {a->normed, s * chunk * d.C},
                                  {a->product, s * chunk * d.F},
                                  {(char *)a->projected, 4 * chunk * d.QKV},
                                  {a->attention, need.attention_bytes}};
            const Piece back[] = {{(char *)a->dx, 4 * T * d.C},
                                  {a->dattended, s * T * d.HD},
                                  {a->dqkv, s * T * d.QKV},
                                  {a->dx_compute, s * chunk * d.C},
                                  {(char *)a->dnormed, 4 * chunk * d.C},
                                  {a->dproduct, s * chunk * d.F},
                                  {(char *)a->inverse_rms, 4 * chunk},
                                  {(char *)a->dhidden, 4 * need.head_rows * d.C},
                                  {(char *)a->dhead_x, 4 * need.head_rows * d.C},
                                  {(char *)a->dlogprob, 4 * need.targets}};
            memcpy(piece + n, rest, sizeof rest), n += sizeof rest / sizeof *rest;
            if (pass != PASS_FORWARD) memcpy(piece + n, back, sizeof back), n += sizeof back / sizeof *back;
            assert_int_equal(overlaps(a, piece, &n), 0);
            piece[0].bytes += 64; // planted: one array is longer than what was taken for it
            assert_true(overlaps(a, piece, &n) > 0);
            activations_free(a);
        }
}

/* Memory is kept for a smaller batch and grows for a larger one. */
static void memory_grows_only(void **state) {
    (void)state;
    const ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32};
    Activations *a = NULL;
    Error error = {0};
    assert_int_equal(activations_create(&a, config.layers, &error), 0);
    size_t sizes[] = {500, 100, 500, 900}, before = 0;
    for (int i = 0; i < 4; i++) {
        const ActivationsNeed need = {.rows = sizes[i], .head_rows = 10, .targets = 10, .attention_bytes = 64};
        assert_int_equal(activations_reserve(a, &config, &options, PASS_FORWARD, &need, &error), 0);
        assert_true(i == 3 ? a->arena.size > before : before == 0 || a->arena.size == before);
        before = a->arena.size;
    }
    const ActivationsNeed impossible = {.rows = SIZE_MAX / 8, .head_rows = 10, .targets = 10, .attention_bytes = 64};
    assert_int_equal(activations_reserve(a, &config, &options, PASS_FORWARD, &impossible, &error), -1);
    assert_int_equal(error.code, ERROR_MEMORY);
    activations_free(a);
}

/* What a plan says for eight pairs is what a batch of eight pairs takes, to a hundredth. */
static void plans_are_kept(void **state) {
    (void)state;
    const ModelOptions options = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true};
    Batch batch = {0};
    int32_t ids[128] = {0};
    for (size_t p = 0, trunk; p < 8; p++) {
        batch_add_trunk(&batch, ids, 128, &trunk, NULL);
        batch_add_branch(&batch, trunk, ids, 128, NULL), batch_add_branch(&batch, trunk, ids, 100, NULL);
    }
    batch_finish(&batch, NULL);
    AttentionShape shape = block_attention_shape(&config, 0, DTYPE_F32, false);
    const ActivationsNeed need = {.rows = batch.rows,
                                  .head_rows = batch.head_rows,
                                  .targets = batch.targets,
                                  .attention_bytes =
                                      attention_scratch_bytes(&kernels, &shape, batch.segment, batch.segments, 1)};
    double planned = (double)activations_bytes(&config, &options, batch.rows, batch.targets);
    double taken = (double)activations_count(&config, &options, PASS_BOTH, &need);
    if (fabs(planned / taken - 1) > 0.01) fail_msg("planned %.0f bytes, taken %.0f", planned, taken);
    batch_free(&batch);
}

static int set_up(void **state) {
    (void)state;
    return kernel_table_create(&kernels, 2, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(arrays_do_not_overlap), cmocka_unit_test(memory_grows_only),
                                       cmocka_unit_test(plans_are_kept)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
