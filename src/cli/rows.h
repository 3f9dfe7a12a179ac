/* rows.h - rows of prompts and answers as the stage commands read and write them. */
#pragma once
#include "align/preference_data.h"
#include "base/file.h"
#include "cli/command.h"

/* Every row of a file that has a prompt, each prepared for the model (wrapped, system message added), with the ids of
 * its answers: chosen and rejected, or all of "responses". */
typedef struct {
    PreferenceFile file;
    TokenList *prompt;  // (count)
    TokenList **answer; // (count) arrays of answers[i] lists
    size_t *answers;    // (count)
} Rows;

/* chat: an empty one can only read rows of token ids. Answers are ids only where with_answers. */
int rows_read(Rows *rows, const char *path, const Chat *chat, const char *system, ChatEnd end, bool with_answers,
              const Log *log, Error *error);
void rows_free(Rows *rows);
/* Every prompt leaves room in the model's context, every answer fits behind its prompt, every id is in the vocabulary;
 * else ERROR_INPUT that names the row. */
int rows_check_model(const Rows *rows, const HfConfig *config, Error *error);

/* Loads the tokenizer and the template of a model directory; where it has no tokenizer, *chat only knows the end
 * tokens of its configuration. */
int rows_load_chat(Chat *chat, const char *directory, Error *error);

/* A file of JSON lines; path NULL or "-": stdout. rows_write takes the reference of the object. */
typedef struct {
    FileWriter writer;
    bool to_stdout;
} RowWriter;

int rows_open_writer(RowWriter *writer, const char *path, Error *error);
int rows_write(RowWriter *writer, json_t *row, Error *error);
/* Commits where `result` is 0, else removes what was written; returns the outcome. */
int rows_close_writer(RowWriter *writer, int result, Error *error);
