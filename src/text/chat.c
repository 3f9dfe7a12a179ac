#include "text/chat.h"

#include "formats/hf_config.h"
#include "formats/hf_directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool chat_is_stop(const Chat *chat, int32_t id) {
    for (size_t i = 0; i < chat->stop_count; i++)
        if (chat->stop[i] == id) return true;
    return false;
}

static void add_stop(Chat *chat, int32_t id) {
    if (id >= 0 && chat->stop_count < CHAT_STOP_MAX && !chat_is_stop(chat, id)) chat->stop[chat->stop_count++] = id;
}

int chat_load(Chat *chat, const char *directory, Error *error) {
    *chat = (Chat){0};
    HfConfig config;
    char *source = NULL;
    int result = -1;
    if (hf_config_read(&config, directory, error) != 0 || tokenizer_load(&chat->tokenizer, directory, error) != 0 ||
        hf_directory_chat_template(directory, &source, error) != 0)
        goto done;
    if (source != NULL &&
        chat_template_compile(&chat->chat_template, source, strlen(source), "chat_template", error) != 0) {
        error_prefix(error, "%s", directory);
        goto done;
    }
    for (size_t i = 0; i < config.eos_count; i++) add_stop(chat, config.eos_token[i]);
    add_stop(chat, tokenizer_eos(chat->tokenizer));
    result = 0;
done:
    free(source);
    if (result != 0) chat_free(chat);
    return result;
}

void chat_free(Chat *chat) {
    tokenizer_free(chat->tokenizer);
    chat_template_free(chat->chat_template);
    *chat = (Chat){0};
}

/* A token as the vocabulary spells it, else a whole number below the vocabulary's size; -1: neither. */
static int32_t stop_of(const Tokenizer *tokenizer, const char *text) {
    int32_t id = tokenizer_id(tokenizer, text);
    if (id >= 0) return id;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    bool whole = errno == 0 && end != text && *end == 0 && number >= 0;
    return whole && (size_t)number < tokenizer_vocabulary(tokenizer) ? (int32_t)number : -1;
}

int chat_set_stop(Chat *chat, const char *const *tokens, size_t count, Error *error) {
    if (count == 0) return 0;
    if (count > CHAT_STOP_MAX)
        return error_set(error, ERROR_USAGE, "%zu stop tokens are given, at most %d are possible", count,
                         CHAT_STOP_MAX);
    chat->stop_count = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t id = stop_of(chat->tokenizer, tokens[i]);
        if (id < 0)
            return error_set(error, ERROR_USAGE,
                             "the stop token \"%.100s\" is not in the model's vocabulary: give one of its tokens, or "
                             "an id below %zu",
                             tokens[i], tokenizer_vocabulary(chat->tokenizer));
        add_stop(chat, id);
    }
    return 0;
}

static const char *text_of(const Chat *chat, int32_t id) {
    return id < 0 ? NULL : tokenizer_token(chat->tokenizer, id, NULL);
}

int chat_render(const Chat *chat, const json_t *messages, const json_t *extra, bool open_turn, Buffer *out,
                Error *error) {
    if (chat->chat_template == NULL)
        return error_set(
            error, ERROR_INPUT,
            "the row is a conversation, but the model has no chat template: add chat_template.jinja to its "
            "directory, or give rows of plain text");
    const ChatContext context = {.messages = messages,
                                 .tools = extra == NULL ? NULL : json_object_get(extra, "tools"),
                                 .documents = extra == NULL ? NULL : json_object_get(extra, "documents"),
                                 .add_generation_prompt = open_turn,
                                 .bos_token = text_of(chat, tokenizer_bos(chat->tokenizer)),
                                 .eos_token = text_of(chat, tokenizer_eos(chat->tokenizer)),
                                 .extra = extra};
    return chat_template_render(chat->chat_template, &context, out, NULL, error);
}

static bool is_tokens(const json_t *part) { return json_is_integer(json_array_get(part, 0)); }

/* A row of token ids: whole numbers that an int32 holds. Whether the model has them is the model's to say. */
static int append_tokens(const json_t *part, TokenList *ids, Error *error) {
    size_t i;
    json_t *value;
    json_array_foreach(part, i, value) {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id > INT32_MAX)
            return error_set(error, ERROR_INPUT, "token %zu is not an id (a whole number >= 0)", i);
        token_list_push(ids, (int32_t)id);
    }
    return 0;
}

