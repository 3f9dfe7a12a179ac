#include "formats/preference_row.h"
#include "base/buffer.h"
#include "formats/message_list.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Where we are, and where errors go. */
typedef struct {
    const json_t *object;
    const char *name;
    size_t line;
    Error *error;
} Source;

static int fail(const Source *s, ErrorCode code, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(const Source *s, ErrorCode code, const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(s->error, code, "%s:%zu: %s", s->name, s->line, text);
}

static int no_memory(const Source *s) { return fail(s, ERROR_MEMORY, "no memory for this row"); }

/* The member, or NULL where it is absent or null: tools that write tables fill gaps with null. */
static json_t *member(const Source *s, const char *key) {
    json_t *value = json_object_get(s->object, key);
    return json_is_null(value) ? NULL : value;
}

/* A part as it is in the file -> a new reference: text stays, messages become a list. */
static int read_part(const Source *s, json_t *value, const char *key, json_t **part) {
    char place[560];
    snprintf(place, sizeof place, "%s:%zu: \"%s\"", s->name, s->line, key);
    if (json_is_string(value))
        *part = json_incref(value);
    else if (json_is_object(value) || json_is_array(value))
        *part = message_list_from_json(value, place, s->error);
    else
        return fail(s, ERROR_INPUT, "\"%s\" is %s where a text or messages were expected", key,
                    value == NULL ? "missing" : json_type_name(json_typeof(value)));
    return *part == NULL ? -1 : 0;
}

static int read_responses(PreferenceRow *row, const Source *s, const json_t *responses) {
    size_t k, count = json_array_size(responses);
    const json_t *rewards = member(s, "rewards");
    if (!json_is_array(responses) || count == 0)
        return fail(s, ERROR_INPUT, "\"responses\" must be a list of texts or of message lists");
    if ((row->responses = json_array()) == NULL) return no_memory(s);
    for (k = 0; k < count; k++) {
        json_t *part;
        if (read_part(s, json_array_get(responses, k), "responses", &part) != 0) return -1;
        if (json_array_append_new(row->responses, part) != 0) return no_memory(s);
    }
    row->answer_layout = ANSWER_RESPONSES;
    if (rewards == NULL) return 0;
    if (json_array_size(rewards) != count)
        return fail(s, ERROR_INPUT, "\"rewards\" must be a list of %zu numbers, one for each response", count);
    if ((row->rewards = calloc(count, sizeof *row->rewards)) == NULL) return no_memory(s);
    for (k = 0; k < count; k++) {
        const json_t *r = json_array_get(rewards, k);
        if (!json_is_number(r) && !json_is_null(r)) return fail(s, ERROR_INPUT, "rewards[%zu] is not a number", k);
        row->rewards[k] = json_is_null(r) ? NAN : json_number_value(r);
    }
    return 0;
}

static int read_pair(PreferenceRow *row, const Source *s, json_t *chosen, json_t *rejected) {
    row->answer_layout = json_is_string(chosen)   ? ANSWER_TEXTS
                         : json_is_object(chosen) ? ANSWER_MESSAGE
                                                  : ANSWER_MESSAGES;
    return read_part(s, chosen, "chosen", &row->chosen) != 0 ? -1 : read_part(s, rejected, "rejected", &row->rejected);
}

/* Everything but the answer that a chat ends with, which needs the chat: take_last_message. */
static int read_answers(PreferenceRow *row, const Source *s) {
    json_t *chosen = member(s, "chosen"), *rejected = member(s, "rejected"), *output = member(s, "output");
    json_t *responses = member(s, "responses"), *completion = member(s, "completion");
    if (chosen != NULL && rejected != NULL) return read_pair(row, s, chosen, rejected);
    if (chosen != NULL || rejected != NULL)
        return fail(s, ERROR_INPUT, "has \"%s\" without \"%s\"", chosen != NULL ? "chosen" : "rejected",
                    chosen != NULL ? "rejected" : "chosen");
    if (json_is_array(output)) {
        if (!json_is_string(json_array_get(output, 0)) || !json_is_string(json_array_get(output, 1)))
            return fail(s, ERROR_INPUT, "\"output\" must be a text or the two texts [chosen, rejected]");
        row->answer_layout = ANSWER_OUTPUT_PAIR;
        row->chosen = json_incref(json_array_get(output, 0));
        row->rejected = json_incref(json_array_get(output, 1));
        return 0;
    }
    if (responses != NULL) return read_responses(row, s, responses);
    if (completion == NULL && json_is_string(output)) completion = output;
    if (completion == NULL) return 0;
    row->answer_layout = ANSWER_COMPLETION;
    return read_part(s, completion, "completion", &row->chosen);
}

/* The whole chat, not only what answers it: it begins with somebody else than the assistant. */
static bool is_whole_chat(const json_t *part) {
    const char *role = message_list_role(part, 0);
    return strcmp(role, "user") == 0 || strcmp(role, "system") == 0 || strcmp(role, "developer") == 0;
}

/* [PR-1] TRL's rule: everything before the first difference; where one chat is the beginning of the other, all of it
 * but its last message, so that both have an answer. */
static int split_common_messages(PreferenceRow *row, const Source *s) {
    size_t n = 0, m = json_array_size(row->chosen), r = json_array_size(row->rejected), shorter = m < r ? m : r;
    while (n < shorter && json_equal(json_array_get(row->chosen, n), json_array_get(row->rejected, n))) n++;
    if (n == shorter) n--;
    json_t *chosen = message_list_slice(row->chosen, n, m), *rejected = message_list_slice(row->rejected, n, r);
    row->prompt = message_list_slice(row->chosen, 0, n);
    json_decref(row->chosen);
    json_decref(row->rejected);
    row->chosen = chosen, row->rejected = rejected;
    row->prompt_layout = PROMPT_COMMON_MESSAGES;
    return row->prompt == NULL || chosen == NULL || rejected == NULL ? no_memory(s) : 0;
}

/* [PR-1] The same for texts, in code points; a space before the first difference belongs to the answers, as the token
 * that follows has it inside. */
static int split_common_text(PreferenceRow *row, const Source *s) {
    const char *a = json_string_value(row->chosen), *b = json_string_value(row->rejected);
    size_t n = 0, m = json_string_length(row->chosen), r = json_string_length(row->rejected), shorter = m < r ? m : r;
    while (n < shorter && a[n] == b[n]) n++;
    bool inside = n == shorter;
    if (inside && n > 0) n--;
    while (n > 0 && ((unsigned char)a[n] & 0xc0) == 0x80) n--; // to the first byte of a code point
    if (!inside && n > 0 && a[n - 1] == ' ') n--;
    json_t *chosen = json_stringn(a + n, m - n), *rejected = json_stringn(b + n, r - n);
    row->prompt = json_stringn(a, n);
    json_decref(row->chosen);
    json_decref(row->rejected);
    row->chosen = chosen, row->rejected = rejected;
    row->prompt_layout = PROMPT_COMMON_TEXT;
    return row->prompt == NULL || chosen == NULL || rejected == NULL ? no_memory(s) : 0;
}

/* list += one message of this text. */
static int append_text(const Source *s, json_t *list, const char *role, json_t *text, const char *key) {
    if (!json_is_string(text))
        return fail(s, ERROR_INPUT, "\"%s\" is %s where a text was expected", key,
                    text == NULL ? "missing" : json_type_name(json_typeof(text)));
    json_t *message = json_pack("{s:s, s:O}", "role", role, "content", text);
    return message == NULL || json_array_append_new(list, message) != 0 ? no_memory(s) : 0;
}

/* "system" is a column of its own in LLaMA-Factory's layouts; empty means none. */
static int append_system(const Source *s, json_t *list) {
    json_t *system = member(s, "system");
    if (system == NULL || (json_is_string(system) && json_string_length(system) == 0)) return 0;
    return append_text(s, list, "system", system, "system");
}

static int read_instruction(PreferenceRow *row, const Source *s, json_t *instruction) {
    const json_t *history = member(s, "history");
    json_t *input = member(s, "input"), *query;
    if (!json_is_string(instruction) || (input != NULL && !json_is_string(input)))
        return fail(s, ERROR_INPUT, "\"instruction\" and \"input\" must be texts");
    row->prompt_layout = PROMPT_INSTRUCTION;
    if ((row->prompt = json_array()) == NULL) return no_memory(s);
    if (append_system(s, row->prompt) != 0) return -1;
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *turn = json_array_get(history, i);
        if (append_text(s, row->prompt, "user", json_array_get(turn, 0), "history") != 0 ||
            append_text(s, row->prompt, "assistant", json_array_get(turn, 1), "history") != 0)
            return -1;
    }
    if (input == NULL || json_string_length(input) == 0)
        return append_text(s, row->prompt, "user", instruction, "instruction");
    Buffer text = {0};
    buffer_append(&text, json_string_value(instruction), json_string_length(instruction));
    if (text.size > 0) buffer_append_text(&text, "\n");
    buffer_append(&text, json_string_value(input), json_string_length(input));
    query = text.failed ? NULL : json_stringn(text.data, text.size);
    buffer_free(&text);
    int result = query == NULL ? no_memory(s) : append_text(s, row->prompt, "user", query, "instruction");
    json_decref(query);
    return result;
}

