#include "align/preference_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void preference_data_free(PreferenceData *data) {
    for (size_t i = 0; i < data->prompts; i++) {
        free(data->prompt[i].text);
        free(data->prompt[i].ids);
    }
    for (size_t i = 0; i < data->pairs; i++) {
        free(data->pair[i].prompt);
        for (int r = 0; r < 2; r++) {
            free(data->pair[i].response[r]);
            json_decref(data->pair[i].answer[r]);
        }
    }
    free(data->prompt);
    free(data->pair);
    json_decref(data->index);
    *data = (PreferenceData){0};
}

static int no_memory(Error *error) {
    return error_set(error, ERROR_MEMORY, "no memory for the tokens of the data set");
}

static int32_t *copy_ids(const TokenList *list, size_t length) {
    int32_t *ids = malloc((length + 1) * sizeof *ids);
    if (ids != NULL) memcpy(ids, list->data, length * sizeof *ids);
    return ids;
}

/* Room for one element more; capacities are powers of two, so they need not be stored. */
static void *grow(void *array, size_t count, size_t element) {
    if (count != 0 && (count & (count - 1)) != 0) return array;
    return realloc(array, (count == 0 ? 1 : 2 * count) * element);
}

/* The number of a prompt, which gets one if it is new. */
static int number_of(PreferenceData *data, const json_t *prompt, size_t *number, Error *error) {
    if (data->index == NULL && (data->index = json_object()) == NULL) return no_memory(error);
    char *key = json_dumps(prompt, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS), *text = NULL;
    const json_t *known = key == NULL ? NULL : json_object_get(data->index, key);
    int result = 0;
    if (known != NULL) {
        *number = (size_t)json_integer_value(known);
    } else {
        *number = data->prompts;
        EncodedPrompt *grown = grow(data->prompt, data->prompts, sizeof *grown);
        if (grown != NULL) data->prompt = grown;
        if (key != NULL && grown != NULL) text = json_dumps(prompt, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text == NULL || json_object_set_new(data->index, key, json_integer((json_int_t)data->prompts)) != 0) {
            free(text);
            result = no_memory(error);
        } else {
            data->prompt[data->prompts++] = (EncodedPrompt){.text = text};
        }
    }
    free(key);
    return result;
}

int preference_data_prepare_row(const EncodeRules *rules, PreferenceRow *row, Error *error) {
    if (rules->wrap && preference_row_wrap(row, error) != 0) return -1;
    if (!row->conversational || rules->system == NULL || *rules->system == 0) return 0;
    const char *role = json_string_value(json_object_get(json_array_get(row->prompt, 0), "role"));
    if (role != NULL && strcmp(role, "system") == 0) return 0;
    json_t *message = json_pack("{s:s, s:s}", "role", "system", "content", rules->system),
           *prompt = json_copy(row->prompt);
    if (message == NULL || prompt == NULL || json_array_insert_new(prompt, 0, message) != 0) {
        json_decref(prompt);
        return error_set(error, ERROR_MEMORY, "no memory for a system message");
    }
    json_decref(row->prompt);
    row->prompt = prompt;
    return 0;
}

json_t *preference_data_variables(const EncodeRules *rules, const PreferenceRow *row) {
    if (rules->variables == NULL && row->extra == NULL && row->tools == NULL && row->documents == NULL) return NULL;
    json_t *all = json_object();
    if (rules->variables != NULL) json_object_update(all, (json_t *)(uintptr_t)rules->variables);
    if (row->extra != NULL) json_object_update(all, row->extra);
    if (row->tools != NULL) json_object_set(all, "tools", row->tools);
    if (row->documents != NULL) json_object_set(all, "documents", row->documents);
    return all;
}

/* Length rule of a pair; false: drop it. */
static bool fit(PreferenceData *data, const EncodeRules *rules, size_t prompt, TokenList *response, size_t responses) {
    size_t longest = 0;
    for (size_t r = 0; r < responses; r++)
        if (response[r].count > longest) longest = response[r].count;
    if (prompt + longest <= rules->max_tokens) return true;
    if (rules->overlong == OVERLONG_DROP || prompt >= rules->max_tokens) {
        data->overlong_pairs++;
        return false;
    }
    for (size_t r = 0; r < responses; r++)
        if (response[r].count > rules->max_tokens - prompt) response[r].count = rules->max_tokens - prompt;
    data->cut_pairs++;
    return true;
}

