#include "cli/inspect.h"

#include "cli/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a row of --messages, or the sample conversation, becomes. */
typedef struct {
    Buffer text;
    ChatSpans spans; // of {% generation %}; where the template has none: the last answer alone
} Rendering;

static void rendering_free(Rendering *r) {
    buffer_free(&r->text);
    chat_spans_free(&r->spans);
}

/* The row's own bos_token and eos_token win. */
static ChatContext context_of(const Chat *chat, const json_t *row) {
    const json_t *bos = json_object_get(row, "bos_token"), *eos = json_object_get(row, "eos_token");
    int32_t bos_id = chat->tokenizer == NULL ? -1 : tokenizer_bos(chat->tokenizer),
            eos_id = chat->tokenizer == NULL ? -1 : tokenizer_eos(chat->tokenizer);
    return (ChatContext){.messages = json_object_get(row, "messages"),
                         .tools = json_object_get(row, "tools"),
                         .documents = json_object_get(row, "documents"),
                         .extra = json_object_get(row, "chat_template_kwargs"),
                         .add_generation_prompt = json_is_true(json_object_get(row, "add_generation_prompt")),
                         .bos_token = json_is_string(bos) ? json_string_value(bos)
                                      : bos_id < 0        ? NULL
                                                          : tokenizer_token(chat->tokenizer, bos_id, NULL),
                         .eos_token = json_is_string(eos) ? json_string_value(eos)
                                      : eos_id < 0        ? NULL
                                                          : tokenizer_token(chat->tokenizer, eos_id, NULL)};
}

/* Behind the first stop token from `begin` on, or the end of the text. */
static size_t end_of_answer(const Chat *chat, const Buffer *text, size_t begin) {
    size_t end = text->size;
    for (size_t i = 0; i < chat->stop_count && chat->tokenizer != NULL; i++) {
        const char *stop = tokenizer_token(chat->tokenizer, chat->stop[i], NULL);
        const char *found = stop == NULL || *stop == 0 || text->data == NULL ? NULL : strstr(text->data + begin, stop);
        size_t behind = found == NULL ? end : (size_t)(found - text->data) + strlen(stop);
        if (behind < end) end = behind;
    }
    return end;
}

/* Where the last answer begins: behind what the conversation without it renders to, the assistant's turn opened. */
static int find_last_answer(const Chat *chat, const ChatContext *whole, Rendering *r, Error *error) {
    size_t n = json_array_size(whole->messages), begin = 0;
    const char *role = json_string_value(json_object_get(json_array_get(whole->messages, n - 1), "role"));
    if (n < 2 || role == NULL || strcmp(role, "assistant") != 0 || whole->add_generation_prompt) return 0;
    json_t *before = json_copy((json_t *)(uintptr_t)whole->messages);
    ChatContext context = *whole;
    Buffer prompt = {0};
    context.messages = before;
    context.add_generation_prompt = true;
    int result = before == NULL || json_array_remove(before, n - 1) != 0
                     ? error_set(error, ERROR_MEMORY, "no memory for a conversation")
                     : chat_template_render(chat->chat_template, &context, &prompt, NULL, error);
    while (result == 0 && begin < prompt.size && begin < r->text.size && prompt.data[begin] == r->text.data[begin])
        begin++;
    if (result == 0 && (r->spans.spans = calloc(1, sizeof *r->spans.spans)) == NULL)
        result = error_set(error, ERROR_MEMORY, "no memory for a span");
    if (result == 0) {
        r->spans.spans[0] = (ChatSpan){.begin_byte = begin, .end_byte = end_of_answer(chat, &r->text, begin)};
        r->spans.count = r->spans.capacity = 1;
    }
    json_decref(before);
    buffer_free(&prompt);
    return result;
}

static int render(const Chat *chat, const json_t *row, bool marked, Rendering *r, Error *error) {
    const ChatContext context = context_of(chat, row);
    if (!json_is_array(context.messages))
        return error_set(error, ERROR_INPUT, "a row of {\"messages\": [...]} was expected");
    if (context.extra != NULL && !json_is_object(context.extra))
        return error_set(error, ERROR_INPUT, "\"chat_template_kwargs\" must be an object");
    if (chat_template_render(chat->chat_template, &context, &r->text, &r->spans, error) != 0) return -1;
    return marked && !chat_template_marks_assistant(chat->chat_template) ? find_last_answer(chat, &context, r, error)
                                                                         : 0;
}

