#include "formats/message_list.h"
#include "base/buffer.h"

#include <string.h>

static json_t *no_memory(const char *place, Error *error) {
    error_set(error, ERROR_MEMORY, "%s: no memory for its messages", place);
    return NULL;
}

/* [{"type": "text", "text": ...}, ...] -> one text. */
static json_t *join_parts(const json_t *parts, const char *place, Error *error) {
    Buffer text = {0};
    json_t *joined = NULL;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *string = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!json_is_string(string) || (type != NULL && strcmp(type, "text") != 0)) {
            error_set(error, ERROR_UNSUPPORTED, "%s: part %zu of the content is not text; only text is supported",
                      place, i);
            goto done;
        }
        buffer_append(&text, json_string_value(string), json_string_length(string));
    }
    if (!text.failed) joined = json_stringn(text.data == NULL ? "" : text.data, text.size);
    if (joined == NULL) no_memory(place, error);
done:
    buffer_free(&text);
    return joined;
}

static json_t *from_role_and_content(json_t *message, const char *place, Error *error) {
    const json_t *role = json_object_get(message, "role"), *content = json_object_get(message, "content");
    if (!json_is_string(role) || json_string_length(role) == 0) {
        error_set(error, ERROR_INPUT, "%s: \"role\" is %s where a name was expected", place,
                  json_is_string(role) ? "empty" : json_type_name(json_typeof(role)));
        return NULL;
    }
    if (json_is_string(content)) return json_incref(message);
    if ((content == NULL || json_is_null(content)) && json_object_get(message, "tool_calls") != NULL)
        return json_incref(message);
    if (!json_is_array(content)) {
        error_set(error, ERROR_INPUT, "%s: \"content\" is %s where a text was expected", place,
                  content == NULL ? "missing" : json_type_name(json_typeof(content)));
        return NULL;
    }
    json_t *copy = json_copy(message), *text = copy == NULL ? NULL : join_parts(content, place, error);
    if (copy == NULL) return no_memory(place, error);
    if (text != NULL && json_object_set_new(copy, "content", text) == 0) return copy;
    json_decref(copy);
    return text == NULL ? NULL : no_memory(place, error);
}

static json_t *from_from_and_value(const json_t *message, const char *place, Error *error) {
    static const struct {
        const char *from, *role;
    } speakers[] = {{"human", "user"},      {"user", "user"},         {"gpt", "assistant"},  {"assistant", "assistant"},
                    {"model", "assistant"}, {"chatgpt", "assistant"}, {"bing", "assistant"}, {"bard", "assistant"},
                    {"system", "system"},   {"observation", "tool"},  {"tool", "tool"}};
    const char *from = json_string_value(json_object_get(message, "from"));
    json_t *value = json_object_get(message, "value");
    if (from == NULL || !json_is_string(value)) {
        error_set(error, ERROR_INPUT,
                  "%s: a message must be {\"role\", \"content\"} or {\"from\", \"value\"} with texts", place);
        return NULL;
    }
    for (size_t i = 0; i < sizeof speakers / sizeof *speakers; i++) {
        if (strcmp(from, speakers[i].from) != 0) continue;
        json_t *made = json_pack("{s:s, s:O}", "role", speakers[i].role, "content", value);
        return made != NULL ? made : no_memory(place, error);
    }
    error_set(error, ERROR_UNSUPPORTED,
              "%s: \"from\" is \"%s\"; supported are human, user, gpt, assistant, model, system, observation, tool",
              place, from);
    return NULL;
}

json_t *message_list_from_json(json_t *value, const char *place, Error *error) {
    json_t *list = json_array();
    if (list == NULL) return no_memory(place, error);
    size_t n = json_is_object(value) ? 1 : json_array_size(value);
    for (size_t i = 0; i < n; i++) {
        json_t *message = json_is_object(value) ? value : json_array_get(value, i);
        char where[600];
        snprintf(where, sizeof where, "%s, message %zu", place, i + 1);
        json_t *made = json_object_get(message, "role") != NULL ? from_role_and_content(message, where, error)
                                                                : from_from_and_value(message, where, error);
        if (made != NULL && json_array_append_new(list, made) == 0) continue;
        if (made != NULL) no_memory(place, error);
        json_decref(list);
        return NULL;
    }
    return list;
}

json_t *message_list_from_text(const char *role, json_t *text) {
    return json_pack("[{s:s, s:O}]", "role", role, "content", text);
}

const char *message_list_role(const json_t *list, size_t i) {
    const char *role = json_string_value(json_object_get(json_array_get(list, i), "role"));
    return role == NULL ? "" : role;
}

json_t *message_list_slice(const json_t *list, size_t begin, size_t end) {
    json_t *slice = json_array();
    for (size_t i = begin; slice != NULL && i < end; i++)
        if (json_array_append(slice, json_array_get(list, i)) != 0) {
            json_decref(slice);
            return NULL;
        }
    return slice;
}
