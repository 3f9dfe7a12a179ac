#include "cli/inspect.h"

#include <string.h>

static const Option options[] = {
    {"encode", 0, OPTION_TEXT, offsetof(InspectValues, encode), "FILE", NULL, 0, 0,
     "tokenizer: JSON lines of {\"text\"}; one line of {\"ids\"} for each"},
    {"text", 0, OPTION_TEXT, offsetof(InspectValues, text), "TEXT", NULL, 0, 0,
     "tokenizer: one text, its tokens one a line"},
    {"decode", 0, OPTION_FLAG, offsetof(InspectValues, decode), NULL, NULL, 0, 0,
     "tokenizer: also decodes the ids again"},
    {"add-special", 0, OPTION_FLAG, offsetof(InspectValues, add_special), NULL, NULL, 0, 0,
     "tokenizer: with the ids that the tokenizer puts in front and behind"},
    {"messages", 0, OPTION_TEXT, offsetof(InspectValues, messages), "FILE", NULL, 0, 0,
     "template: JSON lines of {\"messages\", \"tools\", \"chat_template_kwargs\", \"add_generation_prompt\"}"},
    {"marked", 0, OPTION_FLAG, offsetof(InspectValues, marked), NULL, NULL, 0, 0,
     "template: as text for people, with [[ and ]] around what is in the loss; so without --messages"},
    {"data", 'd', OPTION_TEXT, offsetof(InspectValues, data), "FILE", NULL, 0, 0, "example, gradient: preference rows"},
    {"row", 0, OPTION_WHOLE, offsetof(InspectValues, row), "N", "1", 0, 1e9, "example: which row; 0: all"},
    {"tokens", 0, OPTION_TEXT, offsetof(InspectValues, tokens), "FILE", NULL, 0, 0,
     "logits: JSON lines of {\"ids\", \"positions\"}"},
    {"out", 'o', OPTION_TEXT, offsetof(InspectValues, out), "FILE", NULL, 0, 0,
     "logits, gradient: the safetensors file to write"},
    {"method", 0, OPTION_CHOICE, offsetof(InspectValues, method), "dpo|sft", "dpo", 0, 0, "gradient: of which loss"},
    {"beta", 0, OPTION_REAL, offsetof(InspectValues, beta), "BETA", "0.1", 1e-9, 1000,
     "gradient: of the loss; the same as --set train.beta=BETA"},
    {"adapter", 0, OPTION_TEXT, offsetof(InspectValues, adapter), "DIRECTORY", NULL, 0, 0,
     "logits, gradient: PEFT directory, LoRA adapter of the model"},
    {"reference", 'r', OPTION_TEXT, offsetof(InspectValues, reference), "DIRECTORY", NULL, 0, 0,
     "gradient: reference of the DPO loss (default: the model itself)"},
    {"response-end", 0, OPTION_CHOICE, offsetof(InspectValues, response_end), "stop_token|template", "stop_token", 0, 0,
     "example, gradient: count up to the stop token, or also what the template puts behind it"},
    {"system", 0, OPTION_TEXT, offsetof(InspectValues, system), "TEXT", "", 0, 0,
     "example, gradient: system message for conversations without one"},
    {"set", 's', OPTION_LIST, offsetof(InspectValues, set), "KEY=VALUE", NULL, 0, 0,
     "gradient, loss: any key of a recipe's train and data groups, such as train.loss=ipo; may be repeated"},
};

typedef struct {
    const char *name;
    int (*on_words)(const InspectValues *, const char *, Error *);
    int (*on_model)(const InspectValues *, const char *, Session *, Error *);
} Topic;

static int run(const void *values, Session *session, Error *error) {
    static const Topic topics[] = {{"tokenizer", inspect_tokenizer, NULL}, {"template", inspect_template, NULL},
                                   {"example", NULL, inspect_example},     {"logits", NULL, inspect_logits},
                                   {"gradient", NULL, inspect_gradient},   {"loss", NULL, inspect_loss}};
    const InspectValues *v = values;
    const char *first = v->common.argument[0];
    if (v->common.arguments == 1) return inspect_file(v, first, error);
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        if (strcmp(first, topics[i].name) == 0)
            return topics[i].on_words != NULL ? topics[i].on_words(v, v->common.argument[1], error)
                                              : topics[i].on_model(v, v->common.argument[1], session, error);
    return error_set(error, ERROR_USAGE,
                     "dice inspect knows tokenizer, template, example, logits, gradient and loss, not \"%.60s\"",
                     first);
}

COMMAND_DEFINE(
    inspect, InspectValues, options, .summary = "what is in a file, and what the model makes of a text",
    .arguments = "[TOPIC] PATH", .least = 1, .most = 2,
    .description =
        "PATH alone: a safetensors file, a GGUF file, a checkpoint or PEFT directory, listed. With a topic:\n"
        "  tokenizer  ids of texts; PATH: checkpoint directory, tokenizer.json, tokenizer.model or GGUF file\n"
        "  template   conversations as the model reads them, what is in the loss marked; PATH: checkpoint directory or "
        "a .jinja file\n"
        "  example    one training row, every token with its id, those in the loss marked\n"
        "  logits     raw logits of token rows, as safetensors: \"N.logits\" (positions, V) for row N\n"
        "  gradient   of the mean loss over all rows of --data, as safetensors under Hugging Face names\n"
        "  loss       of scored pairs, rewards, and the slope for the log-prob of every token; PATH: what\n"
        "             `dice score --reference REF --per-token` wrote. `dice help losses` lists the losses",
    .examples = "  dice inspect model.gguf\n  dice inspect tokenizer MODEL --text \"Hello, world\"\n"
                "  dice inspect template MODEL --messages chats.jsonl --marked\n"
                "  dice inspect example MODEL --data pairs.jsonl --row 3\n"
                "  dice inspect gradient MODEL --data pairs.jsonl --out gradient.safetensors\n"
                "  dice inspect loss scored.jsonl --set \"train.loss=sigmoid + 0.2 sft\"");
