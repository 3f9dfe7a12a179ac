#include "cli/rows.h"

#include "formats/hf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

void rows_free(Rows *rows) {
    bool whole = rows->prompt != NULL && rows->answer != NULL && rows->answers != NULL;
    for (size_t i = 0; i < rows->file.count && whole; i++) {
        token_list_free(&rows->prompt[i]);
        for (size_t k = 0; k < rows->answers[i]; k++) token_list_free(&rows->answer[i][k]);
        free(rows->answer[i]);
    }
    free(rows->prompt);
    free(rows->answer);
    free(rows->answers);
    preference_file_free(&rows->file);
    *rows = (Rows){0};
}

int rows_load_chat(Chat *chat, const char *directory, Error *error) {
    *chat = (Chat){0};
    if (hf_tokenizer_is_there(directory)) return chat_load(chat, directory, error);
    HfConfig config;
    if (hf_config_read(&config, directory, error) != 0) return -1;
    for (size_t i = 0; i < config.eos_count && i < CHAT_STOP_MAX; i++)
        chat->stop[chat->stop_count++] = config.eos_token[i];
    return 0;
}

static size_t list_answers(const PreferenceRow *row, const json_t **part) {
    size_t n = 0;
    if (row->chosen != NULL) part[n++] = row->chosen;
    if (row->rejected != NULL) part[n++] = row->rejected;
    for (size_t k = 0; k < json_array_size(row->responses); k++) part[n++] = json_array_get(row->responses, k);
    return n;
}

static int encode(Rows *rows, size_t i, const Chat *chat, const json_t *extra, ChatEnd end, Error *error) {
    PreferenceRow *row = &rows->file.rows[i];
    size_t most = 2 + json_array_size(row->responses);
    const json_t **part = calloc(most, sizeof *part);
    rows->answer[i] = calloc(most, sizeof **rows->answer);
    if (part == NULL || rows->answer[i] == NULL) {
        free(part);
        return error_set(error, ERROR_MEMORY, "no memory for the tokens of a row");
    }
    size_t n = rows->answers[i] = list_answers(row, part);
    int result =
        n == 0
            ? error_set(error, ERROR_INPUT, "the row has a prompt but no answer (chosen and rejected, or responses)")
            : chat_encode_responses(chat, row->prompt, extra, part, n, end, &rows->prompt[i], rows->answer[i], error);
    free(part);
    return result;
}

int rows_read(Rows *rows, const char *path, const Chat *chat, const char *system, ChatEnd end, bool with_answers,
              const Log *log, Error *error) {
    const EncodeRules rules = {.chat = chat, .wrap = chat->chat_template != NULL, .system = system};
    Buffer description = {0};
    *rows = (Rows){0};
    if (preference_file_read(&rows->file, path, NULL, error) != 0) return -1;
    preference_file_describe(&rows->file, &description);
    if (description.data != NULL) log_say(log, LOG_INFO, "%s", description.data);
    buffer_free(&description);
    size_t n = rows->file.count;
    rows->prompt = calloc(n + 1, sizeof *rows->prompt);
    rows->answer = calloc(n + 1, sizeof *rows->answer);
    rows->answers = calloc(n + 1, sizeof *rows->answers);
    int result = rows->prompt == NULL || rows->answer == NULL || rows->answers == NULL
                     ? error_set(error, ERROR_MEMORY, "%s: no memory for its rows", path)
                     : 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        PreferenceRow *row = &rows->file.rows[i];
        if (chat->tokenizer == NULL && !preference_row_is_tokens(row->prompt))
            result = error_set(error, ERROR_INPUT,
                               "the model has no tokenizer.json or tokenizer.model, so only rows of token ids "
                               "(prompt_ids, ...) can be read");
        if (result == 0) result = preference_data_prepare_row(&rules, row, error);
        if (result == 0) {
            json_t *extra = preference_data_variables(row);
            result = with_answers ? encode(rows, i, chat, extra, end, error)
                                  : chat_encode_prompt(chat, row->prompt, extra, &rows->prompt[i], error);
            json_decref(extra);
        }
        if (result != 0) error_prefix(error, "%s:%zu", path, row->line);
    }
    if (result != 0) rows_free(rows);
    return result;
}

static int check_row(const Rows *rows, size_t i, const HfConfig *config, Error *error) {
    size_t prompt = rows->prompt[i].count, context = config->max_positions;
    if (token_list_check(&rows->prompt[i], config->vocabulary, error) != 0) return -1;
    if (prompt >= context)
        return error_set(error, ERROR_INPUT,
                         "the prompt has %zu tokens, which leaves no room in the model's context of %zu: shorten it "
                         "or leave it out",
                         prompt, context);
    for (size_t k = 0; k < rows->answers[i]; k++) {
        if (token_list_check(&rows->answer[i][k], config->vocabulary, error) != 0) return -1;
        if (rows->answer[i][k].count > context - prompt)
            return error_set(error, ERROR_INPUT,
                             "prompt and answer have %zu tokens, the model's context is %zu: shorten them or leave "
                             "them out",
                             prompt + rows->answer[i][k].count, context);
    }
    return 0;
}

int rows_check_model(const Rows *rows, const HfConfig *config, Error *error) {
    for (size_t i = 0; i < rows->file.count; i++)
        if (check_row(rows, i, config, error) != 0)
            return error_prefix(error, "%s:%zu", rows->file.name, rows->file.rows[i].line);
    return 0;
}

int rows_open_writer(RowWriter *writer, const char *path, Error *error) {
    *writer = (RowWriter){.to_stdout = path == NULL || strcmp(path, "-") == 0};
    if (!writer->to_stdout) return file_writer_open(&writer->writer, path, error);
    writer->writer.stream = stdout;
    return 0;
}

int rows_write(RowWriter *writer, json_t *row, Error *error) {
    int written = row == NULL ? -1 : json_dumpf(row, writer->writer.stream, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(row);
    if (written == 0 && fputc('\n', writer->writer.stream) != EOF) return 0;
    if (row == NULL) return error_set(error, ERROR_MEMORY, "no memory for a row of the result");
    return error_errno(error, writer->to_stdout ? "standard output" : writer->writer.path, "write");
}

int rows_close_writer(RowWriter *writer, int result, Error *error) {
    if (writer->to_stdout) return result;
    if (result == 0) return file_writer_commit(&writer->writer, error);
    file_writer_abort(&writer->writer);
    return result;
}
