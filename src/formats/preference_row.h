/* preference_row.h - one row of prompts or preferences, whatever tool wrote it, as a prompt and what answers it.
 *
 * The layout is found column by column, row by row:
 *
 *   prompt    "prompt": text, or messages                               TRL
 *             "prompt_ids": token ids                                   rows that are tokenised already [PR-3]
 *             the common beginning of chosen and rejected [PR-1]        TRL without "prompt", UltraFeedback binarized
 *             "conversations" or "messages", "system"?                  LLaMA-Factory sharegpt; chats
 *             "instruction" or "question", "input"?, "system"?, "history"?   LLaMA-Factory alpaca; DICE prompts
 *             "turns": the first of them                                FastChat question files
 *   answers   "chosen" and "rejected": text, messages, one message
 *             "output": [chosen, rejected]                              old alpaca ranking
 *             "responses": [K texts or message lists], "rewards": [K]?  what `dice` exports
 *             "completion", "output": text, the last message of a chat  supervised rows: chosen alone
 *             "chosen_ids", "rejected_ids", "response_ids": [K lists]   with "prompt_ids"
 *
 * A message is {"role", "content"} or {"from", "value"} (human, gpt, system, observation, ...); it becomes the former.
 * If any part of a row is messages, or its prompt an instruction, the row is conversational and every part becomes
 * messages [PR-2]: a text prompt is a user message, a text answer an assistant message. A row of texts only stays
 * plain; preference_row_wrap makes it conversational, which is right for a model with a chat template.
 *
 * Memory: a row owns its references; preference_row_free drops them.
 * Source: TRL 1.16 "Dataset formats" and extract_prompt; LLaMA-Factory data/README.md.
 * Claims: [PR-n] are checked by tests/unit/test_preference_row.c. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>

typedef enum {
    PROMPT_TEXT,            // "prompt" is a text
    PROMPT_MESSAGES,        // "prompt" is a list of messages
    PROMPT_COMMON_TEXT,     // beginning that the texts chosen and rejected share
    PROMPT_COMMON_MESSAGES, // beginning that the chats chosen and rejected share
    PROMPT_CHAT,            // "conversations" or "messages"
    PROMPT_INSTRUCTION,     // "instruction" or "question", with "input", "system" and "history"
    PROMPT_TURNS,           // "turns"
    PROMPT_TOKENS,          // "prompt_ids"
    PROMPT_LAYOUTS
} PromptLayout;

typedef enum {
    ANSWER_NONE,        // a prompt alone
    ANSWER_TEXTS,       // "chosen" and "rejected" are texts
    ANSWER_MESSAGES,    // ... lists of messages
    ANSWER_MESSAGE,     // ... one message each
    ANSWER_OUTPUT_PAIR, // "output" is [chosen, rejected]
    ANSWER_RESPONSES,   // "responses"
    ANSWER_COMPLETION,  // one answer: it is `chosen`, and there is no rejected
    ANSWER_TOKENS,      // "chosen_ids" and "rejected_ids", "chosen_ids" alone, or "response_ids"
    ANSWER_LAYOUTS
} AnswerLayout;

typedef struct {
    bool conversational;       // parts are arrays of messages; otherwise strings, or arrays of token ids
    json_t *prompt;            // never NULL
    json_t *chosen, *rejected; // NULL: none
    json_t *responses;         // array of K parts, NULL: none
    double *rewards;           // (K) NULL: none; a null in the file is NaN
    json_t *tools, *documents; // arrays for the chat template, NULL: none
    json_t *extra;             // object of further template variables ("chat_template_kwargs"), NULL: none
    json_t *id;                // "id", "prompt_id", "question_id" or "key" as it is in the file, NULL: none
    json_t *source;            // the object as it is in the file, for columns of the caller's own
    size_t line;               // where the row begins, from 1
    PromptLayout prompt_layout;
    AnswerLayout answer_layout;
} PreferenceRow;

/* object: one parsed row, borrowed. `name` and `line` place messages. A row without a prompt is ERROR_INPUT: it says
 * which keys there are and which layouts are known. *row is all zero after a failure. */
int preference_row_parse(PreferenceRow *row, const json_t *object, const char *name, size_t line, Error *error);
void preference_row_free(PreferenceRow *row);

/* A plain row becomes conversational; a conversational one and one of token ids stay. */
int preference_row_wrap(PreferenceRow *row, Error *error);

/* Whether a part is a list of token ids. */
bool preference_row_is_tokens(const json_t *part);

/* What a part says: the text itself, or the content of the last message, "" where that is not the assistant's. */
const char *preference_row_answer(const json_t *part, size_t *bytes);

const char *prompt_layout_name(PromptLayout layout); // "text in \"prompt\""
const char *answer_layout_name(AnswerLayout layout);
