#include "formats/hf_tokenizer.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

/* One vocabulary of the model's strings and the added tokens, and which are special. An added token that the model also
 * has must have its id there. */
static int collect_tokens(Tokenizer *t, const char *name, Error *error) {
    const Vocabulary *model = bpe_model_vocabulary(t->model);
    size_t added = added_tokens_count(t->added), ids = model->ids, bytes = (size_t)(model->pool_end - model->pool);
    for (size_t i = 0; i < added; i++) {
        const AddedToken *token = added_tokens_at(t->added, i);
        if ((size_t)token->id >= ids) ids = (size_t)token->id + 1;
        bytes += token->bytes;
    }
    if (!vocabulary_create(&t->tokens, ids, model->strings + added, bytes) || (t->flags = calloc(ids + 1, 1)) == NULL)
        return error_set(error, ERROR_MEMORY, "%s: no memory for %zu tokens", name, ids);
    for (size_t id = 0; id < model->ids; id++)
        if (model->entry[id].text != NULL)
            vocabulary_add(&t->tokens, (int32_t)id, model->entry[id].text, model->entry[id].bytes);
    for (size_t i = 0; i < added; i++) {
        const AddedToken *token = added_tokens_at(t->added, i);
        const VocabularyEntry *there = &t->tokens.entry[token->id];
        int32_t known = vocabulary_find(&t->tokens, token->content, token->bytes);
        if (known >= 0 && known != token->id)
            return error_set(error, ERROR_INPUT,
                             "%s: added_tokens[%zu]: \"%s\" has id %d here, but %d in the vocabulary", name, i,
                             token->content, token->id, known);
        if (known < 0 && there->text != NULL)
            return error_set(error, ERROR_INPUT, "%s: added_tokens[%zu]: \"%s\" has id %d, which \"%s\" has already",
                             name, i, token->content, token->id, there->text);
        if (known < 0) vocabulary_add(&t->tokens, token->id, token->content, token->bytes);
        bool changed = token->form_bytes != token->bytes || memcmp(token->form, token->content, token->bytes) != 0;
        t->flags[token->id] = (uint8_t)((token->special ? TOKEN_SPECIAL : 0) | (changed ? TOKEN_HAS_FORM : 0));
    }
    return 0;
}

/* Appends the ids that special_tokens gives to the token of one step of a template. */
static int template_ids(const Tokenizer *t, const json_t *json, const json_t *step, TokenList *ids, const char *name,
                        Error *error) {
    const char *token = json_string_value(json_object_get(step, "id"));
    const json_t *list =
        json_object_get(json_object_get(json_object_get(json, "special_tokens"), token == NULL ? "" : token), "ids");
    if (json_array_size(list) == 0)
        return error_set(error, ERROR_INPUT,
                         "%s: post_processor: the template's token \"%s\" has no ids in special_tokens", name,
                         token == NULL ? "" : token);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_int_t id = json_integer_value(json_array_get(list, i));
        if (!json_is_integer(json_array_get(list, i)) || id < 0 || (size_t)id >= t->tokens.ids)
            return error_set(error, ERROR_INPUT,
                             "%s: post_processor: the ids of \"%s\" must be whole numbers below %zu", name, token,
                             t->tokens.ids);
        if (tokenizer_token(t, (int32_t)id, NULL) == NULL)
            return error_set(error, ERROR_INPUT, "%s: post_processor: id %lld of \"%s\" is not in the vocabulary", name,
                             (long long)id, token);
        token_list_push(ids, (int32_t)id);
    }
    return ids->failed ? error_set(error, ERROR_MEMORY, "%s: no memory", name) : 0;
}

