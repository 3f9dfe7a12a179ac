/* family_cases.h - random small models of every family, and their logits by the formulas in double.
 *
 * family_case draws what a config may say, writes config.json and weights, and keeps what it means in a FamilyCase of
 * its own; family_logits computes from that and the weights, knowing nothing of the library's forward pass. */
#pragma once
#include "base/buffer.h"
#include "base/file.h"
#include "base/rng.h"
#include "formats/safetensors_writer.h"
#include "model/parameters.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { FAMILY_LAYERS = 4, FAMILY_TOKENS = 24, FAMILY_WIDEST = 128 };
typedef enum { CASE_PLAIN, CASE_LINEAR, CASE_LLAMA3, CASE_YARN } FamilyRopeKind;

typedef struct {
    FamilyRopeKind kind;
    double theta, factor, low, high, original, fast, slow, attention;
} FamilyRope;

typedef struct {
    const char *type;
    size_t L, C, H, K, D, F, V;
    double eps, scale, embedding_scale;
    bool gemma, gelu, tied;
    size_t window[FAMILY_LAYERS]; // 0: none
    FamilyRope rope[FAMILY_LAYERS];
    RngAddress address;
    uint32_t at;
    Buffer text; // config.json
} FamilyCase;

static inline size_t family_below(FamilyCase *c, size_t n) { return (size_t)rng_below(&c->address, c->at++, n); }

/* The members of one description, without theta; old: before transformers 5. */
static inline FamilyRope family_draw_rope(FamilyCase *c, double theta, bool old) {
    FamilyRope r = {.kind = (FamilyRopeKind)family_below(c, 4), .theta = theta};
    static const char *const names[] = {"default", "linear", "llama3", "yarn"};
    buffer_format(&c->text, "\"%s\": \"%s\"", old && family_below(c, 2) ? "type" : "rope_type", names[r.kind]);
    if (r.kind == CASE_PLAIN) return r;
    r.factor = 1.5 + (double)family_below(c, 6);
    buffer_format(&c->text, ", \"factor\": %g", r.factor);
    if (r.kind == CASE_LINEAR) return r;
    r.original = 64; // max_position_embeddings
    if (family_below(c, 2)) {
        r.original = (double)(16 << family_below(c, 3));
        buffer_format(&c->text, ", \"original_max_position_embeddings\": %g", r.original);
    }
    if (r.kind == CASE_LLAMA3) {
        r.low = 1, r.high = 4;
        buffer_format(&c->text, ", \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0");
        return r;
    }
    r.fast = 32, r.slow = 1, r.attention = 0.1 * log(r.factor) + 1;
    if (family_below(c, 2)) {
        r.fast = 4, r.slow = 0.5;
        buffer_format(&c->text, ", \"beta_fast\": 4, \"beta_slow\": 0.5");
    }
    if (family_below(c, 2)) {
        r.attention = 1.3;
        buffer_format(&c->text, ", \"attention_factor\": 1.3");
    }
    return r;
}

/* One description for all layers. */
static inline void family_draw_one_rope(FamilyCase *c) {
    bool old = family_below(c, 2);
    double theta = family_below(c, 2) ? 500 : 20000;
    buffer_format(&c->text,
                  old ? ", \"rope_theta\": %g, \"rope_scaling\": {" : ", \"rope_parameters\": {\"rope_theta\": %g, ",
                  theta);
    FamilyRope r = family_draw_rope(c, theta, old);
    buffer_format(&c->text, "}");
    for (size_t l = 0; l < c->L; l++) c->rope[l] = r;
}

