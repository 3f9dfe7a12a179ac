#include "formats/hf_config.h"
#include "base/file.h"
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What transformers' configuration classes assume where the file is silent. 0 heads: as the formula of the field says.
 */
typedef struct {
    const char *model_type;
    ModelFamily family;
    int64_t kv_heads, head_dim, max_positions, window, bos, eos, pad;
} Family;

static const Family families[] = {{"llama", FAMILY_LLAMA, 0, 0, 2048, 0, 1, 2, -1},
                                  {"mistral", FAMILY_MISTRAL, 8, 0, 131072, 4096, 1, 2, -1},
                                  {"qwen2", FAMILY_QWEN2, 32, 0, 32768, 4096, -1, -1, -1},
                                  {"qwen3", FAMILY_QWEN3, 32, 128, 32768, 4096, -1, -1, -1},
                                  {"gemma3_text", FAMILY_GEMMA3, 4, 256, 131072, 4096, 2, 1, 0}};
enum { FAMILIES = sizeof families / sizeof *families };
static const char *const supported = "llama, mistral, qwen2, qwen3, gemma3_text";

const char *hf_config_family(const HfConfig *config) {
    size_t i = 0;
    while (families[i].family != config->family) i++;
    return families[i].model_type;
}

static const Family *find_family(const json_t *json, const char *name, Error *error) {
    const json_t *type = json_need(json, "model_type", JSON_STRING, name, error);
    if (type == NULL) return NULL;
    for (size_t i = 0; i < FAMILIES; i++)
        if (strcmp(families[i].model_type, json_string_value(type)) == 0) return &families[i];
    error_set(error, ERROR_UNSUPPORTED, "%s: model_type \"%s\" is not supported; supported are %s%s", name,
              json_string_value(type), supported,
              strcmp(json_string_value(type), "gemma3") == 0
                  ? " (gemma3 sees images, too: save its language model as a checkpoint of its own)"
                  : "");
    return NULL;
}

/* A whole number >= 1. Absent: `absent`; null: `null`; where that is 0 the key must be there. */
static int read_size(const json_t *json, const char *key, int64_t high, int64_t absent, int64_t null, size_t *value,
                     const char *name, Error *error) {
    const json_t *found = json_object_get(json, key);
    int64_t number = found == NULL ? absent : json_is_null(found) ? null : 0;
    if (number == 0 && (found == NULL || json_is_null(found)))
        return error_set(error, ERROR_INPUT, "%s: the key \"%s\" is missing (a whole number was expected)", name, key);
    if (json_get_integer(json, key, 1, high, &number, name, error) != 0) return -1;
    *value = (size_t)number;
    return 0;
}

static int read_sizes(HfConfig *c, const json_t *json, const Family *f, const char *name, Error *error) {
    if (read_size(json, "num_hidden_layers", HF_LAYERS_MAX, 0, 0, &c->layers, name, error) != 0 ||
        read_size(json, "hidden_size", 1 << 20, 0, 0, &c->channels, name, error) != 0 ||
        read_size(json, "num_attention_heads", 1 << 16, 0, 0, &c->heads, name, error) != 0 ||
        read_size(json, "intermediate_size", 1 << 24, 0, 0, &c->feed_forward, name, error) != 0 ||
        read_size(json, "vocab_size", 1 << 26, 0, 0, &c->vocabulary, name, error) != 0 ||
        read_size(json, "max_position_embeddings", INT32_MAX, f->max_positions, f->max_positions, &c->max_positions,
                  name, error) != 0)
        return -1;
    int64_t heads = (int64_t)c->heads, kv_heads = f->kv_heads != 0 ? f->kv_heads : heads;
    if (read_size(json, "num_key_value_heads", 1 << 16, kv_heads, heads, &c->kv_heads, name, error) != 0) return -1;
    if (c->heads % c->kv_heads != 0)
        return error_set(error, ERROR_INPUT, "%s: num_attention_heads %zu is not a multiple of num_key_value_heads %zu",
                         name, c->heads, c->kv_heads);
    const json_t *head_dim = json_object_get(json, "head_dim");
    bool derived = json_is_null(head_dim) || (head_dim == NULL && f->head_dim == 0);
    if (derived && c->channels % c->heads != 0)
        return error_set(error, ERROR_INPUT,
                         "%s: hidden_size %zu is not a multiple of num_attention_heads %zu, and there is no head_dim",
                         name, c->channels, c->heads);
    int64_t even_share = (int64_t)(c->channels / c->heads);
    if (read_size(json, "head_dim", 1 << 16, derived ? even_share : f->head_dim, even_share, &c->head_dim, name, error))
        return -1;
    if (c->head_dim % 2 != 0)
        return error_set(
            error, ERROR_INPUT,
            "%s: head_dim %zu is odd, but rotary positions turn pairs of channels: an even number is needed", name,
            c->head_dim);
    return 0;
}

