#include "cli/command.h"
#include "cli/rows.h"
#include "sample/generate.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *model, *adapter, *prompts, *out, *system;
    uint64_t responses, max_new_tokens, top_k, branches, seed;
    double temperature, top_p, min_p, repetition_penalty;
    OptionList stop;
} Values;

static const Option options[] = {
    {"model", 'm', OPTION_TEXT, offsetof(Values, model), "DIRECTORY", NULL, 0, 0, "Hugging Face checkpoint (needed)"},
    {"adapter", 0, OPTION_TEXT, offsetof(Values, adapter), "DIRECTORY", NULL, 0, 0,
     "PEFT directory: LoRA adapter of the model"},
    {"prompts", 'd', OPTION_TEXT, offsetof(Values, prompts), "FILE", NULL, 0, 0,
     "rows with prompts: JSON lines or array, also .gz (needed)"},
    {"out", 'o', OPTION_TEXT, offsetof(Values, out), "FILE", "-", 0, 0, "JSON lines; -: standard output"},
    {"responses", 'k', OPTION_WHOLE, offsetof(Values, responses), "K", "16", 1, 1024, "responses to each prompt"},
    {"max-new-tokens", 'n', OPTION_WHOLE, offsetof(Values, max_new_tokens), "N", "512", 1, 16777216,
     "tokens after which a response is cut"},
    {"temperature", 0, OPTION_REAL, offsetof(Values, temperature), "T", "0.9", 0, 100,
     "divides the logits; 0: always the likeliest token"},
    {"top-p", 0, OPTION_REAL, offsetof(Values, top_p), "P", "1", 1e-6, 1,
     "only the likeliest tokens that together have this probability"},
    {"top-k", 0, OPTION_WHOLE, offsetof(Values, top_k), "K", "0", 0, 16777216,
     "only this many likeliest tokens; 0: off"},
    {"min-p", 0, OPTION_REAL, offsetof(Values, min_p), "P", "0", 0, 1,
     "only tokens with this share of the likeliest one's probability"},
    {"repetition-penalty", 0, OPTION_REAL, offsetof(Values, repetition_penalty), "R", "1", 1e-3, 100,
     "against tokens already in the text; 1: off"},
    {"stop", 0, OPTION_LIST, offsetof(Values, stop), "TOKEN", NULL, 0, 0,
     "token or id that ends a response, instead of the model's own; may be repeated"},
    {"system", 0, OPTION_TEXT, offsetof(Values, system), "TEXT", "", 0, 0,
     "system message for conversations without one"},
    {"branches", 0, OPTION_WHOLE, offsetof(Values, branches), "N", "64", 1, 65536,
     "responses in flight: speed and memory"},
    {"seed", 0, OPTION_WHOLE, offsetof(Values, seed), "N", "0", 0, 18446744073709551615.0, "of the random draws"},
};

/* Responses come in the order in which they finish and are written in the order of the file. */
typedef struct {
    const Chat *chat;
    size_t responses;
    json_t **text, **ids, **logprob, **finish; // (prompts) arrays of K
} Collected;

static int collect(void *context, const GeneratedResponse *r, Error *error) {
    const Collected *c = context;
    Buffer text = {0};
    json_t *ids = json_array();
    double sum = 0;
    int result = ids == NULL ? -1 : 0;
    if (c->chat->tokenizer != NULL && chat_decode_response(c->chat, r->ids, r->length, &text, error) != 0) {
        json_decref(ids);
        return -1;
    }
    for (size_t t = 0; t < r->length; t++) {
        sum += r->logprob[t];
        result |= json_array_append_new(ids, json_integer(r->ids[t]));
    }
    result |= json_array_set_new(c->ids[r->prompt], r->k, ids);
    result |= json_array_set_new(c->logprob[r->prompt], r->k, json_real(sum));
    result |= json_array_set_new(c->finish[r->prompt], r->k, json_string(r->finish == FINISH_STOP ? "stop" : "length"));
    result |= json_array_set_new(c->text[r->prompt], r->k, json_stringn(text.data == NULL ? "" : text.data, text.size));
    buffer_free(&text);
    return result == 0 ? 0 : error_set(error, ERROR_MEMORY, "no memory for a response");
}

static void collected_free(Collected *c, size_t n) {
    json_t **const lists[] = {c->text, c->ids, c->logprob, c->finish};
    for (int l = 0; l < 4; l++) {
        for (size_t i = 0; i < n && lists[l] != NULL; i++) json_decref(lists[l][i]);
        free(lists[l]);
    }
}