static int read_template(Tokenizer *t, const json_t *json, const char *name, Error *error) {
    const json_t *single = json_need(json, "single", JSON_ARRAY, name, error);
    if (single == NULL) return -1;
    TokenList before = {0}; // goes in front of what earlier post-processors put there
    bool text = false;
    int result = 0;
    for (size_t i = 0; i < json_array_size(single) && result == 0; i++) {
        const json_t *step = json_array_get(single, i), *token = json_object_get(step, "SpecialToken");
        if (json_object_get(step, "Sequence") != NULL && !text)
            text = true;
        else if (token != NULL)
            result = template_ids(t, json, token, text ? &t->suffix : &before, name, error);
        else
            result =
                error_set(error, ERROR_UNSUPPORTED,
                          "%s: post_processor: single[%zu] must be a SpecialToken or, once, the Sequence A", name, i);
    }
    if (result == 0 && !text)
        result = error_set(error, ERROR_INPUT, "%s: post_processor: the template has no Sequence", name);
    token_list_append(&before, t->prefix.data, t->prefix.count);
    token_list_free(&t->prefix);
    t->prefix = before;
    if (result == 0 && (before.failed || t->suffix.failed))
        result = error_set(error, ERROR_MEMORY, "%s: no memory", name);
    return result;
}

static int read_processor(void *context, const char *type, const json_t *json, const char *name, Error *error) {
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(context, json, name, error);
    if (strcmp(type, "ByteLevel") == 0) return 0; // only changes offsets
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: post_processor %s is not supported; there are Sequence, TemplateProcessing, ByteLevel", name,
                     type);
}

static int read_parts(Tokenizer *t, const json_t *root, const char *name, Error *error) {
    const json_t *model = json_need(root, "model", JSON_OBJECT, name, error);
    if (model == NULL || normalizer_from_json(&t->normalizer, json_object_get(root, "normalizer"), name, error) != 0 ||
        added_tokens_from_json(&t->added, json_object_get(root, "added_tokens"), t->normalizer, name, error) != 0 ||
        pretokenizer_from_json(&t->pretokenizer, json_object_get(root, "pre_tokenizer"), name, error) != 0 ||
        bpe_model_from_json(&t->model, model, pretokenizer_byte_level(t->pretokenizer), name, error) != 0 ||
        decode_rules_from_json(&t->decode, json_object_get(root, "decoder"), name, error) != 0 ||
        collect_tokens(t, name, error) != 0)
        return -1;
    return tokenizer_json_parts(json_object_get(root, "post_processor"), "post_processor", "processors", read_processor,
                                t, name, error);
}

int tokenizer_from_json(Tokenizer **t, const json_t *root, const char *name, Error *error) {
    *t = NULL;
    if (!json_is_object(root)) return error_set(error, ERROR_INPUT, "%s: a tokenizer must be a JSON object", name);
    Tokenizer *made = calloc(1, sizeof *made);
    if (made == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for a tokenizer", name);
    made->bos = made->eos = made->pad = -1;
    if (read_parts(made, root, name, error) != 0) {
        tokenizer_free(made);
        return -1;
    }
    *t = made;
    return 0;
}

/* "bos_token" and its like are a string or an added token's object with "content". */
static int read_named(const Tokenizer *t, const json_t *config, const char *key, int32_t *id, const char *name,
                      Error *error) {
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    if (value == NULL || json_is_null(value)) return 0;
    if (!json_is_string(value))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" must be a string, an object with \"content\", or null", name,
                         key);
    *id = tokenizer_id(t, json_string_value(value));
    return 0;
}

int tokenizer_load(Tokenizer **t, const char *path, Error *error) {
    json_t *root, *config;
    char *name, place[512];
    *t = NULL;
    snprintf(place, sizeof place, "%.480s/tokenizer_config.json", path);
    if (hf_tokenizer_read(path, &root, &config, &name, error) != 0) return -1;
    int result = tokenizer_from_json(t, root, name, error);
    if (result == 0 && config != NULL &&
        (read_named(*t, config, "bos_token", &(*t)->bos, place, error) != 0 ||
         read_named(*t, config, "eos_token", &(*t)->eos, place, error) != 0 ||
         read_named(*t, config, "pad_token", &(*t)->pad, place, error) != 0)) {
        tokenizer_free(*t);
        *t = NULL;
        result = -1;
    }
    json_decref(root);
    json_decref(config);
    free(name);
    return result;
}