static void set_slides(HfConfig *c, size_t layer) { c->sliding[layer / 8] |= (uint8_t)(1u << layer % 8); }

/* Layers that slide by the list; *found: whether there is one. */
static int read_layer_types(HfConfig *c, const json_t *json, bool *found, const char *name, Error *error) {
    const json_t *types = json_object_get(json, "layer_types");
    *found = types != NULL && !json_is_null(types);
    if (!*found) return 0;
    if (json_array_size(types) != c->layers)
        return error_set(error, ERROR_INPUT, "%s: \"layer_types\" must be a list of %zu strings, one a layer", name,
                         c->layers);
    for (size_t i = 0; i < c->layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type == NULL) return error_set(error, ERROR_INPUT, "%s: layer_types[%zu] is not a string", name, i);
        if (strcmp(type, "sliding_attention") == 0)
            set_slides(c, i);
        else if (strcmp(type, "full_attention") != 0)
            return error_set(error, ERROR_UNSUPPORTED,
                             "%s: layer_types[%zu] is \"%s\"; supported are full_attention, sliding_attention", name, i,
                             type);
    }
    return 0;
}

/* [HC-3] Mistral: every layer. Qwen: layer_types, or else those from max_window_layers on; none where the switch is
 * off. Gemma: layer_types, or else all but every sixth. */
static int read_window(HfConfig *c, const json_t *json, const Family *f, const char *name, Error *error) {
    if (c->family == FAMILY_LLAMA) return 0;
    int64_t window = json_is_null(json_object_get(json, "sliding_window")) ? 0 : f->window, from = 28, pattern = 6;
    int on = c->family == FAMILY_MISTRAL || c->family == FAMILY_GEMMA3;
    bool listed = false;
    if (json_get_integer(json, "sliding_window", 1, INT32_MAX, &window, name, error) != 0 ||
        json_get_integer(json, "max_window_layers", 0, INT32_MAX, &from, name, error) != 0 ||
        json_get_integer(json, "sliding_window_pattern", 1, INT32_MAX, &pattern, name, error) != 0)
        return -1;
    if (!on && json_get_bool(json, "use_sliding_window", &on, name, error) != 0) return -1;
    if (c->family != FAMILY_MISTRAL && read_layer_types(c, json, &listed, name, error) != 0) return -1;
    for (size_t l = 0; !listed && l < c->layers; l++)
        if (c->family == FAMILY_GEMMA3    ? (l + 1) % (size_t)pattern != 0
            : c->family == FAMILY_MISTRAL ? true
                                          : l >= (size_t)from)
            set_slides(c, l);
    bool some = false;
    for (size_t i = 0; i < sizeof c->sliding; i++) some = some || c->sliding[i] != 0;
    if (some && window == 0 && c->family == FAMILY_GEMMA3)
        return error_set(error, ERROR_INPUT, "%s: \"sliding_window\" is null, but layers slide", name);
    if (on && some) c->window = (size_t)window;
    if (c->window == 0) memset(c->sliding, 0, sizeof c->sliding);
    return 0;
}

static int read_activation(HfConfig *c, const json_t *json, const char *name, Error *error) {
    static const struct {
        const char *name;
        HfActivation activation;
    } known[] = {
        {"silu", HF_SILU}, {"swish", HF_SILU}, {"gelu_pytorch_tanh", HF_GELU_TANH}, {"gelu_new", HF_GELU_TANH}};
    const char *key = c->family == FAMILY_GEMMA3 ? "hidden_activation" : "hidden_act";
    const json_t *act = json_object_get(json, key);
    c->activation = c->family == FAMILY_GEMMA3 ? HF_GELU_TANH : HF_SILU;
    if (act == NULL || json_is_null(act)) return 0;
    if (!json_is_string(act))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %s where a string was expected", name, key,
                         json_type_name(json_typeof(act)));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, json_string_value(act)) == 0) {
            c->activation = known[i].activation;
            return 0;
        }
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: %s \"%s\" is not supported; supported are silu and gelu_pytorch_tanh", name, key,
                     json_string_value(act));
}

