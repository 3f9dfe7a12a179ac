#include "formats/preference_file.h"
#include "base/file.h"
#include "base/size.h"
#include "formats/gzip.h"

#include <stdlib.h>
#include <string.h>

#define INFLATED_MAX ((size_t)1 << 36)

/* The text of one row after another. */
typedef struct {
    const char *name, *text;
    size_t size, at, line;
    bool array, open; // open: inside of [ ... ]
} Rows;

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_space(Rows *r) {
    for (; r->at < r->size && is_space(r->text[r->at]); r->at++) r->line += r->text[r->at] == '\n';
}

/* Past the end of the JSON value at `at`, as far as brackets and quotes tell; line is counted on. */
static void skip_value(Rows *r) {
    size_t depth = 0;
    for (bool quoted = false; r->at < r->size; r->at++) {
        char c = r->text[r->at];
        r->line += c == '\n';
        if (quoted) {
            if (c == '\\' && r->at + 1 < r->size)
                r->at++;
            else if (c == '"')
                quoted = false;
            continue;
        }
        if (c == '"') quoted = true;
        if (c == '{' || c == '[') depth++;
        if (depth == 0 && (c == ',' || c == ']' || c == '}')) return;
        if (c == '}' || c == ']') depth--;
    }
}

/* The syntax error of the whole, which has the right line and column; `fallback` should it have none. */
static int array_error(const Rows *r, const char *fallback, Error *error) {
    json_t *all = json_parse(r->text, r->size, r->name, 1, error);
    if (all == NULL) return -1;
    json_decref(all);
    return error_set(error, ERROR_INPUT, "%s:%zu: %s", r->name, r->line, fallback);
}

/* 1: *row is the next one (a new reference) and *line where it begins; 0: no more; -1: error. */
static int next_of_array(Rows *r, json_t **row, size_t *line, Error *error) {
    skip_space(r);
    bool first = !r->open;
    if (first) r->at++, r->open = true; // the '['
    skip_space(r);
    char c = r->at < r->size ? r->text[r->at] : 0;
    if (c == ']') {
        r->at++;
        skip_space(r);
        return r->at == r->size ? 0 : array_error(r, "there is text after the array", error);
    }
    if (!first) {
        if (c != ',') return array_error(r, "a comma or the end of the array was expected", error);
        r->at++;
        skip_space(r);
    }
    size_t begin = r->at;
    *line = r->line;
    skip_value(r);
    *row = json_parse(r->text + begin, r->at - begin, r->name, *line, NULL);
    return *row == NULL ? array_error(r, "not valid JSON", error) : 1;
}

static int next_of_lines(Rows *r, json_t **row, size_t *line, Error *error) {
    while (r->at < r->size) {
        const char *begin = r->text + r->at, *end = memchr(begin, '\n', r->size - r->at);
        size_t n = end == NULL ? r->size - r->at : (size_t)(end - begin), blank = 0;
        *line = r->line++;
        r->at += n + (end != NULL);
        while (blank < n && is_space(begin[blank])) blank++;
        if (blank == n) continue;
        *row = json_parse(begin, n, r->name, *line, error);
        return *row == NULL ? -1 : 1;
    }
    return 0;
}

static bool is_blank(const char *text, size_t bytes) {
    while (bytes > 0 && is_space(*text)) text++, bytes--;
    return bytes == 0;
}

static bool is_empty_prompt(const json_t *prompt) {
    if (json_is_string(prompt)) return is_blank(json_string_value(prompt), json_string_length(prompt));
    for (size_t i = 0; i < json_array_size(prompt); i++) {
        const json_t *content = json_object_get(json_array_get(prompt, i), "content");
        if (json_is_string(content) && !is_blank(json_string_value(content), json_string_length(content))) return false;
    }
    return true;
}

/* No assistant message at the end, or one that says nothing. A call of a tool says something without any text. */
static bool is_empty_answer(const json_t *part, bool keep_empty) {
    size_t bytes, n = json_array_size(part);
    const char *text = preference_row_answer(part, &bytes);
    const json_t *last = json_array_get(part, n == 0 ? 0 : n - 1), *role = json_object_get(last, "role");
    bool answered = json_is_string(part) || (json_is_string(role) && strcmp(json_string_value(role), "assistant") == 0);
    return !answered || (!keep_empty && is_blank(text, bytes) && json_object_get(last, "tool_calls") == NULL);
}

/* Why a row is of no use, or DROP_REASONS. */
static DropReason judge(const PreferenceRow *row, const PreferenceOptions *o) {
    bool pair = o->use == PREFERENCE_PAIRS;
    if (preference_row_is_tokens(row->prompt)) return DROP_REASONS; // taken as it is
    if (is_empty_prompt(row->prompt)) return DROP_EMPTY_PROMPT;
    if ((pair || o->use == PREFERENCE_COMPLETIONS) && is_empty_answer(row->chosen, o->keep_empty))
        return DROP_EMPTY_ANSWER;
    if (pair && is_empty_answer(row->rejected, o->keep_empty)) return DROP_EMPTY_ANSWER;
    return pair && !o->keep_equal && json_equal(row->chosen, row->rejected) ? DROP_EQUAL : DROP_REASONS;
}

/* What the use needs and the row has not, or NULL. */
static const char *missing(const PreferenceRow *row, PreferenceUse use) {
    if (use == PREFERENCE_PAIRS && row->rejected == NULL) return "\"chosen\" and \"rejected\"";
    if (use == PREFERENCE_RESPONSES && row->responses == NULL) return "\"responses\"";
    return use == PREFERENCE_COMPLETIONS && row->chosen == NULL
               ? "an answer (\"chosen\", \"completion\", \"output\" or the end of a chat)"
               : NULL;
}

