#include "formats/gguf_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *architecture, *model_type, *class_name;
} Family;

static const Family families[] = {{"llama", "llama", "LlamaForCausalLM"},
                                  {"qwen2", "qwen2", "Qwen2ForCausalLM"},
                                  {"qwen3", "qwen3", "Qwen3ForCausalLM"},
                                  {"gemma3", "gemma3_text", "Gemma3ForCausalLM"}};
static const Family mistral = {"llama", "mistral", "MistralForCausalLM"}; // llama with a sliding window

/* A key of the architecture, "llama.block_count". */
typedef struct {
    char text[80];
} Key;

/* The two documents in the making. */
typedef struct {
    json_t *config, *generation;
    bool failed; // memory: looked at once, at the end
} Documents;

/* Takes the value over. */
static void set(Documents *d, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0) d->failed = true;
}

static Key key_of(const Family *f, const char *name) {
    Key key;
    snprintf(key.text, sizeof key.text, "%s.%s", f->architecture, name);
    return key;
}

static const Family *find_family(const Gguf *g, Error *error) {
    GgufString s = {"", 0};
    if (gguf_string(g, "general.architecture", &s, error) != 0) return NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (s.bytes == strlen(families[i].architecture) && memcmp(s.text, families[i].architecture, s.bytes) == 0)
            return &families[i];
    error_set(
        error, ERROR_UNSUPPORTED,
        "%s: general.architecture \"%.*s\" is not supported; supported are llama (and Mistral's models), qwen2, qwen3, "
        "gemma3",
        gguf_name(g), s.bytes < 60 ? (int)s.bytes : 60, s.text);
    return NULL;
}

/* A whole number >= 1 that must be there. */
static int need(const Gguf *g, const Family *f, const char *name, int64_t *value, Error *error) {
    Key key = key_of(f, name);
    if (!gguf_has(g, key.text))
        return error_set(error, ERROR_INPUT, "%s: the key \"%s\" is missing", gguf_name(g), key.text);
    return gguf_integer(g, key.text, 1, INT32_MAX, value, error);
}

/* A float32 as the shortest decimal number that is it: 1e-05, not 9.99999974737875e-06. */
static double shortest(double single) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, single);
        if (strtof(text, NULL) == (float)single) break;
    }
    return strtod(text, NULL);
}

static int optional_number(const Gguf *g, const Family *f, const char *name, double *value, Error *error) {
    if (gguf_number(g, key_of(f, name).text, value, error) != 0) return -1;
    *value = shortest(*value);
    return 0;
}

/* [GC-1] What llama3 with these parameters multiplies the wavelength of frequency i by. */
static double llama3_factor(size_t i, size_t head_dim, double theta, double factor, double low, double high,
                            double original) {
    double wavelength = 2 * M_PI * pow(theta, 2.0 * (double)i / (double)head_dim);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    double smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
}

static int rope_from_factors(const Gguf *g, const GgufTensor *t, size_t head_dim, double theta, Documents *d,
                             Error *error) {
    enum { PAIRS_MAX = 512 };
    static const double low = 1, high = 4, original = 8192;
    float stored[PAIRS_MAX];
    size_t pairs = head_dim / 2;
    if (t->rank != 1 || t->shape[0] != pairs || pairs > PAIRS_MAX)
        return error_set(error, ERROR_INPUT, "%s: rope_freqs.weight has %zu numbers where %zu were expected",
                         gguf_name(g), t->elements, pairs);
    if (gguf_read_f32(t, 0, 1, stored, error) != 0) return -1;
    double factor = shortest((double)stored[pairs - 1]);
    for (size_t i = 0; i < pairs; i++)
        if (!(fabs((double)stored[i] / llama3_factor(i, head_dim, theta, factor, low, high, original) - 1) < 1e-4))
            return error_set(error, ERROR_UNSUPPORTED,
                             "%s: rope_freqs.weight[%zu] is %g; only the scaling of Llama 3 (low 1, high 4, original "
                             "context 8192) is supported",
                             gguf_name(g), i, (double)stored[i]);
    set(d, d->config, "rope_scaling",
        json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor", factor, "low_freq_factor", low,
                  "high_freq_factor", high, "original_max_position_embeddings", (json_int_t)original));
    return 0;
}