/* A chat that nothing else answers, and that ends with the assistant, has its answer inside. */
static int take_last_message(PreferenceRow *row, const Source *s) {
    size_t n = json_array_size(row->prompt);
    if (row->answer_layout != ANSWER_NONE || n < 2 || strcmp(message_list_role(row->prompt, n - 1), "assistant") != 0)
        return 0;
    row->answer_layout = ANSWER_COMPLETION;
    row->chosen = message_list_slice(row->prompt, n - 1, n);
    return row->chosen == NULL || json_array_remove(row->prompt, n - 1) != 0 ? no_memory(s) : 0;
}

static int read_chat(PreferenceRow *row, const Source *s, json_t *chat, const char *key) {
    row->prompt_layout = PROMPT_CHAT;
    if (!json_is_array(chat))
        return fail(s, ERROR_INPUT, "\"%s\" is %s where a list of messages was expected", key,
                    json_type_name(json_typeof(chat)));
    json_t *messages;
    if (read_part(s, chat, key, &messages) != 0) return -1;
    row->prompt = json_array();
    bool has_system = strcmp(message_list_role(messages, 0), "system") == 0;
    int result = row->prompt == NULL ? no_memory(s) : has_system ? 0 : append_system(s, row->prompt);
    if (result == 0 && json_array_extend(row->prompt, messages) != 0) result = no_memory(s);
    json_decref(messages);
    return result == 0 ? take_last_message(row, s) : -1;
}