/* The text with [[ and ]] around what is in the loss. Spans come in the order of their beginnings; those of blocks
 * within each other overlap. */
static void print_marked(const Rendering *r) {
    const char *text = r->text.data == NULL ? "" : r->text.data;
    size_t at = 0;
    for (size_t i = 0; i < r->spans.count; i++) {
        const ChatSpan *span = &r->spans.spans[i];
        size_t begin = span->begin_byte > at ? span->begin_byte : at;
        if (span->end_byte <= begin) continue;
        fwrite(text + at, 1, begin - at, stdout);
        fputs("[[", stdout);
        fwrite(text + begin, 1, span->end_byte - begin, stdout);
        fputs("]]", stdout);
        at = span->end_byte;
    }
    puts(text + at);
}

/* {"text", "ids"?, "spans"?}: spans in characters, where the template marks them. */
static int write_line(const Chat *chat, const Rendering *r, RowWriter *writer, Error *error) {
    const char *text = r->text.data == NULL ? "" : r->text.data;
    TokenList ids = {0};
    int result =
        chat->tokenizer == NULL ? 0 : tokenizer_encode(chat->tokenizer, text, r->text.size, false, &ids, error);
    if (result == 0) {
        json_t *out = json_pack("{s:o}", "text", json_stringn(text, r->text.size)), *spans = json_array();
        if (chat->tokenizer != NULL) json_object_set_new(out, "ids", inspect_id_list(&ids));
        for (size_t i = 0; i < r->spans.count; i++)
            json_array_append_new(spans, json_pack("[I, I]", (json_int_t)r->spans.spans[i].begin_char,
                                                   (json_int_t)r->spans.spans[i].end_char));
        if (chat_template_marks_assistant(chat->chat_template)) json_object_set(out, "spans", spans);
        json_decref(spans);
        result = rows_write(writer, out, error);
    }
    token_list_free(&ids);
    return result;
}

static int load_template(Chat *chat, const char *path, Error *error) {
    FileMap map;
    if (file_is_directory(path)) return chat_load(chat, path, error);
    if (file_map(&map, path, error) != 0) return -1;
    int result = chat_template_compile(&chat->chat_template, map.data == NULL ? "" : (const char *)map.data, map.size,
                                       path, error);
    file_unmap(&map);
    return result;
}

/* Every row for people, or as JSON lines. */
static int show_rows(const InspectValues *v, const Chat *chat, const json_t *rows, Error *error) {
    bool marked = v->marked || v->messages == NULL;
    RowWriter writer;
    int result = 0;
    if (marked)
        printf("In the loss, between [[ and ]]: %s.\n", chat_template_marks_assistant(chat->chat_template)
                                                            ? "what the template puts into {% generation %}"
                                                            : "the last answer, up to its stop token");
    else if (rows_open_writer(&writer, v->out, error) != 0)
        return -1;
    for (size_t i = 0; result == 0 && i < json_array_size(rows); i++) {
        Rendering r = {0};
        result = render(chat, json_array_get(rows, i), marked, &r, error);
        if (result == 0 && marked)
            print_marked(&r);
        else if (result == 0)
            result = write_line(chat, &r, &writer, error);
        if (result != 0) error_prefix(error, "%s, row %zu", v->messages == NULL ? "sample" : v->messages, i + 1);
        rendering_free(&r);
    }
    return marked ? result : rows_close_writer(&writer, result, error);
}

int inspect_template(const InspectValues *v, const char *path, Error *error) {
    static const char sample[] =
        "[{\"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}, {\"role\": \"assistant\", \"content\": \"Hi, "
        "what "
        "can I do for you?\"}, {\"role\": \"user\", \"content\": \"Count to three.\"}, {\"role\": \"assistant\", "
        "\"content\": \"One, two, three.\"}]}]";
    Chat chat = {0};
    json_t *rows = NULL;
    int result = load_template(&chat, path, error);
    if (result == 0 && chat.chat_template == NULL)
        result = error_set(error, ERROR_INPUT, "%s: has no chat template", path);
    if (result == 0) {
        rows = v->messages != NULL ? inspect_read_lines(v->messages, error)
                                   : json_parse(sample, sizeof sample - 1, "sample", 1, error);
        result = rows == NULL ? -1 : show_rows(v, &chat, rows, error);
    }
    json_decref(rows);
    chat_free(&chat);
    return result;
}
