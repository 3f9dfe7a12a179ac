#include "formats/gguf_import.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/gguf_config.h"
#include "formats/gguf_tokenizer.h"
#include "formats/safetensors_writer.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The channels that a dimension of a tensor counts. */
typedef enum { NOTHING, MODEL, QUERIES, KEYS, HEAD, INNER, WORDS } Channels;

/* One kind of tensor: names without the layer's prefix, shape (rows, columns); rows NOTHING: a vector. */
typedef struct {
    const char *gguf, *hf;
    Channels rows, columns;
    enum { ALWAYS, WITH_BIAS, WITH_HEAD_NORMS, UNTIED, SANDWICH, PLAIN } when;
} Kind;

static const Kind outer[] = {{"token_embd.weight", "model.embed_tokens.weight", WORDS, MODEL, ALWAYS},
                             {"output_norm.weight", "model.norm.weight", NOTHING, MODEL, ALWAYS},
                             {"output.weight", "lm_head.weight", WORDS, MODEL, UNTIED}};

static const Kind inner[] = {
    {"attn_norm.weight", "input_layernorm.weight", NOTHING, MODEL, ALWAYS},
    {"attn_q.weight", "self_attn.q_proj.weight", QUERIES, MODEL, ALWAYS},
    {"attn_q.bias", "self_attn.q_proj.bias", NOTHING, QUERIES, WITH_BIAS},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", NOTHING, HEAD, WITH_HEAD_NORMS},
    {"attn_k.weight", "self_attn.k_proj.weight", KEYS, MODEL, ALWAYS},
    {"attn_k.bias", "self_attn.k_proj.bias", NOTHING, KEYS, WITH_BIAS},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", NOTHING, HEAD, WITH_HEAD_NORMS},
    {"attn_v.weight", "self_attn.v_proj.weight", KEYS, MODEL, ALWAYS},
    {"attn_v.bias", "self_attn.v_proj.bias", NOTHING, KEYS, WITH_BIAS},
    {"attn_output.weight", "self_attn.o_proj.weight", MODEL, QUERIES, ALWAYS},
    {"post_attention_norm.weight", "post_attention_layernorm.weight", NOTHING, MODEL, SANDWICH},
    {"ffn_norm.weight", "post_attention_layernorm.weight", NOTHING, MODEL, PLAIN},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight", NOTHING, MODEL, SANDWICH},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", NOTHING, MODEL, SANDWICH},
    {"ffn_gate.weight", "mlp.gate_proj.weight", INNER, MODEL, ALWAYS},
    {"ffn_up.weight", "mlp.up_proj.weight", INNER, MODEL, ALWAYS},
    {"ffn_down.weight", "mlp.down_proj.weight", MODEL, INNER, ALWAYS}};

enum { OUTER = sizeof outer / sizeof *outer, INNERS = sizeof inner / sizeof *inner };

/* One tensor of the import. */
typedef struct {
    const GgufTensor *tensor;
    char name[128];
    size_t unpair; // channels of a head whose rows are pair by pair, 0: in order
    size_t columns;
    float offset; // that the file has added
} Item;

typedef struct {
    const Gguf *gguf;
    HfConfig config;
    DType dtype;
    Item *item;
    TensorSource *source;
    size_t count;
} Plan;

/* [GI-1] Row of the checkpoint -> row of the file. [GI-4] Norms without what the file has added. */
static int read_row(const void *context, size_t row, float *out, Error *error) {
    const Item *item = context;
    size_t d = item->unpair, in_head = d == 0 ? 0 : row % d;
    size_t stored = d == 0 ? row : row - in_head + 2 * (in_head % (d / 2)) + in_head / (d / 2);
    if (gguf_read_f32(item->tensor, stored, 1, out, error) != 0) return -1;
    for (size_t i = 0; item->offset != 0 && i < item->columns; i++) out[i] -= item->offset;
    return 0;
}

static size_t channels(const HfConfig *c, Channels which) {
    switch (which) {
    case MODEL:
        return c->channels;
    case QUERIES:
        return c->heads * c->head_dim;
    case KEYS:
        return c->kv_heads * c->head_dim;
    case HEAD:
        return c->head_dim;
    case INNER:
        return c->feed_forward;
    case WORDS:
        return c->vocabulary;
    default:
        return 1;
    }
}