/* Keys that would change the forward pass and have no place in it. */
static int refuse_features(const HfConfig *c, const json_t *json, const char *name, Error *error) {
    static const char *const capping[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    const json_t *quantization = json_object_get(json, "quantization_config");
    int both_ways = 0;
    if (quantization != NULL && !json_is_null(quantization))
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: \"quantization_config\": quantised weights are not supported; give the float checkpoint "
                         "or a GGUF file",
                         name);
    if (c->family != FAMILY_GEMMA3) return 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *cap = json_object_get(json, capping[i]);
        if (cap != NULL && !json_is_null(cap))
            return error_set(error, ERROR_UNSUPPORTED, "%s: \"%s\" is not supported; supported is null", name,
                             capping[i]);
    }
    if (json_get_bool(json, "use_bidirectional_attention", &both_ways, name, error) != 0) return -1;
    if (!both_ways) return 0;
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: \"use_bidirectional_attention\" true is not supported: only causal models have log-probs",
                     name);
}

static int read_features(HfConfig *c, const json_t *json, const char *name, Error *error) {
    int mlp_bias = 0, bias = 0, tied = c->family == FAMILY_GEMMA3;
    if (refuse_features(c, json, name, error) != 0 || read_activation(c, json, name, error) != 0 ||
        json_get_bool(json, "mlp_bias", &mlp_bias, name, error) != 0 ||
        json_get_bool(json, "attention_bias", &bias, name, error) != 0 ||
        json_get_bool(json, "tie_word_embeddings", &tied, name, error) != 0)
        return -1;
    // The other families have no such switch, whatever the file says. Where there is one, it is a bias of o as well.
    bool has_switch = c->family != FAMILY_MISTRAL && c->family != FAMILY_QWEN2;
    c->output_bias = bias && has_switch;
    c->qkv_bias = c->output_bias || c->family == FAMILY_QWEN2;
    c->mlp_bias = mlp_bias && c->family == FAMILY_LLAMA;
    c->tied_head = tied;
    c->qk_norm = c->family == FAMILY_QWEN3 || c->family == FAMILY_GEMMA3;
    c->sandwich_norms = c->family == FAMILY_GEMMA3;
    c->norm_offset = c->family == FAMILY_GEMMA3 ? 1 : 0;
    c->norm_eps = 1e-6;
    return json_get_positive(json, "rms_norm_eps", 0, &c->norm_eps, name, error);
}

/* What multiplies embeddings and attention scores. */
static int read_scales(HfConfig *c, const json_t *json, const char *name, Error *error) {
    double scalar = (double)c->head_dim;
    c->embedding_scale = 1;
    if (c->family == FAMILY_GEMMA3) {
        scalar = 256;
        c->embedding_scale = sqrt((double)c->channels);
        if (json_get_positive(json, "query_pre_attn_scalar", 0, &scalar, name, error) != 0) return -1;
    }
    c->attention_scale = 1 / sqrt(scalar);
    return 0;
}

static int read_rope(HfConfig *c, const json_t *json, const char *name, Error *error) {
    c->ropes = c->family == FAMILY_GEMMA3 ? 2 : 1;
    return c->ropes == 2 ? hf_rope_read_two(json, (double)c->max_positions, c->rope, name, error)
                         : hf_rope_read(json, (double)c->max_positions, &c->rope[0], name, error);
}

static int read_dtype(HfConfig *c, const json_t *json, const char *name, Error *error) {
    const char *key = "dtype";
    const json_t *type = json_object_get(json, key);
    if (type == NULL || json_is_null(type)) type = json_object_get(json, key = "torch_dtype");
    c->dtype = DTYPE_F32;
    if (type == NULL || json_is_null(type)) return 0;
    if (!json_is_string(type))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %s where a string was expected", name, key,
                         json_type_name(json_typeof(type)));
    const DType known[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    for (size_t i = 0; i < 3; i++) {
        c->dtype = known[i];
        if (strcmp(dtype_name(known[i]), json_string_value(type)) == 0) return 0;
    }
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: %s \"%s\" is not supported; supported are float32, bfloat16, float16", name, key,
                     json_string_value(type));
}

static int read_token(const json_t *json, const char *key, int64_t low, int64_t high, int32_t *token, const char *name,
                      Error *error) {
    int64_t id = json_is_null(json_object_get(json, key)) ? -1 : *token;
    if (json_get_integer(json, key, low, high, &id, name, error) != 0) return -1;
    *token = (int32_t)id;
    return 0;
}

