#include "text/decode_rules.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const json_t *text) {
    char *own = malloc(json_string_length(text) + 1);
    if (own != NULL) memcpy(own, json_string_value(text), json_string_length(text) + 1);
    return own;
}

static int add_replace(DecodeRules *r, const json_t *from, const json_t *to, bool drop_in_first, const char *name,
                       Error *error) {
    if (r->byte_fallback || r->fuse)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: decoder: Replace and Metaspace are supported only before ByteFallback and Fuse", name);
    if (r->replaces == DECODE_REPLACES_MAX)
        return error_set(error, ERROR_UNSUPPORTED, "%s: decoder: more than %d Replace", name, DECODE_REPLACES_MAX);
    DecodeReplace *d = &r->replace[r->replaces++];
    *d = (DecodeReplace){copy(from), to == NULL ? strdup(" ") : copy(to), json_string_length(from),
                         to == NULL ? 1 : json_string_length(to), drop_in_first};
    if (d->from == NULL || d->to == NULL) return error_set(error, ERROR_MEMORY, "%s: no memory for the decoder", name);
    if (d->from_bytes == 0) return error_set(error, ERROR_INPUT, "%s: decoder: Replace of an empty text", name);
    return 0;
}

static int read_replace(DecodeRules *r, const json_t *json, const char *name, Error *error) {
    const json_t *from = json_object_get(json_object_get(json, "pattern"), "String"),
                 *to = json_need(json, "content", JSON_STRING, name, error);
    if (to == NULL) return -1;
    if (!json_is_string(from))
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: decoder: Replace is supported with a pattern {\"String\": text} only", name);
    return add_replace(r, from, to, false, name, error);
}

static int read_metaspace(DecodeRules *r, const json_t *json, const char *name, Error *error) {
    const json_t *replacement = json_need(json, "replacement", JSON_STRING, name, error),
                 *scheme = json_object_get(json, "prepend_scheme");
    int prefix = 1;
    if (replacement == NULL || json_get_bool(json, "add_prefix_space", &prefix, name, error) != 0) return -1;
    bool never = json_is_string(scheme) ? strcmp(json_string_value(scheme), "never") == 0 : !prefix;
    return add_replace(r, replacement, NULL, !never, name, error);
}

static int read_strip(DecodeRules *r, const json_t *json, const char *name, Error *error) {
    int64_t start = 0, stop = 0;
    const json_t *content = json_need(json, "content", JSON_STRING, name, error);
    if (content == NULL || json_get_integer(json, "start", 0, 1 << 20, &start, name, error) != 0 ||
        json_get_integer(json, "stop", 0, 1 << 20, &stop, name, error) != 0)
        return -1;
    uint32_t code;
    size_t n = json_string_length(content);
    if (n == 0 || unicode_decode(json_string_value(content), n, &code) != n)
        return error_set(error, ERROR_INPUT, "%s: decoder: Strip needs a content of one character", name);
    if (stop != 0 || !r->fuse || r->strip_start != 0)
        return error_set(error, ERROR_UNSUPPORTED, "%s: decoder: Strip is supported once, behind Fuse, and with stop 0",
                         name);
    memcpy(r->strip, json_string_value(content), n);
    r->strip_start = (size_t)start;
    return 0;
}

static int read_part(void *context, const char *type, const json_t *json, const char *name, Error *error) {
    DecodeRules *r = context;
    r->join_with_spaces = false;
    if (strcmp(type, "Fuse") == 0) {
        r->fuse = true;
        return 0;
    }
    if (r->byte_level || r->strip_start > 0)
        return error_set(error, ERROR_UNSUPPORTED, "%s: decoder: %s behind ByteLevel or Strip is not supported", name,
                         type);
    if (strcmp(type, "Replace") == 0) return read_replace(r, json, name, error);
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(r, json, name, error);
    if (strcmp(type, "Strip") == 0) return read_strip(r, json, name, error);
    if (strcmp(type, "ByteFallback") == 0 && !r->fuse) {
        r->byte_fallback = true;
        return 0;
    }
    if (strcmp(type, "ByteLevel") == 0 && !r->fuse && !r->byte_fallback && r->replaces == 0) {
        r->byte_level = true;
        return 0;
    }
    return error_set(error, ERROR_UNSUPPORTED,
                     "%s: decoder %s is not supported here; there are ByteLevel, or Sequence of Replace, Metaspace, "
                     "ByteFallback, Fuse, Strip in this order",
                     name, type);
}

int decode_rules_from_json(DecodeRules *rules, const json_t *json, const char *name, Error *error) {
    *rules = (DecodeRules){.join_with_spaces = true};
    if (tokenizer_json_parts(json, "decoder", "decoders", read_part, rules, name, error) == 0) return 0;
    decode_rules_free(rules);
    return -1;
}

void decode_rules_free(DecodeRules *rules) {
    for (size_t i = 0; i < rules->replaces; i++) {
        free(rules->replace[i].from);
        free(rules->replace[i].to);
    }
    *rules = (DecodeRules){0};
}

/* Replaces within *text. */
static void replace_once(const DecodeReplace *d, bool first, Buffer *text) {
    Buffer out = {0};
    for (size_t i = 0; i < text->size;) {
        const char *found = memmem(text->data + i, text->size - i, d->from, d->from_bytes);
        size_t end = found == NULL ? text->size : (size_t)(found - text->data);
        buffer_append(&out, text->data + i, end - i);
        if (found != NULL && !(first && d->drop_in_first)) buffer_append(&out, d->to, d->to_bytes);
        i = found == NULL ? text->size : end + d->from_bytes;
    }
    bool failed = text->failed || out.failed;
    buffer_free(text);
    *text = out;
    text->failed = failed;
}

void decode_rules_replace(const DecodeRules *rules, const char *text, size_t n, bool first, Buffer *out) {
    buffer_clear(out);
    buffer_append(out, text, n);
    for (size_t i = 0; i < rules->replaces; i++)
        if (memmem(out->data == NULL ? "" : out->data, out->size, rules->replace[i].from,
                   rules->replace[i].from_bytes) != NULL)
            replace_once(&rules->replace[i], first, out);
}