static bool is_wanted(const HfConfig *c, const Kind *kind) {
    switch (kind->when) {
    case WITH_BIAS:
        return c->qkv_bias;
    case WITH_HEAD_NORMS:
        return c->qk_norm;
    case UNTIED:
        return !c->tied_head;
    case SANDWICH:
        return c->sandwich_norms;
    case PLAIN:
        return !c->sandwich_norms;
    default:
        return true;
    }
}

static int add_item(Plan *p, const Kind *kind, const char *gguf_prefix, const char *hf_prefix, Error *error) {
    const HfConfig *c = &p->config;
    if (!is_wanted(c, kind)) return 0;
    char name[128];
    Item *item = &p->item[p->count];
    TensorSource *source = &p->source[p->count];
    snprintf(name, sizeof name, "%s%s", gguf_prefix, kind->gguf);
    snprintf(item->name, sizeof item->name, "%s%s", hf_prefix, kind->hf);
    const GgufTensor *t = gguf_tensor(p->gguf, name);
    if (t == NULL) return error_set(error, ERROR_INPUT, "%s: the tensor \"%s\" is missing", gguf_name(p->gguf), name);
    bool vector = kind->rows == NOTHING;
    size_t rows = channels(c, kind->rows), columns = channels(c, kind->columns);
    if (t->shape[0] != columns || t->shape[1] != rows || t->shape[2] * t->shape[3] != 1)
        return error_set(error, ERROR_INPUT,
                         "%s: the tensor \"%s\" has the shape (%zu, %zu) where (%zu, %zu) was expected",
                         gguf_name(p->gguf), name, t->shape[1], t->shape[0], rows, columns);
    bool turned = (c->family == FAMILY_LLAMA || c->family == FAMILY_MISTRAL) && !vector &&
                  (kind->rows == QUERIES || kind->hf[10] == 'k');
    item->tensor = t;
    item->unpair = turned ? c->head_dim : 0;
    item->columns = columns;
    item->offset = strstr(kind->hf, "norm.weight") != NULL ? (float)c->norm_offset : 0;
    *source = (TensorSource){
        .name = item->name, .type = p->dtype, .rank = vector ? 1 : 2, .read_row = read_row, .context = item};
    source->shape[0] = vector ? columns : rows;
    if (!vector) source->shape[1] = columns;
    p->count++;
    return 0;
}

/* A tensor that no item uses. */
static int refuse_others(const Plan *p, Error *error) {
    bool factors = gguf_tensor(p->gguf, "rope_freqs.weight") != NULL; // config.json has them
    if (gguf_tensors(p->gguf) == p->count + factors) return 0;
    for (size_t i = 0; i < gguf_tensors(p->gguf); i++) {
        const GgufTensor *t = gguf_tensor_at(p->gguf, i);
        bool used = strcmp(t->name, "rope_freqs.weight") == 0;
        for (size_t k = 0; k < p->count && !used; k++) used = p->item[k].tensor == t;
        if (!used)
            return error_set(error, ERROR_UNSUPPORTED, "%s: the tensor \"%s\" has no place in this kind of model",
                             gguf_name(p->gguf), t->name);
    }
    return 0;
}

static int make_plan(Plan *p, Error *error) {
    size_t most = OUTER + p->config.layers * INNERS; // layers are at most 4096
    p->item = calloc(most, sizeof *p->item);
    p->source = calloc(most, sizeof *p->source);
    if (p->item == NULL || p->source == NULL)
        return error_set(error, ERROR_MEMORY, "%s: no memory for the list of tensors", gguf_name(p->gguf));
    for (size_t k = 0; k < OUTER; k++)
        if (add_item(p, &outer[k], "", "", error) != 0) return -1;
    for (size_t l = 0; l < p->config.layers; l++) {
        char gguf_prefix[48], hf_prefix[48];
        snprintf(gguf_prefix, sizeof gguf_prefix, "blk.%zu.", l);
        snprintf(hf_prefix, sizeof hf_prefix, "model.layers.%zu.", l);
        for (size_t k = 0; k < INNERS; k++)
            if (add_item(p, &inner[k], gguf_prefix, hf_prefix, error) != 0) return -1;
    }
    return refuse_others(p, error);
}

