#include "align/round_export.h"

#include "base/file.h"
#include "store/export.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(Error *error) { return error_set(error, ERROR_MEMORY, "no memory to export a round"); }

typedef int (*Export)(const DiceRun *run, uint32_t round, const char *path, const double *rewards, size_t count,
                      Error *error);

static int responses(const DiceRun *run, uint32_t round, const char *path, const double *rewards, size_t count,
                     Error *error) {
    return export_responses(run->store, round, rewards, count, path, NULL, error);
}

static int scores(const DiceRun *run, uint32_t round, const char *path, const double *rewards, size_t count,
                  Error *error) {
    (void)rewards, (void)count;
    return export_scores(run->store, round, path, NULL, error);
}

static int pairs(const DiceRun *run, uint32_t round, const char *path, const double *rewards, size_t count,
                 Error *error) {
    (void)rewards, (void)count;
    return export_pairs(run->store, round, path, NULL, error);
}

/* Half-written files that a killed process has left of NAME. */
static int remove_leftovers(const char *directory, const char *name, Error *error) {
    DIR *files = opendir(directory);
    size_t length = strlen(name);
    if (files == NULL) return error_errno(error, directory, "read the directory");
    int result = 0;
    for (const struct dirent *file; result == 0 && (file = readdir(files)) != NULL;) {
        if (strncmp(file->d_name, name, length) != 0 || strncmp(file->d_name + length, ".partial", 8) != 0) continue;
        char *path = file_join(directory, file->d_name);
        result = path == NULL ? no_memory(error) : file_remove_tree(path, error);
        free(path);
    }
    closedir(files);
    return result;
}

/* OUTPUT/round-T/NAME, to be freed; its directory is there and has nothing half-written of it. */
static int prepare(const DiceRun *run, uint32_t round, const char *name, char **path, Error *error) {
    char *directory = dice_run_path(run, round, "");
    *path = dice_run_path(run, round, name);
    int result = directory == NULL || *path == NULL ? no_memory(error) : file_make_directory(directory, error);
    if (result == 0) result = remove_leftovers(directory, name, error);
    free(directory);
    return result;
}

static int to_file(const DiceRun *run, uint32_t round, const char *name, Export export, const double *rewards,
                   size_t count, Error *error) {
    char *path;
    int result = prepare(run, round, name, &path, error);
    if (result == 0) result = export(run, round, path, rewards, count, error);
    free(path);
    return result;
}

int round_export_scored(const DiceRun *run, uint32_t round, const RoundTable *table, const double *reward,
                        Error *error) {
    double *rewards = malloc((table->count + 1) * sizeof *rewards); // in the order of the store
    if (rewards == NULL) return no_memory(error);
    size_t at = 0;
    for (size_t cell = 0; cell < table->prompts * table->responses; cell++)
        if (table->cell[cell] != NULL) rewards[at++] = table->kept[cell] ? reward[cell] : NAN;
    int result = to_file(run, round, "responses.jsonl", responses, rewards, at, error);
    if (result == 0) result = to_file(run, round, "scores.jsonl", scores, NULL, 0, error);
    if (result == 0) result = to_file(run, round, "pairs.jsonl", pairs, NULL, 0, error);
    free(rewards);
    return result;
}

/* One answer in the layout of its prompt: messages behind messages, text behind text. */
static json_t *answer_of(const json_t *prompt, const char *text) {
    return json_is_array(prompt) ? json_pack("[{s:s, s:s}]", "role", "assistant", "content", text) : json_string(text);
}

static const char *text_of(const RoundTable *table, uint32_t prompt, uint32_t k) {
    const StoredResponse *r = round_table_find(table, prompt, k);
    return r == NULL ? "" : r->text;
}

static json_t *mixed_row(const DiceRun *run, const RoundTable *table, const RoundTable *first, const StoredMix *mix,
                         const StoredPair *pair, size_t pairs) {
    size_t p = 0;
    while (!mix->offline && p < pairs && pair[p].prompt != mix->row) p++;
    if (mix->offline ? mix->row >= run->train_pairs : p == pairs) return NULL;
    uint32_t number = mix->offline ? (uint32_t)run->train_pair[mix->row]->prompt_number : mix->row;
    json_t *prompt = json_loads(run->data.prompt[number].text, JSON_DECODE_ANY, NULL);
    if (mix->offline)
        return json_pack("{s:o, s:O, s:O, s:s}", "prompt", prompt, "chosen", run->train_pair[mix->row]->answer[0],
                         "rejected", run->train_pair[mix->row]->answer[1], "source", "offline");
    return json_pack("{s:o, s:o, s:o, s:s}", "prompt", prompt, "chosen",
                     answer_of(prompt, text_of(table, mix->row, pair[p].chosen_k)), "rejected",
                     answer_of(prompt, text_of(pair[p].rejected_age > 0 ? first : table, mix->row, pair[p].rejected_k)),
                     "source", "generated");
}

static int write_mix(const DiceRun *run, const RoundTable *table, const RoundTable *first, const StoredMix *mix,
                     size_t rows, const StoredPair *pair, size_t pairs, const char *path, Error *error) {
    FileWriter writer;
    if (file_writer_open(&writer, path, error) != 0) return -1;
    for (size_t i = 0; i < rows; i++) {
        json_t *row = mixed_row(run, table, first, &mix[i], pair, pairs);
        int failed =
            row == NULL || json_dumpf(row, writer.stream, JSON_COMPACT) != 0 || fputc('\n', writer.stream) == EOF;
        bool missing = row == NULL;
        json_decref(row);
        if (!failed) continue;
        if (missing)
            error_set(error, ERROR_INPUT, "run.db: row %zu of the mix names no pair of this run", i);
        else
            error_errno(error, path, "write");
        file_writer_abort(&writer);
        return -1;
    }
    return file_writer_commit(&writer, error);
}

int round_export_mix(const DiceRun *run, uint32_t round, Error *error) {
    RoundTable table, first = {0};
    StoredMix *mix = NULL;
    StoredPair *pair = NULL;
    size_t rows, pairs;
    char *path;
    int result = prepare(run, round, "train.jsonl", &path, error);
    if (result == 0) result = round_table_load(&table, run, round, error);
    if (result == 0) {
        result = run_store_get_mix(run->store, round, &mix, &rows, error);
        if (result == 0) result = run_store_get_pairs(run->store, round, &pair, &pairs, error);
        if (result == 0) result = round_table_load_anchors(&first, run, pair, pairs, error);
        if (result == 0) result = write_mix(run, &table, &first, mix, rows, pair, pairs, path, error);
        round_table_free(&table);
        round_table_free(&first);
    }
    free(mix);
    free(pair);
    free(path);
    return result;
}