static inline void family_draw_two_ropes(FamilyCase *c) {
    bool old = family_below(c, 2);
    double full = 3000, local = 70;
    FamilyRope r[2] = {{.theta = full}, {.theta = local}};
    if (old) {
        buffer_format(&c->text, ", \"rope_theta\": %g, \"rope_local_base_freq\": %g, \"rope_scaling\": {", full, local);
        r[0] = family_draw_rope(c, full, true);
        buffer_format(&c->text, "}");
    } else {
        buffer_format(&c->text, ", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": %g, ", full);
        r[0] = family_draw_rope(c, full, false);
        buffer_format(&c->text, "}, \"sliding_attention\": {\"rope_theta\": %g, ", local);
        r[1] = family_draw_rope(c, local, false);
        buffer_format(&c->text, "}}");
    }
    for (size_t l = 0; l < c->L; l++) c->rope[l] = r[c->window[l] > 0];
}

static inline void family_draw_layer_types(FamilyCase *c, size_t window) {
    buffer_format(&c->text, ", \"layer_types\": [");
    for (size_t l = 0; l < c->L; l++) {
        bool slides = family_below(c, 2);
        c->window[l] = slides ? window : 0;
        buffer_format(&c->text, "%s\"%s\"", l > 0 ? ", " : "", slides ? "sliding_attention" : "full_attention");
    }
    buffer_format(&c->text, "]");
}

static inline void family_draw_windows(FamilyCase *c) {
    size_t window = 1 + family_below(c, 12), parameter = family_below(c, c->L + 2);
    if (c->type[0] == 'l') return;
    bool listed = c->type[0] != 'm' && family_below(c, 2), on = c->gemma || family_below(c, 3) > 0;
    if (c->type[0] == 'm' && !on) {
        buffer_format(&c->text, ", \"sliding_window\": null");
        return;
    }
    buffer_format(&c->text, ", \"sliding_window\": %zu", window);
    if (c->type[0] == 'q')
        buffer_format(&c->text, ", \"use_sliding_window\": %s, \"max_window_layers\": %zu", on ? "true" : "false",
                      parameter);
    if (listed && on)
        family_draw_layer_types(c, window);
    else if (c->gemma) {
        buffer_format(&c->text, ", \"sliding_window_pattern\": %zu", parameter + 1);
        for (size_t l = 0; l < c->L; l++) c->window[l] = (l + 1) % (parameter + 1) == 0 ? 0 : window;
    } else
        for (size_t l = 0; on && l < c->L; l++) c->window[l] = c->type[0] == 'm' || l >= parameter ? window : 0;
}

static inline void family_draw_config(FamilyCase *c) {
    static const char *const types[] = {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"};
    c->type = types[family_below(c, 5)], c->gemma = c->type[0] == 'g';
    c->L = 1 + family_below(c, FAMILY_LAYERS), c->K = 1 + family_below(c, 3), c->H = c->K * (1 + family_below(c, 3));
    c->D = 2 + 2 * family_below(c, 4), c->F = 5 + family_below(c, 30), c->V = 12 + family_below(c, 30);
    bool derived = family_below(c, 3) == 0 && c->type[3] != 'n' && !c->gemma && c->type[4] != '3';
    c->C = derived ? c->H * c->D : 6 + family_below(c, 20);
    c->eps = family_below(c, 2) ? 1e-5 : 3e-3;
    c->scale = 1 / sqrt((double)c->D), c->embedding_scale = c->gemma ? sqrt((double)c->C) : 1;
    buffer_format(&c->text, "{\"model_type\": \"%s\", \"num_hidden_layers\": %zu, \"hidden_size\": %zu", c->type, c->L,
                  c->C);
    buffer_format(&c->text, ", \"num_attention_heads\": %zu, \"intermediate_size\": %zu", c->H, c->F);
    buffer_format(&c->text, ", \"vocab_size\": %zu, \"max_position_embeddings\": 64, \"rms_norm_eps\": %g", c->V,
                  c->eps);
    if (c->type[0] != 'l' || c->K != c->H || family_below(c, 2))
        buffer_format(&c->text, ", \"num_key_value_heads\": %zu", c->K);
    if (!derived) buffer_format(&c->text, ", \"head_dim\": %zu", c->D);
    c->tied = family_below(c, 2);
    if (c->tied != c->gemma || family_below(c, 2))
        buffer_format(&c->text, ", \"tie_word_embeddings\": %s", c->tied ? "true" : "false");
    if (family_below(c, 2)) buffer_format(&c->text, ", \"attention_bias\": true");
    if (family_below(c, 2)) buffer_format(&c->text, ", \"mlp_bias\": true");
    c->gelu = c->gemma || family_below(c, 4) == 0;
    if (!c->gemma) buffer_format(&c->text, ", \"hidden_act\": \"%s\"", c->gelu ? "gelu_pytorch_tanh" : "silu");
    if (c->gemma) {
        size_t scalar = 1 + family_below(c, 30);
        buffer_format(&c->text, ", \"query_pre_attn_scalar\": %zu", scalar);
        c->scale = 1 / sqrt((double)scalar);
    }
    family_draw_windows(c);
    if (c->gemma)
        family_draw_two_ropes(c);
    else
        family_draw_one_rope(c);
    buffer_format(&c->text, "}");
}

/* A random model in `directory`; free text afterwards with buffer_free. */
static inline FamilyCase family_case(uint64_t seed, uint32_t number, const char *directory) {
    FamilyCase c = {.address = {.seed = seed, .stream = RNG_TEST, .item = number}};
    Error error = {0};
    HfConfig config;
    Parameters p;
    family_draw_config(&c);
    char *path = file_join(directory, "config.json");
    if (file_write(path, c.text.data, c.text.size, &error) != 0 || hf_config_read(&config, directory, &error) != 0 ||
        parameters_create(&p, &config, &error) != 0)
        fail_msg("%.*s: %s", (int)c.text.size, (const char *)c.text.data, error.message);
    float *values = malloc(p.elements * sizeof *values);
    TensorSource *source = calloc(p.tensors, sizeof *source);
    assert_true(values != NULL && source != NULL);
    for (size_t i = 0; i < p.elements; i++) values[i] = (float)rng_normal(&c.address, c.at++) * 0.4f;
    for (size_t i = 0; i < p.tensors; i++) {
        const ModelTensor *t = &p.tensor[i];
        bool norm = strstr(t->name, "norm.weight") != NULL;
        for (size_t k = 0; norm && !c.gemma && k < t->elements; k++) values[t->offset + k] += 1;
        source[i] = model_tensor_source(t, DTYPE_F32, values);
    }
    if (safetensors_write(directory, source, p.tensors, 0, &error) != 0) fail_msg("%s", error.message);
    free(values), free(source), free(path);
    parameters_free(&p);
    return c;
}

/* Weights in double, named as the checkpoint names them. */
typedef struct {
    const Model *model;
    const double *values; // (model_weight_count)
} FamilyWeights;

static inline const double *family_find(const FamilyWeights *w, size_t layer, const char *what) {
    char name[128];
    if (layer == SIZE_MAX)
        snprintf(name, sizeof name, "%s", what);
    else
        snprintf(name, sizeof name, "model.layers.%zu.%s", layer, what);
    for (size_t i = 0; i < model_tensor_count(w->model); i++)
        if (strcmp(model_tensors(w->model)[i].name, name) == 0) return w->values + model_tensors(w->model)[i].offset;
    return NULL;
}

static inline void family_norm(const FamilyCase *c, size_t n, const double *weight, const double *x, double *y) {
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += x[i] * x[i];
    double inverse = 1 / sqrt(squares / (double)n + c->eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * inverse * (weight[i] + (c->gemma ? 1 : 0));
}

/* y (out) = W x + b where there is a bias. */
static inline void family_linear(const FamilyWeights *w, size_t layer, const char *what, size_t out, size_t in,
                                 const double *x, double *y) {
    char name[64];
    snprintf(name, sizeof name, "%s.weight", what);
    const double *weight = family_find(w, layer, name);
    snprintf(name, sizeof name, "%s.bias", what);
    const double *bias = family_find(w, layer, name);
    assert_non_null(weight);
    for (size_t o = 0; o < out; o++) {
        y[o] = bias == NULL ? 0 : bias[o];
        for (size_t i = 0; i < in; i++) y[o] += weight[o * in + i] * x[i];
    }
}

/* Frequency i of D/2; *size: what cosine and sine are multiplied by. */
static inline double family_frequency(const FamilyRope *r, size_t D, size_t i, double *size) {
    double f = pow(r->theta, -2.0 * (double)i / (double)D), turns = r->original * f / (2 * M_PI);
    *size = r->kind == CASE_YARN ? r->attention : 1;
    if (r->kind == CASE_PLAIN) return f;
    if (r->kind == CASE_LINEAR) return f / r->factor;
    if (r->kind == CASE_LLAMA3) {
        double t = fmin(1, fmax(0, (turns - r->low) / (r->high - r->low)));
        return (1 - t) * f / r->factor + t * f;
    }
    double d = (double)D, low = d * log(r->original / (r->fast * 2 * M_PI)) / (2 * log(r->theta)),
           high = d * log(r->original / (r->slow * 2 * M_PI)) / (2 * log(r->theta));
    low = fmax(0, floor(low)), high = fmin(d - 1, ceil(high));
    double ramp = fmin(1, fmax(0, ((double)i - low) / (low == high ? 0.001 : high - low)));
    return f / r->factor * ramp + f * (1 - ramp);
}

static inline void family_turn(const FamilyRope *r, size_t D, size_t position, double *head) {
    for (size_t i = 0; i < D / 2; i++) {
        double size, f = family_frequency(r, D, i, &size), angle = (double)position * f, a = head[i],
                     b = head[i + D / 2];
        head[i] = size * (a * cos(angle) - b * sin(angle));
        head[i + D / 2] = size * (b * cos(angle) + a * sin(angle));
    }
}

/* x (T, C) += what attention of a layer gives. */
static inline void family_attention(const FamilyCase *c, const FamilyWeights *w, size_t l, size_t T,
                                    double (*x)[FAMILY_WIDEST]) {
    static double q[FAMILY_TOKENS][128], k[FAMILY_TOKENS][128], v[FAMILY_TOKENS][128];
    const double *q_norm = family_find(w, l, "self_attn.q_norm.weight"),
                 *k_norm = family_find(w, l, "self_attn.k_norm.weight");
    assert_true((q_norm != NULL) == (c->gemma || strcmp(c->type, "qwen3") == 0));
    for (size_t t = 0; t < T; t++) {
        double h[FAMILY_WIDEST];
        family_norm(c, c->C, family_find(w, l, "input_layernorm.weight"), x[t], h);
        family_linear(w, l, "self_attn.q_proj", c->H * c->D, c->C, h, q[t]);
        family_linear(w, l, "self_attn.k_proj", c->K * c->D, c->C, h, k[t]);
        family_linear(w, l, "self_attn.v_proj", c->K * c->D, c->C, h, v[t]);
        for (size_t n = 0; n < c->H + c->K; n++) {
            double *head = n < c->H ? q[t] + n * c->D : k[t] + (n - c->H) * c->D;
            if (q_norm != NULL) family_norm(c, c->D, n < c->H ? q_norm : k_norm, head, head);
            family_turn(&c->rope[l], c->D, t, head);
        }
    }
    for (size_t t = 0; t < T; t++) {
        double out[128] = {0}, h[FAMILY_WIDEST];
        for (size_t n = 0; n < c->H; n++) {
            size_t kv = n / (c->H / c->K) * c->D,
                   first = c->window[l] > 0 && t + 1 > c->window[l] ? t + 1 - c->window[l] : 0;
            double p[FAMILY_TOKENS], sum = 0;
            for (size_t s = first; s <= t; s++) {
                p[s] = 0;
                for (size_t i = 0; i < c->D; i++) p[s] += q[t][n * c->D + i] * k[s][kv + i];
                sum += p[s] = exp(p[s] * c->scale);
            }
            for (size_t s = first; s <= t; s++)
                for (size_t i = 0; i < c->D; i++) out[n * c->D + i] += p[s] / sum * v[s][kv + i];
        }
        family_linear(w, l, "self_attn.o_proj", c->C, c->H * c->D, out, h);
        if (c->gemma) family_norm(c, c->C, family_find(w, l, "post_attention_layernorm.weight"), h, h);
        for (size_t i = 0; i < c->C; i++) x[t][i] += h[i];
    }
}

static inline void family_feed_forward(const FamilyCase *c, const FamilyWeights *w, size_t l, double *x) {
    double h[FAMILY_WIDEST], gate[FAMILY_WIDEST], up[FAMILY_WIDEST];
    const char *before = c->gemma ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
    family_norm(c, c->C, family_find(w, l, before), x, h);
    family_linear(w, l, "mlp.gate_proj", c->F, c->C, h, gate);
    family_linear(w, l, "mlp.up_proj", c->F, c->C, h, up);
    for (size_t i = 0; i < c->F; i++) {
        double g = gate[i];
        up[i] *= c->gelu ? g / 2 * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) : g / (1 + exp(-g));
    }
    family_linear(w, l, "mlp.down_proj", c->C, c->F, up, h);
    if (c->gemma) family_norm(c, c->C, family_find(w, l, "post_feedforward_layernorm.weight"), h, h);
    for (size_t i = 0; i < c->C; i++) x[i] += h[i];
}

/* logits (T, V). */
static inline void family_logits(const FamilyCase *c, const FamilyWeights *w, size_t T, const int32_t *ids,
                                 double *logits) {
    static double x[FAMILY_TOKENS][FAMILY_WIDEST];
    const double *embedding = family_find(w, SIZE_MAX, "model.embed_tokens.weight"),
                 *head = family_find(w, SIZE_MAX, "lm_head.weight");
    assert_true((head == NULL) == c->tied);
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < c->C; i++) x[t][i] = embedding[(size_t)ids[t] * c->C + i] * c->embedding_scale;
    for (size_t l = 0; l < c->L; l++) {
        family_attention(c, w, l, T, x);
        for (size_t t = 0; t < T; t++) family_feed_forward(c, w, l, x[t]);
    }
    for (size_t t = 0; t < T; t++) {
        double h[FAMILY_WIDEST];
        family_norm(c, c->C, family_find(w, SIZE_MAX, "model.norm.weight"), x[t], h);
        for (size_t v = 0; v < c->V; v++) {
            const double *word = (head == NULL ? embedding : head) + v * c->C;
            logits[t * c->V + v] = 0;
            for (size_t i = 0; i < c->C; i++) logits[t * c->V + v] += word[i] * h[i];
        }
    }
}