static int read_turns(PreferenceRow *row, const Source *s, const json_t *turns) {
    json_t *first = json_array_get(turns, 0);
    if (!json_is_string(first)) return fail(s, ERROR_INPUT, "\"turns\" must be a list of texts");
    row->prompt_layout = PROMPT_TURNS;
    row->prompt = message_list_from_text("user", first);
    return row->prompt == NULL ? no_memory(s) : 0;
}

static int no_prompt(const Source *s) {
    Buffer keys = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)s->object, key, value) {
        if (keys.size > 200) {
            buffer_append_text(&keys, ", ...");
            break;
        }
        buffer_format(&keys, "%s%.60s", keys.size > 0 ? ", " : "", key);
    }
    fail(s, ERROR_INPUT,
         "no prompt was found among the keys: %s; known layouts are {prompt, chosen, rejected} with texts or messages, "
         "{chosen, "
         "rejected} with a common beginning, {conversations or messages, chosen, rejected}, {instruction, input, "
         "chosen, rejected}, "
         "{instruction, output: [chosen, rejected]}, {prompt, responses, rewards}, and {prompt}, {instruction}, "
         "{messages} or {turns} alone",
         keys.data == NULL ? "none" : keys.data);
    buffer_free(&keys);
    return -1;
}

static int read_prompt(PreferenceRow *row, const Source *s) {
    json_t *prompt = member(s, "prompt"), *conversations = member(s, "conversations"),
           *messages = member(s, "messages");
    json_t *instruction = member(s, "instruction"), *question = member(s, "question"), *turns = member(s, "turns");
    if (is_whole_chat(row->chosen) && is_whole_chat(row->rejected)) return split_common_messages(row, s);
    if (prompt != NULL) {
        row->prompt_layout = json_is_string(prompt) ? PROMPT_TEXT : PROMPT_MESSAGES;
        return read_part(s, prompt, "prompt", &row->prompt) != 0 ? -1 : 0;
    }
    if (conversations != NULL) return read_chat(row, s, conversations, "conversations");
    if (messages != NULL) return read_chat(row, s, messages, "messages");
    if (instruction != NULL || question != NULL)
        return read_instruction(row, s, instruction != NULL ? instruction : question);
    if (turns != NULL) return read_turns(row, s, turns);
    if (row->answer_layout == ANSWER_TEXTS && json_is_string(row->rejected)) return split_common_text(row, s);
    return no_prompt(s);
}