static int check_ids(const EncodeRules *rules, const TokenList *ids, Error *error) {
    for (size_t i = 0; i < ids->count && rules->vocabulary > 0; i++)
        if ((size_t)ids->data[i] >= rules->vocabulary)
            return error_set(error, ERROR_INPUT,
                             "token %d is outside the model's vocabulary of %zu: the ids or the tokenizer are of "
                             "another model",
                             (int)ids->data[i], rules->vocabulary);
    return 0;
}

typedef struct {
    TokenList prompt, response[2];
} Lists;

static void lists_free(Lists *lists) {
    token_list_free(&lists->prompt);
    for (int r = 0; r < 2; r++) token_list_free(&lists->response[r]);
}

/* The ids to sample from, where the prompt does not have them yet. */
static int encode_prompt(PreferenceData *data, const EncodeRules *rules, const PreferenceRow *row, size_t number,
                         Lists *lists, Error *error) {
    EncodedPrompt *prompt = &data->prompt[number];
    if (prompt->ids != NULL || prompt->overlong) return 0;
    token_list_clear(&lists->prompt);
    json_t *variables = preference_data_variables(rules, row);
    int result = chat_encode_prompt(rules->chat, row->prompt, variables, &lists->prompt, error);
    json_decref(variables);
    if (result != 0 || check_ids(rules, &lists->prompt, error) != 0) return -1;
    if (lists->prompt.count == 0) return error_set(error, ERROR_INPUT, "the prompt has no tokens");
    if (lists->prompt.count >= rules->max_tokens) {
        prompt->overlong = true;
        data->overlong_prompts++;
        return 0;
    }
    prompt->length = lists->prompt.count;
    prompt->ids = copy_ids(&lists->prompt, prompt->length);
    return prompt->ids == NULL ? no_memory(error) : 0;
}

static int add_pair(PreferenceData *data, const EncodeRules *rules, PreferenceRow *row, Lists *lists, Error *error) {
    const json_t *part[2] = {row->chosen, row->rejected};
    size_t responses = row->rejected == NULL ? 1 : 2, number;
    if (preference_data_prepare_row(rules, row, error) != 0) return -1;
    part[0] = row->chosen, part[1] = row->rejected;
    json_t *variables = preference_data_variables(rules, row);
    int result = chat_encode_responses(rules->chat, row->prompt, variables, part, responses, rules->end, &lists->prompt,
                                       lists->response, error);
    json_decref(variables);
    if (result == 0) result = check_ids(rules, &lists->prompt, error);
    for (size_t r = 0; r < responses && result == 0; r++) result = check_ids(rules, &lists->response[r], error);
    if (result != 0 || !fit(data, rules, lists->prompt.count, lists->response, responses)) return result;
    if (number_of(data, row->prompt, &number, error) != 0) return -1;
    EncodedPair *grown = grow(data->pair, data->pairs, sizeof *grown);
    if (grown == NULL) return no_memory(error);
    data->pair = grown;
    EncodedPair *pair = &data->pair[data->pairs++];
    *pair = (EncodedPair){.prompt_number = number,
                          .line = row->line,
                          .prompt = copy_ids(&lists->prompt, lists->prompt.count),
                          .prompt_length = lists->prompt.count,
                          .reference = {NAN, NAN}};
    const json_t *known = json_object_get(row->source, "reference_logprobs");
    bool whole = pair->prompt != NULL;
    for (size_t r = 0; r < responses; r++) {
        pair->answer[r] = json_incref((json_t *)(uintptr_t)part[r]);
        pair->length[r] = lists->response[r].count;
        pair->response[r] = copy_ids(&lists->response[r], pair->length[r]);
        whole = whole && pair->response[r] != NULL;
        const json_t *sum = json_array_get(known, r);
        if (json_is_number(sum)) pair->reference[r] = json_number_value(sum);
    }
    return whole ? encode_prompt(data, rules, row, number, lists, error) : no_memory(error);
}