/* One id or a list of ids; absent leaves what is there. null says none in config.json, nothing in generation_config. */
static int read_eos(HfConfig *c, const json_t *json, bool null_is_none, const char *name, Error *error) {
    const json_t *eos = json_object_get(json, "eos_token_id");
    if (json_is_null(eos) && null_is_none) c->eos_count = 0;
    if (eos == NULL || json_is_null(eos)) return 0;
    size_t n = json_is_array(eos) ? json_array_size(eos) : 1;
    if (n > HF_EOS_MAX)
        return error_set(error, ERROR_INPUT, "%s: \"eos_token_id\" has %zu ids, at most %d were expected", name, n,
                         HF_EOS_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || (size_t)json_integer_value(id) >= c->vocabulary)
            return error_set(
                error, ERROR_INPUT,
                "%s: \"eos_token_id\" must be one id or a list of ids, each from 0 to vocab_size - 1 = %zu", name,
                c->vocabulary - 1);
        c->eos_token[i] = (int32_t)json_integer_value(id);
    }
    c->eos_count = n;
    return 0;
}

static int parse_config(HfConfig *c, const json_t *json, const char *name, Error *error) {
    if (!json_is_object(json))
        return error_set(error, ERROR_INPUT, "%s: is %s where an object was expected", name,
                         json_type_name(json_typeof(json)));
    const Family *f = find_family(json, name, error);
    if (f == NULL) return -1;
    *c = (HfConfig){
        .family = f->family, .bos_token = (int32_t)f->bos, .pad_token = (int32_t)f->pad, .eos_count = f->eos >= 0};
    c->eos_token[0] = (int32_t)f->eos;
    if (read_features(c, json, name, error) != 0 || read_sizes(c, json, f, name, error) != 0 ||
        read_scales(c, json, name, error) != 0 || read_rope(c, json, name, error) != 0 ||
        read_window(c, json, f, name, error) != 0 || read_dtype(c, json, name, error) != 0)
        return -1;
    int64_t last = (int64_t)c->vocabulary - 1;
    if (c->bos_token > last) c->bos_token = -1; // only the default can be: the file's own ids are checked below
    if (c->eos_count == 1 && c->eos_token[0] > last) c->eos_count = 0;
    return read_token(json, "bos_token_id", 0, last, &c->bos_token, name, error) != 0 ||
                   read_token(json, "pad_token_id", -1, INT32_MAX, &c->pad_token, name, error) != 0
               ? -1
               : read_eos(c, json, true, name, error);
}

static int parse_generation(HfConfig *c, const json_t *json, const char *name, Error *error) {
    if (!json_is_object(json))
        return error_set(error, ERROR_INPUT, "%s: is %s where an object was expected", name,
                         json_type_name(json_typeof(json)));
    return read_eos(c, json, false, name, error);
}

static int parse_text(HfConfig *c, const char *text, size_t bytes, bool generation, const char *name, Error *error) {
    json_t *json = json_parse(text, bytes, name, 1, error);
    if (json == NULL) return -1;
    int result = generation ? parse_generation(c, json, name, error) : parse_config(c, json, name, error);
    json_decref(json);
    return result;
}

int hf_config_parse(HfConfig *config, const char *text, size_t bytes, const char *generation, size_t generation_bytes,
                    const char *name, Error *error) {
    HfConfig c;
    char generation_name[512];
    snprintf(generation_name, sizeof generation_name, "%s: generation_config", name);
    if (parse_text(&c, text, bytes, false, name, error) != 0) return -1;
    if (generation != NULL && parse_text(&c, generation, generation_bytes, true, generation_name, error) != 0)
        return -1;
    *config = c;
    return 0;
}

static int read_file(HfConfig *c, const char *path, bool generation, Error *error) {
    FileMap map;
    if (file_map(&map, path, error) != 0) return -1;
    int result = parse_text(c, map.data == NULL ? "" : (const char *)map.data, map.size, generation, path, error);
    file_unmap(&map);
    return result;
}

int hf_config_read(HfConfig *config, const char *directory, Error *error) {
    HfConfig c;
    char *path = file_join(directory, "config.json"), *generation = file_join(directory, "generation_config.json");
    int result = -1;
    if (path == NULL || generation == NULL)
        error_set(error, ERROR_MEMORY, "%s: no memory for its paths", directory);
    else if (read_file(&c, path, false, error) == 0)
        result = file_exists(generation) ? read_file(&c, generation, true, error) : 0;
    if (result == 0) *config = c;
    free(path);
    free(generation);
    return result;
}