/* Takes the document over. Real numbers get 15 digits: that many of a decimal number survive. */
static int write_document(const char *directory, const char *name, json_t *document, Error *error) {
    char *path = file_join(directory, name), *text = json_dumps(document, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    int result = path == NULL || text == NULL ? error_set(error, ERROR_MEMORY, "%s: no memory for %s", directory, name)
                                              : file_write(path, text, strlen(text), error);
    free(path);
    free(text);
    json_decref(document);
    return result;
}

static int write_directory(Plan *p, const char *directory, Error *error) {
    json_t *config, *generation, *tokenizer, *tokenizer_config;
    if (gguf_config_json(p->gguf, p->dtype, &config, &generation, &p->config, error) != 0) return -1;
    int result = write_document(directory, "config.json", config, error);
    result |= write_document(directory, "generation_config.json", generation, result == 0 ? error : NULL);
    if (result != 0 || make_plan(p, error) != 0) return -1;
    if (gguf_tokenizer_json(p->gguf, &tokenizer, error) != 0 ||
        write_document(directory, "tokenizer.json", tokenizer, error) != 0)
        return -1;
    if (gguf_tokenizer_config(p->gguf, &tokenizer_config, error) != 0 ||
        write_document(directory, "tokenizer_config.json", tokenizer_config, error) != 0)
        return -1;
    return safetensors_write(directory, p->source, p->count, 0, error);
}

/* [GI-3] */
static int put_in_place(const char *partial, const char *directory, Error *error) {
    if (file_sync_directory(partial, error) != 0) return -1;
    if (rename(partial, directory) != 0) return error_errno(error, directory, "put the imported directory in place");
    return 0;
}

static void tell(const Log *log, const Plan *p, const char *directory) {
    if (!gguf_has(p->gguf, "tokenizer.ggml.pre"))
        log_say(log, LOG_WARNING, "%s: does not name its pre-tokenizer (tokenizer.ggml.pre); GPT-2's is assumed",
                gguf_name(p->gguf));
    log_say(log, LOG_INFO, "%s: %zu tensors, stored as %s in %s", gguf_name(p->gguf), p->count, dtype_name(p->dtype),
            directory);
}

/* Nothing is there, or an empty directory, which a rename replaces. */
static bool is_free(const char *directory) {
    DIR *d = opendir(directory);
    if (d == NULL) return errno == ENOENT;
    size_t entries = 0;
    while (readdir(d) != NULL) entries++;
    closedir(d);
    return entries <= 2; // "." and ".."
}

static int import(Plan *plan, const char *directory, Error *error) {
    char *partial = NULL;
    int result = -1;
    if (asprintf(&partial, "%s.partial", directory) < 0)
        return error_set(error, ERROR_MEMORY, "%s: no memory for its name", directory);
    if (file_remove_tree(partial, error) == 0 && file_make_directory(partial, error) == 0) {
        if (write_directory(plan, partial, error) == 0) result = put_in_place(partial, directory, error);
        if (result != 0) file_remove_tree(partial, NULL);
    }
    free(partial);
    return result;
}

int gguf_import(const char *gguf_path, const char *directory, DType dtype, const Log *log, Error *error) {
    Gguf *gguf = NULL;
    char *target = strdup(directory);
    int result = -1;
    for (size_t n = target == NULL ? 0 : strlen(target); n > 1 && target[n - 1] == '/'; n--) target[n - 1] = 0;
    if (target == NULL)
        error_set(error, ERROR_MEMORY, "%s: no memory for its name", directory);
    else if (dtype == DTYPE_F16)
        error_set(error, ERROR_UNSUPPORTED, "%s: can be imported as float32 or bfloat16, not as float16", gguf_path);
    else if (!is_free(target))
        error_set(error, ERROR_IO, "%s: is there already and is no empty directory; remove it or give another", target);
    else if (gguf_open(&gguf, gguf_path, error) == 0) {
        Plan plan = {.gguf = gguf, .dtype = dtype};
        result = import(&plan, target, error);
        if (result == 0) tell(log, &plan, target);
        free(plan.item);
        free(plan.source);
    }
    free(target);
    gguf_close(gguf);
    return result;
}
