#include "model/parameters.h"
#include "test.h"

#include <string.h>

static const HfConfig tied = {.layers = 2,
                              .channels = 8,
                              .heads = 4,
                              .kv_heads = 2,
                              .head_dim = 6,
                              .feed_forward = 10,
                              .vocabulary = 20,
                              .tied_head = true};

/* [PA-1], [PA-2], [PA-3]; counts what is wrong. */
static size_t breaches(const Parameters *p, const HfConfig *c) {
    size_t bad = 0, at = 0;
    for (size_t i = 0; i < p->tensors; i++) {
        const ModelTensor *t = &p->tensor[i];
        bad += t->offset != at || t->elements != t->shape[0] * t->shape[1] || t->is_matrix != (t->rank == 2);
        bad += t->is_matrix != (i >= p->vector_tensors) || (t->offset >= p->vectors) != t->is_matrix;
        at += t->elements;
    }
    bad += at != p->elements || (c->tied_head && p->model.head != p->model.embedding);
    for (size_t l = 0; l < c->layers; l++) {
        const LayerParameters *layer = &p->layer[l];
        bad += layer->k != layer->q + 1 || layer->v != layer->q + 2 || layer->up != layer->gate + 1;
        bad += c->qkv_bias ? layer->k_bias != layer->q_bias + 1 || layer->v_bias != layer->q_bias + 2
                           : layer->q_bias != PARAMETERS_NONE;
        bad += c->mlp_bias ? layer->up_bias != layer->gate_bias + 1 : layer->gate_bias != PARAMETERS_NONE;
        bad += c->qk_norm ? layer->k_norm != layer->q_norm + 1 : layer->k_norm != PARAMETERS_NONE;
    }
    return bad;
}

static void lays_out_every_family(void **state) {
    (void)state;
    for (int variant = 0; variant < 64; variant++) {
        HfConfig c = tied;
        c.sandwich_norms = variant & 8, c.output_bias = variant & 16, c.mlp_bias = variant & 32;
        c.tied_head = variant & 1, c.qkv_bias = variant & 2, c.qk_norm = variant & 4;
        Parameters p;
        assert_int_equal(parameters_create(&p, &c, NULL), 0);
        size_t expected =
            2 + !c.tied_head +
            2 * (9 + 3 * c.qkv_bias + 2 * c.qk_norm + 2 * c.sandwich_norms + c.output_bias + 3 * c.mlp_bias);
        assert_int_equal(p.tensors, expected);
        assert_int_equal(breaches(&p, &c), 0);
        p.tensor[p.tensors - 1].offset++; // planted: a gap
        assert_int_equal(breaches(&p, &c), 1);
        parameters_free(&p);
    }
}

static void names_and_shapes(void **state) {
    (void)state;
    Parameters p;
    assert_int_equal(parameters_create(&p, &tied, NULL), 0);
    const ModelTensor *k = &p.tensor[p.layer[1].k], *norm = &p.tensor[p.layer[0].mlp_norm],
                      *down = &p.tensor[p.layer[1].down];
    assert_string_equal(k->name, "model.layers.1.self_attn.k_proj.weight");
    assert_true(k->rank == 2 && k->shape[0] == 12 && k->shape[1] == 8);
    assert_string_equal(norm->name, "model.layers.0.post_attention_layernorm.weight");
    assert_true(norm->rank == 1 && norm->shape[0] == 8);
    assert_true(down->shape[0] == 8 && down->shape[1] == 10);
    assert_string_equal(p.tensor[p.model.embedding].name, "model.embed_tokens.weight");
    float array[8];
    assert_null(parameters_at(&p, array, p.layer[0].q_bias));
    assert_ptr_equal(parameters_at(&p, array, 0), array);
    parameters_free(&p);
    HfConfig sandwich = tied;
    sandwich.sandwich_norms = true;
    assert_int_equal(parameters_create(&p, &sandwich, NULL), 0);
    assert_string_equal(p.tensor[p.layer[0].mlp_norm].name, "model.layers.0.pre_feedforward_layernorm.weight");
    assert_string_equal(p.tensor[p.layer[1].attention_end_norm].name, "model.layers.1.post_attention_layernorm.weight");
    assert_string_equal(p.tensor[p.layer[1].mlp_end_norm].name, "model.layers.1.post_feedforward_layernorm.weight");
    parameters_free(&p);
}

static void refuses_what_no_machine_addresses(void **state) {
    (void)state;
    HfConfig huge = tied;
    huge.vocabulary = (size_t)1 << 40, huge.channels = (size_t)1 << 40;
    Parameters p;
    Error error = {0};
    assert_int_equal(parameters_create(&p, &huge, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "address space") != NULL);
    assert_null(p.tensor);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lays_out_every_family), cmocka_unit_test(names_and_shapes),
                                       cmocka_unit_test(refuses_what_no_machine_addresses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