static int set_rope(const Gguf *g, const Family *f, size_t head_dim, Documents *d, Error *error) {
    double theta = 10000, factor = 0, old = 0;
    GgufString type = {"", 0};
    const GgufTensor *factors = gguf_tensor(g, "rope_freqs.weight");
    if (optional_number(g, f, "rope.freq_base", &theta, error) != 0 ||
        gguf_string(g, key_of(f, "rope.scaling.type").text, &type, error) != 0 ||
        optional_number(g, f, "rope.scaling.factor", &factor, error) != 0 ||
        optional_number(g, f, "rope.scale_linear", &old, error) != 0)
        return -1;
    set(d, d->config, "rope_theta", json_real(theta));
    set(d, d->config, "rope_scaling", json_null());
    bool linear = type.bytes == 6 && memcmp(type.text, "linear", 6) == 0,
         none = type.bytes == 0 || (type.bytes == 4 && memcmp(type.text, "none", 4) == 0);
    if (!linear && !none)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: %s.rope.scaling.type \"%.*s\" is not supported; supported are none, linear", gguf_name(g),
                         f->architecture, type.bytes < 60 ? (int)type.bytes : 60, type.text);
    if (factors != NULL) return rope_from_factors(g, factors, head_dim, theta, d, error);
    if (!linear && old != 0) factor = old;
    if ((linear || old != 0) && factor != 1)
        set(d, d->config, "rope_scaling", json_pack("{s:s, s:f}", "rope_type", "linear", "factor", factor));
    return 0;
}

/* What the file has and no supported model may have. */
static int refuse_features(const Gguf *g, const Family *f, int64_t head_dim, Error *error) {
    int64_t experts = 0, rotated = head_dim, value_length = head_dim;
    if (gguf_integer(g, key_of(f, "expert_count").text, 0, INT32_MAX, &experts, error) != 0 ||
        gguf_integer(g, key_of(f, "rope.dimension_count").text, 1, INT32_MAX, &rotated, error) != 0 ||
        gguf_integer(g, key_of(f, "attention.value_length").text, 1, INT32_MAX, &value_length, error) != 0)
        return -1;
    if (experts > 0)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: has %lld experts a layer; mixtures of experts are not supported", gguf_name(g),
                         (long long)experts);
    if (rotated != head_dim)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: turns %lld of %lld channels of a head by position; only all are supported", gguf_name(g),
                         (long long)rotated, (long long)head_dim);
    if (value_length != head_dim)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: values have %lld channels a head and keys %lld; only the same number is supported",
                         gguf_name(g), (long long)value_length, (long long)head_dim);
    return 0;
}

static int set_sizes(const Gguf *g, const Family *f, Documents *d, int64_t *head_dim, Error *error) {
    static const struct {
        const char *name, *member;
    } sizes[] = {{"embedding_length", "hidden_size"},
                 {"block_count", "num_hidden_layers"},
                 {"feed_forward_length", "intermediate_size"},
                 {"attention.head_count", "num_attention_heads"},
                 {"context_length", "max_position_embeddings"}};
    int64_t value[5];
    for (size_t i = 0; i < 5; i++) {
        if (need(g, f, sizes[i].name, &value[i], error) != 0) return -1;
        set(d, d->config, sizes[i].member, json_integer((json_int_t)value[i]));
    }
    int64_t kv_heads = value[3];
    *head_dim = value[0] / value[3];
    if (gguf_integer(g, key_of(f, "attention.head_count_kv").text, 1, INT32_MAX, &kv_heads, error) != 0 ||
        gguf_integer(g, key_of(f, "attention.key_length").text, 1, INT32_MAX, head_dim, error) != 0)
        return -1;
    set(d, d->config, "num_key_value_heads", json_integer((json_int_t)kv_heads));
    set(d, d->config, "head_dim", json_integer((json_int_t)*head_dim));
    return refuse_features(g, f, *head_dim, error);
}