/* Arguments of the chat template. LLaMA-Factory writes the list of tools as a text of JSON. */
static int read_arguments(PreferenceRow *row, const Source *s) {
    static const char *const ids[] = {"id", "prompt_id", "question_id", "key"};
    json_t *tools = member(s, "tools"), *documents = member(s, "documents"), *extra = member(s, "chat_template_kwargs");
    for (size_t i = 0; row->id == NULL && i < 4; i++) row->id = json_incref(member(s, ids[i]));
    if (json_is_string(tools) && json_string_length(tools) > 0) {
        tools = row->tools = json_parse(json_string_value(tools), json_string_length(tools), "tools", 1, s->error);
        if (tools == NULL) return error_prefix(s->error, "%s:%zu", s->name, s->line);
    } else if (!json_is_string(tools))
        row->tools = json_incref(tools);
    row->documents = json_incref(documents);
    row->extra = json_incref(extra);
    if ((row->tools != NULL && !json_is_array(row->tools)) || (documents != NULL && !json_is_array(documents)))
        return fail(s, ERROR_INPUT, "\"tools\" and \"documents\" must be lists");
    if (extra != NULL && !json_is_object(extra))
        return fail(s, ERROR_INPUT, "\"chat_template_kwargs\" must be an object");
    return 0;
}

bool preference_row_is_tokens(const json_t *part) { return json_is_integer(json_array_get(part, 0)); }

static int read_ids(const Source *s, json_t *ids, const char *key, json_t **part) {
    size_t i;
    json_t *id;
    if (!json_is_array(ids) || json_array_size(ids) == 0)
        return fail(s, ERROR_INPUT, "\"%s\" must be a list of token ids with at least one of them", key);
    json_array_foreach(ids, i, id) {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return fail(s, ERROR_INPUT, "\"%s\"[%zu] is not a token id (a whole number >= 0)", key, i);
    }
    *part = json_incref(ids);
    return 0;
}

/* [PR-3] A row of token ids: nothing of it goes through a template or a tokenizer. */
static int read_token_row(PreferenceRow *row, const Source *s) {
    json_t *chosen = member(s, "chosen_ids"), *rejected = member(s, "rejected_ids"),
           *responses = member(s, "response_ids");
    row->prompt_layout = PROMPT_TOKENS;
    row->answer_layout = chosen == NULL && responses == NULL ? ANSWER_NONE : ANSWER_TOKENS;
    if (read_ids(s, member(s, "prompt_ids"), "prompt_ids", &row->prompt) != 0 ||
        (chosen != NULL && read_ids(s, chosen, "chosen_ids", &row->chosen) != 0) ||
        (rejected != NULL && read_ids(s, rejected, "rejected_ids", &row->rejected) != 0))
        return -1;
    if (responses == NULL) return 0;
    if (!json_is_array(responses) || (row->responses = json_array()) == NULL)
        return fail(s, ERROR_INPUT, "\"response_ids\" must be a list of lists of token ids");
    for (size_t k = 0; k < json_array_size(responses); k++) {
        json_t *part;
        if (read_ids(s, json_array_get(responses, k), "response_ids", &part) != 0) return -1;
        if (json_array_append_new(row->responses, part) != 0) return no_memory(s);
    }
    return 0;
}