/* Takes the row over. */
static int add_row(PreferenceFile *file, size_t *capacity, PreferenceRow *row, const PreferenceOptions *options,
                   Error *error) {
    const char *lacks = missing(row, options->use);
    int result = -1;
    DropReason why = lacks != NULL ? DROP_REASONS : judge(row, options);
    if (lacks != NULL) {
        error_set(error, ERROR_INPUT, "%s:%zu: this row has no %s, only a prompt and as answers %s", file->name,
                  row->line, lacks, answer_layout_name(row->answer_layout));
    } else if (why != DROP_REASONS) {
        if (file->dropped[why]++ == 0) file->first[why] = row->line;
        result = 0;
    } else {
        size_t more = *capacity == 0 ? 64 : *capacity, bytes;
        if (file->count == *capacity) {
            PreferenceRow *grown = NULL;
            if (size_add(*capacity, more, &more) && size_multiply(more, sizeof *grown, &bytes))
                grown = realloc(file->rows, bytes);
            if (grown == NULL) {
                preference_row_free(row);
                return error_set(error, ERROR_MEMORY, "%s: no memory for its rows", file->name);
            }
            file->rows = grown;
            *capacity = more;
        }
        file->prompts[row->prompt_layout]++;
        file->answers[row->answer_layout]++;
        file->rows[file->count++] = *row;
        return 0;
    }
    preference_row_free(row);
    return result;
}

static int read_rows(PreferenceFile *file, Rows *rows, const PreferenceOptions *options, Error *error) {
    size_t capacity = 0, line = 0;
    for (;;) {
        json_t *object = NULL;
        PreferenceRow row;
        int found =
            rows->array ? next_of_array(rows, &object, &line, error) : next_of_lines(rows, &object, &line, error);
        if (found <= 0) return found;
        int result = preference_row_parse(&row, object, file->name, line, error);
        json_decref(object);
        if (result != 0 || add_row(file, &capacity, &row, options, error) != 0) return -1;
    }
}

static int parse_text(PreferenceFile *file, const char *text, size_t size, const PreferenceOptions *options,
                      Error *error) {
    static const char mark[] = "\xef\xbb\xbf";
    if (size >= 4 && memcmp(text, "PAR1", 4) == 0)
        return error_set(error, ERROR_UNSUPPORTED, "%s: is a Parquet file; export it as JSON lines (Dataset.to_json)",
                         file->name);
    if (size >= 3 && memcmp(text, mark, 3) == 0) text += 3, size -= 3;
    Rows rows = {.name = file->name, .text = text, .size = size, .line = 1};
    skip_space(&rows);
    file->array = rows.array = rows.at < size && text[rows.at] == '[';
    if (!rows.array) rows.at = 0, rows.line = 1;
    if (read_rows(file, &rows, options, error) != 0) return -1;
    if (file->count > 0) return 0;
    Buffer found = {0};
    preference_file_describe(file, &found);
    error_set(error, ERROR_INPUT, "%s There is no row that can be used.", found.data == NULL ? file->name : found.data);
    buffer_free(&found);
    return -1;
}

int preference_file_parse(PreferenceFile *file, const void *bytes, size_t size, const char *name,
                          const PreferenceOptions *options, Error *error) {
    static const PreferenceOptions defaults = {.use = PREFERENCE_PROMPTS};
    Buffer text = {0};
    *file = (PreferenceFile){.name = strdup(name), .gzip = gzip_is(bytes, size)};
    int result = -1;
    if (file->name == NULL)
        error_set(error, ERROR_MEMORY, "%s: no memory to read it", name);
    else if (!file->gzip)
        result = parse_text(file, bytes, size, options == NULL ? &defaults : options, error);
    else if (gzip_inflate(bytes, size, INFLATED_MAX, &text, name, error) == 0)
        result = parse_text(file, text.data == NULL ? "" : text.data, text.size, options == NULL ? &defaults : options,
                            error);
    buffer_free(&text);
    if (result != 0) preference_file_free(file);
    return result;
}

int preference_file_read(PreferenceFile *file, const char *path, const PreferenceOptions *options, Error *error) {
    FileMap map;
    *file = (PreferenceFile){0};
    if (file_map(&map, path, error) != 0) return -1;
    int result =
        preference_file_parse(file, map.data == NULL ? (const void *)"" : map.data, map.size, path, options, error);
    file_unmap(&map);
    return result;
}

void preference_file_free(PreferenceFile *file) {
    for (size_t i = 0; i < file->count; i++) preference_row_free(&file->rows[i]);
    free(file->rows);
    free(file->name);
    *file = (PreferenceFile){0};
}

void preference_file_describe(const PreferenceFile *file, Buffer *out) {
    static const char *const reasons[DROP_REASONS] = {"an empty prompt", "an empty answer",
                                                      "equal chosen and rejected"};
    buffer_format(out, "%s: %s%s, %zu row%s.", file->name, file->array ? "a JSON array" : "JSON lines",
                  file->gzip ? " (gzip)" : "", file->count, file->count == 1 ? "" : "s");
    for (PromptLayout i = 0; i < PROMPT_LAYOUTS; i++)
        if (file->prompts[i] > 0) buffer_format(out, " Prompts: %s, %zu.", prompt_layout_name(i), file->prompts[i]);
    for (AnswerLayout i = 0; i < ANSWER_LAYOUTS; i++)
        if (file->answers[i] > 0) buffer_format(out, " Answers: %s, %zu.", answer_layout_name(i), file->answers[i]);
    for (DropReason i = 0; i < DROP_REASONS; i++)
        if (file->dropped[i] > 0)
            buffer_format(out, " Dropped for %s: %zu, the first in line %zu.", reasons[i], file->dropped[i],
                          file->first[i]);
}