static int collected_create(Collected *c, const Chat *chat, size_t n, size_t responses, Error *error) {
    json_t ***const lists[] = {&c->text, &c->ids, &c->logprob, &c->finish};
    *c = (Collected){.chat = chat, .responses = responses};
    bool failed = false;
    for (int l = 0; l < 4; l++) {
        *lists[l] = calloc(n + 1, sizeof **lists[l]);
        failed = failed || *lists[l] == NULL;
        for (size_t i = 0; i < n && !failed; i++) {
            (*lists[l])[i] = json_array();
            for (size_t k = 0; k < responses; k++) json_array_append_new((*lists[l])[i], json_null());
        }
    }
    return failed ? error_set(error, ERROR_MEMORY, "no memory for the responses") : 0;
}

static int write_rows(const Collected *c, const Rows *rows, const char *path, Error *error) {
    RowWriter writer;
    if (rows_open_writer(&writer, path, error) != 0) return -1;
    int result = 0;
    for (size_t i = 0; i < rows->file.count && result == 0; i++)
        result = rows_write(&writer,
                            json_pack("{s:O, s:O, s:O, s:O, s:O}", "prompt", rows->file.rows[i].prompt, "responses",
                                      c->text[i], "response_ids", c->ids[i], "logprobs", c->logprob[i], "finish",
                                      c->finish[i]),
                            error);
    return rows_close_writer(&writer, result, error);
}

static int sample_rows(const Values *v, Session *session, Model *model, const Chat *chat, const Rows *rows,
                       Error *error) {
    const GenerateSettings settings = {.filter = {.temperature = (float)v->temperature,
                                                  .top_k = v->top_k,
                                                  .top_p = (float)v->top_p,
                                                  .min_p = (float)v->min_p,
                                                  .repetition_penalty = (float)v->repetition_penalty},
                                       .responses = v->responses,
                                       .max_new_tokens = v->max_new_tokens,
                                       .max_branches = v->branches,
                                       .stop = chat->stop,
                                       .stop_count = chat->stop_count,
                                       .seed = v->seed};
    size_t n = rows->file.count;
    Collected collected;
    GeneratePrompt *prompt = calloc(n + 1, sizeof *prompt);
    int result = collected_create(&collected, chat, n, v->responses, error);
    if (prompt == NULL) result = error_set(error, ERROR_MEMORY, "no memory for %zu prompts", n);
    for (size_t i = 0; i < n && result == 0; i++)
        prompt[i] = (GeneratePrompt){.item = (uint32_t)i, .ids = rows->prompt[i].data, .length = rows->prompt[i].count};
    if (result == 0) result = generate(model, &settings, prompt, n, collect, &collected, &session->log, error);
    terminal_clear(&session->terminal);
    if (result == 0) result = write_rows(&collected, rows, v->out, error);
    collected_free(&collected, n);
    free(prompt);
    return result;
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    if (v->model == NULL || v->prompts == NULL)
        return error_set(error, ERROR_USAGE, "dice sample needs --model and --prompts; see `dice sample --help`");
    Chat chat = {0};
    Rows rows = {0};
    Model *model = NULL;
    int result = command_load_model(session, (ModelPlace){v->model, v->adapter}, false, &model, error);
    if (result == 0) result = rows_load_chat(&chat, v->model, error);
    if (result == 0 && v->stop.count > 0) result = chat_set_stop(&chat, v->stop.item, v->stop.count, error);
    if (result == 0)
        result = rows_read(&rows, v->prompts, &chat, v->system, CHAT_END_STOP, false, &session->log, error);
    if (result == 0) result = rows_check_model(&rows, model_config(model), error);
    if (result == 0) result = sample_rows(v, session, model, &chat, &rows, error);
    rows_free(&rows);
    chat_free(&chat);
    model_free(model);
    return result;
}

COMMAND_DEFINE(
    sample, Values, options, .summary = "K responses to each prompt, with the log-prob of each", .arguments = "",
    .least = 0, .most = 0,
    .description =
        "Each row of the result is {\"prompt\", \"responses\", \"response_ids\", \"logprobs\", \"finish\"}: texts, the "
        "tokens as\n"
        "sampled (stop token included), the summed raw log-prob in nats (temperature 1, whole vocabulary), and\n"
        "whether the response ended by itself (\"stop\") or was cut (\"length\"). A prompt is computed once, whatever "
        "K.\n"
        "The same seed gives the same texts, whatever the number of threads or of branches in flight.",
    .examples = "  dice sample --model MODEL --prompts prompts.jsonl -k 8 -n 256 --out responses.jsonl\n"
                "  dice sample --model MODEL --prompts prompts.jsonl -k 1 --temperature 0");