/* [PR-2] One part that is messages makes all of them messages. */
static bool has_messages(const PreferenceRow *row) {
    for (size_t k = 0; k < json_array_size(row->responses); k++)
        if (json_is_array(json_array_get(row->responses, k))) return true;
    return json_is_array(row->prompt) || json_is_array(row->chosen) || json_is_array(row->rejected);
}

int preference_row_parse(PreferenceRow *row, const json_t *object, const char *name, size_t line, Error *error) {
    Source s = {object, name, line, error};
    *row = (PreferenceRow){.line = line};
    int result = -1;
    if (!json_is_object(object))
        fail(&s, ERROR_INPUT, "this row is %s where an object was expected", json_type_name(json_typeof(object)));
    else if (member(&s, "prompt_ids") != NULL)
        result = read_token_row(row, &s);
    else if (read_answers(row, &s) == 0 && read_prompt(row, &s) == 0 && read_arguments(row, &s) == 0)
        result = has_messages(row) ? preference_row_wrap(row, error) : 0;
    row->source = json_incref((json_t *)(uintptr_t)object);
    if (result != 0) preference_row_free(row);
    return result;
}

void preference_row_free(PreferenceRow *row) {
    json_t *const owned[] = {row->prompt,    row->chosen, row->rejected, row->responses, row->tools,
                             row->documents, row->extra,  row->id,       row->source};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) json_decref(owned[i]);
    free(row->rewards);
    *row = (PreferenceRow){0};
}

static int wrap_part(json_t **part, const char *role) {
    if (!json_is_string(*part)) return 0;
    json_t *list = message_list_from_text(role, *part);
    if (list == NULL) return -1;
    json_decref(*part);
    *part = list;
    return 0;
}

int preference_row_wrap(PreferenceRow *row, Error *error) {
    if (preference_row_is_tokens(row->prompt)) return 0;
    int failed =
        wrap_part(&row->prompt, "user") | wrap_part(&row->chosen, "assistant") | wrap_part(&row->rejected, "assistant");
    for (size_t k = 0; k < json_array_size(row->responses); k++) {
        json_t *part = json_incref(json_array_get(row->responses, k));
        failed |= wrap_part(&part, "assistant");
        failed |= json_array_set_new(row->responses, k, part);
    }
    if (failed) return error_set(error, ERROR_MEMORY, "no memory for the messages of line %zu", row->line);
    row->conversational = true;
    return 0;
}

const char *preference_row_answer(const json_t *part, size_t *bytes) {
    const json_t *text = part;
    size_t n = json_array_size(part);
    if (json_is_array(part))
        text = n > 0 && strcmp(message_list_role(part, n - 1), "assistant") == 0
                   ? json_object_get(json_array_get(part, n - 1), "content")
                   : NULL;
    *bytes = json_string_length(text);
    return json_is_string(text) ? json_string_value(text) : "";
}

const char *prompt_layout_name(PromptLayout layout) {
    static const char *const names[PROMPT_LAYOUTS] = {"\"prompt\" (text)",
                                                      "\"prompt\" (messages)",
                                                      "the common beginning of two texts",
                                                      "the common beginning of two chats",
                                                      "\"conversations\" or \"messages\"",
                                                      "\"instruction\" or \"question\"",
                                                      "the first of \"turns\"",
                                                      "\"prompt_ids\""};
    return names[layout];
}

const char *answer_layout_name(AnswerLayout layout) {
    static const char *const names[ANSWER_LAYOUTS] = {"none",
                                                      "\"chosen\" and \"rejected\" (texts)",
                                                      "\"chosen\" and \"rejected\" (lists of messages)",
                                                      "\"chosen\" and \"rejected\" (one message each)",
                                                      "\"output\" ([chosen, rejected])",
                                                      "\"responses\"",
                                                      "one answer",
                                                      "token ids"};
    return names[layout];
}
