#include "cli/inspect.h"

#include "base/file.h"
#include "formats/gguf.h"
#include "formats/hf_directory.h"
#include "formats/peft_adapter.h"
#include "formats/safetensors.h"
#include "model/cost.h"

#include <stdlib.h>
#include <string.h>

static void add_shape(json_t *entry, const size_t *shape, size_t rank) {
    json_t *list = json_array();
    for (size_t i = 0; i < rank; i++) json_array_append_new(list, json_integer((json_int_t)shape[i]));
    json_object_set_new(entry, "shape", list);
}

static void print_tensors(const json_t *tensors) {
    size_t i;
    json_t *t;
    json_array_foreach(tensors, i, t) {
        char *shape = json_dumps(json_object_get(t, "shape"), JSON_COMPACT);
        printf("  %-56s %-6s %s\n", json_string_value(json_object_get(t, "name")),
               json_string_value(json_object_get(t, "type")), shape == NULL ? "" : shape);
        free(shape);
    }
}

/* Prints {"kind", ..., "tensors"}: as JSON, or as lines. Takes the reference. */
static int print_all(const InspectValues *v, json_t *object, Error *error) {
    const char *key;
    json_t *value;
    if (v->common.json) return command_print_json(object, error);
    json_object_foreach(object, key, value) {
        if (strcmp(key, "tensors") == 0) continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-24s %.300s\n", key, text == NULL ? "" : text);
        free(text);
    }
    print_tensors(json_object_get(object, "tensors"));
    json_decref(object);
    return 0;
}

static json_t *list_checkpoint(const Checkpoint *checkpoint) {
    json_t *tensors = json_array();
    size_t elements = 0, bytes = 0;
    for (size_t i = 0; i < checkpoint_count(checkpoint); i++) {
        const TensorView *t = checkpoint_at(checkpoint, i);
        json_t *entry = json_pack("{s:s, s:s}", "name", t->name, "type", dtype_name(t->type));
        add_shape(entry, t->shape, t->rank);
        json_array_append_new(tensors, entry);
        elements += t->elements, bytes += t->bytes;
    }
    return json_pack("{s:s, s:I, s:I, s:o}", "kind", "safetensors", "numbers", (json_int_t)elements, "bytes",
                     (json_int_t)bytes, "tensors", tensors);
}

static int inspect_safetensors(const InspectValues *v, const char *path, Error *error) {
    Checkpoint *checkpoint;
    if (checkpoint_open(&checkpoint, path, error) != 0) return -1;
    json_t *object = list_checkpoint(checkpoint);
    checkpoint_close(checkpoint);
    return print_all(v, object, error);
}

static void add_text(json_t *object, const Gguf *gguf, const char *key) {
    GgufString text;
    if (gguf_has(gguf, key) && gguf_string(gguf, key, &text, NULL) == 0)
        json_object_set_new(object, key, json_stringn(text.text, text.bytes));
}

static int inspect_gguf(const InspectValues *v, const char *path, Error *error) {
    Gguf *gguf;
    if (gguf_open(&gguf, path, error) != 0) return -1;
    json_t *object = json_pack("{s:s}", "kind", "GGUF"), *tensors = json_array();
    add_text(object, gguf, "general.architecture");
    add_text(object, gguf, "general.name");
    add_text(object, gguf, "general.license");
    add_text(object, gguf, "tokenizer.ggml.model");
    add_text(object, gguf, "tokenizer.ggml.pre");
    add_text(object, gguf, "tokenizer.chat_template");
    size_t elements = 0, bytes = 0;
    for (size_t i = 0; i < gguf_tensors(gguf); i++) {
        const GgufTensor *t = gguf_tensor_at(gguf, i);
        json_t *entry = json_pack("{s:s, s:s}", "name", t->name, "type", t->format->name);
        add_shape(entry, t->shape, t->rank);
        json_array_append_new(tensors, entry);
        elements += t->elements, bytes += t->bytes;
    }
    json_object_set_new(object, "numbers", json_integer((json_int_t)elements));
    json_object_set_new(object, "bytes", json_integer((json_int_t)bytes));
    json_object_set_new(object, "tensors", tensors);
    gguf_close(gguf);
    return print_all(v, object, error);
}

static int inspect_directory(const InspectValues *v, const char *path, Error *error) {
    HfConfig c;
    Checkpoint *checkpoint;
    Hash hash;
    char *chat_template = NULL;
    if (hf_config_read(&c, path, error) != 0 || checkpoint_open(&checkpoint, path, error) != 0) return -1;
    json_t *object = list_checkpoint(checkpoint), *eos = json_array();
    checkpoint_close(checkpoint);
    if (hf_directory_chat_template(path, &chat_template, error) != 0 || hf_directory_hash(path, &hash, error) != 0) {
        json_decref(object);
        json_decref(eos);
        free(chat_template);
        return -1;
    }
    for (size_t i = 0; i < c.eos_count; i++) json_array_append_new(eos, json_integer(c.eos_token[i]));
    json_object_set_new(object, "kind", json_string("checkpoint directory"));
    json_object_set_new(object, "family", json_string(hf_config_family(&c)));
    json_t *more = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:f, s:f, s:o, s:b, s:s}", "layers",
                             (json_int_t)c.layers, "channels", (json_int_t)c.channels, "heads", (json_int_t)c.heads,
                             "kv_heads", (json_int_t)c.kv_heads, "head_dim", (json_int_t)c.head_dim, "feed_forward",
                             (json_int_t)c.feed_forward, "vocabulary", (json_int_t)c.vocabulary, "context",
                             (json_int_t)c.max_positions, "tied_head", c.tied_head, "rope_theta", c.rope[0].theta,
                             "weights", cost_all_weights(&c), "end_tokens", eos, "chat_template", chat_template != NULL,
                             "content_hash", hash.hex);
    json_object_update(object, more);
    json_decref(more);
    free(chat_template);
    return print_all(v, object, error);
}

static int inspect_adapter(const InspectValues *v, const char *path, Error *error) {
    PeftAdapter adapter;
    json_t *object = NULL;
    if (peft_adapter_open(&adapter, path, error) == 0) {
        const LoraSettings *s = &adapter.settings;
        object = list_checkpoint(adapter.tensors);
        json_t *more = json_pack("{s:s, s:s?, s:I, s:f, s:b, s:f, s:f}", "kind", "LoRA adapter", "base", adapter.base,
                                 "r", (json_int_t)s->r, "alpha", s->alpha, "rslora", (int)s->rslora, "scale",
                                 peft_adapter_scale(s), "dropout", s->dropout);
        json_object_update(object, more);
        json_decref(more);
    }
    peft_adapter_close(&adapter);
    return object == NULL ? -1 : print_all(v, object, error);
}

/* A directory that has an adapter and is no checkpoint. */
static bool is_adapter(const char *path) {
    char *config = file_join(path, "config.json"), *adapter = file_join(path, "adapter_config.json");
    bool result = config != NULL && adapter != NULL && !file_exists(config) && file_exists(adapter);
    free(config);
    free(adapter);
    return result;
}

int inspect_file(const InspectValues *v, const char *path, Error *error) {
    FileMap map;
    if (file_is_directory(path) && is_adapter(path)) return inspect_adapter(v, path, error);
    if (file_is_directory(path)) return inspect_directory(v, path, error);
    if (file_map(&map, path, error) != 0) return -1;
    bool gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    file_unmap(&map);
    return gguf ? inspect_gguf(v, path, error) : inspect_safetensors(v, path, error);
}
