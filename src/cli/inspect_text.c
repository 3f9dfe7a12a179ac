#include "cli/inspect.h"

#include "cli/rows.h"
#include "formats/gguf.h"
#include "formats/gguf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static bool is_blank(const char *line, size_t n) {
    while (n > 0 && memchr(" \t\r", line[n - 1], 3) != NULL) n--;
    return n == 0;
}

json_t *inspect_read_lines(const char *path, Error *error) {
    FileMap map;
    json_t *rows = json_array();
    if (file_map(&map, path, error) != 0) {
        json_decref(rows);
        return NULL;
    }
    size_t line = 1;
    for (size_t at = 0; at < map.size && rows != NULL; line++) {
        const char *begin = (const char *)map.data + at, *end = memchr(begin, '\n', map.size - at);
        size_t n = end == NULL ? map.size - at : (size_t)(end - begin);
        at += n + 1;
        if (is_blank(begin, n)) continue;
        json_t *row = json_parse(begin, n, path, line, error);
        if (row == NULL || json_array_append_new(rows, row) != 0) {
            json_decref(rows);
            rows = NULL;
        }
    }
    file_unmap(&map);
    return rows;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int load_tokenizer(Tokenizer **tokenizer, const char *path, Error *error) {
    Gguf *gguf = NULL;
    json_t *document = NULL;
    if (!ends_with(path, ".gguf")) return tokenizer_load(tokenizer, path, error);
    int result = gguf_open(&gguf, path, error);
    if (result == 0) result = gguf_tokenizer_json(gguf, &document, error);
    if (result == 0) result = tokenizer_from_json(tokenizer, document, path, error);
    json_decref(document);
    gguf_close(gguf);
    return result;
}

json_t *inspect_id_list(const TokenList *ids) {
    json_t *list = json_array();
    for (size_t i = 0; i < ids->count; i++) json_array_append_new(list, json_integer(ids->data[i]));
    return list;
}

static int encode_line(const InspectValues *v, const Tokenizer *tokenizer, const json_t *row, RowWriter *writer,
                       Error *error) {
    const json_t *text = json_object_get(row, "text");
    TokenList ids = {0};
    Buffer decoded = {0};
    if (!json_is_string(text)) return error_set(error, ERROR_INPUT, "a row of {\"text\": \"...\"} was expected");
    int result =
        tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), v->add_special, &ids, error);
    json_t *out = json_pack("{s:o}", "ids", inspect_id_list(&ids));
    if (result == 0 && v->decode) {
        result = tokenizer_decode(tokenizer, ids.data, ids.count, false, &decoded, error);
        json_object_set_new(out, "decoded", json_stringn(decoded.data == NULL ? "" : decoded.data, decoded.size));
    }
    if (result == 0)
        result = rows_write(writer, out, error);
    else
        json_decref(out);
    token_list_free(&ids);
    buffer_free(&decoded);
    return result;
}

static int encode_file(const InspectValues *v, const Tokenizer *tokenizer, Error *error) {
    RowWriter writer;
    json_t *rows = inspect_read_lines(v->encode, error);
    if (rows == NULL || rows_open_writer(&writer, v->out, error) != 0) {
        json_decref(rows);
        return -1;
    }
    int result = 0;
    for (size_t i = 0; i < json_array_size(rows) && result == 0; i++)
        if ((result = encode_line(v, tokenizer, json_array_get(rows, i), &writer, error)) != 0)
            error_prefix(error, "%s, row %zu", v->encode, i + 1);
    json_decref(rows);
    return rows_close_writer(&writer, result, error);
}

/* A token as a person reads it: what it decodes to, with line ends visible. */
static int print_token(const Tokenizer *tokenizer, int32_t id, const char *mark, Error *error) {
    Buffer text = {0};
    json_t *quoted = NULL;
    char *shown = NULL;
    int result = tokenizer_decode(tokenizer, &id, 1, false, &text, error);
    if (result == 0) {
        quoted = json_stringn(text.data == NULL ? "" : text.data, text.size);
        shown = quoted == NULL ? NULL : json_dumps(quoted, JSON_ENCODE_ANY);
        if (shown == NULL) result = error_set(error, ERROR_MEMORY, "no memory to show a token");
    }
    if (result == 0) printf("%8d %s %s%s\n", id, mark, shown, tokenizer_is_special(tokenizer, id) ? "  (special)" : "");
    free(shown);
    json_decref(quoted);
    buffer_free(&text);
    return result;
}