static int add_prompt(PreferenceData *data, const EncodeRules *rules, PreferenceRow *row, Lists *lists, Error *error) {
    size_t number;
    if (preference_data_prepare_row(rules, row, error) != 0 || number_of(data, row->prompt, &number, error) != 0)
        return -1;
    data->prompt[number].from_prompts = true;
    return encode_prompt(data, rules, row, number, lists, error);
}

typedef int (*AddRow)(PreferenceData *, const EncodeRules *, PreferenceRow *, Lists *, Error *);

static int add_file(PreferenceData *data, const char *path, const EncodeRules *rules, PreferenceUse use, AddRow add,
                    const Log *log, Error *error) {
    const PreferenceOptions options = {.use = use};
    PreferenceFile file;
    Buffer description = {0};
    Lists lists = {0};
    if (preference_file_read(&file, path, &options, error) != 0) return -1;
    preference_file_describe(&file, &description);
    if (description.data != NULL) log_say(log, LOG_INFO, "%s", description.data);
    int result = 0;
    for (size_t i = 0; i < file.count && result == 0; i++)
        if ((result = add(data, rules, &file.rows[i], &lists, error)) != 0)
            error_prefix(error, "%s:%zu", path, file.rows[i].line);
    buffer_free(&description);
    lists_free(&lists);
    preference_file_free(&file);
    return result;
}

int preference_data_add_pairs(PreferenceData *data, const char *path, const EncodeRules *rules, bool completions,
                              const Log *log, Error *error) {
    size_t dropped = data->overlong_pairs, cut = data->cut_pairs, before = data->pairs;
    if (add_file(data, path, rules, completions ? PREFERENCE_COMPLETIONS : PREFERENCE_PAIRS, add_pair, log, error) != 0)
        return -1;
    dropped = data->overlong_pairs - dropped;
    cut = data->cut_pairs - cut;
    if (dropped > 0)
        log_say(log, LOG_WARNING, "%s: %zu rows are longer than %zu tokens (prompt + response) and left out", path,
                dropped, rules->max_tokens);
    if (cut > 0)
        log_say(log, LOG_WARNING, "%s: responses of %zu rows are cut so that prompt + response has %zu tokens", path,
                cut, rules->max_tokens);
    if (data->pairs > before) return 0;
    return error_set(
        error, ERROR_INPUT,
        "%s: no row fits into %zu tokens (prompt + response): raise the limit or use a model with a longer context",
        path, rules->max_tokens);
}

int preference_data_add_prompts(PreferenceData *data, const char *path, const EncodeRules *rules, const Log *log,
                                Error *error) {
    size_t dropped = data->overlong_prompts;
    if (add_file(data, path, rules, PREFERENCE_PROMPTS, add_prompt, log, error) != 0) return -1;
    dropped = data->overlong_prompts - dropped;
    if (dropped > 0)
        log_say(log, LOG_WARNING,
                "%s: %zu prompts have %zu tokens or more, which leaves no room for a response, and are left out", path,
                dropped, rules->max_tokens);
    for (size_t i = 0; i < data->prompts; i++)
        if (data->prompt[i].ids != NULL) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s: no prompt is shorter than %zu tokens: raise the limit or use a model with a longer context",
                     path, rules->max_tokens);
}

int preference_data_show_pair(const PreferenceData *data, size_t pair, const Chat *chat, Buffer *out, Error *error) {
    static const char *const titles[] = {"\n--- chosen (in the loss) ---\n", "\n--- rejected (in the loss) ---\n"};
    if (pair >= data->pairs || chat->tokenizer == NULL) return 0;
    const EncodedPair *p = &data->pair[pair];
    buffer_append_text(out, "--- prompt (not in the loss) ---\n");
    if (tokenizer_decode(chat->tokenizer, p->prompt, p->prompt_length, false, out, error) != 0) return -1;
    for (int r = 0; r < 2; r++) {
        if (p->response[r] == NULL) continue;
        buffer_append_text(out, titles[r]);
        if (tokenizer_decode(chat->tokenizer, p->response[r], p->length[r], false, out, error) != 0) return -1;
    }
    buffer_append_text(out, "\n");
    return 0;
}
