#include "align/preference_data.h"

#include "base/hash.h"

#include <math.h>
#include <stdio.h>
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
    json_decref(data->seen);
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

/* What makes a prompt another one: its messages, and the variables that its row has for the chat template. */
static char *key_of(const PreferenceRow *row) {
    json_t *own = json_object();
    int failed = json_object_set(own, "prompt", row->prompt);
    if (row->extra != NULL) failed |= json_object_set(own, "extra", row->extra);
    if (row->tools != NULL) failed |= json_object_set(own, "tools", row->tools);
    if (row->documents != NULL) failed |= json_object_set(own, "documents", row->documents);
    char *key = failed ? NULL : json_dumps(own, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    json_decref(own);
    return key;
}

/* The number of a prompt, which gets one if it is new. */
static int number_of(PreferenceData *data, const PreferenceRow *row, size_t *number, Error *error) {
    if (data->index == NULL && (data->index = json_object()) == NULL) return no_memory(error);
    const json_t *prompt = row->prompt;
    char *key = key_of(row), *text = NULL;
    const json_t *known = key == NULL ? NULL : json_object_get(data->index, key);
    int result = 0;
    data->repeated_prompts += known != NULL;
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

json_t *preference_data_variables(const PreferenceRow *row) {
    if (row->extra == NULL && row->tools == NULL && row->documents == NULL) return NULL;
    json_t *all = json_object();
    if (row->extra != NULL) json_object_update(all, row->extra);
    if (row->tools != NULL) json_object_set(all, "tools", row->tools);
    if (row->documents != NULL) json_object_set(all, "documents", row->documents);
    return all;
}

/* Takes tokens off the beginning of a prompt, or off its end. */
static void shorten(TokenList *ids, size_t count, OverlongRule rule) {
    if (rule == OVERLONG_KEEP_END) memmove(ids->data, ids->data + (ids->count - count), count * sizeof *ids->data);
    ids->count = count;
}

/* [PD-1] Length rule of a prompt; false: drop it. */
static bool fit_prompt(const EncodeRules *rules, TokenList *prompt, bool *cut) {
    size_t most = rules->max_prompt_tokens;
    if (most == 0 || prompt->count <= most) return true;
    if (rules->overlong_prompt == OVERLONG_DROP) return false;
    shorten(prompt, most, rules->overlong_prompt);
    *cut = true;
    return true;
}

/* [PD-1] Length rule of a pair; false: drop it. */
static bool fit(PreferenceData *data, const EncodeRules *rules, TokenList *prompt, TokenList *response,
                size_t responses) {
    size_t longest = 0;
    bool cut = false;
    for (size_t r = 0; r < responses; r++)
        if (response[r].count > longest) longest = response[r].count;
    if (!fit_prompt(rules, prompt, &cut)) {
        data->overlong_pairs++;
        return false;
    }
    data->cut_prompts += cut;
    if (prompt->count + longest <= rules->max_tokens) return true;
    bool room = rules->overlong == OVERLONG_KEEP_END ? longest < rules->max_tokens : prompt->count < rules->max_tokens;
    if (rules->overlong == OVERLONG_DROP || !room) {
        data->overlong_pairs++;
        return false;
    }
    if (rules->overlong == OVERLONG_KEEP_END) {
        shorten(prompt, rules->max_tokens - longest, OVERLONG_KEEP_END);
        data->cut_starts++;
        return true;
    }
    for (size_t r = 0; r < responses; r++)
        if (response[r].count > rules->max_tokens - prompt->count)
            response[r].count = rules->max_tokens - prompt->count;
    data->cut_pairs++;
    return true;
}

static int check_ids(const EncodeRules *rules, const TokenList *ids, Error *error) {
    return rules->vocabulary == 0 ? 0 : token_list_check(ids, rules->vocabulary, error);
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
    json_t *variables = preference_data_variables(row);
    int result = chat_encode_prompt(rules->chat, row->prompt, variables, &lists->prompt, error);
    json_decref(variables);
    if (result != 0 || check_ids(rules, &lists->prompt, error) != 0) return -1;
    if (lists->prompt.count == 0) return error_set(error, ERROR_INPUT, "the prompt has no tokens");
    if (!fit_prompt(rules, &lists->prompt, &prompt->cut) || lists->prompt.count >= rules->max_tokens) {
        prompt->overlong = true;
        data->overlong_prompts++;
        return 0;
    }
    prompt->length = lists->prompt.count;
    prompt->ids = copy_ids(&lists->prompt, prompt->length);
    return prompt->ids == NULL ? no_memory(error) : 0;
}

/* [PD-2] Whether a pair of the same tokens is there already. */
static int is_repeated(PreferenceData *data, const Lists *lists, size_t responses, bool *repeated, Error *error) {
    const TokenList *part[3] = {&lists->prompt, &lists->response[0], &lists->response[1]};
    Hasher *hasher = hasher_create();
    if (data->seen == NULL) data->seen = json_object();
    if (hasher == NULL || data->seen == NULL) {
        hasher_destroy(hasher);
        return no_memory(error);
    }
    for (size_t i = 0; i <= responses; i++) {
        hasher_add(hasher, &part[i]->count, sizeof part[i]->count);
        hasher_add(hasher, part[i]->data, part[i]->count * sizeof *part[i]->data);
    }
    Hash hash = hasher_result(hasher);
    hasher_destroy(hasher);
    *repeated = json_object_get(data->seen, hash.hex) != NULL;
    data->repeated_pairs += *repeated;
    return *repeated || json_object_set_new(data->seen, hash.hex, json_null()) == 0 ? 0 : no_memory(error);
}

static int add_pair(PreferenceData *data, const EncodeRules *rules, PreferenceRow *row, Lists *lists, Error *error) {
    if (preference_data_prepare_row(rules, row, error) != 0) return -1;
    const json_t *part[2] = {row->chosen, row->rejected}; // as it was prepared
    size_t responses = row->rejected == NULL ? 1 : 2, number;
    json_t *variables = preference_data_variables(row);
    int result = chat_encode_responses(rules->chat, row->prompt, variables, part, responses, rules->end, &lists->prompt,
                                       lists->response, error);
    json_decref(variables);
    if (result == 0) result = check_ids(rules, &lists->prompt, error);
    for (size_t r = 0; r < responses && result == 0; r++) result = check_ids(rules, &lists->response[r], error);
    if (result != 0 || !fit(data, rules, &lists->prompt, lists->response, responses)) return result;
    bool repeated;
    if (is_repeated(data, lists, responses, &repeated, error) != 0) return -1;
    if (repeated && rules->deduplicate) return 0;
    if (number_of(data, row, &number, error) != 0) return -1;
    EncodedPair *grown = grow(data->pair, data->pairs, sizeof *grown);
    if (grown == NULL) return no_memory(error);
    data->pair = grown;
    EncodedPair *pair = &data->pair[data->pairs++];
    *pair = (EncodedPair){.prompt_number = number,
                          .line = row->line,
                          .file = data->files,
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
    if (preference_data_prepare_row(rules, row, error) != 0 || number_of(data, row, &number, error) != 0) return -1;
    data->prompt[number].from_prompts = true;
    return encode_prompt(data, rules, row, number, lists, error);
}

typedef int (*AddRow)(PreferenceData *, const EncodeRules *, PreferenceRow *, Lists *, Error *);

static int add_file(PreferenceData *data, const char *path, const EncodeRules *rules, PreferenceUse use, AddRow add,
                    const Log *log, Error *error) {
    const PreferenceOptions options = {.use = use, .keep_empty = rules->keep_all, .keep_equal = rules->keep_all};
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

/* Says how many rows something happened to, where it did. */
static void say_count(const Log *log, LogLevel level, const char *path, size_t rows, const char *what) {
    if (rows > 0) log_say(log, level, "%s: %zu %s", path, rows, what);
}

/* What the rules did since `before`. */
static void say_rules(const PreferenceData *before, const PreferenceData *data, const EncodeRules *rules,
                      const char *path, const Log *log) {
    char text[200];
    snprintf(text, sizeof text, "rows are longer than %zu tokens (prompt + response)%s and left out", rules->max_tokens,
             rules->max_prompt_tokens > 0 ? " or their prompt than data.max_prompt_tokens" : "");
    say_count(log, LOG_WARNING, path, data->overlong_pairs - before->overlong_pairs, text);
    snprintf(text, sizeof text, "rows lose the ends of their responses (keep_start), to have %zu tokens",
             rules->max_tokens);
    say_count(log, LOG_WARNING, path, data->cut_pairs - before->cut_pairs, text);
    snprintf(text, sizeof text, "rows lose the beginning of their prompt (keep_end), to have %zu tokens",
             rules->max_tokens);
    say_count(log, LOG_WARNING, path, data->cut_starts - before->cut_starts, text);
    snprintf(text, sizeof text, "prompts are cut to their %s %zu tokens",
             rules->overlong_prompt == OVERLONG_KEEP_END ? "last" : "first", rules->max_prompt_tokens);
    say_count(log, LOG_WARNING, path, data->cut_prompts - before->cut_prompts, text);
    say_count(log, LOG_INFO, path, data->repeated_pairs - before->repeated_pairs,
              rules->deduplicate ? "pairs are there already and left out"
                                 : "pairs are there already and count again (data.deduplicate leaves them out)");
}

int preference_data_add_pairs(PreferenceData *data, const char *path, const EncodeRules *rules, bool completions,
                              const Log *log, Error *error) {
    const PreferenceData before = *data;
    if (add_file(data, path, rules, completions ? PREFERENCE_COMPLETIONS : PREFERENCE_PAIRS, add_pair, log, error) != 0)
        return -1;
    say_rules(&before, data, rules, path, log);
    data->files++;
    if (data->pairs > before.pairs) return 0;
    if (data->repeated_pairs > before.repeated_pairs && rules->deduplicate)
        return error_set(error, ERROR_INPUT, "%s: every pair is there already: name the file once", path);
    return error_set(
        error, ERROR_INPUT,
        "%s: no row fits into %zu tokens (prompt + response): raise the limit or use a model with a longer context",
        path, rules->max_tokens);
}

int preference_data_add_prompts(PreferenceData *data, const char *path, const EncodeRules *rules, const Log *log,
                                Error *error) {
    size_t dropped = data->overlong_prompts, repeated = data->repeated_prompts;
    if (add_file(data, path, rules, PREFERENCE_PROMPTS, add_prompt, log, error) != 0) return -1;
    dropped = data->overlong_prompts - dropped;
    say_count(log, LOG_INFO, path, data->repeated_prompts - repeated, "prompts are there already and sampled once");
    size_t cut = 0;
    for (size_t i = 0; i < data->prompts; i++) cut += data->prompt[i].cut && data->prompt[i].from_prompts;
    say_count(log, LOG_WARNING, path, cut, "prompts are cut to data.max_prompt_tokens");
    if (dropped > 0)
        log_say(log, LOG_WARNING,
                "%s: %zu prompts have %zu tokens or more, which leaves no room for a response, or are longer than "
                "data.max_prompt_tokens, and are left out",
                path, dropped, rules->max_tokens);
    for (size_t i = 0; i < data->prompts; i++)
        if (data->prompt[i].ids != NULL) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s: no prompt is shorter than %zu tokens: raise the limit or use a model with a longer context",
                     path, rules->max_tokens);
}

int preference_data_show_first(const PreferenceData *data, const Chat *chat, Buffer *out, Error *error) {
    static const char *const titles[] = {"\n--- chosen (in the loss) ---\n", "\n--- rejected (in the loss) ---\n"};
    if (data->pairs == 0 || chat->tokenizer == NULL) return 0;
    const EncodedPair *p = &data->pair[0];
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