static int print_ids(const Tokenizer *tokenizer, const int32_t *ids, size_t n, const char *mark, Error *error) {
    int result = 0;
    for (size_t i = 0; i < n && result == 0; i++) result = print_token(tokenizer, ids[i], mark, error);
    return result;
}

static int encode_text(const InspectValues *v, const Tokenizer *tokenizer, Error *error) {
    TokenList ids = {0};
    int result = tokenizer_encode(tokenizer, v->text, strlen(v->text), v->add_special, &ids, error);
    if (result == 0) result = print_ids(tokenizer, ids.data, ids.count, "", error);
    token_list_free(&ids);
    return result;
}

int inspect_tokenizer(const InspectValues *v, const char *path, Error *error) {
    Tokenizer *tokenizer = NULL;
    if (load_tokenizer(&tokenizer, path, error) != 0) return -1;
    int result = 0;
    if (v->encode != NULL)
        result = encode_file(v, tokenizer, error);
    else if (v->text != NULL)
        result = encode_text(v, tokenizer, error);
    else
        printf("%s: %zu ids; bos %d, eos %d, pad %d (-1: none)\n", path, tokenizer_vocabulary(tokenizer),
               tokenizer_bos(tokenizer), tokenizer_eos(tokenizer), tokenizer_pad(tokenizer));
    tokenizer_free(tokenizer);
    return result;
}

/* One line {"line", "prompt_ids", "chosen_ids", "rejected_ids"}: what `dice train` takes. */
static int write_example(const EncodedPair *p, Error *error) {
    TokenList prompt = {.data = p->prompt, .count = p->prompt_length};
    json_t *o = json_pack("{s:I, s:o}", "line", (json_int_t)p->line, "prompt_ids", inspect_id_list(&prompt));
    RowWriter out;
    for (int r = 0; r < 2; r++) {
        TokenList ids = {.data = p->response[r], .count = p->length[r]};
        if (p->response[r] != NULL)
            json_object_set_new(o, r == 0 ? "chosen_ids" : "rejected_ids", inspect_id_list(&ids));
    }
    if (rows_open_writer(&out, NULL, error) != 0) {
        json_decref(o);
        return -1;
    }
    return rows_write(&out, o, error);
}

static int print_example(const InspectValues *v, const Chat *chat, const EncodedPair *p, Error *error) {
    static const char *const names[] = {"chosen", "rejected"};
    if (v->common.json) return write_example(p, error);
    printf("line %zu: %zu prompt tokens, not in the loss (-); responses in the loss (+)\n", p->line, p->prompt_length);
    if (chat->tokenizer == NULL) return 0;
    int result = print_ids(chat->tokenizer, p->prompt, p->prompt_length, "-", error);
    for (int r = 0; r < 2 && result == 0; r++) {
        if (p->response[r] == NULL) continue;
        printf("%s, %zu tokens:\n", names[r], p->length[r]);
        result = print_ids(chat->tokenizer, p->response[r], p->length[r], "+", error);
    }
    return result;
}

int inspect_example(const InspectValues *v, const char *path, Session *session, Error *error) {
    Chat chat = {0};
    PreferenceData data = {0};
    if (v->data == NULL) return error_set(error, ERROR_USAGE, "dice inspect example needs --data");
    int result = rows_load_chat(&chat, path, error);
    if (result == 0) {
        const EncodeRules rules = {.chat = &chat,
                                   .wrap = chat.chat_template != NULL,
                                   .system = v->system,
                                   .end = strcmp(v->response_end, "template") == 0 ? CHAT_END_TEMPLATE : CHAT_END_STOP,
                                   .max_tokens = SIZE_MAX / 2};
        result = preference_data_add_pairs(&data, v->data, &rules, true, &session->log, error);
    }
    if (result == 0 && v->row > data.pairs)
        result = error_set(error, ERROR_USAGE, "--row is %zu, but %s has only %zu rows", (size_t)v->row, v->data,
                           data.pairs);
    for (size_t i = 0; i < data.pairs && result == 0; i++)
        if (v->row == 0 || i + 1 == v->row) result = print_example(v, &chat, &data.pair[i], error);
    preference_data_free(&data);
    chat_free(&chat);
    return result;
}
