#include "cli/help_topics.h"

#include <stddef.h>
#include <string.h>

static const char layouts[] =
    "Rows of prompts and preferences: JSON lines or one JSON array, also as .gz. The layout is found row by row;\n"
    "`dice inspect example MODEL --data FILE` shows what became of a row, token by token.\n\n"
    "Prompts\n"
    "  {\"prompt\": TEXT or MESSAGES}                             TRL\n"
    "  {\"messages\": MESSAGES} or {\"conversations\": MESSAGES}    chats; LLaMA-Factory sharegpt\n"
    "  {\"instruction\": TEXT, \"input\"?, \"system\"?, \"history\"?}   LLaMA-Factory alpaca; DICE's prompts\n"
    "  {\"turns\": [TEXT, ...]}                                   FastChat: the first turn\n"
    "  {\"prompt_ids\": [IDS]}                                    token ids, taken as they are\n"
    "Pairs: the above, and\n"
    "  \"chosen\", \"rejected\": TEXT, MESSAGES or one message      without a prompt: what both begin with is it\n"
    "  \"output\": [CHOSEN, REJECTED]                             older alpaca ranking\n"
    "  \"chosen_ids\", \"rejected_ids\": [IDS]                      beside \"prompt_ids\"\n"
    "One answer (sft): \"completion\", \"output\", \"chosen\", or a chat that ends with the assistant\n"
    "Several answers: \"responses\": [TEXT or MESSAGES, ...], \"rewards\": [NUMBER, ...]\n\n"
    "MESSAGES is a list of {\"role\", \"content\"} or {\"from\", \"value\"}. \"tools\", \"documents\" and\n"
    "\"chat_template_kwargs\" of a row go to the chat template, and make its prompt another one.\n"
    "docs/files.md describes the files that dice writes.\n";

static const char method[] =
    "DICE (arXiv 2406.09760): a model pi that was trained with DPO against ref carries a reward,\n\n"
    "    r(x, y) = log pi(y | x) - log ref(y | x)      in nats; the paper's is beta times it\n\n"
    "A round samples K answers to each prompt from pi(t-1), scores them with that reward (ref = pi(t-2)), charges\n"
    "alpha for each character, with alpha such that chosen and rejected are equally long on average, pairs best and\n"
    "worst, replaces a share gamma of the pairs by offline ones, and runs DPO from pi(t-1) against pi(t-1). Without\n"
    "`reference:` in the recipe, round 0 makes pi(0) by DPO on the offline pairs.\n\n"
    "  dice sample   K answers a prompt          dice mix      generated and offline pairs\n"
    "  dice score    log-probs and rewards       dice train    DPO, another loss, or SFT\n"
    "  dice pairs    rewards -> pairs            dice run      all of it, round after round\n\n"
    "docs/method.md explains every stage and number, docs/pairs.md the other ways to choose pairs, `dice help losses`\n"
    "the losses.\n";

const char *help_topic(const char *name) {
    if (strcmp(name, "layouts") == 0) return layouts;
    return strcmp(name, "method") == 0 ? method : NULL;
}