/* Ids of special tokens; the end of a turn is another end where it is named. */
static int set_tokens(const Gguf *g, Documents *d, Error *error) {
    static const char *const keys[3][2] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                           {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                           {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
    int64_t id[3] = {-1, -1, -1}, turn = -1;
    for (size_t i = 0; i < 3; i++) {
        if (gguf_integer(g, keys[i][0], 0, INT32_MAX, &id[i], error) != 0) return -1;
        set(d, d->config, keys[i][1], id[i] < 0 ? json_null() : json_integer((json_int_t)id[i]));
        if (id[i] >= 0) set(d, d->generation, keys[i][1], json_integer((json_int_t)id[i]));
    }
    if (gguf_integer(g, "tokenizer.ggml.eot_token_id", 0, INT32_MAX, &turn, error) != 0) return -1;
    if (turn >= 0 && id[1] >= 0 && turn != id[1])
        set(d, d->generation, "eos_token_id", json_pack("[I, I]", (json_int_t)id[1], (json_int_t)turn));
    return 0;
}

/* What only Gemma 3 has. The score's scale is 1 / sqrt(head_dim), but of its largest, with 62 layers, 1 / sqrt(hidden /
 * heads), as in llama.cpp: GGUF has no key for it. */
static int set_gemma3(const Gguf *g, const Family *f, int64_t head_dim, Documents *d, Error *error) {
    int64_t layers = 0, channels = 0, heads = 1, pattern = 6;
    double local = 10000, cap = 0;
    if (need(g, f, "block_count", &layers, error) != 0 || need(g, f, "embedding_length", &channels, error) != 0 ||
        need(g, f, "attention.head_count", &heads, error) != 0 ||
        gguf_integer(g, key_of(f, "attention.sliding_window_pattern").text, 1, INT32_MAX, &pattern, error) != 0 ||
        optional_number(g, f, "rope.freq_base_swa", &local, error) != 0 ||
        optional_number(g, f, "final_logit_softcapping", &cap, error) != 0)
        return -1;
    set(d, d->config, "query_pre_attn_scalar", json_integer((json_int_t)(layers == 62 ? channels / heads : head_dim)));
    set(d, d->config, "hidden_activation", json_string("gelu_pytorch_tanh"));
    set(d, d->config, "sliding_window_pattern", json_integer((json_int_t)pattern));
    set(d, d->config, "rope_local_base_freq", json_real(local));
    set(d, d->config, "final_logit_softcapping", cap > 0 ? json_real(cap) : json_null());
    return 0;
}

static int fill(const Gguf *g, DType dtype, Documents *d, Error *error) {
    const Family *f = find_family(g, error);
    const GgufTensor *embedding = gguf_tensor(g, "token_embd.weight");
    int64_t head_dim, window = 0;
    double eps = 1e-5;
    if (f == NULL) return -1;
    if (embedding == NULL || embedding->rank != 2)
        return error_set(error, ERROR_INPUT, "%s: has no matrix token_embd.weight", gguf_name(g));
    if (set_sizes(g, f, d, &head_dim, error) != 0 || set_rope(g, f, (size_t)head_dim, d, error) != 0 ||
        set_tokens(g, d, error) != 0)
        return -1;
    if (optional_number(g, f, "attention.layer_norm_rms_epsilon", &eps, error) != 0 ||
        gguf_integer(g, key_of(f, "attention.sliding_window").text, 0, INT32_MAX, &window, error) != 0)
        return -1;
    bool gemma3 = strcmp(f->architecture, "gemma3") == 0;
    if (gemma3 && set_gemma3(g, f, head_dim, d, error) != 0) return -1;
    if (f == &families[0] && window > 0) f = &mistral;
    if (f == &mistral || gemma3)
        set(d, d->config, "sliding_window", window > 0 ? json_integer((json_int_t)window) : json_null());
    if (!gemma3) set(d, d->config, "hidden_act", json_string("silu"));
    json_t *rest =
        json_pack("{s:[s], s:s, s:f, s:s, s:I, s:b, s:b}", "architectures", f->class_name, "model_type", f->model_type,
                  "rms_norm_eps", eps, "torch_dtype", dtype_name(dtype), "vocab_size", (json_int_t)embedding->shape[1],
                  "tie_word_embeddings", gguf_tensor(g, "output.weight") == NULL, "use_cache", 1);
    if (json_object_update(d->config, rest) != 0) d->failed = true;
    json_decref(rest);
    return d->failed ? error_set(error, ERROR_MEMORY, "%s: no memory for config.json", gguf_name(g)) : 0;
}

int gguf_config_json(const Gguf *gguf, DType dtype, json_t **config, json_t **generation, HfConfig *parsed,
                     Error *error) {
    Documents d = {.config = json_object(), .generation = json_object()};
    char *text = NULL, *generation_text = NULL;
    int result = fill(gguf, dtype, &d, error);
    if (result == 0) { // every range and combination is checked there
        text = json_dumps(d.config, 0);
        generation_text = json_dumps(d.generation, 0);
        result = text == NULL || generation_text == NULL
                     ? error_set(error, ERROR_MEMORY, "%s: no memory for config.json", gguf_name(gguf))
                     : hf_config_parse(parsed, text, strlen(text), generation_text, strlen(generation_text),
                                       gguf_name(gguf), error);
    }
    free(text);
    free(generation_text);
    if (result == 0) {
        *config = d.config;
        *generation = d.generation;
        return 0;
    }
    json_decref(d.config);
    json_decref(d.generation);
    return -1;
}