/* Text of prompt followed by response (NULL: none), whole. */
static int whole_text(const Chat *chat, const json_t *prompt, const json_t *extra, const json_t *response, Buffer *text,
                      Error *error) {
    int result = 0;
    if (json_is_string(prompt)) {
        buffer_append(text, json_string_value(prompt), json_string_length(prompt));
        if (response != NULL) buffer_append(text, json_string_value(response), json_string_length(response));
    } else {
        json_t *all = json_copy((json_t *)(uintptr_t)prompt); // shallow; jansson counts references in const objects too
        if (all == NULL || (response != NULL && json_array_extend(all, (json_t *)(uintptr_t)response) != 0))
            result = error_set(error, ERROR_MEMORY, "no memory for a conversation");
        else
            result = chat_render(chat, all, extra, response == NULL, text, error);
        json_decref(all);
    }
    return result == 0 && text->failed ? error_set(error, ERROR_MEMORY, "no memory for the text of a conversation")
                                       : result;
}

/* Ids of prompt followed by response (NULL: none), whole. */
static int encode_whole(const Chat *chat, const json_t *prompt, const json_t *extra, const json_t *response,
                        TokenList *ids, Error *error) {
    int result = 0;
    if (is_tokens(prompt)) {
        if (append_tokens(prompt, ids, error) != 0 || (response != NULL && append_tokens(response, ids, error) != 0))
            return -1;
    } else {
        Buffer text = {0};
        result = whole_text(chat, prompt, extra, response, &text, error);
        if (result == 0)
            result = tokenizer_encode(chat->tokenizer, text.data == NULL ? "" : text.data, text.size,
                                      json_is_string(prompt), ids, error);
        buffer_free(&text);
    }
    return result == 0 && ids->failed ? error_set(error, ERROR_MEMORY, "no memory for the tokens of a conversation")
                                      : result;
}

int chat_encode_prompt(const Chat *chat, const json_t *prompt, const json_t *extra, TokenList *ids, Error *error) {
    return encode_whole(chat, prompt, extra, NULL, ids, error);
}

/* A plain response ends with the end-of-text token, unless the text spelled it already. */
static void end_plain(const Chat *chat, TokenList *ids) {
    int32_t eos =
        tokenizer_eos(chat->tokenizer) >= 0 || chat->stop_count == 0 ? tokenizer_eos(chat->tokenizer) : chat->stop[0];
    if (eos >= 0 && (ids->count == 0 || ids->data[ids->count - 1] != eos)) token_list_push(ids, eos);
}

static size_t common_start(const TokenList *a, size_t limit, const TokenList *b) {
    size_t n = 0;
    while (n < limit && n < b->count && a->data[n] == b->data[n]) n++;
    return n;
}

/* Drops the first `prompt` ids, and what stands behind the first stop token where the response ends there. */
static void keep_response(const Chat *chat, TokenList *ids, size_t prompt, ChatEnd end) {
    size_t kept = prompt;
    while (kept < ids->count && !(end == CHAT_END_STOP && kept > prompt && chat_is_stop(chat, ids->data[kept - 1])))
        kept++;
    memmove(ids->data, ids->data + prompt, (kept - prompt) * sizeof *ids->data);
    ids->count = kept - prompt;
}

int chat_encode_responses(const Chat *chat, const json_t *prompt, const json_t *extra, const json_t *const *response,
                          size_t responses, ChatEnd end, TokenList *prompt_ids, TokenList *response_ids, Error *error) {
    token_list_clear(prompt_ids);
    if (encode_whole(chat, prompt, extra, NULL, prompt_ids, error) != 0) return -1;
    size_t common = prompt_ids->count;
    for (size_t i = 0; i < responses; i++) {
        token_list_clear(&response_ids[i]);
        if (encode_whole(chat, prompt, extra, response[i], &response_ids[i], error) != 0) return -1;
        if (json_is_string(prompt)) end_plain(chat, &response_ids[i]);
        if (response_ids[i].failed) return error_set(error, ERROR_MEMORY, "no memory for the tokens of a response");
        common = common_start(prompt_ids, common, &response_ids[i]);
    }
    if (is_tokens(prompt)) common = prompt_ids->count, end = CHAT_END_TEMPLATE; // as they are
    if (common == 0) return error_set(error, ERROR_INPUT, "the prompt has no token in common with its responses");
    prompt_ids->count = common;
    for (size_t i = 0; i < responses; i++) {
        keep_response(chat, &response_ids[i], common, end);
        if (response_ids[i].count == 0) return error_set(error, ERROR_INPUT, "response %zu has no tokens", i);
    }
    return 0;
}

int chat_decode_response(const Chat *chat, const int32_t *ids, size_t length, Buffer *out, Error *error) {
    return tokenizer_decode(chat->tokenizer, ids, length, true, out, error);
}
